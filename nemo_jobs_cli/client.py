"""Send one HTTP request and bring back an answer or a failure, inside a hard limit of time."""

from __future__ import annotations

import functools
import os
import threading
import time
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple

from nemo_jobs_cli import connection, lean
from nemo_jobs_cli.answers import Answer, Failure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import httpx

    from nemo_jobs_cli.connection import Connection
    from nemo_jobs_cli.settings import Settings

# No answer of the API comes near this; it bounds what a broken server can make us hold.
LARGEST_ANSWER = 64 * 1024 * 1024


class Client:
    """A connection to one host. Requests never follow redirects; `trace_id` shows in the server's logs.

    `auth` holds the headers that say who is asking.
    """

    def __init__(self, settings: Settings, auth: Mapping[str, str]) -> None:
        self._settings = settings
        self._headers = connection.headers(settings, auth)
        self._worker: _Worker | None = None
        self.trace_id = os.urandom(16).hex()

    def send(
        self,
        method: str,
        path: str,
        timeout: float,
        *,
        query: Sequence[tuple[str, str]] = (),
        body: bytes | None = None,
        content_type: str = "application/json",
    ) -> Answer | Failure:
        """Send one request to `path` below the host; give up after `timeout` seconds of wall-clock time.

        The work is done on a thread that is left behind when the time is over: a name lookup can't be
        interrupted, and a server that drips a byte a second resets every timeout a socket has.
        """
        started = time.monotonic()
        headers = [*self._headers, (b"traceparent", f"00-{self.trace_id}-{os.urandom(8).hex()}-01".encode())]
        if body is not None:
            headers.append((b"Content-Type", content_type.encode()))
        worker = self._worker = self._worker or _Worker(self._settings)
        steps: list[str] = []
        task = _Task(method, self._settings.host.value + path, list(query), headers, body, max(timeout, 0.001), steps)
        self._worker = None  # busy until it answers: after a timeout or a signal the next attempt gets a new one
        result = worker.do(task, max(0.0, timeout))
        if result is None:
            return Failure("timeout", connection.how_far(steps), time.monotonic() - started)
        self._worker = worker
        if isinstance(result, BaseException):
            raise result
        return result

    def close(self) -> None:
        """Close the connection."""
        if self._worker is not None:
            self._worker.end()
            self._worker = None


class _Task(NamedTuple):
    """One request to make; `steps` hears how far it gets."""

    method: str
    url: str
    query: list[tuple[str, str]]
    headers: list[tuple[bytes, bytes]]
    body: bytes | None
    timeout: float
    steps: list[str]


class _Worker:
    """A thread with one connection that does one request after the other."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._results: SimpleQueue[Answer | Failure | BaseException] = SimpleQueue()
        threading.Thread(target=self._work, name="requests", daemon=True).start()

    def do(self, task: _Task, timeout: float) -> Answer | Failure | BaseException | None:
        """Return what came of a task, None after `timeout` seconds."""
        self._tasks.put(task)
        try:
            return self._results.get(timeout=timeout)
        except Empty:
            return None

    def end(self) -> None:
        """Close the connection when what is being done is done."""
        self._tasks.put(None)

    def _work(self) -> None:
        http: Connection | None = None
        while (task := self._tasks.get()) is not None:
            began = time.monotonic()
            try:
                httpx = lean.import_httpx()
                try:
                    http = http or connection.open_http(httpx, self._settings)
                    self._results.put(_exchange(httpx, http, task, began))
                except (
                    httpx.HTTPError,
                    httpx.InvalidURL,
                    httpx.StreamError,
                    OSError,
                    ValueError,
                    ImportError,
                ) as error:
                    self._results.put(connection.failure(httpx, error, task.steps, time.monotonic() - began))
            except BaseException as error:  # noqa: BLE001 - carried to the caller's thread
                self._results.put(error)
        if http is not None:
            http.close()


@functools.lru_cache(maxsize=64)
def _url(httpx: Any, text: str) -> httpx.URL:
    """Read a URL once: in a flow of updates it is the same again and again, and costs a tenth of a request."""
    return httpx.URL(text)  # type: ignore[no-any-return]


def _exchange(httpx: Any, http: Connection, task: _Task, began: float) -> Answer:
    request = httpx.Request(
        task.method,
        _url(httpx, task.url),
        params=task.query or None,
        content=task.body,
        headers=task.headers,
        extensions={
            "timeout": dict.fromkeys(("connect", "read", "write", "pool"), task.timeout),
            "trace": lambda step, _: task.steps.append(step),
        },
    )
    response = http.send(request)
    content = _read(httpx, response)
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers.raw}
    if "location" in response.extensions:
        headers["location"] = response.extensions["location"]
    return Answer(response.status_code, content, headers, time.monotonic() - began)


def _read(httpx: Any, response: httpx.Response) -> bytes:
    chunks = []
    size = 0
    try:
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise httpx.DecodingError("a compressed answer")  # nobody asked for one: a megabyte may hold a gigabyte
        for chunk in response.iter_raw():
            size += len(chunk)
            if size > LARGEST_ANSWER:
                break
            chunks.append(chunk)
    finally:
        response.close()
    return b"".join(chunks)
