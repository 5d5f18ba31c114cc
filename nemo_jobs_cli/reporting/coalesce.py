"""Fold the updates of one job into the next one to send, and say when that may be, given *now*.

The last value of each top-level key wins: what one writer sending each update in turn would have left. There is no
clock in here; times are seconds of whatever clock the caller reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


class Fold:
    """What is still to be sent, and what is on its way.

    Two takings are at least `interval` apart. The first update may go at once; a later one also waits for a quiet
    `interval`, but for no longer than `max_wait` (0: it doesn't wait for quiet at all).
    """

    def __init__(self, interval: float, max_wait: float = 0.0) -> None:
        self._interval = interval
        self._max_wait = max_wait
        self._waiting: dict[str, Any] = {}
        self._on_its_way: dict[str, Any] = {}
        self._first = self._last = 0.0
        self._not_before: float | None = None

    def __bool__(self) -> bool:
        """Tell whether anything waits to be sent."""
        return bool(self._waiting)

    @property
    def unsent(self) -> dict[str, Any]:
        """Return what nobody has acknowledged: what is on its way, and on top what waits."""
        return {**self._on_its_way, **self._waiting}

    def add(self, fields: Mapping[str, Any], now: float) -> None:
        """Put an update on top of what waits."""
        if not self._waiting:
            self._first = now
        self._last = now
        self._waiting.update(fields)

    def due(self, now: float) -> float | None:
        """Return the seconds until what waits may be taken, 0 for at once; None when nothing waits."""
        if not self._waiting:
            return None
        if self._not_before is None:
            return 0.0
        quiet = min(self._last + self._interval, self._first + self._max_wait)
        return max(0.0, self._not_before - now, quiet - now)

    def take(self, now: float) -> dict[str, Any]:
        """Return what waits, to be sent now; `arrived` or `failed` says what became of it."""
        self._on_its_way, self._waiting = self._waiting, {}
        self._not_before = now + self._interval
        return dict(self._on_its_way)

    def arrived(self) -> None:
        """Forget what was taken: the server has it, or will never take it."""
        self._on_its_way = {}

    def failed(self, now: float, pause: float) -> None:
        """Put what was taken back below what has come since, not to be taken again before `pause` seconds."""
        if self._on_its_way and not self._waiting:
            self._first = self._last = now
        self._waiting = {**self._on_its_way, **self._waiting}
        self._on_its_way = {}
        self._not_before = max(self._not_before or now, now + pause)
