"""Deliver one update: send it, again where that helps, on the route that this server has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nemo_jobs_cli.api import session
from nemo_jobs_cli.core import identifiers, names
from nemo_jobs_cli.core.errors import NemoJobsError, NotFoundError
from nemo_jobs_cli.core.outcome import Delivered
from nemo_jobs_cli.fields import strict_json
from nemo_jobs_cli.transport import classify, exchange, routes
from nemo_jobs_cli.transport.exchange import Exchanged, Request
from nemo_jobs_cli.transport.messages import Answer

if TYPE_CHECKING:
    from nemo_jobs_cli.api.session import Session
    from nemo_jobs_cli.core.outcome import Api, Update
    from nemo_jobs_cli.transport.classify import Kind


def deliver(update: Update, talk: Session) -> Delivered:
    """Send `update` until it is acknowledged; raise a NemoJobsError that says why it could not be.

    An id in place of a job's name is looked up once, after the server has not known it as a name.
    """
    began = talk.deadline.pace.clock()
    body = strict_json.dumps(dict(update.fields))
    if names.is_job_id(update.job) and not identifiers.is_name(update.job):
        update = _by_id(update, talk)
    ended, api, kind = _send(update, body, talk)
    if kind == "missing" and names.is_job_id(update.job):
        update = _by_id(update, talk)
        ended, api, kind = _send(update, body, talk)
    if not isinstance(ended.last, Answer) or kind != "ok":
        raise _explain(update, ended, talk)
    return Delivered(
        update=update,
        host=talk.settings.host.value,
        attempts=ended.tries,
        conflicts=ended.conflicts,
        seconds=talk.deadline.pace.clock() - began,
        trace_id=talk.sender.trace_id,
        result=ended.last.json(),
        api=api,
    )


def _by_id(update: Update, talk: Session) -> Update:
    from nemo_jobs_cli.api import jobs as queries

    return update._replace(job=queries.name_of(talk, update.workspace, update.job))


def requests(update: Update, body: bytes, api: Api) -> tuple[tuple[Api, Request], ...]:
    """Return the requests that may carry an update with their routes, in the order in which they are tried."""
    jobs = Request("PATCH", routes.status_details(update.workspace, update.job), body=body)
    attempts = Request("PATCH", routes.attempt_status_details(update.workspace, update.job), body=body)
    both: tuple[tuple[Api, Request], ...] = (("jobs", jobs), ("attempts", attempts))
    return tuple(one for one in both if api in {"auto", one[0]})


def _send(update: Update, body: bytes, talk: Session) -> tuple[Exchanged, Api, Kind | None]:
    """Try each route until one exists on this server, while no other process of this machine writes to the job."""
    with talk.turn(f"{talk.settings.host.value} {update.workspace} {update.job}", talk.deadline):
        return _try_routes(update, body, talk)


def _try_routes(update: Update, body: bytes, talk: Session) -> tuple[Exchanged, Api, Kind | None]:
    tries = conflicts = 0
    for api, request in requests(update, body, talk.settings.api.value):  # noqa: B007 - the last one tried
        ended = exchange.run(request, talk.sender, talk.deadline, notice=talk.notice)
        tries += ended.tries
        conflicts += ended.conflicts
        kind = classify.kind(ended.last) if isinstance(ended.last, Answer) else None
        if kind != "no-route":
            break
    return Exchanged(ended.last, tries, conflicts), api, kind


def _explain(update: Update, ended: Exchanged, talk: Session) -> NemoJobsError:
    error = session.refusal(talk, ended, update.job)
    if not isinstance(error, NotFoundError):
        return error
    from nemo_jobs_cli.api import jobs as queries

    return queries.missing(talk, update.workspace, update.job, error)
