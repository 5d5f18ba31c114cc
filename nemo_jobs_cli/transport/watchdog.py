"""Cut a connection off when its time is over, whatever its other side does."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress

_NEVER = float("inf")


class Watch:
    """A thread that shuts a connection down when its time is over, so that whoever waits for it goes on."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._line: socket.socket | None = None
        self._ends = self._wakes = _NEVER
        self._cut = self._dismissed = False
        threading.Thread(target=self._work, name="watch", daemon=True).start()

    def begin(self, line: socket.socket, seconds: float) -> None:
        """Give a request over `line` so many seconds from now."""
        with self._changed:
            self._line, self._ends, self._cut = line, time.monotonic() + seconds, False
            if self._ends < self._wakes:
                self._changed.notify()

    def end(self) -> bool:
        """Hear that the request has ended; tell whether it was cut off."""
        with self._changed:
            self._line, self._ends = None, _NEVER
            return self._cut

    def dismiss(self) -> None:
        """Let the thread end."""
        with self._changed:
            self._dismissed = True
            self._changed.notify()

    def _work(self) -> None:
        with self._changed:
            while not self._dismissed:
                left = self._ends - time.monotonic()
                if left <= 0 and self._line is not None:
                    with suppress(OSError):  # closed already
                        socket.socket.shutdown(self._line, socket.SHUT_RDWR)  # TLS has nothing more to say
                    self._line, self._ends, self._cut = None, _NEVER, True
                # It sleeps over the end of most requests: they end long before their time, and need not wake it.
                self._wakes = self._ends
                self._changed.wait(None if self._ends == _NEVER else max(0.0, left))
