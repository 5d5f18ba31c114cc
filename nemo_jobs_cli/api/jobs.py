"""Ask the platform about jobs: the only place that knows its reading routes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.core import identifiers
from nemo_jobs_cli.core.errors import NemoJobsError, NotFoundError
from nemo_jobs_cli.transport import routes
from nemo_jobs_cli.transport.messages import Request

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nemo_jobs_cli.api.session import Session

PAGE_SIZE = 100

# Close names are looked for among this many pages of the newest jobs.
SEARCHED_PAGES = 5


def job_status(session: Session, workspace: str, job: str) -> dict[str, Any]:
    """Return the answer of `GET .../status` as it came: status, status_details, steps, times."""
    answer = session.fetch(Request("GET", routes.job_status(workspace, job)), job=job)
    return _object(answer.json())


def jobs(
    session: Session, workspace: str, filters: Sequence[tuple[str, str]] = (), *, most_pages: int = sys.maxsize
) -> Iterator[dict[str, Any]]:
    """Yield the workspace's jobs, newest first, each once; look at no more than `most_pages` pages.

    Pages may be short or empty, since the server filters by status after paging (measured): the walk
    goes on to `total_pages`. A job created meanwhile shifts the pages, so names are told apart.
    """
    seen: set[str] = set()
    page = 1
    total = 1
    while page <= min(total, most_pages):
        query = (("page", str(page)), ("page_size", str(PAGE_SIZE)), ("sort", "-created_at"), *filters)
        answer = _object(session.fetch(Request("GET", routes.jobs(workspace), query)).json())
        pagination = _object(answer.get("pagination"))
        total = pagination["total_pages"] if isinstance(pagination.get("total_pages"), int) else 1
        entries = answer.get("data")
        for entry in entries if isinstance(entries, list) else ():
            name = entry.get("name") if isinstance(entry, dict) else None
            if isinstance(name, str) and name not in seen:
                seen.add(name)
                yield entry
        page += 1


def name_of(session: Session, workspace: str, job_id: str) -> str:
    """Return the name of the job with this id: the platform's routes take names only (measured)."""
    for entry in jobs(session, workspace, [("filter[id]", job_id)]):
        if entry.get("id") == job_id:
            return str(entry["name"])
    raise NotFoundError(
        f"no job in workspace {workspace!r} has the id {job_id}",
        f"see the jobs: nemo-jobs list -w {workspace}",
        facts={"workspace": workspace, "job": job_id},
    )


def missing(session: Session, workspace: str, job: str, error: NotFoundError) -> NemoJobsError:
    """Tell a missing job from a missing workspace, which the server's 404 does not, and name close matches.

    What can't be read (no permission, no time) leaves `error` as it is.
    """
    import difflib

    try:
        found = [entry["name"] for entry in jobs(session, workspace, most_pages=SEARCHED_PAGES)]
    except NotFoundError as no_workspace:
        return missing_workspace(session, workspace, no_workspace)
    except NemoJobsError:
        return error
    close = [name for name in difflib.get_close_matches(job, found, n=3, cutoff=0.8) if identifiers.is_name(name)]
    error.facts |= {"missing": "job", "close": close}
    if close:
        error.hint = f"did you mean {' or '.join(close)}? {error.hint}"
    return error


def missing_workspace(session: Session, workspace: str, error: NotFoundError) -> NotFoundError:
    """Add close names of workspaces to the error for one that isn't there, where the platform lists them."""
    import difflib

    try:
        answer = session.fetch(Request("GET", routes.WORKSPACES)).json()
        entries = answer.get("data") if isinstance(answer, dict) else None
        found = [str(_object(entry).get("name")) for entry in entries or ()] if isinstance(entries, list) else []
    except NemoJobsError:
        found = []  # what can't be read can't be suggested
    close = [name for name in difflib.get_close_matches(workspace, found, n=3) if identifiers.is_name(name)]
    near = f"did you mean -w {' or '.join(close)}? " if close else ""
    error.facts |= {"missing": "workspace", "close": close}
    error.hint = f"{near}check the workspace's name: -w NAME; see its origin: nemo-jobs config list"
    return error


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
