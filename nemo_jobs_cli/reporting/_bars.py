"""Read the bars of tqdm and rich, and follow the outermost that runs."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
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

# tqdm: a rate in bytes. rich: the columns of a download, `0.5/1.0 MB` and `90.2 MB/s`.
_BYTES = re.compile(r"(?<![A-Za-z])[kKMGTPEZY]?(?:i?B|[Bb]ytes?)/s|/[\d.,]+ (?:[kKMGTPEZY]i?B|bytes)\b|s/i?B$")

# tqdm moves up again after a bar that it draws below others; rich clears the first row before it redraws all rows.
_CURSOR_UP = "\x1b[A"
_CLEAR_LINE = "\x1b[2K"

# Digits of a step count; Python refuses to convert more than 4,300.
_MAX_DIGITS = 18

_DONE = 100


class BarPattern(ABC):
    """Find the fields of the followed bar, by its `description`.

    Bars that count bytes are followed only if a description is given.
    """

    def __init__(self, description: str, search: Callable[..., Any]) -> None:
        self._description = description
        self._search = search

    def find(self, line: str, raw: str, timeout: float) -> dict[str, str]:
        """Return the fields in a line, given with and without escapes."""
        match = self._search(line, timeout=timeout, concurrent=True)
        if match is None:
            return {}
        description = line[: match.start()]
        is_download = not self._description and _BYTES.search(match.groupdict()["rate"] or "")
        if self._description not in description or is_download:
            return {}
        return self._read(match, description.strip(), raw)

    @abstractmethod
    def _read(self, match: Any, description: str, raw: str) -> dict[str, str]:
        """Return the fields of a bar if it is followed."""


class TqdmPattern(BarPattern):
    """Follow the bar that others are drawn below.

    A bar that ends is drawn once more in the first row, or cleared: `_below` holds the last bar of each row below. A
    bar is known by its total, because its description may change with each step.
    """

    def __init__(self, description: str, search: Callable[..., Any]) -> None:
        super().__init__(description, search)
        self._row: int | None = None
        self._followed: str | None = None
        self._followed_description = ""
        self._below: dict[int, str] = {}

    def find(self, line: str, raw: str, timeout: float) -> dict[str, str]:
        """Return the fields in a line; a blank one clears a row."""
        if line.isspace():
            self._below.pop(_row(raw), None)
        return super().find(line, raw, timeout)

    def _read(self, match: Any, description: str, raw: str) -> dict[str, str]:
        if match["count"] is not None:
            bar, is_finished, fields = "", False, {"step": match["count"]}
        else:
            done, total = match["done"] + match["unit"], match["total"] + match["units"]
            bar, is_finished = total, done == total and int(match["percent"]) >= _DONE
            fields = _fields(done, total) or {"progress": match["percent"]}
        if self._description or self._follows(bar, description, _row(raw), is_finished=is_finished):
            return fields
        return {}

    def _follows(self, bar: str, description: str, row: int, *, is_finished: bool) -> bool:
        if not is_finished:
            self._row = row if self._row is None else min(self._row, row)
        if row > (self._row or 0):
            self._below[row] = bar
            return False
        if is_finished or (bar, description) != (self._followed, self._followed_description):
            for below, other in sorted(self._below.items(), reverse=True):
                if other == bar:
                    del self._below[below]
                    return False
        if not is_finished or self._followed is None:
            self._followed, self._followed_description = bar, description
        return bar == self._followed


class RichPattern(BarPattern):
    """Follow the first row that still runs; all rows are drawn each time."""

    def __init__(self, description: str, search: Callable[..., Any]) -> None:
        super().__init__(description, search)
        self._followed: str | None = None
        self._is_running_row_seen = False

    def _read(self, match: Any, description: str, raw: str) -> dict[str, str]:
        percent, done, total = match["percent"], match["done"], match["total"]
        fields = _fields(done, total) if percent is None else {"progress": percent}
        is_finished = done == total if percent is None else float(percent) >= _DONE
        if _CLEAR_LINE in raw or description == self._followed:
            self._is_running_row_seen = False
        if is_finished:
            self._followed = self._followed or description
            return fields if description == self._followed else {}
        if self._is_running_row_seen:
            return {}
        self._is_running_row_seen = True
        self._followed = description
        return fields


PATTERNS: dict[str, tuple[str, type[BarPattern]]] = {"tqdm": (_TQDM, TqdmPattern), "rich": (_RICH, RichPattern)}


def _row(raw: str) -> int:
    """Return how many rows tqdm moves up again after drawing a bar."""
    count = 0
    while raw.endswith(_CURSOR_UP * (count + 1)):
        count += 1
    return count


def _fields(done: str, total: str) -> dict[str, str]:
    """Return progress and steps; nothing for shortened or long counts."""
    if not done.isdigit() or not total.isdigit() or max(len(done), len(total)) > _MAX_DIGITS or not int(total):
        return {}
    return {"progress": f"{done}/{total}", "step": done, "max_steps": total}
