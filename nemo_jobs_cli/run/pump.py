"""Pass a child's output on, byte for byte, and let somebody listen: the listener can never hold it up."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import termios
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# A pipe's usual size: more at once would only lie in our memory.
PIECE = 64 * 1024

# Without output for so long, in seconds, the listener may look at an unfinished line; a child that is over and silent
# for so long has said all: what it left running in the background may keep the pipe open for days.
PAUSE = 0.2

# For so long, in seconds, what a child has left running may go on talking: that is passed on, but not waited for.
LONGEST_REST = 2.0


class Pump:
    """Copies one stream, to descriptor `target`, on a thread of its own until it ends, or until `stop` and silence."""

    def __init__(self, source: int, target: int, listen: Callable[[int, bytes], None]) -> None:
        self._source = source
        self._target = target
        self._listen = listen
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="pump", daemon=True)

    def start(self) -> None:
        """Begin to copy."""
        self._thread.start()

    def stop(self) -> None:
        """Copy what is there, and what still comes within a moment, and return when it is written."""
        self._stopping.set()
        self._thread.join()

    def _work(self) -> None:
        try:
            self._copy()
        finally:
            # Also where our own output is closed: the child learns it as it would have without us, by SIGPIPE.
            os.close(self._source)

    def _copy(self) -> None:
        waiting = select.poll()
        waiting.register(self._source, select.POLLIN)
        left, ends, told = 0, float("inf"), True
        while left > 0 or time.monotonic() < ends:
            if self._stopping.is_set() and ends == float("inf"):
                left, ends = _waiting_in(self._source), time.monotonic() + LONGEST_REST
            try:
                if waiting.poll(PAUSE * 1000):
                    piece = os.read(self._source, PIECE)
                    if not piece:
                        return
                    left, told = left - len(piece), False
                    self._listen(self._target, piece)
                    write(self._target, piece)
                    continue
            except OSError:  # EIO: a terminal's other side is closed; EPIPE, ENOSPC: nobody takes our output
                return
            if self._stopping.is_set():
                return
            if not told:  # once: a line that was looked at again would look like news
                told = True
                self._listen(self._target, b"")


def _waiting_in(source: int) -> int:
    """Return how many bytes wait to be read: all that a child which is over has said."""
    return int(struct.unpack("i", fcntl.ioctl(source, termios.FIONREAD, bytes(4)))[0])


def write(target: int, data: bytes) -> None:
    """Write all of `data`, also to a file that is set not to wait."""
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(target, left) :]
        except BlockingIOError:
            select.select([], [target], [])
