"""Read answers from a terminal; a secret is read without echo and may be of any length."""

from __future__ import annotations

import os
import select
import sys
import termios
import tty
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from nemo_jobs_cli.core import clock
from nemo_jobs_cli.core.errors import UsageError
from nemo_jobs_cli.output import render

if TYPE_CHECKING:
    from collections.abc import Iterator


# Longer than any answer; the rest of a paste is dropped.
MAX_ANSWER = 65 * 1024

_ENTER, _END, _WORD, _LINE = b"\r\n", b"\x04", b"\x17", b"\x15"
_BACK = b"\x7f\x08"


def can_prompt() -> bool:
    """Return whether stdin and stderr are terminals."""
    # A stdin that was closed at the start (<&-) is None.
    return sys.stdin is not None and sys.stdin.isatty() and os.isatty(2)


def ask(question: str) -> str:
    """Print a question and return the answer; raise UsageError at the end of the input (Ctrl-D)."""
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

    Raise UsageError at Ctrl-D, and if the terminal cannot turn echo off. The keys are read one by one, because the
    line editing of a terminal cuts a line at 4,095 characters.
    """
    with _open_terminal() as terminal:
        try:
            before = termios.tcgetattr(terminal)
        except termios.error:
            raise UsageError(
                "cannot read a token: this terminal cannot turn echo off",
                "use --token-file FILE or --token-command CMD",
            ) from None
        mode = list(before)
        mode[tty.LFLAG] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON)
        keys = list(mode[tty.CC])
        keys[termios.VMIN], keys[termios.VTIME] = 1, 0
        # After a stop (Ctrl-Z) and `fg` the shell has turned echo on again.
        keys[termios.VSUSP] = os.fpathconf(terminal, "PC_VDISABLE").to_bytes(1, "little")
        mode[tty.CC] = keys
        try:
            termios.tcsetattr(terminal, termios.TCSAFLUSH, mode)
            render.prompt(question)  # after echo is off
            typed = _read_line(iter(lambda: _read_keys(terminal), b""))
        finally:
            with suppress(termios.error):  # the window was closed
                termios.tcsetattr(terminal, termios.TCSADRAIN, before)
            render.message("")
    return typed.decode("utf-8", "replace")


def _read_line(keys: Iterator[bytes]) -> bytes:
    """Return the line that `keys` edit (Backspace, Ctrl-W, Ctrl-U); raise UsageError at Ctrl-D on an empty line."""
    typed = bytearray()
    for chunk in keys:
        for code in chunk:
            key = bytes([code])
            if key in _ENTER:
                return bytes(typed)
            if key == _END:
                if not typed:
                    raise _input_ended()
                return bytes(typed)
            if key in _BACK:
                del typed[-1:]
            elif key == _LINE:
                typed.clear()
            elif key == _WORD:
                del typed[typed.rstrip().rfind(b" ") + 1 :]
            elif len(typed) < MAX_ANSWER:
                typed.append(code)
    raise _input_ended()


def _read_keys(terminal: int) -> bytes:
    """Return the next keys typed on a terminal."""
    while not select.select([terminal], [], [], clock.STEP)[0]:
        pass  # a Ctrl-C just before is handled here
    return os.read(terminal, 4096)


def _input_ended() -> UsageError:
    """Return the error for an input that ends before the last answer."""
    return UsageError(
        "the answers ended before the last question: nothing was written",
        "run it again, or use options: nemo-jobs init --help",
    )


@contextmanager
def _open_terminal() -> Iterator[int]:
    """Yield the file descriptor of the controlling terminal, or of stdin if there is none."""
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        yield 0
        return
    try:
        yield terminal
    finally:
        os.close(terminal)
