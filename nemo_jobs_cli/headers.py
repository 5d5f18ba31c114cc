"""Check the extra headers that a user asks for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nemo_jobs_cli.errors import Pointer, UsageError
from nemo_jobs_cli.sanitize import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

_NAME = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"  # RFC 9110
_VALUE = r"[\t\x20-\x7e\xa0-\xff]*"

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


def parse(texts: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return `K:V` texts as pairs; raise UsageError for what can't be sent, or is not theirs to set."""
    return tuple(_pair(text) for text in texts)


def _pair(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    name, value = name.strip(), value.strip(" \t")
    if not colon or not re.fullmatch(_NAME, name) or not re.fullmatch(_VALUE, value):
        shown = one_line(name, 60)
        raise UsageError(
            f"--header is not NAME:VALUE: {shown!r}",
            "write --header 'X-Team: research'",
            pointer=Pointer("--header", shown),
        )
    if name.lower() in RESERVED:
        raise UsageError(
            f"--header can't set {name}",
            "a token comes from --token-file or NEMO_JOBS_TOKEN" if "auth" in name.lower() else "leave it to HTTP",
        )
    return name, value
