"""Find one job by its name or id, once or again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.api import jobs
from nemo_jobs_cli.core import identifiers, known_keys, names
from nemo_jobs_cli.core.errors import AuthError, NotFoundError
from nemo_jobs_cli.core.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from nemo_jobs_cli.api.models import Job
    from nemo_jobs_cli.api.session import Session


def status(session: Session, workspace: str, job: str) -> dict[str, Any]:
    """Return the status answer for a job's name or id; raise NotFoundError that names what is near.

    An id is looked up once, after the server has not known it as a name where it could be one.
    """
    if names.is_job_id(job) and not identifiers.is_name(job):
        job = jobs.name_of(session, workspace, job)
    try:
        return jobs.job_status(session, workspace, job)
    except NotFoundError as error:
        if names.is_job_id(job):
            return jobs.job_status(session, workspace, jobs.name_of(session, workspace, job))
        raise jobs.missing(session, workspace, job, error) from None


def field(found: Job, key: str, default: str | None = None) -> Any:
    """Return a reported value, else the default; raise NotFoundError that names close keys."""
    if key in found.status_details:
        return found.status_details[key]
    if default is not None:
        return default
    import difflib

    close = difflib.get_close_matches(key, list(found.status_details), n=3) or list(
        filter(None, [known_keys.correct_key(key)])
    )
    near = f"did you mean {' or '.join(one_line(name, 60) for name in close)}? " if close else ""
    name = one_line(found.name, 80)
    raise NotFoundError(
        f"job {name} has not reported {one_line(key, 80)!r}",
        f"{near}see all: nemo-jobs show {name}; or give --default V",
        facts={"job": found.name, "field": key, "close": close},
    )


def looker(session: Session, workspace: str, job: str) -> Callable[[float | None], dict[str, Any]]:
    """Return a function that looks at one job: each time with a fresh deadline, of at most the seconds given.

    A token that has expired meanwhile is read again once, where that can help.
    """
    name = job

    def look(limit: float | None) -> dict[str, Any]:
        nonlocal session, name
        session = session.restart(limit)
        try:
            answer = status(session, workspace, name)
        except AuthError:
            again = session.renew()
            if again is None:
                raise
            session = again.restart(limit)
            answer = status(session, workspace, name)
        name = str(answer.get("name") or name)
        return answer

    return look
