"""The settings as people read them."""

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
    """Of an empty set of settings, too."""
    assert [name for name, _, _ in settings_view.settings_rows(Settings())] == NAMES
    assert settings_view.origin_warning(Settings()) == ""


@pytest.mark.parametrize(
    ("credential", "told"),
    [
        (Credential("token", "s3cret", "NEMO_JOBS_TOKEN"), ("token (6 characters)", "NEMO_JOBS_TOKEN")),
        (Credential("file", "/t", "profile lab", "https://h"), ("file, only for https://h", "profile lab")),
        (None, ("", "not set")),
    ],
)
def test_a_token_is_told_by_its_kind_alone(credential, told):
    """Its length, its host and its origin help; its text would leak."""
    rows = {
        name: (value, origin) for name, value, origin in settings_view.settings_rows(Settings(credential=credential))
    }
    assert rows["token"] == told


def test_a_profile_without_a_host_is_told_to_have_one():
    """Its token is bound to the default host, where hardly anybody wants it to go."""
    credential = Credential("file", "/t", "profile lab", DEFAULT_HOST)
    said = settings_view.origin_warning(Settings(host=Sourced("https://b", "profile default"), credential=credential))
    assert "; set that profile's host: nemo-jobs config set host URL --profile NAME; or pass" in said


def test_a_token_for_another_host_is_warned_of():
    """In the words of the refusal to send it."""
    credential = Credential("token", "s3cret", "profile lab", "https://a")
    said = settings_view.origin_warning(Settings(host=Sourced("https://b", "--host"), credential=credential))
    assert "belongs to https://a and is not sent to https://b (--host)" in said
    assert "--anonymous" in said
