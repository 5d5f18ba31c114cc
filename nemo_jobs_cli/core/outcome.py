"""Hold what commands found out or did: frozen facts that exactly one function prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nemo_jobs_cli.core.errors import NemoJobsError, NotDeliveredError

Api = Literal["auto", "jobs", "attempts"]


class Update(NamedTuple):
    """What every writing command produces: top-level keys to set in the status details of one job."""

    workspace: str
    job: str
    fields: Mapping[str, Any]


class Kept(NamedTuple):
    """An update that was not delivered in time and lies in the outbox, in the file `path`; `why` it was not."""

    update: Update
    host: str
    path: str
    why: str


class Dropped(NamedTuple):
    """An update that was not delivered in time and that nobody keeps, as the user asked for."""

    update: Update
    host: str
    why: NotDeliveredError


class Delivered(NamedTuple):
    """An update that the server has acknowledged.

    `job` is the name, also where the user gave an id; `attempts` counts PATCHes, `conflicts` the 409s
    among them; `seconds` is wall-clock time; `api` is the route that this server has.
    """

    update: Update
    host: str
    attempts: int
    conflicts: int
    seconds: float
    trace_id: str
    result: Any = None
    api: Api = "jobs"
    warnings: tuple[str, ...] = ()


class StoredResult(NamedTuple):
    """What became of kept updates: how many were delivered, set aside in part (newer values stand), or rejected."""

    delivered: int = 0
    aside: int = 0
    rejected: int = 0


class DeliveryResult(NamedTuple):
    """How it ended for an update, what became of older ones of its job, and how many were let go before it."""

    outcome: Delivered | Kept | Dropped
    older: StoredResult = StoredResult()
    dropped: int = 0


class Target(NamedTuple):
    """Whom updates are for."""

    workspace: str
    job: str


class FlowResult(NamedTuple):
    """What became of a flow of updates: how many came, the requests and retries it took, how it ended.

    `error` is why the last state is not on the server, or what the server refused on the way; None: all is there,
    or `kept` is what became of the rest.
    """

    updates: int = 0
    requests: int = 0
    retries: int = 0
    errors: int = 0
    error: NemoJobsError | None = None
    kept: Kept | Dropped | None = None

    @property
    def outcome(self) -> str:
        """Return the one word for it."""
        if self.error is not None:
            return self.error.outcome
        return "delivered" if self.kept is None else "kept" if isinstance(self.kept, Kept) else "dropped"
