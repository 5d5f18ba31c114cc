"""Go the way to a host one stage at a time, as a request does: look its name up, connect, shake hands.

Each stage ends within its limit, in seconds, whatever is on the other side, and returns a Failure where it fails.
"""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from nemo_jobs_cli.core import clock
from nemo_jobs_cli.transport import connection
from nemo_jobs_cli.transport.messages import Failure

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    from nemo_jobs_cli.settings.model import Settings

# A family of addresses, a kind of socket, a protocol, a canonical name, an address: what getaddrinfo gives.
Address = tuple[int, int, int, str, tuple[Any, ...]]


class Lookup(NamedTuple):
    """The addresses that a name stands for, in the order in which they are tried."""

    addresses: tuple[Address, ...]
    seconds: float

    @property
    def shown(self) -> list[str]:
        """Return the addresses as texts."""
        return [str(address[4][0]) for address in self.addresses]


class Line(NamedTuple):
    """A connection to `address`; `unheard` are those before it that did not answer in their share of the time."""

    plug: socket.socket
    address: str
    seconds: float
    unheard: tuple[str, ...] = ()


class Handshake(NamedTuple):
    """The version of TLS, and when the server's certificate ends, in seconds since 1970."""

    version: str
    ends: float
    seconds: float


def look_up(host: str, port: int, limit: float) -> Lookup | Failure:
    """Ask for a name's addresses."""
    began = time.monotonic()
    try:
        found = clock.run_within(limit, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except TimeoutError:
        return Failure("timeout", "the name lookup did not end", time.monotonic() - began)
    except (OSError, UnicodeError) as error:
        kind, detail = connection.system_failure(error) or ("dns", "not a name")
        return Failure(kind, detail, time.monotonic() - began)
    return Lookup(tuple((int(one[0]), int(one[1]), *one[2:]) for one in found), time.monotonic() - began)


def connect(addresses: Sequence[Address], limit: float) -> Line | Failure:
    """Connect to the first address that answers; one that swallows packets gets but its share of the time."""
    began = time.monotonic()
    unheard: list[str] = []
    kind: Any = "timeout"
    detail = "no connection"
    for index, (family, sort, protocol, _, where) in enumerate(addresses):
        left = began + limit - time.monotonic()
        plug = None
        try:
            plug = socket.socket(family, sort, protocol)
            plug.settimeout(max(0.001, left / (len(addresses) - index)))
            plug.connect(where)
        except TimeoutError:
            unheard.append(str(where[0]))
            kind, detail = "timeout", "no connection"
        except OSError as error:
            kind, detail = connection.system_failure(error) or ("connect", str(error.strerror or error))
        else:
            return Line(plug, str(where[0]), time.monotonic() - began, tuple(unheard))
        if plug is not None:
            plug.close()
    return Failure(kind, detail, time.monotonic() - began)


def shake_hands(plug: socket.socket, host: str, settings: Settings, limit: float) -> Handshake | Failure:
    """Begin TLS with the trust that requests have; a server that drips is cut off."""
    began = time.monotonic()
    try:
        context: ssl.SSLContext = connection.tls_context(settings)
    except (OSError, ValueError) as error:  # a CA file that holds no certificate, as requests name it
        return Failure("proxy-settings", type(error).__name__, time.monotonic() - began)
    context.set_alpn_protocols(["http/1.1"])
    try:
        plug.settimeout(None)  # it would start anew with each byte
        # It takes the connection over: `plug` can't end it any more.
        secured = context.wrap_socket(plug, server_hostname=host, do_handshake_on_connect=False)
    except (OSError, ValueError) as error:  # the server has hung up; a name that no certificate has
        return Failure("reset", str(error), time.monotonic() - began)
    try:
        version, ends = clock.run_within(limit, lambda: _shaken(secured))
    except TimeoutError:
        with suppress(OSError):
            secured.shutdown(socket.SHUT_RDWR)  # the thread that waits for it goes on, and closes it
        return Failure("timeout", "connected, but the TLS handshake did not end", time.monotonic() - began)
    except (OSError, ValueError) as error:
        kind, detail = connection.system_failure(error) or ("reset", str(error))
        return Failure(kind, detail, time.monotonic() - began)
    return Handshake(version, ends, time.monotonic() - began)


def _shaken(secured: ssl.SSLSocket) -> tuple[str, float]:
    import ssl

    with secured:
        secured.do_handshake()
        found: Any = secured.getpeercert()
        return str(secured.version()), float(ssl.cert_time_to_seconds(found["notAfter"]))
