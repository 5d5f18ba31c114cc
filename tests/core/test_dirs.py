"""The folders of a system, as platformdirs knows them."""

from __future__ import annotations

import os

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
@pytest.mark.parametrize("said", [None, "/said"])
@pytest.mark.parametrize(("system", "library"), [("linux", Unix), ("darwin", MacOS)])
def test_they_are_those_of_platformdirs(monkeypatch, kind, said, system, library):
    """On Linux and on macOS, with the variable of the XDG and without."""
    if said is None:
        monkeypatch.delenv(VARIABLES[kind], raising=False)
    else:
        monkeypatch.setenv(VARIABLES[kind], said)
    theirs = getattr(library("nemo-jobs"), f"user_{kind}_dir")
    assert dirs.own(os.environ, kind, system) == theirs


@pytest.mark.parametrize("environ", [{}, {"HOME": ""}, {"HOME": "relative"}, {"XDG_CACHE_HOME": "relative"}])
def test_without_a_home_there_is_none(environ):
    """A folder below the working one would be a surprise."""
    assert dirs.own(environ, "cache", "linux") is None
    assert dirs.base({**environ, "XDG_CACHE_HOME": "/c"}, "cache", "linux") == "/c"
