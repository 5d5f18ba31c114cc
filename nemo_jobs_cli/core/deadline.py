"""Define the wall-clock deadline of a command."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from nemo_jobs_cli.core.clock import Clock

# The limit of a single attempt without retries (`--deadline 0`), in seconds.
ONE_ATTEMPT_LIMIT = 10.0


class Deadline(NamedTuple):
    """The end of a command on `clock`; `once` allows one attempt only."""

    ends: float
    clock: Clock
    once: bool = False

    def left(self) -> float:
        """Return the seconds left, never negative."""
        return max(0.0, self.ends - self.clock.now())


def start(seconds: float, started: float, clock: Clock) -> Deadline:
    """Return the deadline `seconds` after `started`; 0 means one attempt."""
    if seconds == 0:
        return Deadline(clock.now() + ONE_ATTEMPT_LIMIT, clock, once=True)
    return Deadline(started + seconds, clock)
