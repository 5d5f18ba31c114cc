"""Tokens from files and commands: bounded, whatever is at the other end."""

from __future__ import annotations

import os
import time

import pytest

from nemo_jobs_cli.auth import token_source
from nemo_jobs_cli.core.errors import SettingsError

ENVIRONMENT = {"PATH": os.defpath}


def test_a_pipe_that_nobody_writes_to_ends_with_the_time(tmp_path):
    """A deadline holds for whatever has to be waited for."""
    fifo = tmp_path / "token"
    os.mkfifo(fifo)
    began = time.monotonic()
    with pytest.raises(SettingsError, match=r"\(--token-file\): timed out"):
        token_source.read(str(fifo), "--token-file", 0.1)
    assert time.monotonic() - began < 50
    with fifo.open("w") as file:  # lets the thread that was left behind end
        file.write("x")


def test_a_device_without_an_end_is_read_to_a_bound():
    """The rest decides that it is no token."""
    assert len(token_source.read("/dev/zero", "--token-file", 10)) == token_source.LONGEST_READ


def test_a_command_that_prints_for_ever_is_cut_off():
    """Its output is bounded, and so is its life."""
    assert len(token_source.run_command("yes", "profile lab", 10, ENVIRONMENT)) == token_source.LONGEST_READ


@pytest.mark.parametrize("command", ["sleep 60", "sh\0-c\0yes >&2\0"])
def test_a_command_that_does_not_end_is_ended(command):
    """Also one that fills the stream that is read second."""
    began = time.monotonic()
    with pytest.raises(SettingsError, match="it took longer than 0"):
        token_source.run_command(command, "profile lab", 0.2, ENVIRONMENT)
    assert time.monotonic() - began < 50


def test_a_command_that_complains_at_length_is_not_held_up():
    """Both its streams are read as they come: neither is full while it writes to the other."""
    command = "sh\0-c\0head -c 1000000 /dev/zero >&2; echo t0p\0"
    assert token_source.run_command(command, "profile lab", 60, ENVIRONMENT) == "t0p\n"


def test_of_a_long_complaint_the_beginning_is_told():
    """And a silent command is called so."""
    with pytest.raises(SettingsError, match="exit code 3, xxx"):
        token_source.run_command(
            "sh\0-c\0head -c 1000000 /dev/zero | tr '\\0' x >&2; exit 3\0", "profile lab", 60, ENVIRONMENT
        )
    with pytest.raises(SettingsError) as caught:
        token_source.run_command("false", "--token-command", 60, ENVIRONMENT)
    assert caught.value.message == "cannot get a token from --token-command: exit code 1, no error message"


def test_a_command_that_is_not_there_is_named():
    """As a sentence, whoever gave it."""
    with pytest.raises(SettingsError) as caught:
        token_source.run_command("nosuchcmd --now", "--token-command", 60, ENVIRONMENT)
    assert caught.value.message == "cannot get a token from --token-command: no program 'nosuchcmd'"
