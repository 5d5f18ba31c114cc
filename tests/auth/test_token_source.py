"""Tokens from files and commands, within limits of time and size."""

from __future__ import annotations

import os
import time

import pytest

from nemo_jobs_cli.auth import token_source
from nemo_jobs_cli.core.errors import SettingsError

ENVIRONMENT = {"PATH": os.defpath}


def test_a_pipe_without_a_writer_times_out(tmp_path):
    """The deadline holds for a token file too."""
    fifo = tmp_path / "token"
    os.mkfifo(fifo)
    began = time.monotonic()
    with pytest.raises(SettingsError, match=r"\(--token-file\): timed out"):
        token_source.read(str(fifo), "--token-file", 0.1)
    assert time.monotonic() - began < 50
    with fifo.open("w") as file:  # lets the thread that was left behind end
        file.write("x")


def test_an_endless_device_is_read_up_to_a_limit():
    """The result is not a valid token."""
    assert len(token_source.read("/dev/zero", "--token-file", 10)) == token_source.LONGEST_READ


def test_a_command_with_endless_output_is_stopped():
    """The output is limited."""
    assert len(token_source.run_command("yes", "profile lab", 10, ENVIRONMENT)) == token_source.LONGEST_READ


def test_long_error_output_does_not_block_a_command():
    """Both streams are read at once; of a failed command, the start is quoted."""
    command = "sh\0-c\0head -c 1000000 /dev/zero | tr '\\0' x >&2; echo t0p; exit {}\0"
    assert token_source.run_command(command.format(0), "profile lab", 60, ENVIRONMENT) == "t0p\n"
    with pytest.raises(SettingsError, match=r"--token-command: exit code 3, xxx") as caught:
        token_source.run_command(command.format(3), "--token-command", 60, ENVIRONMENT)
    assert len(caught.value.message) < 300


@pytest.mark.parametrize(
    "name", ["tok-123456789-abc", "/run/eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.e30.c2ln", "aB3" * 200]
)
def test_a_token_in_place_of_a_path_is_hidden(name):
    """The hint says where it belongs, also if it is too long for a message."""
    with pytest.raises(SettingsError) as caught:
        token_source.read(name, "--token-file", 10)
    assert "cannot read the token file " in caught.value.message
    assert "[token]" in caught.value.message
    assert name[:16] not in caught.value.message
    assert "NEMO_JOBS_TOKEN" in caught.value.hint


@pytest.mark.parametrize(("word", "shown"), [("tok-12345678-abc", "[token]"), ("tok-12345678-ab", "tok-12345678-ab")])
def test_a_token_in_place_of_a_command_is_hidden(word, shown):
    """If it has 16 characters or more; names of programs are shorter."""
    with pytest.raises(SettingsError) as caught:
        token_source.run_command(word, "profile lab", 10, ENVIRONMENT)
    assert caught.value.message.endswith(f": no program {shown!r}")
