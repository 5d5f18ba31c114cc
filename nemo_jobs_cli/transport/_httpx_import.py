"""Import httpx without the modules that a client of one API never uses.

Measured for one PATCH: 130 -> 110 ms without cookies and charsets, which import `http.client`, `urllib.request` and
most of `email`; 158 -> 131 ms without anyio 4.12 (no difference with 4.16, which imports lazily).
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


def import_httpx() -> Any:
    """Import and return httpx; replace modules only during the import."""
    if "httpx" not in sys.modules:
        modules: dict[str, Any] = sys.modules
        for name in ("anyio", "trio"):  # None raises ImportError, which httpcore expects
            modules.setdefault(name, None)
        modules["httpx._main"] = _module("httpx._main", main=lambda: None)
        with _without_cookies(modules):
            import httpx
    import httpx

    return httpx


class _EmptyCookieJar:
    """A cookie jar that stays empty."""

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def extract_cookies(self, response: object, request: object) -> None:
        """Keep no cookie."""


class _IgnoredRequest:
    """A replacement for urllib's request, from which a cookie jar reads."""

    def __init__(self, **_: object) -> None:
        """Ignore all arguments."""


@contextmanager
def _without_cookies(modules: dict[str, Any]) -> Iterator[None]:
    """Replace three modules during the import of httpx, except those that are already imported."""
    import email
    import http
    import urllib

    messages = _module("email.message", Message=_message)
    requests = _module("urllib.request", Request=_IgnoredRequest, parse_http_list=None, getproxies=_proxies)
    cookies = _module("http.cookiejar", Cookie=object, CookieJar=_EmptyCookieJar)
    replacements = [(urllib, "request", requests), (http, "cookiejar", cookies), (email, "message", messages)]
    absent = [replacement for replacement in replacements if replacement[2].__name__ not in modules]
    for parent, name, module in absent:
        modules[module.__name__] = module
        setattr(parent, name, module)
    try:
        yield
    finally:
        for parent, name, module in absent:
            del modules[module.__name__]
            delattr(parent, name)


def _message() -> Any:
    """Return a real message; httpx needs one only to read the encoding of a text, and we read bytes."""
    import email.message

    return email.message.Message()


def _proxies() -> dict[str, str]:
    """Return the proxies of the environment; imported only if a proxy variable is set."""
    import urllib.request

    return urllib.request.getproxies()


def _module(name: str, **contents: object) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(contents)
    return module
