"""Deliver one update, with retries, on the route that the server has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nemo_jobs_cli.api import jobs
from nemo_jobs_cli.core.outcome import Delivered, Update
from nemo_jobs_cli.fields import strict_json
from nemo_jobs_cli.transport import classify, routes
from nemo_jobs_cli.transport.messages import Request, Response, SendResult
from nemo_jobs_cli.transport.route_memory import RouteMemory

if TYPE_CHECKING:
    from nemo_jobs_cli.api.session import Session
    from nemo_jobs_cli.core.outcome import Api
    from nemo_jobs_cli.settings.model import Settings
    from nemo_jobs_cli.transport.classify import ResponseKind


# Job names cannot contain `--`.
IMPOSSIBLE_JOB = "nemo-jobs--doctor"

# After these responses the other route is tried: with authentication, NeMo Platform 0.6.0 forbids unknown routes.
_NO_ROUTE = frozenset({"no-route", "forbidden"})

# These responses come from the route itself.
_FROM_ROUTE = frozenset({"ok", "missing", "no-attempt", "conflict", "rejected"})


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
            raise session.explain(
                result, job, attempt=own_attempt(named, session.settings) if api == "attempts" else None
            )
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

    The server checks permissions before the job. Return the result of `send`.
    """
    return send(Update(session.settings.workspace.value, IMPOSSIBLE_JOB, {}), b"{}", session)


def requests(update: Update, body: bytes, settings: Settings, first: Api) -> list[tuple[Api, Request]]:
    """Return the requests that can deliver an update, with their routes.

    Inside a job, its own attempt is updated, so that it cannot overwrite the details of a newer one.
    """
    paths: dict[Api, str] = {
        "jobs": routes.status_details(update.workspace, update.job),
        "attempts": routes.attempt_status_details(
            update.workspace, update.job, own_attempt(update, settings) or routes.CURRENT
        ),
    }
    return [
        (api, Request("PATCH", paths[api], body=body))
        for api in sorted(paths, key=lambda api: api != first)
        if settings.api.value in {"auto", api}
    ]


def send(update: Update, body: bytes, session: Session) -> tuple[SendResult, Api, ResponseKind | None]:
    """Send an update on the first route that the server has.

    A 403 of the first route can mean that the server lacks it, so it is the result only if the other route is missing
    or forbidden, too. If the other one does not respond, the update counts as not delivered, and can be stored. The
    counts of the result are those of all routes; the kind is None if no response came.
    """
    memory = session.route_memory or RouteMemory(session.settings.host.value, None)
    attempts = conflicts = 0
    results: list[tuple[SendResult, Api, ResponseKind | None]] = []
    for api, request in requests(update, body, session.settings, memory.api):
        result = session.send(request)
        attempts += result.attempts
        conflicts += result.conflicts
        kind = classify.kind(result.last) if isinstance(result.last, Response) else None
        results.append((result, api, kind))
        if kind not in _NO_ROUTE:
            break
    if session.settings.api.value == "auto" and kind in _FROM_ROUTE:
        memory.learn(api)
    if kind == "no-route":
        result, api, kind = results[0]
    return SendResult(result.last, attempts, conflicts), api, kind


def own_attempt(update: Update, settings: Settings) -> str | None:
    """Return the id of this process's attempt if it is of the update's job."""
    attempt = settings.attempt
    return attempt.id if attempt is not None and attempt[:2] == (update.workspace, update.job) else None
