"""Count down the one wall-clock limit of a command."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

# What a single attempt may take where the user asked for no retries (`--deadline 0`), in seconds.
ONE_ATTEMPT_LIMIT = 10.0

# An attempt gets two thirds of what is left but no less than this, so that one hung connection can't eat
# the whole deadline. Not less: an overloaded server finishes what it was sent, and a repetition adds to its load.
SHARE_OF_ATTEMPT = 2 / 3
SHORTEST_ATTEMPT = 3.0


class Pace(NamedTuple):
    """The clock, the sleep and the dice of a command: real ones, or a test's. Seconds; random in [0, 1)."""

    clock: Callable[[], float]
    sleep: Callable[[float], None]
    random: Callable[[], float]


class Deadline(NamedTuple):
    """A point on the clock of `pace` after which a command has failed; `once` allows one attempt only."""

    ends: float
    pace: Pace
    once: bool = False

    def left(self) -> float:
        """Return the seconds left, never negative."""
        return max(0.0, self.ends - self.pace.clock())

    def attempt(self) -> float:
        """Return the seconds the next attempt may take."""
        left = self.left()
        return left if self.once else min(left, max(SHORTEST_ATTEMPT, left * SHARE_OF_ATTEMPT))


def start(seconds: float, started: float, pace: Pace) -> Deadline:
    """Return the deadline `seconds` after `started`; 0 seconds mean one attempt."""
    if seconds == 0:
        return Deadline(pace.clock() + ONE_ATTEMPT_LIMIT, pace, once=True)
    return Deadline(started + seconds, pace)
