"""Deliver one update, with retries, on the route that the server has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nemo_jobs_cli.api import jobs
from nemo_jobs_cli.core.outcome import Delivered, Update
from nemo_jobs_cli.fields import strict_json
from nemo_jobs_cli.transport import classify, routes
from nemo_jobs_cli.transport.messages import Request, Response, SendResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from nemo_jobs_cli.api.session import Session
    from nemo_jobs_cli.core.outcome import Api
    from nemo_jobs_cli.transport.classify import ResponseKind


# Job names cannot contain `--`.
IMPOSSIBLE_JOB = "nemo-jobs--doctor"

_PATHS: dict[Api, Callable[[str, str], str]] = {
    "jobs": routes.status_details,
    "attempts": routes.attempt_status_details,
}


def deliver(update: Update, session: Session) -> Delivered:
    """Send `update` until it is acknowledged, or raise a NemoJobsError.

    A job that is given by its id is looked up once; an id that could also be a name is tried as a name first.
    """
    started = session.deadline.clock.now()
    body = strict_json.dumps(dict(update.fields))

    def send_to(job: str) -> Delivered:
        named = update._replace(job=job)
        with session.lock(f"{session.settings.host.value} {named.workspace} {job}", session.deadline):
            result, api, kind = send(named, body, session)
        if not isinstance(result.last, Response) or kind != "ok":
            raise session.explain(result, job)
        return Delivered(
            update=named,
            host=session.settings.host.value,
            attempts=result.attempts,
            conflicts=result.conflicts,
            seconds=session.deadline.clock.now() - started,
            trace_id=session.sender.trace_id,
            result=result.last.json(),
            api=api,
        )

    return jobs.call_with_name(session, update.workspace, update.job, send_to)


def probe(session: Session) -> tuple[SendResult, Api, ResponseKind | None]:
    """Send an empty update for a job that cannot exist.

    The server checks permissions before the job. Return what `send` does.
    """
    return send(Update(session.settings.workspace.value, IMPOSSIBLE_JOB, {}), b"{}", session)


def requests(update: Update, body: bytes, api: Api) -> list[tuple[Api, Request]]:
    """Return the requests that can deliver an update, with their routes."""
    return [
        (route, Request("PATCH", path(update.workspace, update.job), body=body))
        for route, path in _PATHS.items()
        if api in {"auto", route}
    ]


def send(update: Update, body: bytes, session: Session) -> tuple[SendResult, Api, ResponseKind | None]:
    """Send an update on the first route that the server has.

    The counts of the result are those of all routes; the kind is None if no response came.
    """
    attempts = conflicts = 0
    for api, request in requests(update, body, session.settings.api.value):  # noqa: B007 - the last one tried
        result = session.send(request)
        attempts += result.attempts
        conflicts += result.conflicts
        kind = classify.kind(result.last) if isinstance(result.last, Response) else None
        if kind != "no-route":
            break
    return SendResult(result.last, attempts, conflicts), api, kind
