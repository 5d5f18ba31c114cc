"""Check base URLs, and compare their origins."""

from __future__ import annotations

import re
from typing import NamedTuple

from nemo_jobs_cli.core.errors import Pointer, SettingsError
from nemo_jobs_cli.core.text import one_line

# A host is an IPv6 address or a name: letters of any script, digits, `-`, `_` and dots.
_URL = re.compile(r"([hH][tT]{2}[pP][sS]?)://(\[[0-9a-fA-F:.]+\]|[\w.-]+)(?::([0-9]{1,5}))?(/[^\s?#]*)?")
_PORTS = {"http": 80, "https": 443}
_HIGHEST_PORT = 65535


class Origin(NamedTuple):
    """A scheme, a lower-case host and a port (RFC 6454)."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        """Return the origin as a URL without the scheme's default port."""
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}"


def base_url(text: str, source: str) -> str:
    """Return a base URL without trailing slashes, or raise SettingsError.

    A URL with a user name or password is refused and never quoted: it would leak into messages and logs.
    """
    match = _URL.fullmatch(text)
    if match is None or not text.isprintable():
        raise _invalid(text, source)
    if not _is_host(match[2]):
        raise SettingsError(
            f"invalid host in {source}: {one_line(match[2], 100)!r}",
            "use letters, digits and hyphens, separated by dots (IDNA 2008), or an IP address",
        )
    if match[3] and not 0 < int(match[3]) <= _HIGHEST_PORT:
        raise SettingsError(f"invalid port in {source}: {match[3]}", "use a port from 1 to 65535")
    return text.rstrip("/")


def origin_of(url: str) -> Origin:
    """Return the origin of a URL that `base_url` has accepted."""
    match = _URL.fullmatch(url)
    if match is None:
        raise _invalid(url, "the URL that a token belongs to")
    scheme = match[1].lower()
    return Origin(scheme, match[2].lower(), int(match[3] or _PORTS[scheme]))


def normalize(url: str) -> str:
    """Return the one spelling of a URL that `base_url` has accepted."""
    match = _URL.fullmatch(url)
    return f"{origin_of(url)}{(match and match[4]) or ''}"


def is_loopback(url: str) -> bool:
    """Return whether a URL points to this machine."""
    return _is_loopback(origin_of(url).host)


def _is_loopback(host: str) -> bool:
    if host in {"localhost", "[::1]"}:  # not x.localhost: a DNS server may send that name anywhere
        return True
    # Not 127.999.0.1: that is a name, and could resolve to any host.
    return re.fullmatch(r"127(\.(25[0-5]|2[0-4][0-9]|1?[0-9]{1,2})){3}", host) is not None


def _is_host(host: str) -> bool:
    is_ipv6 = host.startswith("[")
    if not is_ipv6 and not re.fullmatch("[0-9]+.[0-9]+.[0-9]+.[0-9]+", host):  # which httpx takes for an address
        return re.fullmatch(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63}){0,30}\.?", to_ascii(host.lower())) is not None
    import ipaddress

    try:
        ipaddress.IPv6Address(host[1:-1]) if is_ipv6 else ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


def to_ascii(host: str) -> str:
    """Return a host name in lower-case ASCII, as httpx does (IDNA 2008)."""
    if host.isascii():
        return host
    import idna

    try:
        return idna.encode(host).decode()
    except idna.IDNAError:
        return host


def _invalid(text: str, source: str) -> SettingsError:
    """Return the error for an invalid URL, not quoted if it has an `@`.

    A password may precede the `@`.
    """
    if "@" in text:
        return SettingsError(
            f"invalid URL in {source}: it may contain a password, so it is not shown",
            "write it as https://nmp.example.com; pass a token with NEMO_JOBS_TOKEN or --token-file",
        )
    quoted = one_line(text, 100)
    return SettingsError(f"invalid URL in {source}: {quoted!r}", _hint(text), pointer=Pointer(source, quoted))


def guess_url(text: str) -> str | None:
    """Guess the base URL for a host name without a scheme, or return None."""
    bare = _URL.fullmatch(f"https://{text}")
    if bare is None or not text.isprintable() or not _is_host(bare[2]):
        return None
    return f"{'http' if _is_loopback(bare[2].lower()) else 'https'}://{text}"


def _hint(text: str) -> str:
    url = guess_url(text)
    if url is not None:
        return f"did you mean {one_line(url, 110)}?"
    details = "; a path prefix is allowed, ? and # are not" if text else ""
    return f"write it as https://nmp.example.com{details}"
