"""Input from stdin: one announcement on a terminal, one error if it cannot be read."""

from __future__ import annotations

import subprocess
import sys

import pytest
from raw import CHILD_ENVIRONMENT
from terminals import Terminal

TOOL = [sys.executable, "-m", "nemo_jobs_cli"]
READERS = [
    ("update", "train-x", "-f", "-"),
    ("update", "train-x", "message@=-"),
    ("apply", "-"),
    ("stream", "train-x"),
    ("config", "set", "host", "-"),
]
TOKEN_READERS = [("update", "train-x", "progress=1", "--token-file", "-"), ("config", "set", "token", "-")]
NOTICE = b"reading stdin until Ctrl-D\r\n"


@pytest.fixture
def env(tmp_path):
    """Return the environment of a child, with a host that nothing listens on."""
    return {
        **CHILD_ENVIRONMENT,
        "HOME": str(tmp_path),
        "NEMO_JOBS_HOST": "http://127.0.0.1:1",
        "NEMO_JOBS_DEADLINE": "0",
    }


@pytest.mark.parametrize("words", READERS, ids=" ".join)
def test_reading_from_a_terminal_is_announced(env, words):
    """Else the command would seem to hang; it says how to end the input."""
    with Terminal([*TOOL, *words], env) as terminal:
        terminal.until(NOTICE)
        terminal.type(b"\x04")
        terminal.end()
        assert terminal.seen.count(b"Ctrl-D") == 1


@pytest.mark.parametrize("words", READERS, ids=" ".join)
def test_quiet_reads_from_a_terminal_without_a_word(env, words):
    """As it says."""
    with Terminal([*TOOL, *words, "-q"], env) as terminal:
        terminal.type(b"\x04")
        terminal.end()
        assert b"Ctrl-D" not in terminal.seen


@pytest.mark.parametrize("words", READERS, ids=" ".join)
def test_a_pipe_is_not_announced(env, tmp_path, words):
    """It ends by itself, so nobody waits in vain."""
    with (tmp_path / "empty").open("w+b") as file, Terminal([*TOOL, *words], env, stdin=file) as terminal:
        terminal.end()
        assert b"Ctrl-D" not in terminal.seen


@pytest.mark.parametrize("words", READERS + TOKEN_READERS, ids=" ".join)
@pytest.mark.parametrize(("redirect", "reason"), [("<&-", "no input"), ("0>out", "Bad file descriptor")])
def test_a_stdin_that_cannot_be_read_is_one_error(env, tmp_path, words, redirect, reason):
    """An empty one would be valid for some; for a token, the code is that of settings."""
    words = ["sh", "-c", f'exec "$@" {redirect}', "sh", *TOOL, *words]
    ran = subprocess.run(words, env=env, cwd=tmp_path, capture_output=True, encoding="utf-8", timeout=60)
    assert (ran.returncode, ran.stdout) == (3 if "--token-file" in words else 2, "")
    assert ran.stderr == f"error: cannot read stdin: {reason}\nnext: redirect a file or a pipe: < FILE\n"
