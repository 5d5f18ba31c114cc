"""Pace the requests of a flow by the server's responses.

Any number of writers share a server. A server that handles one request at a time answers later, the more writers are
waiting. If every writer pauses nine times as long as its last response took, a fleet uses nearly all of the server and
never more: see tests/reporting/test_pace.py, which simulates fleets, and docs/delivery.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nemo_jobs_cli.transport import classify, retry
from nemo_jobs_cli.transport.messages import Failure, Response

if TYPE_CHECKING:
    from collections.abc import Callable

# The least seconds between two requests, by default.
INTERVAL = 1.0

# The pause after a response, in units of the seconds it took.
LATENCIES = 9.0

# Bounds of the pause after an overload, in seconds; it doubles from one to the next. Retry-After is bounded too.
FIRST_BACKOFF = 1.0
LONGEST = 300.0

# Seconds that a request may take. The server handles it even if nobody waits, so giving up early wastes its work.
ATTEMPT_LIMIT = 120.0


class Pace:
    """The pause after each response, in seconds.

    `random` returns a number in [0, 1).
    """

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self._backoff = 0.0
        self.pause = 0.0

    def observe(self, last: Response | Failure) -> None:
        """Set the pause after a response or failure."""
        if is_overload(last):
            self._backoff = min(LONGEST, max(2 * self._backoff, last.seconds, FIRST_BACKOFF))
            requested = retry.retry_after(last) if isinstance(last, Response) else None
            self.pause = min(requested or 0.0, LONGEST) + self._backoff * (0.5 + self._random())
        elif isinstance(last, Response):
            self._backoff = self._backoff / 2 if self._backoff > FIRST_BACKOFF else 0.0
            seconds = min(LONGEST, max(LATENCIES * last.seconds, self._backoff))
            self.pause = seconds * (0.9 + 0.2 * self._random())
        else:
            self.pause = 0.0  # the server did no work: `retry.send` chooses the pause


def period(seconds: float) -> float:
    """Return the seconds between requests if a response takes `seconds`."""
    return max(INTERVAL, seconds + min(LONGEST, LATENCIES * seconds))


def is_overload(last: Response | Failure) -> bool:
    """Return whether the server is overloaded: a timeout, a 429 or a 5xx."""
    return last.kind == "timeout" if isinstance(last, Failure) else classify.kind(last) == "transient"
