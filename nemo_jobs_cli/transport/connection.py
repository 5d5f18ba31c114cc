"""One HTTP connection to a host: the only module that uses httpx."""

from __future__ import annotations

import functools
import socket
import time
from typing import TYPE_CHECKING, Any

from nemo_jobs_cli import __version__
from nemo_jobs_cli.core.files import os_reason
from nemo_jobs_cli.transport import _httpx_import
from nemo_jobs_cli.transport.messages import Failure, Response

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import httpx

    from nemo_jobs_cli.settings.model import Settings
    from nemo_jobs_cli.transport.messages import FailureKind, Request

# Far above any response of the API; limits the memory that a broken server can use.
MAX_RESPONSE_BYTES = 64 * 1024 * 1024

# The step of a request for a tunnel through the proxy. The steps of its response are left out, since nothing of the
# tunnel's own request has been sent yet.
_TUNNEL = "tunnel"

# Below the five seconds after which httpx opens a new connection.
MAX_IDLE = 4.0


class UnusableSettingError(Exception):
    """A proxy or a file that a setting names cannot be used."""

    def __init__(self, kind: FailureKind, reason: str) -> None:
        super().__init__(reason)
        self.failure = Failure(kind, reason)


class Connection:
    """A connection to one host, opened by its first request."""

    def __init__(self, settings: Settings, auth: Mapping[str, str]) -> None:
        self._settings = settings
        self._headers = _request_headers(settings, auth)
        self._auth = auth
        self._transport: httpx.HTTPTransport | None = None
        self._stream: Any = None  # httpcore's network stream, after a response
        self._idle_since = 0.0

    def send(self, request: Request, traceparent: str, timeout: float, steps: list[str]) -> Response | Failure:
        """Send one request; the names of httpcore's steps are added to `steps`."""
        self._stream = None
        httpx = _httpx_import.import_httpx()
        try:
            self._transport = self._transport or _open(httpx, self._settings)
        except UnusableSettingError as error:
            return error.failure
        started = time.monotonic()  # not before: a flow would pause for our own imports, as for a slow server
        try:
            response = self._transport.handle_request(self._prepare(httpx, request, traceparent, timeout, steps))
            body = _read(httpx, response)
        except (httpx.HTTPError, httpx.StreamError, OSError, ValueError) as error:
            return _failure(httpx, error, steps, time.monotonic() - started)
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers.raw}
        self._idle_since = time.monotonic()
        if _has_leftover(self._transport):
            self.close()
        else:
            self._stream = response.extensions.get("network_stream")
        return Response(response.status_code, body, headers, self._idle_since - started)

    def idle_socket(self) -> socket.socket | None:
        """Return the socket if it is open, and the next request will use it."""
        if self._stream is None or time.monotonic() - self._idle_since >= MAX_IDLE:
            return None
        sock = self._stream.get_extra_info("socket")
        # A closed socket counts as readable.
        return sock if isinstance(sock, socket.socket) and not self._stream.get_extra_info("is_readable") else None

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def _prepare(self, httpx: Any, request: Request, traceparent: str, timeout: float, steps: list[str]) -> Any:
        url = _url(self._settings.host.value + request.path)
        if request.query:
            url = url.copy_merge_params(httpx.QueryParams(request.query))
        headers = [(b"Host", url.netloc), *self._headers, *_encoded(list(self._auth.items()))]
        headers.append((b"traceparent", traceparent.encode()))
        if request.body is not None:
            headers.append((b"Content-Type", request.content_type.encode()))
            headers.append((b"Content-Length", b"%d" % len(request.body)))
        return httpx.Request(
            request.method,
            url,
            stream=httpx.ByteStream(request.body or b""),  # with a stream, httpx adds no headers of its own
            headers=headers,
            extensions={
                "timeout": dict.fromkeys(("connect", "read", "write", "pool"), timeout),
                "trace": lambda step, info: _trace(step, info, steps),
            },
        )


def host_and_port(settings: Settings) -> tuple[str, int]:
    """Return the host name in its lookup form, and the port."""
    url = _httpx_import.import_httpx().URL(settings.host.value)
    return url.raw_host.decode("ascii"), url.port or {"http": 80, "https": 443}[url.scheme]


def tls_context(settings: Settings) -> Any:
    """Return the TLS context of the settings.

    Raise UnusableSettingError if a file cannot be used.
    """
    import ssl

    urls = (settings.host.value, settings.proxy.url if settings.proxy is not None else "")
    if not any(url.lower().startswith("https:") for url in urls):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # unused, and cheap because it loads no certificates
    ca_file = settings.ca_file.value if settings.ca_file is not None else None
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        if settings.ca_file is None or error.filename is not None:  # Python names the file only if it is the key log
            name, source = error.filename, "SSLKEYLOGFILE"
        else:
            name, source = settings.ca_file
        reason = "no certificate in it" if isinstance(error, ssl.SSLError) else os_reason(error)
        raise UnusableSettingError("tls-settings", f"cannot use {name} ({source}): {reason}") from None
    if ca_file is None and not context.cert_store_stats()["x509_ca"]:
        import certifi

        context.load_verify_locations(certifi.where())
    return context


def _trace(step: str, info: Mapping[str, Any], steps: list[str]) -> None:
    """Note a step of httpcore; add the brackets of IPv6 in CONNECT."""
    if step == "http11.send_request_headers.started" and info["request"].method == b"CONNECT":
        steps.append(_TUNNEL)
        request = info["request"]
        host, _, port = request.url.target.rpartition(b":")
        if b":" in host and not host.startswith(b"["):
            request.url.target = b"[%b]:%b" % (host, port)
            request.headers = [(b"Host", request.url.target), *request.headers[1:]]
    elif steps[-1:] != [_TUNNEL] or not step.startswith("http11."):
        steps.append(step)


def system_failure(error: BaseException) -> tuple[FailureKind, str] | None:
    """Return kind and detail of an OSError or TLS error, or None."""
    import ssl

    if isinstance(error, socket.gaierror):
        return "dns", str(error.strerror or error)
    if isinstance(error, ConnectionRefusedError):
        return "refused", "connection refused"
    # An EOF during the handshake comes from the network and may pass; other TLS errors do not.
    if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return "tls", getattr(error, "verify_message", "") or str(error)
    return None


def timeout_failure(steps: Sequence[str], seconds: float) -> Failure:
    """Return the failure for a timeout, from the steps of the request."""
    for step, detail in (
        ("receive_response_headers.complete", "the response started but did not end"),
        ("send_request_body.complete", "the request was sent, no response came"),
    ):
        if any(name.endswith(step) for name in steps):
            return Failure("timeout", detail, seconds, is_sent=True)
    if steps[-1:] == [_TUNNEL]:
        return Failure("timeout", "the proxy did not respond", seconds)
    detail = "connected, but the request could not be sent" if is_connected(steps) else "no connection"
    return Failure("timeout", detail, seconds)


def is_connected(steps: Sequence[str]) -> bool:
    """Return whether a request has a connection, from its steps."""
    return any(name.endswith("connect_tcp.complete") for name in steps)


def _open(httpx: Any, settings: Settings) -> Any:
    """Return a connection pool.

    httpx.Client would add redirects, cookies and authentication, which are unwanted here, and takes a third of a
    request's time (2,000 against 2,800 requests a second).
    """
    context, limits = tls_context(settings), httpx.Limits(max_connections=1)
    if settings.proxy is None:
        return httpx.HTTPTransport(verify=context, limits=limits)
    url, variable = settings.proxy
    proxy_context = context if url.lower().startswith("https:") else None
    try:
        proxy = httpx.Proxy(url, ssl_context=proxy_context)
        return httpx.HTTPTransport(verify=context, limits=limits, proxy=proxy)
    except ImportError:
        reason = f"cannot use the SOCKS proxy of {variable}: the package socksio is not installed"
    except (httpx.InvalidURL, ValueError):
        reason = f"invalid proxy URL in {variable}: it may contain a password, so it is not shown"
    raise UnusableSettingError("proxy-settings", reason)


def _has_leftover(transport: Any) -> bool:
    """Return whether bytes behind the response were read.

    The next request would take them for its own response. Only h11 knows, and httpcore does not ask; a proxy's
    connection holds that of the host.
    """
    connection = next(iter(transport._pool.connections), None)  # noqa: SLF001 - there is no public way
    while connection is not None and not hasattr(connection, "_h11_state"):
        connection = connection._connection  # noqa: SLF001
    return connection is not None and bool(connection._h11_state.trailing_data[0])  # noqa: SLF001


def _request_headers(settings: Settings, auth: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Return the headers of every request, without the credential's."""
    default = [
        ("User-Agent", f"nemo-jobs/{__version__}"),
        ("Accept", "application/json"),
        ("Accept-Encoding", "identity"),
    ]
    own = _without(settings.headers, auth)
    return _encoded([*_without(default, dict(own)), *own])


def _encoded(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]  # RFC 9110


def _without(headers: Iterable[tuple[str, str]], names: Iterable[str]) -> list[tuple[str, str]]:
    """Return the headers that are not in `names`, in any case."""
    excluded = {name.lower() for name in names}
    return [(name, value) for name, value in headers if name.lower() not in excluded]


@functools.lru_cache(maxsize=64)
def _url(text: str) -> httpx.URL:
    """Return the parsed URL, cached because parsing is slow."""
    return _httpx_import.import_httpx().URL(text)  # type: ignore[no-any-return]


def _read(httpx: Any, response: httpx.Response) -> bytes:
    chunks = []
    size = 0
    try:
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise httpx.DecodingError("a compressed response")  # not requested: a megabyte may hold a gigabyte
        for chunk in response.iter_raw():
            size += len(chunk)
            if size > MAX_RESPONSE_BYTES:
                break
            chunks.append(chunk)
    finally:
        response.close()
    return b"".join(chunks)


def _failure(httpx: Any, error: Exception, steps: Sequence[str], seconds: float) -> Failure:
    """Return the failure for an exception of a request."""
    causes = list(_causes(error))
    detail = str(next((cause for cause in reversed(causes) if str(cause)), error)) or type(error).__name__
    if isinstance(error, httpx.TimeoutException):
        return timeout_failure(steps, seconds)
    if isinstance(error, httpx.ProxyError):
        return Failure("proxy", detail, seconds)
    system = next(filter(None, map(system_failure, causes)), None)
    if system is not None:
        return Failure(*system, seconds)
    if isinstance(error, httpx.ConnectError):
        return Failure("connect", detail, seconds)
    is_invalid = isinstance(error, httpx.RemoteProtocolError | httpx.DecodingError) and "disconnect" not in detail
    return Failure("protocol" if is_invalid else "reset", detail, seconds)


def _causes(error: BaseException) -> Iterator[BaseException]:
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__ or current.__context__
