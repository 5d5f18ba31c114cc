"""Answers typed on real terminals: secrets are hidden, and may be of any length."""

from __future__ import annotations

import sys
import termios

import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw import CHILD_ENVIRONMENT
from terminals import Terminal

from nemo_jobs_cli.core.errors import UsageError
from nemo_jobs_cli.output import prompt

SECRET = "tok-123456789"

CODE = """
import sys
from nemo_jobs_cli.output import prompt
from nemo_jobs_cli.core.errors import NemoJobsError
try:
    answers = [getattr(prompt, name)(f"{name}? ") for name in sys.argv[1:]]
    print("read", [len(text) for text in answers], hash(answers[-1]))
except NemoJobsError as error:
    print("failed:", error.message)
"""


def start(*names, **streams):
    """Call these functions of `prompt` on a terminal."""
    env = {**CHILD_ENVIRONMENT, "PYTHONHASHSEED": "0"}
    return Terminal([sys.executable, "-c", CODE, *names], env, **streams)


def test_an_answer_is_echoed():
    """By the terminal."""
    with start("ask") as screen:
        screen.until(b"ask? ")
        screen.type(b"nmp.example.com\n")
        assert screen.end() == 0
        assert b"ask? nmp.example.com\r\nread [16]" in screen.seen


@pytest.mark.parametrize("keys", [b"\r", b"\n"])
def test_a_secret_is_not_echoed(keys):
    """Not even its length; afterwards the terminal is restored."""
    with start("ask_hidden", "ask") as screen:
        screen.until(b"ask_hidden? ")
        assert not screen.mode()[3] & termios.ECHO
        screen.type(SECRET.encode() + keys)
        screen.until(b"ask_hidden? \r\nask? ")
        assert screen.mode() == screen.before
        screen.type(b"ws\n")
        assert screen.end() == 0
        assert b"read [13, 3]" in screen.seen
        assert SECRET.encode() not in screen.seen


def test_a_long_secret_is_read_whole():
    """A terminal edits lines of at most 4,095 characters; tokens with many groups are longer."""
    with start("ask_hidden") as screen:
        screen.until(b"ask_hidden? ")
        for _ in range(20):
            screen.type(b"x" * 1000)
        screen.type(b"\r")
        screen.until(b"read [20000]")
        assert screen.end() == 0


@pytest.mark.parametrize("name", ["ask", "ask_hidden"])
def test_the_end_of_the_input_is_an_error(name):
    """Ctrl-D on an empty line."""
    with start(name) as screen:
        screen.until(b"? ")
        screen.type(b"\x04")
        assert screen.end() == 0
        assert b"? \r\nfailed: the input ended before the last answer: nothing was written" in screen.seen
        assert screen.mode() == screen.before


@pytest.mark.parametrize("name", ["ask", "ask_hidden"])
def test_an_interrupt_restores_the_terminal(name):
    """Ctrl-C within an answer; the next message starts on a new line."""
    with start(name) as screen:
        screen.until(b"? ")
        screen.type(b"tok-1")
        screen.type(b"\x03")
        assert screen.end() != 0
        assert b"KeyboardInterrupt" in screen.seen
        assert b"\r\nTraceback" in screen.seen
        assert screen.mode() == screen.before


def test_ctrl_z_does_not_stop_a_hidden_prompt():
    """After `fg` the shell would have turned echo on again."""
    with start("ask_hidden") as screen:
        screen.until(b"ask_hidden? ")
        screen.type(b"tok\x1a-1\r")
        assert screen.end() == 0
        assert b"read [5]" in screen.seen
        assert b"tok" not in screen.seen


def test_a_secret_is_not_read_without_a_terminal(capsys, monkeypatch):
    """With a file on stdin."""
    monkeypatch.setattr(prompt.termios, "tcgetattr", lambda _: (_ for _ in ()).throw(termios.error))
    with pytest.raises(UsageError, match="cannot turn echo off") as caught:
        prompt.ask_hidden("token? ")
    assert "--token-file" in caught.value.hint
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("stream", "expected"), [("stdout", b"True"), ("stdin", b"False"), ("stderr", b"False")])
def test_a_prompt_needs_stdin_and_stderr_on_a_terminal(stream, expected, tmp_path):
    """Stdout may go elsewhere."""
    code = "import os, sys; from nemo_jobs_cli.output import prompt; os.write(int(sys.argv[1]), str(prompt.can_prompt()).encode())"
    with (tmp_path / "x").open("w+b") as other, (tmp_path / "result").open("w+b") as file:
        words = [sys.executable, "-c", code, str(file.fileno())]
        with Terminal(words, CHILD_ENVIRONMENT, pass_fds=[file.fileno()], **{stream: other}) as screen:
            assert screen.end() == 0, screen.seen
        file.seek(0)
        assert file.read() == expected


def test_a_closed_stdin_is_not_a_terminal(monkeypatch):
    """Closed with `<&-`."""
    monkeypatch.setattr(sys, "stdin", None)
    assert not prompt.can_prompt()


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (b"abc\r", b"abc"),
        (b"abx\x7fc\n", b"abc"),
        (b"\x7f\x08a\n", b"a"),
        (b"wrong\x15abc\r", b"abc"),
        (b"a\tb\x1b\r", b"ab"),
        (b"abc\x04", b"abc"),
        (b"abc\rrest", b"abc"),
        (b"x" * 70_000 + b"\r", b"x" * prompt.MAX_ANSWER),
    ],
)
def test_the_usual_keys_edit_a_line(keys, line):
    """Backspace, Ctrl-U; Ctrl-D ends a line that is not empty; other controls are ignored."""
    assert prompt.read_line(iter([keys])) == line


@pytest.mark.parametrize("keys", [[b"\x04"], [b"abc\x15\x04"], [b"abc"], []])
def test_an_end_without_an_answer_is_an_error(keys):
    """Also if the window is closed within an answer."""
    with pytest.raises(UsageError):
        prompt.read_line(iter(keys))


@given(st.lists(st.binary(min_size=1)))
def test_keys_may_arrive_in_any_chunks(pieces):
    """Typed or pasted."""
    pieces = [piece.replace(b"\x03", b"c") for piece in pieces]  # Ctrl-C would end the test
    whole = b"".join(pieces) + b"\r"

    def line(keys):
        try:
            return prompt.read_line(iter(keys))
        except UsageError:
            return None

    assert line([whole]) == line([*pieces, b"\r"]) == line([bytes([code]) for code in whole])
