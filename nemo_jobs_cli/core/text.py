"""Make foreign text harmless on a terminal: data is never terminal control."""

from __future__ import annotations

import re

# C0 and C1 controls, DEL, the bidirectional overrides (a line must read as it is), line separators
# and lone surrogates. Newline and tab are treated apart.
CONTROL = "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"


def _escape(found: re.Match[str]) -> str:
    code = ord(found.group())
    named = {9: "\\t", 10: "\\n", 13: "\\r"}
    return named.get(code) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")  # noqa: PLR2004


def one_line(text: str, limit: int = 500) -> str:
    """Return `text` as one line of at most `limit` characters, controls written as escapes."""
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    if cut.isprintable():  # a thousand times cheaper than compiling the pattern
        return cut
    return re.sub(f"[\n\t]|{CONTROL}", _escape, cut)


def printable(text: str) -> str:
    """Return `text` with controls written as escapes; line breaks and tabs stay."""
    return text if text.isprintable() else re.sub(CONTROL, _escape, text)


def first_paragraph(text: str) -> str:
    """Return the first paragraph of `text` as one line."""
    return " ".join(text.partition("\n\n")[0].split())
