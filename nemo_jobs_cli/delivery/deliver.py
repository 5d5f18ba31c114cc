"""Deliver one update: send it, again where that helps, on the route that this server has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nemo_jobs_cli.core import identifiers, names
from nemo_jobs_cli.core.errors import NemoJobsError, NotFoundError
from nemo_jobs_cli.core.outcome import Delivered
from nemo_jobs_cli.fields import strict_json
from nemo_jobs_cli.transport import classify, retry, routes
from nemo_jobs_cli.transport.messages import Request, Response, SendResult

if TYPE_CHECKING:
    from nemo_jobs_cli.api.session import Session
    from nemo_jobs_cli.core.outcome import Api, Update
    from nemo_jobs_cli.transport.classify import ResponseKind


def deliver(update: Update, session: Session) -> Delivered:
    """Send `update` until it is acknowledged; raise a NemoJobsError that says why it could not be.

    An id in place of a job's name is looked up once, after the server has not known it as a name.
    """
    began = session.deadline.clock.now()
    body = strict_json.dumps(dict(update.fields))
    if names.is_job_id(update.job) and not identifiers.is_name(update.job):
        update = _by_id(update, session)
    ended, api, kind = _send(update, body, session)
    if kind == "missing" and names.is_job_id(update.job):
        update = _by_id(update, session)
        ended, api, kind = _send(update, body, session)
    if not isinstance(ended.last, Response) or kind != "ok":
        raise _explain(update, ended, session)
    return Delivered(
        update=update,
        host=session.settings.host.value,
        attempts=ended.attempts,
        conflicts=ended.conflicts,
        seconds=session.deadline.clock.now() - began,
        trace_id=session.sender.trace_id,
        result=ended.last.json(),
        api=api,
    )


def _by_id(update: Update, session: Session) -> Update:
    from nemo_jobs_cli.api import jobs as queries

    return update._replace(job=queries.name_of(session, update.workspace, update.job))


def requests(update: Update, body: bytes, api: Api) -> tuple[tuple[Api, Request], ...]:
    """Return the requests that may carry an update with their routes, in the order in which they are tried."""
    jobs = Request("PATCH", routes.status_details(update.workspace, update.job), body=body)
    attempts = Request("PATCH", routes.attempt_status_details(update.workspace, update.job), body=body)
    both: tuple[tuple[Api, Request], ...] = (("jobs", jobs), ("attempts", attempts))
    return tuple(one for one in both if api in {"auto", one[0]})


def _send(update: Update, body: bytes, session: Session) -> tuple[SendResult, Api, ResponseKind | None]:
    """Try each route until one exists on this server, while no other process of this machine writes to the job."""
    with session.lock(f"{session.settings.host.value} {update.workspace} {update.job}", session.deadline):
        return _try_routes(update, body, session)


def _try_routes(update: Update, body: bytes, session: Session) -> tuple[SendResult, Api, ResponseKind | None]:
    attempts = conflicts = 0
    for api, request in requests(update, body, session.settings.api.value):  # noqa: B007 - the last one tried
        ended = retry.send(request, session.sender, session.deadline, on_retry=session.on_retry)
        attempts += ended.attempts
        conflicts += ended.conflicts
        kind = classify.kind(ended.last) if isinstance(ended.last, Response) else None
        if kind != "no-route":
            break
    return SendResult(ended.last, attempts, conflicts), api, kind


def _explain(update: Update, ended: SendResult, session: Session) -> NemoJobsError:
    error = session.explain(ended, update.job)
    if not isinstance(error, NotFoundError):
        return error
    from nemo_jobs_cli.api import jobs as queries

    return queries.missing(session, update.workspace, update.job, error)
