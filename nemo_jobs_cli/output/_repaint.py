"""Turn one picture on a terminal into the next, writing only the lines that differ.

The cursor rests, hidden, at the start of the picture's first line. There it stays with the picture whatever a resize
does to the lines below, wrapped anew or not, so that what is below it can always be taken away. It is written over,
not erased first: of a screen that is erased as a whole, tmux keeps the old lines in its scrollback.
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
    after = after or [""]  # so that the first line, too, is written over and not erased with all
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
    text += [_up(row), "\r", _WRAP]
    return "".join(text)


def afresh(after: Sequence[str]) -> str:
    """Return what draws `after` in the place of whatever a resize has made of the picture."""
    return f"{_CLIP}{_over(after)}{_up(len(after) - 1)}\r{_WRAP}"


def whole(lines: Sequence[str]) -> str:
    """Return what leaves `lines` for good, however many, with the cursor below them."""
    return "".join([_CLIP, _over(lines), "\n" if lines else "", _WRAP])


def cut(lines: Sequence[str], foot: Sequence[str], rows: int | None) -> list[str]:
    """Return the lines and those of `foot`, so that they fit on `rows` rows; a line says how many do not.

    A picture that is higher than the screen can't be redrawn: its top is out of reach.
    """
    if rows is None or len(lines) + len(foot) <= rows:
        return [*lines, *foot]
    room = max(1, rows - len(foot) - 1)
    note = f"{_DIM}  +{len(lines) - room} lines: a taller window shows more{_PLAIN}"
    return [*lines[:room], note, *foot][: max(1, rows)]


def _over(lines: Sequence[str]) -> str:
    """Return what writes lines over whatever is there, and takes away what is below the last one."""
    # Erased from its start, a line also forgets that it was once wrapped: the next resize would join it with another.
    return "\n".join(f"\r{_ERASE_LINE}{line}" for line in lines or [""]) + _ERASE_BELOW


def _down(rows: int) -> str:
    return f"\x1b[{rows}B" if rows > 0 else ""


def _up(rows: int) -> str:
    return f"\x1b[{rows}A" if rows > 0 else ""
