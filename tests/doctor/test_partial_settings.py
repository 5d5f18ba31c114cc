"""Settings that are broken in part."""

from __future__ import annotations

import pytest

from nemo_jobs_cli.core.errors import SettingsError, UsageError
from nemo_jobs_cli.doctor import partial_settings
from nemo_jobs_cli.settings.model import Flags


@pytest.fixture
def environ(tmp_path):
    """Give an environment with a home and our own file in it."""
    home = tmp_path / "home"
    (home / ".config/nemo-jobs").mkdir(parents=True)
    (home / ".config/nmp").mkdir(parents=True)
    return {"HOME": str(home)}


def write(environ, text, name="nemo-jobs/config.toml"):
    """Write a configuration file below the home."""
    with open(f"{environ['HOME']}/.config/{name}", "w") as file:
        file.write(text)


def test_whole_settings_are_as_they_are(environ):
    """No fault, and the default host is what nobody has to set."""
    found = partial_settings.resolve(Flags(), environ)
    assert (found.fault, found.knows_host, found.settings.host.value) == (None, True, "http://localhost:8080")


def test_without_our_file_the_rest_holds(environ):
    """Flags and variables are still known."""
    write(environ, "x = [")
    found = partial_settings.resolve(Flags(host="https://a"), {**environ, "NEMO_JOBS_WORKSPACE": "research"})
    assert isinstance(found.fault, SettingsError)
    assert "is not TOML" in found.fault.message
    assert (found.knows_host, found.settings.host.value, found.settings.workspace.value) == (
        True,
        "https://a",
        "research",
    )


def test_the_default_host_is_none_that_was_meant(environ):
    """The broken file may name another: no token may go to the default in its place."""
    write(environ, "x = [")
    found = partial_settings.resolve(Flags(), {**environ, "NEMO_JOBS_TOKEN": "t"})
    assert not found.knows_host
    assert found.settings.outbox_dir.value == f"{environ['HOME']}/.local/state/nemo-jobs/outbox"


CONTEXT = """
current_context: lab
clusters: [{name: lab, base_url: "https://context"}]
contexts: [{name: lab, cluster: lab, workspace: theirs}]
"""
OWN, OFFICIAL = {"NEMO_JOBS_HOST": "https://own"}, {"NMP_BASE_URL": "https://official"}


@pytest.mark.parametrize(
    ("flags", "variables", "host"),
    [
        (Flags(), {}, None),
        (Flags(profile="lba"), {}, None),
        (Flags(), OFFICIAL, "https://official"),
        (Flags(), {"NMP_BASE_URL": "https://official", "NEMO_JOBS_PROFILE": "lba"}, None),
        (Flags(profile="lba"), OFFICIAL, None),
        (Flags(), OWN, "https://own"),
        (Flags(), {**OWN, "NEMO_JOBS_PROFILE": "lba"}, "https://own"),
        (Flags(profile="lba"), OWN, None),
        (Flags(host="https://flag", profile="lba"), {**OWN, **OFFICIAL}, "https://flag"),
    ],
)
@pytest.mark.parametrize("text", ['[profiles.default]\ndeadlin = "5s"\nhost = "https://ours"\n', "x = ["])
def test_only_a_host_that_wins_over_what_is_broken_is_known(environ, text, flags, variables, host):
    """What is broken may name another: a token would go to one that was never meant. A context is the weakest of all."""
    write(environ, text)
    write(environ, CONTEXT, "nmp/config.yaml")
    found = partial_settings.resolve(flags, {**environ, **variables, "NEMO_JOBS_TOKEN": "t"})
    assert found.fault is not None
    assert found.knows_host is (host is not None)
    assert found.settings.host.value == (host or "http://localhost:8080")
    assert (found.settings.workspace.value, found.settings.workspace.is_default) == ("default", True)


@pytest.mark.parametrize(
    ("flags", "workspace"),
    [(Flags(workspace="x", profile="lba"), "x"), (Flags(), "research"), (Flags(profile="lba"), "default")],
)
def test_a_workspace_is_known_as_a_host_is(environ, flags, workspace):
    """What is asked there would tell of another one than the user's."""
    write(environ, "x = [")
    found = partial_settings.resolve(flags, {**environ, "NEMO_JOBS_WORKSPACE": "research"})
    assert found.settings.workspace.value == workspace


def test_without_the_official_file_ours_is_left_out_as_well(environ):
    """Which of the two is broken does not matter to what is left."""
    write(environ, "a: [", "nmp/config.yaml")
    found = partial_settings.resolve(Flags(host="https://a"), environ)
    assert found.fault is not None
    assert (found.knows_host, found.settings.workspace.value) == (True, "default")
    assert found.settings.outbox_dir.value == f"{environ['HOME']}/.local/state/nemo-jobs/outbox"


@pytest.mark.parametrize("flags", [Flags(host="ftp://x"), Flags(deadline="soon"), Flags(ca_file="/nonexistent")])
def test_of_a_wrong_flag_the_outbox_is_left(environ, flags):
    """It has nothing to do with where requests go."""
    found = partial_settings.resolve(flags._replace(outbox_dir="/o"), {**environ, "NEMO_JOBS_OUTBOX": "1"})
    assert isinstance(found.fault, (SettingsError, UsageError))
    assert (found.knows_host, found.settings.outbox_dir.value, found.settings.outbox.value) == (False, "/o", True)


def test_where_nothing_is_left_the_defaults_stand(environ):
    """A switch that is neither on nor off, say."""
    found = partial_settings.resolve(Flags(), {**environ, "NEMO_JOBS_OUTBOX": "maybe"})
    assert isinstance(found.fault, UsageError)
    assert (found.knows_host, found.settings.outbox_dir) == (False, None)
