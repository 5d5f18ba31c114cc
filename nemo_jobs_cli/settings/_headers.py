"""Check the extra headers that a user asks for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nemo_jobs_cli.core.errors import Pointer, UsageError
from nemo_jobs_cli.core.text import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

_NAME = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"  # RFC 9110
_VALUE = r"[\t\x20-\x7e]*"  # HTTP has no encoding that both sides know for more than ASCII

# Who asks is the settings' business, where it is bound to a host; the rest is HTTP's own.
RESERVED = frozenset(
    {
        "authorization",
        "connection",
        "content-length",
        "content-type",
        "host",
        "proxy-authorization",
        "te",
        "traceparent",
        "transfer-encoding",
        "upgrade",
    },
)

_EXAMPLE = "write --header 'X-Team: research'"


def parse_headers(texts: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return `K:V` texts as pairs; raise UsageError for what can't be sent, or is not theirs to set."""
    return tuple(_pair(text) for text in texts)


def _pair(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    name, value = name.strip(" \t"), value.strip(" \t")
    if not colon:  # not quoted: it may be a token
        raise UsageError("--header is not NAME:VALUE: it has no colon", _EXAMPLE)
    if not re.fullmatch(_NAME, name):
        shown = one_line(name, 60)
        raise UsageError(f"--header is not NAME:VALUE: {shown!r}", _EXAMPLE, pointer=Pointer("--header", shown))
    if not re.fullmatch(_VALUE, value):
        raise UsageError(
            f"--header {one_line(name, 60)} has a value that can't be sent",
            "a value is one line of ASCII; encode what is not, e.g. as %C3%BC",
        )
    if name.lower() in RESERVED:
        raise UsageError(
            f"--header can't set {name}",
            "a token comes from --token-file or NEMO_JOBS_TOKEN" if "auth" in name.lower() else "leave it to HTTP",
        )
    return name, value
