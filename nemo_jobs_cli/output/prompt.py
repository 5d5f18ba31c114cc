"""Hear what a person types on a terminal; a secret without an echo, and of any length."""

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


# More than any answer has; a paste that never ends is cut off.
LONGEST = 65 * 1024

_ENTER, _END, _WORD, _LINE = b"\r\n", b"\x04", b"\x17", b"\x15"
_BACK = b"\x7f\x08"


def can_prompt() -> bool:
    """Tell whether somebody sits there who sees a question on stderr and can answer on stdin."""
    # A stdin that was closed before we began (<&-) is None.
    return sys.stdin is not None and sys.stdin.isatty() and os.isatty(2)


def ask(question: str) -> str:
    """Return what is typed behind a question; raise UsageError at the end of the input (Ctrl-D)."""
    try:
        render.prompt(question)  # in here: Ctrl-C may come the moment it stands there
        typed = sys.stdin.buffer.readline(LONGEST)
    except BaseException:
        render.message("")  # what is said of Ctrl-C begins a line of its own
        raise
    if not typed.endswith(b"\n"):
        render.message("")
    if not typed:
        raise _input_ended()
    return typed.decode("utf-8", "replace")


def ask_hidden(question: str) -> str:
    """Return what is typed behind a question without showing it; raise UsageError at Ctrl-D.

    Raise UsageError, too, where the terminal can't hide it. A terminal's own line editing would cut a token off at
    4,095 characters, so the keys are read one by one.
    """
    with _keyboard() as number:
        try:
            before = termios.tcgetattr(number)
        except termios.error:
            raise UsageError(
                "this terminal can't hide what is typed, and a token must not show",
                "give it in another way: --token-file FILE, or --token-command CMD",
            ) from None
        mode = list(before)
        mode[tty.LFLAG] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON)
        keys = list(mode[tty.CC])
        keys[termios.VMIN], keys[termios.VTIME] = 1, 0
        # Who is stopped here comes back from the shell with an echo.
        keys[termios.VSUSP] = os.fpathconf(number, "PC_VDISABLE").to_bytes(1, "little")
        mode[tty.CC] = keys
        try:
            termios.tcsetattr(number, termios.TCSAFLUSH, mode)
            render.prompt(question)  # only now: what is typed behind it is hidden
            typed = _read_line(iter(lambda: _keys_of(number), b""))
        finally:
            with suppress(termios.error):  # its window is closed
                termios.tcsetattr(number, termios.TCSADRAIN, before)
            render.message("")
    return typed.decode("utf-8", "replace")


def _read_line(keys: Iterator[bytes]) -> bytes:
    """Return the line that keys amount to: Backspace, Ctrl-W and Ctrl-U take away; raise UsageError at Ctrl-D."""
    typed = bytearray()
    for some in keys:
        for code in some:
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
            elif len(typed) < LONGEST:
                typed.append(code)
    raise _input_ended()


def _keys_of(number: int) -> bytes:
    """Return the next keys of a terminal."""
    while not select.select([number], [], [], clock.STEP)[0]:
        pass  # a Ctrl-C that came just before is heard here
    return os.read(number, 4096)


def _input_ended() -> UsageError:
    """Return the error for an input that ends before the last answer."""
    return UsageError(
        "the answers ended before the last question: nothing was written",
        "start anew, or give them as options: nemo-jobs init --help",
    )


@contextmanager
def _keyboard() -> Iterator[int]:
    """Give the terminal that controls this process, by its number; stdin where there is none."""
    try:
        number = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        yield 0
        return
    try:
        yield number
    finally:
        os.close(number)
