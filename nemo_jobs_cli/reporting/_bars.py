"""Read progress bars as tqdm and rich draw them, and follow one: the outermost that still runs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

# tqdm 4: `Train:  45%|███  | 45/100 [00:01<00:01, 41.2it/s]`, without the bar if there is no width for it, and
# `45it [00:01, 41.2it/s]` without a total.
_TQDM = (
    r"(?P<percent>\d{1,3})%(?:\|[^|]*\|)?\s*(?P<done>[\d.]+)(?P<unit>[^\s/]*)/(?P<total>[\d.]+)(?P<units>\S*)"
    r" \[\d+:\d\d[^,\]]*(?:, *(?P<rate>[^,\]]*))?|(?:^|\s)(?P<count>\d{1,18})it \[\d+:\d\d"
)

# rich 13 and later: `Training ━━━━━━━╸━━━━━━━  45% 0:00:05`, or `5/10` behind the bar. Without colors only the
# finished part of the bar is drawn.
_RICH = (
    r"[━╸╺]+\s(?=(?P<rate>.*))(?:\s*(?P<done>\d{1,18})/(?P<total>\d{1,18})(?![\d.])|"
    r".*?(?<![\d.])(?P<percent>\d{1,3}(?:\.\d{1,9})?)%)"
)

PATTERNS = {"tqdm": _TQDM, "rich": _RICH}

# tqdm: a rate in bytes. rich: the columns of a download, `0.5/1.0 MB` and `90.2 MB/s`.
_BYTES = re.compile(r"(?<![A-Za-z])[kKMGTPEZY]?(?:i?B|[Bb]ytes?)/s|/[\d.,]+ (?:[kKMGTPEZY]i?B|bytes)\b|s/i?B$")

# tqdm moves up again after a bar that it draws below others; rich clears the first row before it redraws all rows.
_CURSOR_UP = "\x1b[A"
_CLEAR_LINE = "\x1b[2K"

# Digits of a step count; Python refuses to convert more than 4,300.
_MAX_DIGITS = 18

_DONE = 100


@dataclass(frozen=True, slots=True)
class _Bar:
    """One drawing of a bar: `key` is the same in each drawing of it, `depth` the number of bars above it."""

    key: str
    depth: int
    is_finished: bool
    fields: dict[str, str]


class BarPattern:
    """Find the fields of the bar that is followed.

    Of the bars whose description contains `description` the outermost one is followed, until it has finished and
    another one runs. Bars that count bytes are followed only if a description is given.
    """

    def __init__(self, name: str, description: str, search: Callable[..., Any]) -> None:
        self.name = name
        self._kind = name.partition(":")[0]
        self._description = description
        self._search = search
        self._depth: int | None = None
        self._followed: str | None = None
        self._has_running_row = False  # of the rows of rich that are drawn together

    def find(self, line: str, raw: str, timeout: float) -> dict[str, str]:
        """Return the fields in a line, given without and with its escape sequences."""
        match = self._search(line, timeout=timeout, concurrent=True)
        if match is None:
            return {}
        description = line[: match.start()]
        if self._description not in description:
            return {}
        if not self._description and _BYTES.search(match.groupdict()["rate"] or ""):
            return {}
        bar = _tqdm_bar(match, raw) if self._kind == "tqdm" else _rich_bar(match, description)
        is_redrawn = self._kind == "tqdm" or _CLEAR_LINE in raw or bar.key == self._followed
        return bar.fields if self._follows(bar, is_redrawn=is_redrawn) else {}

    def _follows(self, bar: _Bar, *, is_redrawn: bool) -> bool:
        """Return whether this is the bar to follow; `is_redrawn` at the start of a new drawing of all bars."""
        self._depth = bar.depth if self._depth is None else min(self._depth, bar.depth)
        if bar.depth > self._depth:
            return False
        if is_redrawn:
            self._has_running_row = False
        if bar.is_finished:
            self._followed = self._followed or bar.key
            return bar.key == self._followed
        if self._has_running_row:
            return False
        self._has_running_row = True
        self._followed = bar.key
        return True


def _tqdm_bar(match: Any, raw: str) -> _Bar:
    depth = raw.rpartition("]")[2].count(_CURSOR_UP)
    if match["count"] is not None:
        return _Bar("", depth, False, {"step": match["count"]})
    done, total = match["done"], match["total"]
    fields = {"progress": match["percent"]}
    if not match["unit"] and not match["units"]:
        fields = _fields(done, total) or fields
    is_finished = done == total and int(match["percent"]) >= _DONE
    return _Bar(f"/{total}{match['units']}", depth, is_finished, fields)  # the description may change with each step


def _rich_bar(match: Any, description: str) -> _Bar:
    percent = match["percent"]
    if percent is not None:
        return _Bar(description.strip(), 0, float(percent) >= _DONE, {"progress": percent})
    done, total = match["done"], match["total"]
    return _Bar(description.strip(), 0, done == total, _fields(done, total))


def _fields(done: str, total: str) -> dict[str, str]:
    """Return progress to two decimals and the steps; nothing if a count is shortened (`1.2k/10k`) or too long."""
    if not done.isdigit() or not total.isdigit() or max(len(done), len(total)) > _MAX_DIGITS or not int(total):
        return {}
    return {"progress": f"{done}/{total}", "step": done, "max_steps": total}
