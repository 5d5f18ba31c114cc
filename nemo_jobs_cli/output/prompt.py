"""Read answers from a terminal; secrets without echo."""

from __future__ import annotations

import os
import signal
import sys
import termios
import tty
from contextlib import suppress
from typing import TYPE_CHECKING

from nemo_jobs_cli.core.errors import UsageError
from nemo_jobs_cli.output import render

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nemo_jobs_cli.settings.model import Screen


# Longer than any answer; the rest of a paste is dropped.
MAX_ANSWER = 65 * 1024

_ENTER, _END, _INTERRUPT, _LINE, _BACK = b"\r\n", b"\x04", b"\x03", b"\x15", b"\x7f\x08"


def can_prompt() -> bool:
    """Return whether stdin and stderr are terminals."""
    # A stdin that was closed at the start (<&-) is None.
    return sys.stdin is not None and sys.stdin.isatty() and os.isatty(2)


def announce_stdin(screen: Screen) -> None:
    """Say that stdin is read, and how it ends, if it is a terminal."""
    if not screen.quiet and can_prompt():
        render.message("reading stdin until Ctrl-D")


def ask(question: str) -> str:
    """Print a question and return the answer; UsageError at Ctrl-D."""
    try:
        render.prompt(question)  # in the try block: Ctrl-C may come as soon as it is visible
        typed = sys.stdin.buffer.readline(MAX_ANSWER)
    except BaseException:
        render.message("")  # the message on Ctrl-C starts on a new line
        raise
    if not typed.endswith(b"\n"):
        render.message("")
    if not typed:
        raise _input_ended()
    return typed.decode("utf-8", "replace")


def ask_hidden(question: str) -> str:
    """Print a question and return the answer, typed without echo.

    Raise UsageError at Ctrl-D, and if stdin cannot turn echo off. `getpass` would cut a line at 4,095 characters, as
    the line editing of a terminal does, so the keys are read one by one.
    """
    try:
        before = termios.tcgetattr(0)
    except termios.error:
        raise UsageError(
            "cannot read a token: this terminal cannot turn echo off",
            "use --token-file FILE or --token-command CMD",
        ) from None
    try:
        tty.setraw(0)  # Ctrl-Z is a key: after `fg` the shell would have turned echo on again
        render.prompt(question)
        typed = read_line(iter(lambda: os.read(0, 4096), b""))
    finally:
        with suppress(termios.error):  # the window was closed
            termios.tcsetattr(0, termios.TCSADRAIN, before)
        render.message("")
    return typed.decode("utf-8", "replace")


def read_line(keys: Iterator[bytes]) -> bytes:
    """Return the line that `keys` edit; UsageError at Ctrl-D."""
    typed = bytearray()
    for code in (code for chunk in keys for code in chunk):
        key = bytes([code])
        if key in _ENTER or (key == _END and typed):
            return bytes(typed)
        if key == _END:
            break
        if key == _INTERRUPT:
            signal.raise_signal(signal.SIGINT)
        elif key in _BACK:
            del typed[-1:]
        elif key == _LINE:
            typed.clear()
        elif key >= b" " and len(typed) < MAX_ANSWER:
            typed.append(code)
    raise _input_ended()


def _input_ended() -> UsageError:
    """Return the error for an input that ends before the last answer."""
    return UsageError(
        "the input ended before the last answer: nothing was written",
        "run it again, or use options: nemo-jobs init --help",
    )
