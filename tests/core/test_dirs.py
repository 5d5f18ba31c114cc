"""The folders for our own files are those of platformdirs."""

from __future__ import annotations

import os
import types
from pathlib import Path

import platformdirs
import pytest
from platformdirs.macos import MacOS
from platformdirs.unix import Unix

from nemo_jobs_cli.core import dirs

VARIABLES = {
    "config": "XDG_CONFIG_HOME",
    "state": "XDG_STATE_HOME",
    "cache": "XDG_CACHE_HOME",
    "data": "XDG_DATA_HOME",
}


@pytest.mark.parametrize("kind", VARIABLES)
@pytest.mark.parametrize("value", [None, "", "/absolute", "rel/ative"])
@pytest.mark.parametrize(("system", "library"), [("linux", Unix), ("darwin", MacOS)])
def test_folders_match_platformdirs(monkeypatch, kind, value, system, library):
    """On Linux and macOS, with and without the XDG variable; a relative one does not count."""
    if value is None:
        monkeypatch.delenv(VARIABLES[kind], raising=False)
    else:
        monkeypatch.setenv(VARIABLES[kind], value)
    assert dirs.app_dir(os.environ, kind, system) == getattr(library("nemo-jobs"), f"user_{kind}_dir")


@pytest.mark.parametrize("kind", VARIABLES)
@pytest.mark.parametrize("system", ["Linux", "Darwin"])
def test_paths_match_platformdirs(monkeypatch, kind, system):
    """Systems other than Linux use the library."""
    monkeypatch.setattr(os, "uname", lambda: types.SimpleNamespace(sysname=system))
    assert dirs.app_path(os.environ, kind) == getattr(platformdirs, f"user_{kind}_path")("nemo-jobs")


@pytest.mark.parametrize("environ", [{}, {"HOME": ""}, {"HOME": "relative"}, {"XDG_CACHE_HOME": "relative"}])
def test_there_is_no_folder_without_a_home(environ):
    """A folder below the working directory would be a surprise."""
    assert dirs.app_dir(environ, "cache", "linux") is None
    assert dirs.app_path(environ, "cache") is None
    assert dirs.user_dir({**environ, "XDG_CACHE_HOME": "/c"}, "cache", "linux") == "/c"
    assert dirs.app_path({**environ, "XDG_CACHE_HOME": "/c"}, "cache") == Path("/c/nemo-jobs")


def test_other_systems_may_have_no_home_either(monkeypatch):
    """Platformdirs raises RuntimeError."""

    def homeless(_name):
        raise RuntimeError

    monkeypatch.setattr(os, "uname", lambda: types.SimpleNamespace(sysname="Darwin"))
    monkeypatch.setattr(platformdirs, "user_state_path", homeless)
    assert dirs.app_path({}, "state") is None
