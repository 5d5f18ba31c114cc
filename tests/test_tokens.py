"""Tokens from files and commands: bounded, whatever is at the other end."""

from __future__ import annotations

import os
import time

import pytest

from nemo_jobs_cli import tokens
from nemo_jobs_cli.errors import SettingsError

ENVIRONMENT = {"PATH": os.defpath}


def test_a_pipe_that_nobody_writes_to_ends_with_the_time(tmp_path):
    """A deadline holds for whatever has to be waited for."""
    fifo = tmp_path / "token"
    os.mkfifo(fifo)
    began = time.monotonic()
    with pytest.raises(SettingsError, match=r"gives no token in time \(--token-file\)"):
        tokens.read(str(fifo), "--token-file", 0.1)
    assert time.monotonic() - began < 5
    with fifo.open("w") as file:  # lets the thread that was left behind end
        file.write("x")


def test_a_device_without_an_end_is_read_to_a_bound():
    """The rest decides that it is no token."""
    assert len(tokens.read("/dev/zero", "--token-file", 10)) == tokens.LONGEST_READ


def test_a_command_that_prints_for_ever_is_cut_off():
    """Its output is bounded, and so is its life."""
    assert len(tokens.ask("yes", "profile lab", 10, ENVIRONMENT)) == tokens.LONGEST_READ


@pytest.mark.parametrize("command", ["sleep 60", "sh\0-c\0yes >&2\0"])
def test_a_command_that_does_not_end_is_ended(command):
    """Also one that fills the stream that is read second."""
    began = time.monotonic()
    with pytest.raises(SettingsError, match="took longer than 0"):
        tokens.ask(command, "profile lab", 0.2, ENVIRONMENT)
    assert time.monotonic() - began < 5
