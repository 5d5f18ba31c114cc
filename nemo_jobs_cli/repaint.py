"""Turn one picture on a terminal into the next, writing only the lines that differ.

The cursor rests, hidden, at the start of the picture's first line. There it stays with the picture whatever a resize
does to the lines below, wrapped anew or not, so that what is below it can always be taken away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"

# A character that the terminal draws wider than we think must not push the next line down.
_CLIP, _WRAP = "\x1b[?7l", "\x1b[?7h"

_ERASE_LINE, _ERASE_BELOW = "\x1b[K", "\x1b[J"
_DIM, _PLAIN = "\x1b[2m", "\x1b[0m"


def patch(before: Sequence[str], after: Sequence[str]) -> str:
    """Return what turns the lines `before` on the screen into `after`; "" where they are the same.

    No line may reach the last column: what is written there makes terminals differ.
    """
    if before == after:
        return ""
    text, row = [_CLIP], 0
    for number, line in enumerate(after):
        if number < len(before) and before[number] == line:
            continue
        # To a line that is there the cursor moves; one below them is made, and the screen scrolls where it has to.
        there = min(number, max(len(before) - 1, row))
        text += [_down(there - row), "\n" * (number - there), "\r", line, _ERASE_LINE]
        row = number
    if len(after) < len(before):
        text += [_down(len(after) - row), "\r", _ERASE_BELOW]
        row = len(after)
    text += [f"\x1b[{row}A" if row else "", "\r", _WRAP]
    return "".join(text)


def afresh(after: Sequence[str]) -> str:
    """Return what draws `after` in the place of whatever a resize has made of the picture."""
    return f"\r{_ERASE_BELOW}{patch((), after)}"


def whole(lines: Sequence[str]) -> str:
    """Return what leaves `lines` for good, however many, with the cursor below them."""
    return "".join([f"\r{_ERASE_BELOW}{_CLIP}", *(f"{line}\n" for line in lines), _WRAP])


def cut(lines: Sequence[str], foot: Sequence[str], rows: int | None) -> list[str]:
    """Return the lines and those of `foot`, so that they fit on `rows` rows; a line says how many do not.

    A picture that is higher than the screen can't be redrawn: its top is out of reach.
    """
    if rows is None or len(lines) + len(foot) <= rows:
        return [*lines, *foot]
    room = max(1, rows - len(foot) - 1)
    note = f"{_DIM}  +{len(lines) - room} lines: a taller window shows more{_PLAIN}"
    return [*lines[:room], note, *foot][: max(1, rows)]


def _down(rows: int) -> str:
    return f"\x1b[{rows}B" if rows else ""
