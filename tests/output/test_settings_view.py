"""The settings as `config list` prints them."""

from __future__ import annotations

import pytest

from nemo_jobs_cli.output import settings_view
from nemo_jobs_cli.settings.model import DEFAULT_HOST, Credential, Settings, Sourced

NAMES = [
    "host",
    "workspace",
    "job",
    "token",
    "ca_file",
    "allow_http",
    "deadline",
    "numbers",
    "api",
    "outbox",
    "outbox_dir",
    "best_effort",
]


def test_every_setting_is_described():
    """Also if none is set."""
    assert [name for name, _, _ in settings_view.settings_rows(Settings())] == NAMES
    assert settings_view.origin_warning(Settings()) == ""


@pytest.mark.parametrize(
    ("credential", "row"),
    [
        (Credential("token", "s3cret", "NEMO_JOBS_TOKEN"), ("token (6 characters)", "NEMO_JOBS_TOKEN")),
        (Credential("file", "/t", "profile lab", "https://h"), ("file, only for https://h", "profile lab")),
        (None, ("", "not set")),
    ],
)
def test_a_token_is_shown_by_kind_and_length(credential, row):
    """And by its host and source, never by its text."""
    rows = {
        name: (value, source) for name, value, source in settings_view.settings_rows(Settings(credential=credential))
    }
    assert rows["token"] == row


def test_a_profile_with_a_token_and_no_host_gets_a_hint():
    """Its token is bound to the default host, which is rarely meant."""
    credential = Credential("file", "/t", "profile lab", DEFAULT_HOST)
    warning = settings_view.origin_warning(
        Settings(host=Sourced("https://b", "profile default"), credential=credential)
    )
    assert "; set that profile's host: nemo-jobs config set host URL --profile NAME; or pass" in warning


def test_a_token_for_another_host_is_a_warning():
    """With the text of the error that refuses to send it."""
    credential = Credential("token", "s3cret", "profile lab", "https://a")
    warning = settings_view.origin_warning(Settings(host=Sourced("https://b", "--host"), credential=credential))
    assert "belongs to https://a and is not sent to https://b (--host)" in warning
    assert "--anonymous" in warning
