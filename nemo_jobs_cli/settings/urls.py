"""Check base URLs and compare origins: the scheme, host and port that a token may go to."""

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
    """A scheme, a host in small letters and a port (RFC 6454)."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        """Return the origin as a URL, the usual port left away."""
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}"


def base_url(text: str, source: str) -> str:
    """Return `text` as a base URL without a slash at its end; raise SettingsError for what can't be one.

    User names and passwords are refused, unquoted: they would leak into messages and logs.
    """
    found = _URL.fullmatch(text)
    if found is None or not text.isprintable() or not _is_host(found[2]):
        raise _refusal(text, source)
    if found[3] and not 0 < int(found[3]) <= _HIGHEST_PORT:
        raise SettingsError(f"{source} has no possible port: {found[3]}", "ports are 1 to 65535")
    return text.rstrip("/")


def origin_of(url: str) -> Origin:
    """Return the origin of a URL that `base_url` has accepted."""
    found = _URL.fullmatch(url)
    if found is None:
        raise _refusal(url, "the URL that a token belongs to")
    scheme = found[1].lower()
    return Origin(scheme, found[2].lower(), int(found[3] or _PORTS[scheme]))


def is_loopback(url: str) -> bool:
    """Tell whether a URL leads to this very machine."""
    return _is_loopback(origin_of(url).host)


def _is_loopback(host: str) -> bool:
    if host in {"localhost", "[::1]"} or host.endswith(".localhost"):
        return True
    # Not 127.999.0.1: that is a name, and may be anybody's.
    return re.fullmatch(r"127(\.(25[0-5]|2[0-4][0-9]|1?[0-9]{1,2})){3}", host) is not None


def _is_host(host: str) -> bool:
    if re.fullmatch(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63}){0,30}\.?", host):
        return True  # the rule for plain names, without the tables for all others
    if not host.startswith("["):
        try:
            return bool(host.removesuffix(".").encode("idna"))
        except UnicodeError:  # an empty part, one of more than 63 letters, or letters that no name has
            return False
    import ipaddress

    try:
        ipaddress.IPv6Address(host[1:-1])
    except ValueError:
        return False
    return True


def _refusal(text: str, source: str) -> SettingsError:
    """Return the error for what is no base URL; an `@` may follow a password, so then nothing is quoted."""
    if "@" in text:
        return SettingsError(
            f"{source} is not a base URL (not shown: a password may stand before its @)",
            "write it as https://nmp.example.com; a token has its own places: NEMO_JOBS_TOKEN, --token-file",
        )
    shown = one_line(text, 100)
    return SettingsError(f"{source} is not a base URL: {shown!r}", _remedy(text), pointer=Pointer(source, shown))


def guess_url(text: str) -> str | None:
    """Return the base URL that a name without a scheme is probably meant as; None for anything else."""
    bare = _URL.fullmatch(f"https://{text}")
    if bare is None or not text.isprintable():
        return None
    return f"{'http' if _is_loopback(bare[2].lower()) else 'https'}://{text}"


def _remedy(text: str) -> str:
    url = guess_url(text)
    if url is not None:
        return f"did you mean {one_line(url, 110)}?"
    more = ", a path prefix may follow, no ? or #" if text else ""
    return f"write it as https://nmp.example.com{more}"
