"""Find how many requests at once a server takes: half as many when it is busy, one more when it is not."""

from __future__ import annotations

# So many successes in a row make room for one request more, for each that is allowed already: about once a round.
ROUNDS = 4


class Throttle:
    """How many workers may send, and not before when; times are seconds of the caller's clock."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._successes = 0
        self._until = 0.0
        self._halved = float("-inf")
        self.allowed = most

    def busy(self, now: float, retry_after: float | None, began: float) -> None:
        """Hear of a 429 or 503 to a request that `began` then: halve, once for all that were on their way together."""
        if began >= self._halved:
            self.allowed = max(1, self.allowed // 2)
            self._halved = now
        self._successes = 0
        if retry_after is not None:
            self._until = max(self._until, now + retry_after)

    def success(self) -> None:
        """Hear of an answer that was no complaint."""
        self._successes += 1
        if self._successes >= ROUNDS * self.allowed and self.allowed < self._most:
            self.allowed += 1
            self._successes = 0

    def wait(self, now: float) -> float:
        """Return the seconds that everybody has to wait, as the server asked."""
        return max(0.0, self._until - now)
