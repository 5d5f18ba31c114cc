"""Handle signals: when they interrupt, and around the end of a child."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

# The signals of the keys Ctrl-C and Ctrl-\.
INTERRUPTS = frozenset({signal.SIGINT, signal.SIGQUIT})

# One Ctrl-C reaches the command and this process, here up to this many seconds after the command has ended.
SAME_KEY_SECONDS = 0.2


def is_readable(fd: int, seconds: float | None = None) -> bool:
    """Wait until a descriptor is readable; return False after `seconds`."""
    return _is_ready(fd, select.POLLIN, seconds)


def is_writable(fd: int, seconds: float) -> bool:
    """Wait until a descriptor is writable; return False after `seconds`."""
    return _is_ready(fd, select.POLLOUT, seconds)


def _is_ready(fd: int, event: int, seconds: float | None) -> bool:
    poll = select.poll()
    poll.register(fd, event)
    return bool(poll.poll(None if seconds is None else 1000 * seconds))


class _Deferral:
    """The open `deferred` blocks, and the exception that waits for their end."""

    blocks = 0
    error: BaseException | None = None


@contextmanager
def deferred() -> Iterator[None]:
    """Delay the exception of a signal to the end of the block.

    The condition variables and events of `threading` are written in Python: an exception in them can leave a lock
    locked for ever. Other threads than the main one handle no signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _Deferral.blocks += 1
    try:
        yield
    finally:
        _Deferral.blocks -= 1
        if not _Deferral.blocks and _Deferral.error is not None:
            error, _Deferral.error = _Deferral.error, None
            raise error


def interrupt(error: BaseException) -> None:
    """Raise `error`, at the end of a `deferred` block if one is open."""
    if not _Deferral.blocks:
        raise error
    _Deferral.error = _Deferral.error or error


def start_thread(thread: threading.Thread) -> None:
    """Start a thread: an exception in `start` could break its lock."""
    with deferred():
        thread.start()


class Latch:
    """An event for one waiting thread, whose wait may be interrupted."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        self._is_set = False

    def set(self) -> None:
        """End all waits; call it once."""
        self._is_set = True
        self._lock.release()

    def wait(self, seconds: float) -> bool:
        """Wait for at most `seconds`; return whether it is set."""
        return self._is_set or self._lock.acquire(timeout=seconds)


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
            interrupt(KeyboardInterrupt())


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
