"""Send one HTTP request and bring back an answer or a failure: the only module that knows httpx."""

from __future__ import annotations

import os
import sys
import threading
import time
from types import ModuleType
from typing import TYPE_CHECKING, Any

from nemo_jobs_cli import __version__
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

    def __repr__(self) -> str:
        return f"Client({self._settings.host.value!r})"

    def send(
        self,
        method: str,
        path: str,
        timeout: float,
        *,
        query: Sequence[tuple[str, str]] = (),
        body: bytes | None = None,
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
                outcome.append(self._exchange(method, path, timeout, query, body, steps))
            except BaseException as error:  # noqa: BLE001 - carried to the caller's thread
                outcome.append(error)
            done.set()

        threading.Thread(target=work, name="request", daemon=True).start()
        if not done.wait(max(0.0, timeout)):
            self._http = None  # its one connection is busy for good: the next attempt gets a new one
            return Failure("timeout", _how_far(steps), time.monotonic() - started)
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
        query: Sequence[tuple[str, str]],
        body: bytes | None,
        steps: list[str],
    ) -> Answer | Failure:
        started = time.monotonic()
        httpx = _import_httpx()
        try:
            http = self._http = self._http or _open(httpx, self._settings, self._auth)
            request = http.build_request(
                method,
                self._settings.host.value + path,
                params=list(query) or None,
                content=body,
                headers=self._headers(body),
                timeout=max(timeout, 0.001),
                extensions={"trace": lambda step, _: steps.append(step)},
            )
            response = http.send(request, stream=True)
            content = _read(response)
        except (
            httpx.HTTPError,
            httpx.InvalidURL,
            httpx.StreamError,
            OSError,
            ValueError,
            ImportError,
        ) as error:
            return _failure(httpx, error, steps, time.monotonic() - started)
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status_code, content, headers, time.monotonic() - started)

    def _headers(self, body: bytes | None) -> dict[str, str]:
        headers = {"traceparent": f"00-{self.trace_id}-{os.urandom(8).hex()}-01"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        return headers


def _import_httpx() -> Any:
    """Import httpx without its own command line and without the async libraries that it offers to use.

    Together they cost more than httpx itself (measured: 160 -> 115 ms for one PATCH).
    """
    if "httpx" not in sys.modules:
        stub = ModuleType("httpx._main")
        stub.main = lambda: None  # type: ignore[attr-defined]
        sys.modules["httpx._main"] = stub
        absent: dict[str, Any] = (
            sys.modules
        )  # None makes `import anyio` an ImportError, which httpcore expects
        for name in ("anyio", "trio"):
            absent.setdefault(name, None)
    import httpx

    return httpx


def _open(httpx: Any, settings: Settings, auth: Mapping[str, str]) -> httpx.Client:
    headers = {
        "User-Agent": f"nemo-jobs/{__version__}",
        "Accept": "application/json",
        **dict(settings.headers),
        **auth,
    }
    return httpx.Client(  # type: ignore[no-any-return]
        headers=headers,
        verify=_tls(settings),
        trust_env=settings.proxies,
        limits=httpx.Limits(max_connections=1),
    )


def _tls(settings: Settings) -> Any:
    """Return the TLS context: a given CA file, else the system's certificates, else the bundled ones."""
    import ssl

    if settings.host.value.startswith("http://") and not settings.proxies:
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody, and costs nothing to make
    if settings.ca_file is not None:
        return ssl.create_default_context(cafile=settings.ca_file.value)
    context = ssl.create_default_context()
    if not context.cert_store_stats()["x509_ca"]:
        import certifi

        context.load_verify_locations(certifi.where())
    return context


def _read(response: httpx.Response) -> bytes:
    chunks = []
    size = 0
    for chunk in response.iter_bytes():
        size += len(chunk)
        if size > LARGEST_ANSWER:
            response.close()
            break
        chunks.append(chunk)
    return b"".join(chunks)


def _failure(httpx: Any, error: Exception, steps: Sequence[str], seconds: float) -> Failure:
    """Say what an exception of the network means for the next attempt."""
    import socket
    import ssl

    causes = list(_causes(error))
    detail = str(next((cause for cause in reversed(causes) if str(cause)), error)) or type(error).__name__
    if isinstance(error, httpx.TimeoutException):
        return Failure("timeout", _how_far(steps), seconds)
    if isinstance(error, httpx.ProxyError):
        return Failure("proxy", detail, seconds)
    for cause in causes:
        if isinstance(cause, socket.gaierror):
            return Failure("dns", str(cause.strerror or cause), seconds)
        if isinstance(cause, ConnectionRefusedError):
            return Failure("refused", "connection refused", seconds)
        if isinstance(cause, ssl.SSLError) and not isinstance(
            cause, (ssl.SSLEOFError, ssl.SSLZeroReturnError)
        ):
            return Failure("tls", getattr(cause, "verify_message", "") or detail, seconds)
    if isinstance(error, httpx.RemoteProtocolError | httpx.DecodingError):
        return Failure("protocol" if "disconnect" not in detail else "reset", detail, seconds)
    if isinstance(error, httpx.ConnectError):
        return Failure("connect", detail, seconds)
    if isinstance(error, httpx.NetworkError):
        return Failure("reset", detail, seconds)
    if isinstance(error, httpx.UnsupportedProtocol | httpx.InvalidURL) and not steps:
        return Failure("url", detail, seconds)
    # The message may quote a part of a proxy's URL, which may be its password.
    return Failure("proxy-settings", type(error).__name__, seconds)


def _causes(error: BaseException) -> Any:
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__ or current.__context__


def _how_far(steps: Sequence[str]) -> str:
    """Say where the time went, from the steps that httpcore traced."""
    seen = set(steps)
    if any(step.endswith("receive_response_headers.complete") for step in seen):
        return "the answer began but did not end"
    if any(step.endswith("send_request_body.complete") for step in seen):
        return "the request was sent, no answer came"
    if any(step.endswith("connect_tcp.complete") for step in seen):
        return "connected, but the request could not be sent"
    return "no connection"
