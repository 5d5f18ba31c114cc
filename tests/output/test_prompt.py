"""What a person types, on real terminals: hidden where it is a secret, whole however long."""

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
    said = [getattr(prompt, name)(f"{name}? ") for name in sys.argv[1:]]
    print("heard", [len(text) for text in said], hash(said[-1]))
except NemoJobsError as error:
    print("failed:", error.message)
"""


def start(*names, **streams):
    """Ask these questions on a terminal."""
    env = {**CHILD_ENVIRONMENT, "PYTHONHASHSEED": "0"}
    return Terminal([sys.executable, "-c", CODE, *names], env, **streams)


def test_a_line_shows_as_it_is_typed():
    """The terminal's own echo."""
    with start("ask") as screen:
        screen.until(b"ask? ")
        screen.type(b"nmp.example.com\n")
        assert screen.end() == 0
        assert b"ask? nmp.example.com\r\nheard [16]" in screen.seen


@pytest.mark.parametrize("keys", [b"\r", b"\n"])
def test_a_secret_does_not_show(keys):
    """Nothing of it, not even its length; afterwards the terminal is as before."""
    with start("ask_hidden", "ask") as screen:
        screen.until(b"ask_hidden? ")
        assert not screen.mode()[3] & termios.ECHO
        screen.type(SECRET.encode() + keys)
        screen.until(b"ask_hidden? \r\nask? ")
        assert screen.mode() == screen.before
        screen.type(b"ws\n")
        assert screen.end() == 0
        assert b"heard [13, 3]" in screen.seen
        assert SECRET.encode() not in screen.seen


def test_a_long_secret_comes_whole():
    """A terminal edits lines of 4,095 characters at the most; tokens with many groups are longer."""
    with start("ask_hidden") as screen:
        screen.until(b"ask_hidden? ")
        for _ in range(20):
            screen.type(b"x" * 1000)
        screen.type(b"\r")
        screen.until(b"heard [20000]")
        assert screen.end() == 0


@pytest.mark.parametrize("name", ["ask", "ask_hidden"])
def test_the_end_of_the_input_is_said(name):
    """Ctrl-D on an empty line."""
    with start(name) as screen:
        screen.until(b"? ")
        screen.type(b"\x04")
        assert screen.end() == 0
        assert b"? \r\nfailed: the answers ended before the last question: nothing was written" in screen.seen
        assert screen.mode() == screen.before


@pytest.mark.parametrize("name", ["ask", "ask_hidden"])
def test_an_interrupt_leaves_the_terminal_as_it_was(name):
    """Ctrl-C in the middle of an answer, and what is said next begins a line."""
    with start(name) as screen:
        screen.until(b"? ")
        screen.type(b"tok-1")
        screen.type(b"\x03")
        assert screen.end() != 0
        assert b"KeyboardInterrupt" in screen.seen
        assert b"\r\nTraceback" in screen.seen
        assert screen.mode() == screen.before


def test_nobody_is_stopped_while_nothing_shows():
    """Who comes back from the shell (fg) would type with an echo: Ctrl-Z does nothing."""
    with start("ask_hidden") as screen:
        screen.until(b"ask_hidden? ")
        screen.type(b"tok\x1a-1\r")
        assert screen.end() == 0
        assert b"heard [6]" in screen.seen  # with the Ctrl-Z among them
        assert b"tok" not in screen.seen


def test_what_hides_nothing_is_not_asked_for_secrets(capsys, monkeypatch):
    """Without a terminal of its own, and with a file on stdin."""
    monkeypatch.setattr(prompt.os, "open", lambda *_: (_ for _ in ()).throw(OSError))
    monkeypatch.setattr(prompt.termios, "tcgetattr", lambda _: (_ for _ in ()).throw(termios.error))
    with pytest.raises(UsageError, match="cannot turn echo off") as caught:
        prompt.ask_hidden("token? ")
    assert "--token-file" in caught.value.hint
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("stream", "said"), [("stdout", b"True"), ("stdin", b"False"), ("stderr", b"False")])
def test_a_pipe_is_nobody(stream, said, tmp_path):
    """Questions are asked where they can be seen and answered; data may go elsewhere."""
    code = "import os, sys; from nemo_jobs_cli.output import prompt; os.write(int(sys.argv[1]), str(prompt.can_prompt()).encode())"
    with (tmp_path / "x").open("w+b") as other, (tmp_path / "said").open("w+b") as file:
        words = [sys.executable, "-c", code, str(file.fileno())]
        with Terminal(words, CHILD_ENVIRONMENT, pass_fds=[file.fileno()], **{stream: other}) as screen:
            assert screen.end() == 0, screen.seen
        file.seek(0)
        assert file.read() == said


def test_a_closed_stdin_is_nobody(monkeypatch):
    """As `<&-` leaves it."""
    monkeypatch.setattr(sys, "stdin", None)
    assert not prompt.can_prompt()


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (b"abc\r", b"abc"),
        (b"abx\x7fc\n", b"abc"),
        (b"\x7f\x08a\n", b"a"),
        (b"wrong\x15abc\r", b"abc"),
        (b"one two\x17three\r", b"one three"),
        (b"one two  \x17\x17a\r", b"a"),
        (b"abc\x04", b"abc"),
        (b"abc\rrest", b"abc"),
        (b"x" * 70_000 + b"\r", b"x" * prompt.MAX_ANSWER),
    ],
)
def test_keys_edit_as_everywhere(keys, line):
    """Backspace, Ctrl-U, Ctrl-W; Ctrl-D ends what is not empty."""
    assert prompt._read_line(iter([keys])) == line


@pytest.mark.parametrize("keys", [[b"\x04"], [b"abc\x15\x04"], [b"abc"], []])
def test_an_end_without_an_answer_is_an_error(keys):
    """Also a window that is closed in the middle."""
    with pytest.raises(UsageError):
        prompt._read_line(iter(keys))


@given(st.lists(st.binary(min_size=1)))
def test_it_does_not_matter_how_keys_arrive(pieces):
    """Singly, or pasted at once."""
    whole = b"".join(pieces) + b"\r"

    def line(keys):
        try:
            return prompt._read_line(iter(keys))
        except UsageError:
            return None

    assert line([whole]) == line([*pieces, b"\r"]) == line([bytes([code]) for code in whole])
