"""Coalesce the updates of one job into the next one to send.

The last value of each top-level key wins, as if one writer had sent each update in turn. Nothing here reads a clock:
`now` is in seconds of any clock that does not go back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


class Coalescer:
    """Hold the pending fields and those in flight, and decide when to send.

    Sends are at least `interval` apart. The first update is due at once; a later one also waits until no update came
    for `interval`, but no longer than `max_wait` (0: it does not wait for that).
    """

    def __init__(self, interval: float, max_wait: float = 0.0) -> None:
        self.interval = interval
        self._max_wait = max_wait
        self._pending: dict[str, Any] = {}
        self._in_flight: dict[str, Any] = {}
        self._first_added = self._last_added = 0.0
        self._not_before: float | None = None

    def __bool__(self) -> bool:
        """Return whether any field is pending."""
        return bool(self._pending)

    @property
    def unacknowledged(self) -> dict[str, Any]:
        """Return unacknowledged fields: in flight, then pending."""
        return {**self._in_flight, **self._pending}

    def add(self, fields: Mapping[str, Any], now: float) -> None:
        """Add an update to the pending fields."""
        if not self._pending:
            self._first_added = now
        self._last_added = now
        self._pending.update(fields)

    def due_in(self, now: float) -> float | None:
        """Return the seconds until the pending fields are due, or None."""
        if not self._pending:
            return None
        if self._not_before is None:
            return 0.0
        quiet = min(self._last_added + self.interval, self._first_added + self._max_wait)
        return max(0.0, self._not_before - now, quiet - now)

    def take(self, now: float) -> dict[str, Any]:
        """Return the pending fields, which are then in flight."""
        self._in_flight, self._pending = self._pending, {}
        self._not_before = now + self.interval
        return dict(self._in_flight)

    def acknowledge(self, now: float, pause: float = 0.0) -> bool:
        """Forget the fields in flight, which need not be sent again.

        Send again after `pause` seconds at the earliest; return whether that takes more than another interval.
        """
        self._in_flight = {}
        free = max(self._not_before or 0.0, now)
        self._not_before = max(free, now + pause)
        return self._not_before > free + self.interval

    def put_back(self, now: float, pause: float) -> None:
        """Make the fields in flight pending again, below newer ones.

        They are due in `pause` seconds at the earliest.
        """
        if self._in_flight and not self._pending:
            self._first_added = self._last_added = now
        self._pending = self.unacknowledged
        self._in_flight = {}
        self._not_before = max(self._not_before or 0.0, now + pause)
