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

# The signals of the keys Ctrl-C and Ctrl-\.
INTERRUPTS = frozenset({signal.SIGINT, signal.SIGQUIT})

# One Ctrl-C reaches the command and this process, here up to this many seconds after the command has ended.
SAME_KEY_SECONDS = 0.2


def is_readable(fd: int, seconds: float | None = None) -> bool:
    """Wait until a descriptor is readable; return False after `seconds`."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(None if seconds is None else 1000 * seconds))


class LateSignalHandler:
    """Handle signals that arrive after the command has ended.

    They were sent to the command, so they are ignored. But while enabled, a second Ctrl-C interrupts the last report.
    """

    def __init__(self) -> None:
        self._from: float | None = None

    def enable(self) -> None:
        """Raise KeyboardInterrupt on interrupts after the current one."""
        self._from = time.monotonic() + SAME_KEY_SECONDS

    def disable(self) -> None:
        """Ignore all signals."""
        self._from = None

    def handle(self, number: int, _frame: FrameType | None) -> None:
        """Handle a signal."""
        if number in INTERRUPTS and self._from is not None and time.monotonic() >= self._from:
            self.disable()
            raise KeyboardInterrupt


class SignalWakeup:
    """Wait for a signal or the end of a child, with a wakeup pipe.

    Python runs a signal handler only between bytecodes, so a signal just before a blocking call would be handled after
    it. The byte that Python writes to the pipe at once ends the wait.
    """

    def __init__(self) -> None:
        self._out, self._in = os.pipe()
        for end in (self._out, self._in):
            os.set_blocking(end, False)
        self._fd = signal.set_wakeup_fd(self._in, warn_on_full_buffer=False)
        self._handler = signal.signal(signal.SIGCHLD, lambda *_: None)  # without a handler, it would not wake

    def wake(self) -> None:
        """End the wait, from another thread."""
        with suppress(BlockingIOError):  # full: it ends anyway
            os.write(self._in, b"\0")

    def wait(self) -> None:
        """Wait for a signal, or return if one has arrived since the last call."""
        is_readable(self._out)
        with suppress(BlockingIOError):
            while os.read(self._out, 512):
                pass

    def close(self) -> None:
        """Restore the previous handler and wakeup pipe."""
        signal.signal(signal.SIGCHLD, self._handler)
        signal.set_wakeup_fd(self._fd)
        os.close(self._out)
        os.close(self._in)
