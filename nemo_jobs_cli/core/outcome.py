"""Define the results of commands; each has one function that prints it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nemo_jobs_cli.core.errors import NemoJobsError

Api = Literal["auto", "jobs", "attempts"]


class Update(NamedTuple):
    """Top-level keys to set in the status details of one job."""

    workspace: str
    job: str
    fields: Mapping[str, Any]


class Kept(NamedTuple):
    """An undelivered update, stored in the outbox file `path`."""

    update: Update
    host: str
    path: str
    reason: str


class Dropped(NamedTuple):
    """An update that was not delivered in time and is dropped, as configured."""

    update: Update
    host: str
    reason: str


class Delivered(NamedTuple):
    """An update that the server has acknowledged.

    Its `job` is the name, even if the user gave an id; `attempts` counts PATCHes, `conflicts` the 409s among them;
    `seconds` is wall-clock time; `api` is the server's route.
    """

    update: Update
    host: str
    attempts: int
    conflicts: int
    seconds: float
    trace_id: str
    result: Any = None
    api: Api = "jobs"


class StoredResult(NamedTuple):
    """Counts of stored updates: delivered, set aside, rejected."""

    delivered: int = 0
    aside: int = 0
    rejected: int = 0


class DeliveryResult(NamedTuple):
    """The outcome of an update and of the stored ones of its job."""

    outcome: Delivered | Kept | Dropped
    older: StoredResult = StoredResult()
    dropped: int = 0


class Target(NamedTuple):
    """The workspace and job of updates."""

    workspace: str
    job: str


class Slowed(NamedTuple):
    """The server is busy: the next request follows after `pause` seconds."""

    pause: float


class FlowResult(NamedTuple):
    """The counts and the outcome of a flow of updates.

    `slowed` counts the requests after which the server's latency or errors, not the interval, set the pause. `error`
    is why the last values were not delivered, or a rejection before them. If it is None, everything is delivered, or
    the rest is `kept`.
    """

    updates: int = 0
    requests: int = 0
    retries: int = 0
    errors: int = 0
    error: NemoJobsError | None = None
    kept: Kept | Dropped | None = None
    slowed: int = 0

    @property
    def counts(self) -> dict[str, int]:
        """Return the counts by name."""
        return {name: getattr(self, name) for name in ("updates", "requests", "retries", "slowed", "errors")}

    @property
    def outcome(self) -> str:
        """Return the outcome as one word."""
        if self.error is not None:
            return self.error.outcome
        return "delivered" if self.kept is None else "kept" if isinstance(self.kept, Kept) else "dropped"
