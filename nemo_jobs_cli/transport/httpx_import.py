"""Import httpx without what a client of one API never uses.

Measured for one PATCH: 160 -> 115 ms without its own command line and the async libraries that it offers to use; and
on another machine 130 -> 110 ms without cookies and charsets, which bring `http.client`, `urllib.request` and most of
`email` along. No cookie is kept between two requests, so none is missed.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


def import_httpx() -> Any:
    """Return httpx; what was in the way of its import is put back."""
    if "httpx" not in sys.modules:
        modules: dict[str, Any] = sys.modules
        # None makes `import anyio` an ImportError, which httpcore expects.
        for name in ("anyio", "trio"):
            modules.setdefault(name, None)
        modules["httpx._main"] = _module("httpx._main", main=lambda: None)
        with _without_cookies(modules):
            import httpx
    import httpx

    return httpx


class _NoCookies:
    """A jar that is always empty."""

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def extract_cookies(self, response: object, request: object) -> None:
        """Keep none."""


class _AnyRequest:
    """What a jar would look at."""

    def __init__(self, **_: object) -> None:
        """Hold nothing."""


@contextmanager
def _without_cookies(modules: dict[str, Any]) -> Iterator[None]:
    """Put something else in the place of three modules, unless they have been imported already."""
    import email
    import http
    import urllib

    messages = _module("email.message", Message=_message)
    requests = _module("urllib.request", Request=_AnyRequest, parse_http_list=None, getproxies=_proxies)
    cookies = _module("http.cookiejar", Cookie=object, CookieJar=_NoCookies)
    stand_ins = [(urllib, "request", requests), (http, "cookiejar", cookies), (email, "message", messages)]
    absent = [(parent, name, made) for parent, name, made in stand_ins if made.__name__ not in modules]
    for parent, name, made in absent:
        modules[made.__name__] = made
        setattr(parent, name, made)
    try:
        yield
    finally:
        for parent, name, made in absent:
            del modules[made.__name__]
            delattr(parent, name)


def _message() -> Any:
    """Return a message, which httpx makes to find out a text's encoding: we ask for bytes alone."""
    import email.message

    return email.message.Message()


def _proxies() -> dict[str, str]:
    """Return the proxy variables: where there are any, the real module is worth its time."""
    import urllib.request

    return urllib.request.getproxies()


def _module(name: str, **contents: object) -> ModuleType:
    made = ModuleType(name)
    vars(made).update(contents)
    return made
