"""Connect to a host in stages: name lookup, TCP, TLS.

Each stage ends within its limit, in seconds, and returns a Failure if it fails; `timed` measures one.
"""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from nemo_jobs_cli.core import clock
from nemo_jobs_cli.transport import connection
from nemo_jobs_cli.transport.messages import Failure

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence

    from nemo_jobs_cli.settings.model import Settings

T = TypeVar("T")

# As from getaddrinfo: family, type, protocol, canonical name, socket address.
Address = tuple[int, int, int, str, tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Connection:
    """An open connection; `unanswered` addresses timed out before."""

    socket: socket.socket
    address: str
    unanswered: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Handshake:
    """The TLS version and the certificate's expiry, in seconds since 1970."""

    version: str
    expires: float


def timed(stage: Callable[[], T]) -> tuple[T, float]:
    """Return the result of a stage, and the seconds it took."""
    began = time.monotonic()
    result = stage()
    return result, time.monotonic() - began


def look_up(host: str, port: int, limit: float) -> tuple[Address, ...] | Failure:
    """Return the addresses of a name, in the order in which they are tried."""
    try:
        addresses = clock.run_within(limit, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except TimeoutError:
        return Failure("timeout", "the name lookup did not end")
    except (OSError, UnicodeError) as error:
        return Failure(*(connection.system_failure(error) or ("dns", "not a name")))
    return tuple((int(entry[0]), int(entry[1]), *entry[2:]) for entry in addresses)


def connect(addresses: Sequence[Address], limit: float) -> Connection | Failure:
    """Connect to the first address that responds within its share of time."""
    began = time.monotonic()
    unanswered: list[str] = []
    kind: Any = "timeout"
    detail = "no connection"
    for index, (family, socket_type, protocol, _, socket_address) in enumerate(addresses):
        left = began + limit - time.monotonic()
        plain = None
        try:
            plain = socket.socket(family, socket_type, protocol)
            plain.settimeout(max(0.001, left / (len(addresses) - index)))
            plain.connect(socket_address)
        except TimeoutError:
            unanswered.append(str(socket_address[0]))
            kind, detail = "timeout", "no connection"
        except OSError as error:
            kind, detail = connection.system_failure(error) or ("connect", str(error.strerror or error))
        else:
            return Connection(plain, str(socket_address[0]), tuple(unanswered))
        if plain is not None:
            plain.close()
    return Failure(kind, detail)


def shake_hands(plain: socket.socket, host: str, settings: Settings, limit: float) -> Handshake | Failure:
    """Start TLS with the same trust as requests."""
    try:
        context: ssl.SSLContext = connection.tls_context(settings)
    except connection.UnusableSettingError as error:
        return error.failure
    context.set_alpn_protocols(["http/1.1"])
    try:
        plain.settimeout(None)  # a timeout would start anew with each byte
        # This detaches `plain`, which can no longer shut the connection down.
        secured = context.wrap_socket(plain, server_hostname=host, do_handshake_on_connect=False)
    except (OSError, ValueError) as error:  # closed by the server; an invalid server name
        return Failure("reset", str(error))
    try:
        handshake = clock.run_within(limit, lambda: _handshake(secured))
    except TimeoutError:
        with suppress(OSError):
            secured.shutdown(socket.SHUT_RDWR)  # wakes the abandoned thread, which closes it
        return Failure("timeout", "connected, but the TLS handshake did not end")
    except (OSError, ValueError) as error:
        return Failure(*(connection.system_failure(error) or ("reset", str(error))))
    return handshake


def _handshake(secured: ssl.SSLSocket) -> Handshake:
    import ssl

    with secured:
        secured.do_handshake()
        certificate: Any = secured.getpeercert()
        return Handshake(str(secured.version()), float(ssl.cert_time_to_seconds(certificate["notAfter"])))
