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


@contextmanager
def _without_cookies(modules: dict[str, Any]) -> Iterator[None]:
    """Replace three modules while httpx is imported.

    httpx uses them for cookies, the encoding of text and the proxies of the environment. We use its transport only,
    which has none of them.
    """
    import email
    import http
    import urllib

    messages = _module("email.message", Message=None)
    requests = _module("urllib.request", Request=object, parse_http_list=None, getproxies=None)
    cookies = _module("http.cookiejar", Cookie=object, CookieJar=object)
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


def _module(name: str, **contents: object) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(contents)
    return module
