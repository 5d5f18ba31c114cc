"""Parse and check `--header` options."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nemo_jobs_cli.core.errors import Pointer, UsageError
from nemo_jobs_cli.core.text import hide_tokens, one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

_NAME = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"  # RFC 9110
_VALUE = r"[\t\x20-\x7e]*"  # beyond ASCII, HTTP defines no encoding

# Credentials come from settings, which bind them to a host; the HTTP client sets the others.
RESERVED = frozenset({
    "authorization", "connection", "content-length", "content-type", "host", "proxy-authorization", "te", "traceparent",
    "transfer-encoding", "upgrade",
})  # fmt: skip

_EXAMPLE = "write --header 'X-Team: research'"


def parse_headers(texts: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Split `NAME:VALUE` texts, or raise UsageError."""
    return tuple(_parse_header(text) for text in texts)


def _parse_header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    name, value = name.strip(" \t"), value.strip(" \t")
    if not colon:  # not quoted: it may be a token
        raise UsageError("invalid --header: no colon", _EXAMPLE)
    if not re.fullmatch(_NAME, name):
        quoted = hide_tokens(one_line(name, 60), 16)  # the colon may come after a token
        raise UsageError(f"invalid --header name: {quoted!r}", _EXAMPLE, pointer=Pointer("--header", quoted))
    if not re.fullmatch(_VALUE, value):
        raise UsageError(
            f"invalid value of --header {hide_tokens(one_line(name, 60), 16)}: not one line of ASCII",
            "encode other characters, for example as %C3%BC",
        )
    if name.lower() in RESERVED:
        raise UsageError(
            f"cannot set {name} with --header",
            "use --token-file or NEMO_JOBS_TOKEN" if "auth" in name.lower() else "remove it: the HTTP client sets it",
        )
    return name, value
