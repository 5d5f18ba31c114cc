"""Read one job by its name or id, or list the jobs of a workspace.

They are plain JSON objects: `update` looks up ids here too, and importing pydantic's core takes 20 ms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from nemo_jobs_cli.core import identifiers, names
from nemo_jobs_cli.core.errors import AuthError, NemoJobsError, NotFoundError
from nemo_jobs_cli.core.text import close_matches, did_you_mean, one_line
from nemo_jobs_cli.transport import routes
from nemo_jobs_cli.transport.messages import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from nemo_jobs_cli.api.session import Session

    T = TypeVar("T")

# The first ten are in the schema of NeMo Platform 0.6.0, the rest in its successors'. Any other state is not terminal.
STATES = (
    "created", "pending", "active", "cancelled", "cancelling", "error", "completed", "paused", "pausing", "resuming",
    "queued", "creation_pending", "deletion_pending",
)  # fmt: skip
TERMINAL_STATES = frozenset({"completed", "error", "cancelled"})

# Names of states in other tools.
_OTHER_STATES = {
    "running": "active",
    "succeeded": "completed",
    "success": "completed",
    "done": "completed",
    "finished": "completed",
    "failed": "error",
    "failure": "error",
    "stopped": "cancelled",
    "waiting": "pending",
}

PAGE_SIZE = 100

# Similar names are looked for among so many of the newest jobs.
_SEARCHED = 500


def unknown_state(state: str, option: str = "--state") -> str | None:
    """Return a warning for an unknown state, which is used anyway.

    A newer platform may have it.
    """
    if state in STATES:
        return None
    close = [_OTHER_STATES[state]] if state in _OTHER_STATES else close_matches(state, STATES, 2)
    hint = did_you_mean(close) or f"use one of {', '.join(STATES)}"
    return f"unknown {option} '{one_line(state, 60)}': {hint}"


def get_status(session: Session, workspace: str, name: str) -> dict[str, Any]:
    """Return the body of `GET .../status` for the job with this name."""
    return session.fetch(Request("GET", routes.job_status(workspace, name)), job=name).object()


def find_status(session: Session, workspace: str, job: str) -> dict[str, Any]:
    """Return the body of `GET .../status` for a job's name or id."""
    return call_with_name(session, workspace, job, lambda name: get_status(session, workspace, name))


def get_current_attempt(session: Session, workspace: str, job: str) -> str | None:
    """Return the id of a job's current attempt; None if unknown."""
    attempt = session.fetch(Request("GET", routes.job(workspace, job)), job=job).object().get("attempt_id")
    return attempt if isinstance(attempt, str) else None


def call_with_name(session: Session, workspace: str, job: str, call: Callable[[str], T]) -> T:
    """Return `call(name)` for a job's name or id.

    Raise NotFoundError with similar names if there is no such job. The platform's routes take only names. As a name may
    look like an id, such an id is tried as a name first.
    """
    if not identifiers.is_name(job):
        return call(_name_of(session, workspace, job))
    try:
        return call(job)
    except AuthError as error:
        raise with_similar_workspaces(error, session, workspace) from None
    except NotFoundError as error:
        if names.is_job_id(job):
            return call(_name_of(session, workspace, job))
        raise _with_similar_jobs(error, session, workspace, job) from None


def make_poll(session: Session, workspace: str, job: str) -> Callable[[float | None], dict[str, Any]]:
    """Return a function that reads a job's status in at most `limit` seconds."""
    name = job

    def poll(limit: float | None) -> dict[str, Any]:
        nonlocal name
        status = find_status(session.restart(limit), workspace, name)
        if identifiers.is_name(str(status.get("name"))):  # the next poll needs no look-up of an id
            name = status["name"]
        return status

    return poll


def find_step(session: Session, workspace: str, job: str, step: str) -> str:
    """Return the name of a step, given its name or id; raise NotFoundError.

    The status has the steps that have begun, the job has the names of all.
    """
    status = find_status(session, workspace, job)
    for entry in _named_entries(status.get("steps")):
        if step in (entry["name"], entry.get("id")):
            return str(entry["name"])
    name = str(status.get("name") or job)
    spec = session.fetch(Request("GET", routes.job(workspace, name)), job=name).object().get("platform_spec")
    names = [entry["name"] for entry in _named_entries(spec.get("steps") if isinstance(spec, dict) else None)]
    if step in names:
        return step
    hint = did_you_mean(close_matches(step, names)) if names else ""
    known = ", ".join(one_line(name, 80) for name in names[:20])
    advice = f"use one of its steps: {known}" if known else "read the log of the whole job: leave out --step"
    raise NotFoundError(
        f"job {one_line(job, 80)!r} has no step {one_line(step, 80)!r}",
        f"{hint} {advice}".lstrip(),
        facts={"job": job, "step": step, "steps": names},
    )


def list_jobs(
    session: Session, workspace: str, filters: Sequence[tuple[str, str]] = (), *, limit: int = 0
) -> Iterator[dict[str, Any]]:
    """Yield at most `limit` jobs of a workspace (0 for all), newest first.

    The server takes time for each row, so pages are no larger than needed. Pages may be short or empty, since the
    server filters by state after paging: all `total_pages` are read. A job that is created meanwhile moves others to
    the next page.
    """
    seen: set[str] = set()
    size = -(-limit // -(-limit // PAGE_SIZE)) if limit else PAGE_SIZE
    page = total = 1
    while page <= total:
        query = (("page", str(page)), ("page_size", str(size)), ("sort", "-created_at"), *filters)
        body = session.fetch(Request("GET", routes.jobs(workspace), query)).object()
        pagination = body.get("pagination")
        pages = pagination.get("total_pages") if isinstance(pagination, dict) else None
        total = pages if isinstance(pages, int) else 1
        for entry in _named_entries(body.get("data")):
            if entry["name"] not in seen:
                seen.add(entry["name"])
                yield entry
                if len(seen) == limit:
                    return
        page += 1


def with_similar_workspaces(error: AuthError | NotFoundError, session: Session, workspace: str) -> NemoJobsError:
    """Add similar names to the error for a missing workspace.

    With authentication a misspelled name is forbidden (403) for all but admins; the list has what the user may see.
    """
    permission = error.facts.get("permission")
    if isinstance(error, AuthError) and (permission is None or "scope" in error.facts):
        return error  # a 401, or a token that is limited
    try:
        body = session.fetch(Request("GET", routes.WORKSPACES)).object()
    except NemoJobsError:
        body = {}  # the list is only for the hint
    known = [entry["name"] for entry in _named_entries(body.get("data"))]
    similar = _similar(workspace, known)
    if permission is not None:
        if workspace in known:
            from nemo_jobs_cli.transport import explain

            error.hint = f"ask the owner of workspace {workspace!r} for {explain.needed_role(permission)}"
        elif known:
            error.facts |= {"close": similar}
            suggestion = did_you_mean(similar, "-w ")
            names = one_line(", ".join(known), 200)
            error.hint = (
                f"{suggestion} an unknown workspace is forbidden, too"
                if suggestion
                else f"you may see the workspaces {names}; {error.hint}"
            )
        return error
    error.facts |= {"missing": "workspace", "close": similar}
    error.hint = (
        f"{did_you_mean(similar, '-w ')} check -w NAME, or see where the workspace comes from: nemo-jobs config list"
    ).lstrip()
    return error


def _with_similar_jobs(error: NotFoundError, session: Session, workspace: str, job: str) -> NemoJobsError:
    """Add similar names to the error for a missing job or workspace.

    The server's 404 is the same for both. If the list cannot be read, the error stays as it is.
    """
    try:
        known = [entry["name"] for entry in list_jobs(session, workspace, limit=_SEARCHED)]
    except NotFoundError as no_workspace:
        return with_similar_workspaces(no_workspace, session, workspace)
    except NemoJobsError:
        return error
    similar = _similar(job, known, cutoff=0.8)
    error.facts |= {"missing": "job", "close": similar}
    error.hint = f"{did_you_mean(similar)} {error.hint}".lstrip()
    return error


def _name_of(session: Session, workspace: str, job_id: str) -> str:
    for entry in list_jobs(session, workspace, [("filter[id]", job_id)]):
        if entry.get("id") == job_id:
            return str(entry["name"])
    raise NotFoundError(
        f"no job with id {job_id} in workspace {workspace!r}",
        f"list the jobs: nemo-jobs list -w {workspace}",
        facts={"workspace": workspace, "job": job_id},
    )


def _named_entries(entries: Any) -> list[dict[str, Any]]:
    """Return the objects with a name in a list of the platform."""
    items = entries if isinstance(entries, list) else []
    return [entry for entry in items if isinstance(entry, dict) and isinstance(entry.get("name"), str)]


def _similar(name: str, known: Sequence[str], *, cutoff: float = 0.6) -> list[str]:
    return close_matches(name, filter(identifiers.is_name, known), 3, cutoff=cutoff)
