"""Repeat one request until it is answered for good or the deadline is over."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from nemo_jobs_cli.transport import retry
from nemo_jobs_cli.transport.messages import Failure, Response

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nemo_jobs_cli.core.deadline import Deadline


class Sender(Protocol):
    """What an exchange needs of a client."""

    trace_id: str

    def send(
        self,
        method: str,
        path: str,
        timeout: float,
        *,
        query: Sequence[tuple[str, str]] = (),
        body: bytes | None = None,
        content_type: str = "application/json",
    ) -> Response | Failure:
        """Send one request; never raise for what the network or the server does."""
        ...


class Request(NamedTuple):
    """A request that may be repeated: reading, or writing absolute values."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    content_type: str = "application/json"


class SendResult(NamedTuple):
    """How it ended: the last answer or failure, and how many tries and conflicts it took."""

    last: Response | Failure
    tries: int
    conflicts: int


def run(
    request: Request,
    sender: Sender,
    deadline: Deadline,
    *,
    on_retry: Callable[[Response | Failure, float], None] | None = None,
    may_retry: Callable[[Response | Failure], bool] = retry.is_transient,
) -> SendResult:
    """Send `request` until retrying is useless or out of time; `on_retry` is called before each wait (seconds)."""
    clock = deadline.clock
    tries = conflicts = 0
    while True:
        last = sender.send(
            request.method,
            request.path,
            deadline.attempt(),
            query=request.query,
            body=request.body,
            content_type=request.content_type,
        )
        tries += 1
        conflicts += isinstance(last, Response) and last.status == retry.CONFLICT
        left = 0.0 if deadline.once else deadline.left()
        wait = retry.pause(last, tries, left, clock.random) if may_retry(last) else None
        if wait is None:
            return SendResult(last, tries, conflicts)
        if on_retry is not None:
            on_retry(last, wait)
        clock.sleep(wait)
