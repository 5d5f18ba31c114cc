"""Send one HTTP request and bring back an answer or a failure, inside a hard limit of time."""

from __future__ import annotations

import functools
import os
import socket
import threading
import time
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple

from nemo_jobs_cli.core import clock
from nemo_jobs_cli.transport import connection, httpx_import
from nemo_jobs_cli.transport.messages import Failure, Response
from nemo_jobs_cli.transport.watchdog import Watch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import httpx

    from nemo_jobs_cli.settings.model import Settings
    from nemo_jobs_cli.transport.connection import Connection

# No answer of the API comes near this; it bounds what a broken server can make us hold.
LARGEST_ANSWER = 64 * 1024 * 1024

# Below the five seconds after which httpx looks for a new connection.
LONGEST_IDLE = 4.0


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
    ) -> Response | Failure:
        """Send one request to `path` below the host; give up after `timeout` seconds of wall-clock time.

        A name lookup can't be interrupted, and a server that drips a byte a second resets every timeout a socket has:
        so the work is left behind on its thread when the time is over, or its socket shut down.
        """
        started = time.monotonic()
        headers = [*self._headers, (b"traceparent", f"00-{self.trace_id}-{os.urandom(8).hex()}-01".encode())]
        if body is not None:
            headers.append((b"Content-Type", content_type.encode()))
        worker = self._worker = self._worker or _Worker(self._settings)
        steps: list[str] = []
        task = _Task(method, self._settings.host.value + path, list(query), headers, body, max(timeout, 0.001), steps)
        result: Response | Failure | BaseException | None = None
        try:
            result = worker.do(task, max(0.0, timeout))
        finally:
            if result is None:  # its one connection is busy, for good or when a signal came: the next attempt gets
                self._worker = None  # a new one, and never the answer to this one
                worker.end()
        if result is None:
            return Failure("timeout", connection.how_far(steps), time.monotonic() - started)
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
    """A thread with one connection that does one request after the other.

    Once the connection stands no name has to be looked up any more. Then the caller's own thread does the request, as
    changing threads twice costs a quarter of it, and a watch cuts off what takes too long.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._results: SimpleQueue[Response | Failure | BaseException] = SimpleQueue()
        self._http: Connection | None = None
        self._line: _Line | None = None
        self._watch: Watch | None = None
        threading.Thread(target=self._work, name="requests", daemon=True).start()

    def do(self, task: _Task, timeout: float) -> Response | Failure | BaseException | None:
        """Return what came of a task, None after `timeout` seconds."""
        if self._line is not None and self._line.is_open():
            task.steps.append("connect_tcp.complete")
            self._watch = self._watch or Watch()
            self._watch.begin(self._line.socket, timeout)
            try:
                result = self._attempt(task)
            finally:
                cut = self._watch.end()
            return None if cut and not isinstance(result, Response) else result
        self._tasks.put(task)
        found: list[Response | Failure | BaseException] = []

        def wait(seconds: float) -> bool:
            with suppress(Empty):
                found.append(self._results.get(timeout=seconds))
            return bool(found)

        return found[0] if clock.wait_until(wait, timeout) else None

    def end(self) -> None:
        """Close the connection when what is being done is done."""
        self._tasks.put(None)
        if self._watch is not None:
            self._watch.dismiss()

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            self._results.put(self._attempt(task))
        if self._http is not None:
            self._http.close()

    def _attempt(self, task: _Task) -> Response | Failure | BaseException:
        began = time.monotonic()
        self._line = None  # until it has answered again
        try:
            httpx = httpx_import.import_httpx()
            try:
                self._http = self._http or connection.open_http(httpx, self._settings)
                answer, self._line = _exchange(httpx, self._http, task, began)
            except (
                httpx.HTTPError,
                httpx.InvalidURL,
                httpx.StreamError,
                OSError,
                ValueError,
                ImportError,
            ) as error:
                return connection.failure(httpx, error, task.steps, time.monotonic() - began)
        except Exception as error:  # noqa: BLE001 - carried to the caller's thread
            return error
        return answer


class _Line(NamedTuple):
    """A connection that has answered `at` that time."""

    stream: Any
    socket: socket.socket
    at: float

    def is_open(self) -> bool:
        """Tell whether the next request will go over it, too: the pool gives up what was idle for five seconds."""
        idle = time.monotonic() - self.at
        return idle < LONGEST_IDLE and self.socket.fileno() >= 0 and not self.stream.get_extra_info("is_readable")


@functools.lru_cache(maxsize=64)
def _url(httpx: Any, text: str) -> httpx.URL:
    """Read a URL once: in a flow of updates it is the same again and again, and costs a tenth of a request."""
    return httpx.URL(text)  # type: ignore[no-any-return]


def _exchange(httpx: Any, http: Connection, task: _Task, began: float) -> tuple[Response, _Line | None]:
    url = _url(httpx, task.url)
    if task.query:
        url = url.copy_merge_params(httpx.QueryParams(task.query))
    headers = [(b"Host", url.netloc), *task.headers]
    if task.body is not None:
        headers.append((b"Content-Length", b"%d" % len(task.body)))
    request = httpx.Request(
        task.method,
        url,
        stream=httpx.ByteStream(task.body or b""),  # given like this, headers are not looked at once more
        headers=headers,
        extensions={
            "timeout": dict.fromkeys(("connect", "read", "write", "pool"), task.timeout),
            "trace": lambda step, _: task.steps.append(step),
        },
    )
    response = http.send(request)
    content = _read(httpx, response)
    found = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers.raw}
    if "location" in response.extensions:
        found["location"] = response.extensions["location"]
    now = time.monotonic()
    stream = response.extensions.get("network_stream")
    plug = None if stream is None else stream.get_extra_info("socket")
    line = _Line(stream, plug, now) if isinstance(plug, socket.socket) else None
    return Response(response.status_code, content, found, now - began), line


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
