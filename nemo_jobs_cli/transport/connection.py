"""Open connections and name their failures: with `client` and `lean`, the only module that knows httpx."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from nemo_jobs_cli import __version__
from nemo_jobs_cli.transport.messages import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import httpx

    from nemo_jobs_cli.settings.model import Settings
    from nemo_jobs_cli.transport.messages import Kind


class Connection(NamedTuple):
    """A connection to one host: `send` takes a request, whose answer is still to be read."""

    send: Callable[[httpx.Request], httpx.Response]
    close: Callable[[], None]


def open_http(httpx: Any, settings: Settings) -> Connection:
    """Return a connection; proxies are asked for only where settings say so.

    Without them the transport is used as it is: what httpx.Client adds (redirects, cookies, authentication) is what no
    request of ours wants, and it takes a third of the time of one (measured: 2,000 -> 2,800 requests a second).
    """
    one = httpx.Limits(max_connections=1)
    if not settings.proxies:
        transport = httpx.HTTPTransport(verify=tls(settings), limits=one)
        return Connection(transport.handle_request, transport.close)
    hooks = {"response": [_hold_redirect]}
    client = httpx.Client(verify=tls(settings), trust_env=True, limits=one, event_hooks=hooks)
    return Connection(lambda request: client.send(request, stream=True), client.close)


def target(httpx: Any, settings: Settings) -> tuple[str, int]:
    """Return the host's name as it is looked up (RFC 5891, no brackets), and its port."""
    url = httpx.URL(settings.host.value)
    return url.raw_host.decode("ascii"), url.port or {"http": 80, "https": 443}[url.scheme]


def is_proxied(httpx: Any, settings: Settings) -> bool:
    """Tell whether requests go through a proxy: httpx decides, since NO_PROXY has many forms."""
    if not settings.proxies:
        return False
    import ssl

    url = httpx.URL(settings.host.value)
    try:
        client = httpx.Client(verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), trust_env=True)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, ImportError):  # a request will tell what is wrong with it
        return True
    with client:
        return client._transport_for_url(url) is not client._transport  # noqa: SLF001 - httpx has no public word for it


def headers(settings: Settings, auth: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Return the headers that every request carries: ours, those the user wants instead, and who is asking."""
    own = [("User-Agent", f"nemo-jobs/{__version__}"), ("Accept", "application/json"), ("Accept-Encoding", "identity")]
    asked = _without(settings.headers, auth)
    found = [*_without(own, dict(asked)), *asked, *auth.items()]
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in found]  # RFC 9110


def _hold_redirect(response: httpx.Response) -> None:
    """Keep httpx from reading where a redirect leads: it is not followed, and may be no address at all."""
    if "location" in response.headers:
        response.extensions["location"] = response.headers.pop("location")


def _without(headers: Iterable[tuple[str, str]], stronger: Iterable[str]) -> list[tuple[str, str]]:
    """Return the headers that no stronger one of the same name replaces."""
    taken = {name.lower() for name in stronger}
    return [(name, value) for name, value in headers if name.lower() not in taken]


def tls(settings: Settings) -> Any:
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


def failure(httpx: Any, error: Exception, steps: Sequence[str], seconds: float) -> Failure:
    """Say what an exception of the network means for the next attempt."""
    causes = list(_causes(error))
    detail = str(next((cause for cause in reversed(causes) if str(cause)), error)) or type(error).__name__
    if isinstance(error, httpx.TimeoutException):
        return Failure("timeout", how_far(steps), seconds)
    if isinstance(error, httpx.ProxyError):
        return Failure("proxy", detail, seconds)
    found = next(filter(None, map(of_system, causes)), None)
    if found is not None:
        return Failure(*found, seconds)
    if isinstance(error, httpx.UnsupportedProtocol | httpx.InvalidURL | ValueError | ImportError) or not steps:
        # The message may quote a part of a proxy's URL, which may be its password.
        return Failure("proxy-settings", type(error).__name__, seconds)
    if isinstance(error, httpx.ConnectError):
        return Failure("connect", detail, seconds)
    garbled = isinstance(error, httpx.RemoteProtocolError | httpx.DecodingError) and "disconnect" not in detail
    return Failure("protocol" if garbled else "reset", detail, seconds)


def of_system(cause: BaseException) -> tuple[Kind, str] | None:
    """Recognise what the operating system or OpenSSL says."""
    import socket
    import ssl

    if isinstance(cause, socket.gaierror):
        return "dns", str(cause.strerror or cause)
    if isinstance(cause, ConnectionRefusedError):
        return "refused", "connection refused"
    # An end in mid-handshake is the network's doing and may pass; the rest of TLS won't.
    if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return "tls", getattr(cause, "verify_message", "") or str(cause)
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__ or current.__context__


def how_far(steps: Sequence[str]) -> str:
    """Say where the time went, from the steps that httpcore traced."""
    seen = set(steps)
    if any(step.endswith("receive_response_headers.complete") for step in seen):
        return "the answer began but did not end"
    if any(step.endswith("send_request_body.complete") for step in seen):
        return "the request was sent, no answer came"
    if any(step.endswith("connect_tcp.complete") for step in seen):
        return "connected, but the request could not be sent"
    return "no connection"
