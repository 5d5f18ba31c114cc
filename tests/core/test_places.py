"""Where files belong: what platformdirs says, without its import."""

from __future__ import annotations

import os
import types
from pathlib import Path

import platformdirs
import pytest

from nemo_jobs_cli.core import places

KINDS = {
    "config": ("XDG_CONFIG_HOME", platformdirs.user_config_path),
    "state": ("XDG_STATE_HOME", platformdirs.user_state_path),
    "cache": ("XDG_CACHE_HOME", platformdirs.user_cache_path),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("said", [None, "", "/abs", "rel/ative"])
def test_the_folders_are_those_of_platformdirs(monkeypatch, kind, said):
    """On Linux, with the variable and without; a relative one doesn't count (XDG)."""
    variable, theirs = KINDS[kind]
    if said is None:
        monkeypatch.delenv(variable, raising=False)
    else:
        monkeypatch.setenv(variable, said)
    assert places.folder(os.environ, kind) == theirs("nemo-jobs")


@pytest.mark.parametrize("home", [{}, {"HOME": ""}, {"HOME": "relative"}])
def test_without_a_home_there_is_no_place(home):
    """Containers run as anybody; a path below the working folder would be a surprise."""
    assert places.folder(home, "state") is None
    assert places.official_config("nmp", home) is None
    assert places.folder({**home, "XDG_STATE_HOME": "/s"}, "state") == Path("/s/nemo-jobs")


@pytest.mark.parametrize("kind", KINDS)
def test_another_system_is_asked_about(monkeypatch, kind):
    """The library knows macOS and the rest."""
    monkeypatch.setattr(os, "uname", lambda: types.SimpleNamespace(sysname="Darwin"))
    assert places.folder(os.environ, kind) == KINDS[kind][1]("nemo-jobs")


def test_another_system_without_a_home_has_no_place(monkeypatch):
    """The library says it with a RuntimeError."""

    def homeless(_name):
        raise RuntimeError

    monkeypatch.setattr(os, "uname", lambda: types.SimpleNamespace(sysname="Darwin"))
    monkeypatch.setattr(platformdirs, "user_state_path", homeless)
    assert places.folder({}, "state") is None


def test_the_official_file_is_below_xdg_only_where_that_folder_is_there(tmp_path):
    """As the official tool looks for it."""
    environ = {"HOME": "/home/a", "XDG_CONFIG_HOME": str(tmp_path)}
    assert places.official_config("nmp", environ) == Path("/home/a/.config/nmp/config.yaml")
    (tmp_path / "nmp").mkdir()
    assert places.official_config("nmp", environ) == tmp_path / "nmp/config.yaml"


def test_what_can_not_be_looked_at_is_not_there():
    """A name that is too long, as another user's home."""
    assert not places.is_there(Path.exists, Path("/" + "x" * 5000))
    assert places.is_there(Path.is_dir, Path("/"))
