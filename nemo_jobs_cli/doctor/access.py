"""Find out what one may do in a workspace without changing anything.

Measured on NeMo Platform 0.6.0 for an empty PATCH to a job whose name the platform refuses to create:

    who asks                              GET .../jobs?page_size=1           PATCH .../status-details
    anybody, authentication off           200                                404 Entity ... not found
    nobody, authentication on             401 Unauthorized                   401 Unauthorized
    a wrong or expired token              401 Invalid or expired token       401 Invalid or expired token
    an unknown user                       403 Forbidden                      403 Forbidden
    a Viewer of the workspace             200                                403 Forbidden
    an Editor of the workspace            200                                404 Entity ... not found
    any of these, a misspelt workspace    403, without auth 404 Workspace    403, without auth 404 Entity

So permissions are looked at before the job is, and a 404 of the job means that updates are allowed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.api import jobs, lookups
from nemo_jobs_cli.core.errors import NemoJobsError, NotFoundError
from nemo_jobs_cli.core.outcome import Update
from nemo_jobs_cli.core.text import one_line
from nemo_jobs_cli.delivery import deliver
from nemo_jobs_cli.doctor import assess, check
from nemo_jobs_cli.transport import routes
from nemo_jobs_cli.transport.messages import Request

if TYPE_CHECKING:
    from nemo_jobs_cli.api.session import Session
    from nemo_jobs_cli.doctor.check import Check

# No job can be called this: names have no `--`. And an empty update would change none that is.
NOBODY = "nemo-jobs--doctor"

FORBIDDEN = 403


def read(session: Session) -> Check:
    """Ask for one job of the workspace."""
    workspace = session.settings.workspace.value
    query = (("page", "1"), ("page_size", "1"), ("sort", "-created_at"))
    try:
        found = session.fetch(Request("GET", routes.jobs(workspace), query)).json()
    except NotFoundError as error:
        return check.failed("read", jobs.missing_workspace(session, workspace, error))
    except NemoJobsError as error:
        if error.facts.get("status") == FORBIDDEN:
            spelt = f"check the workspace's name ({session.settings.workspace.source}): a misspelt one is forbidden too"
            error.hint = f"{spelt}; else ask its owner for the role Viewer"
        return check.failed("read", error)
    count = _total(found)
    how_many = "" if count is None else f", {count} {'job' if count == 1 else 'jobs'}"
    return check.ok("read", f"allowed in workspace {workspace}{how_many}", jobs=count)


def write(session: Session) -> Check:
    """Send an empty update to a job that can't be, on the route that the settings and the server have."""
    workspace = session.settings.workspace.value
    empty = Update(workspace, NOBODY, {})
    ended, api, kind = deliver.send(empty, b"{}", session)
    if kind == "missing":
        route = ", on the route of attempts" if api == "attempts" else ""
        return check.ok("write", f"allowed in workspace {workspace}{route}", api=api)
    if kind == "ok":
        return assess.write_accepted()
    error = session.explain(ended, NOBODY)
    if error.facts.get("status") == FORBIDDEN:
        error.hint = f"ask the owner of workspace {one_line(workspace, 80)} for the role Editor"
    return check.failed("write", error)


def exists(session: Session, job: str) -> Check:
    """Look for a job by its name or id."""
    try:
        found = lookups.status(session, session.settings.workspace.value, job)
    except NemoJobsError as error:
        return check.failed("exists", error)
    state = one_line(str(found.get("status") or "unknown"), 40)
    return check.ok("exists", f"{one_line(str(found.get('name') or job), 80)} is {state}", status=state)


def _total(found: Any) -> int | None:
    pagination = found.get("pagination") if isinstance(found, dict) else None
    count = pagination.get("total_results") if isinstance(pagination, dict) else None
    return count if isinstance(count, int) else None
