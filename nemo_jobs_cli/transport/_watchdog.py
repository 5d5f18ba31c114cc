"""Shut a socket down at its deadline, even if data keeps coming."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress

from nemo_jobs_cli.core import signals

_NEVER = float("inf")


class Watchdog:
    """A thread that shuts a socket down at its deadline."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._socket: socket.socket | None = None
        self._deadline = self._wakes = _NEVER
        self._timed_out = self._closed = False
        signals.start_thread(threading.Thread(target=self._work, name="watchdog", daemon=True))

    def start(self, sock: socket.socket, seconds: float) -> None:
        """Set the deadline of `sock` to `seconds` from now."""
        with signals.deferred(), self._changed:
            self._socket, self._deadline, self._timed_out = sock, time.monotonic() + seconds, False
            if self._deadline < self._wakes:
                self._changed.notify()

    def shorten(self, seconds: float) -> None:
        """Move the deadline to `seconds` from now if that is earlier."""
        with signals.deferred(), self._changed:
            if self._socket is not None:
                self._deadline = min(self._deadline, time.monotonic() + seconds)
                self._changed.notify()

    def stop(self) -> bool:
        """Cancel the deadline; return whether it had passed."""
        with signals.deferred(), self._changed:
            self._socket, self._deadline = None, _NEVER
            return self._timed_out

    def close(self) -> None:
        """End the thread."""
        with signals.deferred(), self._changed:
            self._closed = True
            self._changed.notify()

    def _work(self) -> None:
        with self._changed:
            while not self._closed:
                left = self._deadline - time.monotonic()
                if left <= 0 and self._socket is not None:
                    with suppress(OSError):  # already closed
                        socket.socket.shutdown(self._socket, socket.SHUT_RDWR)  # also for TLS, without close_notify
                    self._socket, self._deadline, self._timed_out = None, _NEVER, True
                # Most requests end long before their deadline, so `stop` does not wake the thread.
                self._wakes = self._deadline
                self._changed.wait(None if self._deadline == _NEVER else max(0.0, left))
