"""Check base URLs and compare origins: the scheme, host and port that a token may go to."""

from __future__ import annotations

import re
from typing import NamedTuple

from nemo_jobs_cli.errors import Pointer, SettingsError
from nemo_jobs_cli.sanitize import one_line

_URL = re.compile(r"([hH][tT]{2}[pP][sS]?)://(\[[0-9a-fA-F:.]+\]|[^\s/?#@:\[\]]+)(?::([0-9]{1,5}))?(/[^\s?#]*)?")
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


def base_url(text: str, origin: str) -> str:
    """Return `text` as a base URL without a slash at its end; raise SettingsError for what can't be one.

    User names and passwords are refused, unquoted: they would leak into messages and logs.
    """
    if "@" in text.partition("://")[2].partition("/")[0]:
        raise SettingsError(
            f"the host of {origin} holds a user name or password",
            "take it out; tokens have NEMO_JOBS_TOKEN and --token-file",
        )
    found = _URL.fullmatch(text)
    if found is None or not text.isprintable():
        raise SettingsError(
            f"{origin} is not a base URL: {one_line(text, 100)!r}",
            _remedy(text),
            pointer=Pointer(origin, one_line(text, 100)),
        )
    if found[3] and not 0 < int(found[3]) <= _HIGHEST_PORT:
        raise SettingsError(f"{origin} has no possible port: {one_line(text, 100)!r}", "ports are 1 to 65535")
    return text.rstrip("/")


def origin_of(url: str) -> Origin:
    """Return the origin of a URL that `base_url` has accepted."""
    found = _URL.fullmatch(url)
    if found is None:
        raise SettingsError(f"not a base URL: {one_line(url, 100)!r}", _remedy(url))
    scheme = found[1].lower()
    return Origin(scheme, found[2].lower(), int(found[3] or _PORTS[scheme]))


def is_loopback(url: str) -> bool:
    """Tell whether a URL leads to this very machine."""
    return _is_loopback(origin_of(url).host)


def _is_loopback(host: str) -> bool:
    if host in {"localhost", "127.0.0.1", "[::1]"} or host.endswith(".localhost"):
        return True
    return re.fullmatch(r"127(\.[0-9]{1,3}){3}", host) is not None


def _remedy(text: str) -> str:
    if not text:
        return "write it as https://nmp.example.com"
    if "://" not in text and not re.search(r"[\s?#]", text):
        scheme = "http" if _is_loopback(text.partition("/")[0].rpartition(":")[0] or text) else "https"
        return f"did you mean {scheme}://{one_line(text, 100)}?"
    return "write it as https://nmp.example.com, a path prefix may follow, no ? or #"
