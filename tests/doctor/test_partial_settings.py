"""Settings of which a source is broken."""

from __future__ import annotations

import pytest

from nemo_jobs_cli.core.errors import SettingsError, UsageError
from nemo_jobs_cli.doctor import _partial_settings
from nemo_jobs_cli.settings.model import Flags

DEFAULT_HOST = "http://localhost:8080"
CONTEXT = """
current_context: lab
clusters: [{name: lab, base_url: "https://context"}]
contexts: [{name: lab, cluster: lab, workspace: theirs}]
"""
OWN, OFFICIAL = {"NEMO_JOBS_HOST": "https://own"}, {"NMP_BASE_URL": "https://official"}


@pytest.fixture
def resolve(home):
    """Return a function that resolves settings with a config file and an official one."""

    def resolve(flags=Flags(), config="", official="", **variables):  # noqa: B008 - frozen
        (home / ".config/nmp").mkdir(exist_ok=True)
        (home / ".config/nemo-jobs/config.toml").write_text(config, encoding="utf-8")
        (home / ".config/nmp/config.yaml").write_text(official or "{}", encoding="utf-8")
        return _partial_settings.resolve(flags, {"HOME": str(home), **variables})

    return resolve


def test_valid_settings_are_complete(resolve):
    """The default host is known."""
    partial = resolve()
    assert (partial.error, partial.is_host_known, partial.settings.host.value) == (None, True, DEFAULT_HOST)


def test_without_the_config_file_flags_and_variables_are_known(resolve):
    """The error is the file's."""
    partial = resolve(Flags(host="https://a"), "x = [", NEMO_JOBS_WORKSPACE="research")
    assert isinstance(partial.error, SettingsError)
    assert (partial.is_host_known, partial.settings.host.value) == (True, "https://a")
    assert partial.settings.workspace.value == "research"


@pytest.mark.parametrize(
    ("flags", "variables", "host"),
    [
        (Flags(), {}, None),
        (Flags(profile="lba"), {}, None),
        (Flags(), OFFICIAL, "https://official"),
        (Flags(), {**OFFICIAL, "NEMO_JOBS_PROFILE": "lba"}, None),
        (Flags(profile="lba"), OFFICIAL, None),
        (Flags(), OWN, "https://own"),
        (Flags(), {**OWN, "NEMO_JOBS_PROFILE": "lba"}, "https://own"),
        (Flags(profile="lba"), OWN, None),
        (Flags(host="https://flag", profile="lba"), {**OWN, **OFFICIAL}, "https://flag"),
    ],
)
@pytest.mark.parametrize("config", ['[profiles.default]\ndeadlin = "5s"\nhost = "https://ours"\n', "x = ["])
def test_a_host_is_known_only_if_it_overrides_the_broken_source(resolve, config, flags, variables, host):
    """Otherwise a token could go to a host that the user did not choose. A context is the weakest source."""
    partial = resolve(flags, config, CONTEXT, NEMO_JOBS_TOKEN="t", **variables)
    assert partial.error is not None
    assert partial.is_host_known is (host is not None)
    assert partial.settings.host.value == (host or DEFAULT_HOST)
    assert (partial.settings.workspace.value, partial.settings.workspace.is_default) == ("default", True)


@pytest.mark.parametrize(
    ("flags", "workspace"),
    [(Flags(workspace="x", profile="lba"), "x"), (Flags(), "research"), (Flags(profile="lba"), "default")],
)
def test_the_same_holds_for_a_workspace(resolve, flags, workspace):
    """Checks in another workspace would mislead."""
    partial = resolve(flags, "x = [", NEMO_JOBS_WORKSPACE="research")
    assert partial.settings.workspace.value == workspace


def test_a_broken_official_file_is_left_out(resolve, home):
    """The outbox is still the one of the home folder."""
    partial = resolve(Flags(host="https://a"), official="a: [")
    assert partial.error is not None
    assert (partial.is_host_known, partial.settings.workspace.value) == (True, "default")
    assert partial.settings.outbox_dir.value == f"{home}/.local/state/nemo-jobs/outbox"


@pytest.mark.parametrize("flags", [Flags(host="ftp://x"), Flags(deadline="soon"), Flags(ca_file="/nonexistent")])
def test_with_an_invalid_flag_only_the_outbox_is_known(resolve, flags):
    """It does not depend on where requests go."""
    partial = resolve(flags._replace(outbox_dir="/o"), NEMO_JOBS_OUTBOX="1")
    assert isinstance(partial.error, (SettingsError, UsageError))
    assert partial.is_host_known is False
    assert (partial.settings.outbox_dir.value, partial.settings.outbox.value) == ("/o", True)


def test_if_nothing_is_valid_the_defaults_are_used(resolve):
    """Such as with an invalid switch of the outbox."""
    partial = resolve(NEMO_JOBS_OUTBOX="maybe")
    assert isinstance(partial.error, UsageError)
    assert (partial.is_host_known, partial.settings.outbox_dir) == (False, None)
