"""Handle signals around the end of a child process."""

from __future__ import annotations

import os
import select
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

# What a person presses to be rid of a program.
CUTS = frozenset({signal.SIGINT, signal.SIGQUIT})

# One Ctrl-C reaches the command and us; ours may be heard this much later, in seconds, when the command is over.
SAME_KEY = 0.2


class LateSignalHandler:
    """Handle signals that arrive after the command has ended.

    They were meant for the command, and change neither its exit code nor what is left to do. But a person may press
    Ctrl-C again to cut off a report that takes its time.
    """

    def __init__(self) -> None:
        self._from: float | None = None

    def arm(self) -> None:
        """Let an interrupt cut off what follows, unless it is the one that has just ended the command."""
        self._from = time.monotonic() + SAME_KEY

    def disarm(self) -> None:
        """Let nothing cut off what follows."""
        self._from = None

    def hear(self, number: int, _frame: FrameType | None) -> None:
        """Take a signal."""
        if number in CUTS and self._from is not None and time.monotonic() >= self._from:
            self.disarm()
            raise KeyboardInterrupt


class SignalWakeup:
    """Wake up on a signal or on the end of a child, by a wakeup pipe.

    A signal that comes just before a blocking call would be heard after it: Python handles signals between its own
    steps. What it writes at once, to a pipe, can't be missed.
    """

    def __init__(self) -> None:
        self._out, self._in = os.pipe()
        for end in (self._out, self._in):
            os.set_blocking(end, False)
        self._fd = signal.set_wakeup_fd(self._in, warn_on_full_buffer=False)
        self._handler = signal.signal(signal.SIGCHLD, lambda *_: None)  # heard, so that it wakes

    def wait(self) -> None:
        """Wait for a signal; one that has come since the last time counts."""
        select.select([self._out], [], [])
        with suppress(BlockingIOError):
            while os.read(self._out, 512):
                pass

    def close(self) -> None:
        """Put back what was there before."""
        signal.signal(signal.SIGCHLD, self._handler)
        signal.set_wakeup_fd(self._fd)
        os.close(self._out)
        os.close(self._in)
