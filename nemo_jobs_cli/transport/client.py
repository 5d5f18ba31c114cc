"""Send requests to one host, each within a wall-clock limit."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, NamedTuple

from nemo_jobs_cli.core import clock, signals
from nemo_jobs_cli.transport._watchdog import Watchdog
from nemo_jobs_cli.transport.connection import Connection, is_connected, timeout_failure
from nemo_jobs_cli.transport.messages import Failure, Response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nemo_jobs_cli.settings.model import Settings
    from nemo_jobs_cli.transport.messages import Request


# The share of a request's time that connecting may take, so that a name lookup or an address without an answer leaves
# time for another attempt, and the least such time in seconds. On an open connection a request gets all the time: an
# overloaded server finishes every request, and sending it again adds to the load.
CONNECT_SHARE = 2 / 3
SHORTEST_CONNECT = 3.0


class Client:
    """An HTTP client for one host; redirects are never followed.

    `auth` are the request headers of the credential, which may change; `trace_id` appears in the server's logs.
    """

    def __init__(self, settings: Settings, auth: Mapping[str, str]) -> None:
        self._settings = settings
        self._auth = auth
        self._worker: _Worker | None = None
        self.trace_id = os.urandom(16).hex()

    def send(self, request: Request, timeout: float) -> Response | Failure:
        """Send one request; fail after `timeout` seconds.

        A name lookup cannot be interrupted, and a server that sends a byte a second restarts every timeout of a socket.
        So after `timeout` the worker thread is abandoned, or its socket shut down.
        """
        started = time.monotonic()
        worker = self._worker = self._worker or _Worker(Connection(self._settings, self._auth))
        traceparent = f"00-{self.trace_id}-{os.urandom(8).hex()}-01"
        timeout = max(timeout, 0.001)  # with 0, a socket does not wait at all
        task = _Task(request, traceparent, timeout, [])
        result: Response | Failure | BaseException | None = None
        try:
            result = worker.run(task, timeout)
        finally:
            if result is None:  # after a timeout or a signal: the next request must not read the response to this one
                self.close()
        if result is None:
            return timeout_failure(task.steps, time.monotonic() - started)
        if isinstance(result, BaseException):
            raise result
        return result

    def shorten(self, seconds: float) -> None:
        """Leave the running request at most `seconds`, from another thread."""
        if (worker := self._worker) is not None:
            worker.shorten(seconds)

    def close(self) -> None:
        """Close the connection."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None


class _Task(NamedTuple):
    """One request; the worker adds the steps that it completes to `steps`."""

    request: Request
    traceparent: str
    timeout: float
    steps: list[str]


class _Worker:
    """A thread with one connection.

    On an open connection, which needs no name lookup, the caller's thread sends the request itself and a watchdog
    enforces the limit: switching threads twice would take a quarter of the request's time.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._results: SimpleQueue[Response | Failure | BaseException] = SimpleQueue()
        self._watchdog: Watchdog | None = None
        self._ends = 0.0
        signals.start_thread(threading.Thread(target=self._work, name="requests", daemon=True))

    def run(self, task: _Task, timeout: float) -> Response | Failure | BaseException | None:
        """Return the result of a task, or None after `timeout` seconds."""
        sock = self._connection.idle_socket()
        if sock is not None:
            task.steps.append("connect_tcp.complete")
            self._watchdog = self._watchdog or Watchdog()
            self._watchdog.start(sock, timeout)
            try:
                result = self._send(task)
            finally:
                timed_out = self._watchdog.stop()
            return None if timed_out and not isinstance(result, Response) else result
        self._ends = time.monotonic() + timeout
        self._tasks.put(task)
        results: list[Response | Failure | BaseException] = []

        def wait(seconds: float) -> bool:
            with suppress(Empty):
                results.append(self._results.get(timeout=seconds))
            return bool(results) or time.monotonic() >= self._ends

        connect_limit = min(timeout, max(SHORTEST_CONNECT, timeout * CONNECT_SHARE))
        if not clock.wait_until(wait, connect_limit) and is_connected(task.steps):
            clock.wait_until(wait, timeout - connect_limit)
        return results[0] if results else None

    def shorten(self, seconds: float) -> None:
        """Leave the running task at most `seconds` from now."""
        self._ends = min(self._ends, time.monotonic() + seconds)
        if self._watchdog is not None:
            self._watchdog.shorten(seconds)

    def close(self) -> None:
        """Close the connection after the running task."""
        self._tasks.put(None)
        if self._watchdog is not None:
            self._watchdog.close()

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            self._results.put(self._send(task))
        self._connection.close()

    def _send(self, task: _Task) -> Response | Failure | BaseException:
        try:
            return self._connection.send(*task)
        except Exception as error:  # noqa: BLE001 - raised again in the caller's thread
            return error
