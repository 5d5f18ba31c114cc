"""Send one HTTP request and bring back an answer or a failure, inside a hard limit of time."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any

from nemo_jobs_cli import connection, lean
from nemo_jobs_cli.answers import Answer, Failure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import httpx

    from nemo_jobs_cli.settings import Settings

# No answer of the API comes near this; it bounds what a broken server can make us hold.
LARGEST_ANSWER = 64 * 1024 * 1024


class Client:
    """A connection to one host. Requests never follow redirects; `trace_id` shows in the server's logs.

    `auth` holds the headers that say who is asking.
    """

    def __init__(self, settings: Settings, auth: Mapping[str, str]) -> None:
        self._settings = settings
        self._auth = dict(auth)
        self._http: httpx.Client | None = None
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

        The work is done in a thread that is left behind when the time is over: a name lookup can't be
        interrupted, and a server that drips a byte a second resets every timeout a socket has.
        """
        started = time.monotonic()
        steps: list[str] = []
        outcome: list[Answer | Failure | BaseException] = []
        done = threading.Event()

        def work() -> None:
            try:
                outcome.append(
                    self._exchange(method, path, timeout, query=query, body=body, kind=content_type, steps=steps)
                )
            except BaseException as error:  # noqa: BLE001 - carried to the caller's thread
                outcome.append(error)
            done.set()

        threading.Thread(target=work, name="request", daemon=True).start()
        if not done.wait(max(0.0, timeout)):
            self._http = None  # its one connection is busy for good: the next attempt gets a new one
            return Failure("timeout", connection.how_far(steps), time.monotonic() - started)
        result = outcome[0]
        if isinstance(result, BaseException):
            raise result
        return result

    def close(self) -> None:
        """Close the connection."""
        if self._http is not None:
            self._http.close()
            self._http = None

    def _exchange(
        self,
        method: str,
        path: str,
        timeout: float,
        *,
        query: Sequence[tuple[str, str]],
        body: bytes | None,
        kind: str,
        steps: list[str],
    ) -> Answer | Failure:
        started = time.monotonic()
        httpx = lean.import_httpx()
        try:
            http = self._http = self._http or connection.open_http(httpx, self._settings, self._auth)
            request = http.build_request(
                method,
                self._settings.host.value + path,
                params=list(query) or None,
                content=body,
                headers=self._headers(body, kind),
                timeout=max(timeout, 0.001),
                extensions={"trace": lambda step, _: steps.append(step)},
            )
            response = http.send(request, stream=True)
            content = _read(httpx, response)
        except (
            httpx.HTTPError,
            httpx.InvalidURL,
            httpx.StreamError,
            OSError,
            ValueError,
            ImportError,
        ) as error:
            return connection.failure(httpx, error, steps, time.monotonic() - started)
        headers = {name.lower(): value for name, value in response.headers.items()}
        if "location" in response.extensions:
            headers["location"] = response.extensions["location"]
        return Answer(response.status_code, content, headers, time.monotonic() - started)

    def _headers(self, body: bytes | None, kind: str) -> dict[str, str]:
        headers = {"traceparent": f"00-{self.trace_id}-{os.urandom(8).hex()}-01"}
        if body is not None:
            headers["Content-Type"] = kind
        return headers


def _read(httpx: Any, response: httpx.Response) -> bytes:
    chunks = []
    size = 0
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        response.close()
        raise httpx.DecodingError("a compressed answer")  # nobody asked for one, and a megabyte may hold a gigabyte
    for chunk in response.iter_raw():
        size += len(chunk)
        if size > LARGEST_ANSWER:
            response.close()
            break
        chunks.append(chunk)
    return b"".join(chunks)
