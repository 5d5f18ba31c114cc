"""Cut a flow of bytes into lines: of any length, of bars that return instead of breaking, with their escapes."""

from __future__ import annotations

import re

# What is looked at of one line, in bytes: one that is longer says nothing more about progress.
LONGEST = 16 * 1024

# Bars return with \r; terminals turn \n into \r\n; \v and the like are no ends.
_END = re.compile(rb"[\r\n]+")
# ECMA-48: CSI sequences (colours, cursor), OSC sequences (titles, links), two-character escapes.
_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])")


class Splitter:
    """Keeps the last, unfinished line between two pieces; never more of it than `LONGEST` bytes."""

    def __init__(self) -> None:
        self._rest = b""
        self._skipping = False

    def feed(self, piece: bytes) -> list[str]:
        """Return the lines that `piece` finishes, none of them empty."""
        if self._skipping:
            _, *found = _END.split(piece, maxsplit=1)
            self._skipping, piece = not found, b"".join(found)
        *whole, rest = _END.split(self._rest + piece)
        self._rest = rest[:LONGEST]
        return [plain(line) for line in whole if line]

    def skip(self) -> None:
        """Forget the unfinished line, and what comes of it: a piece was lost in between."""
        self._rest, self._skipping = b"", True

    def rest(self) -> list[str]:
        """Return the unfinished line, which may still grow: a bar shows its state before it returns."""
        return [plain(self._rest)] if self._rest else []


def plain(line: bytes) -> str:
    """Return a line as a person reads it: cut, without escapes, what isn't UTF-8 replaced."""
    text = line[:LONGEST].decode("utf-8", "replace")
    return _ESCAPE.sub("", text) if "\x1b" in text else text


def tail(output: bytes, count: int, most: int) -> str:
    """Return the last `count` lines of some output as a terminal would show them, in at most `most` bytes of UTF-8."""
    text = _ESCAPE.sub("", output.decode("utf-8", "replace")).replace("\r\n", "\n").rstrip()
    rows = [row.rstrip("\r").rpartition("\r")[2] for row in text.split("\n")]
    kept = "\n".join(rows[-count:]) if count else ""
    return kept.encode()[-most:].decode("utf-8", "ignore")
