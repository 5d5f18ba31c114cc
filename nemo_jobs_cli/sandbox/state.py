"""Keep jobs as NeMo Platform 0.6.0 does: in memory, with its names, ids, versions and views of a job."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.core import identifiers
from nemo_jobs_cli.sandbox import wire as answers

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping

    from nemo_jobs_cli.sandbox.wire import Reply

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
WORKSPACES = {
    "system": "Platform-provided resources (read-only for users)",
    "default": "General-purpose workspace (all users have write access)",
}


@dataclass
class Job:
    """A job: what the server says of it, the record that carries its details, and how often that changed."""

    name: str
    workspace: str
    record: dict[str, Any]
    steps: list[dict[str, Any]]
    entity: str
    version: int = 1

    @property
    def details(self) -> dict[str, Any]:
        """Return the reported details."""
        found: dict[str, Any] = self.record["status_details"]
        return found


@dataclass
class State:
    """Everything the sandbox knows. `now` is UTC in seconds; `dice` makes ids.

    Unless `strict`, every valid name is a job as soon as it is written to or read, in any workspace.
    """

    now: Callable[[], float]
    dice: random.Random
    strict: bool = False
    jobs: dict[tuple[str, str], Job] = field(default_factory=dict)


def has_workspace(state: State, workspace: str) -> bool:
    """Tell whether a workspace exists; a strict sandbox has those of a fresh platform."""
    return workspace in WORKSPACES if state.strict else identifiers.is_name(workspace)


def find(state: State, workspace: str, name: str) -> Job | None:
    """Return a job, springing to life where names may; None: there is none."""
    job = state.jobs.get((workspace, name))
    if job is None and not state.strict and identifiers.is_name(workspace) and identifiers.is_name(name):
        job = add(state, workspace, name, {"source": "nemo-jobs-sandbox", "spec": {}})
    return job


def add(state: State, workspace: str, name: str, said: Mapping[str, Any]) -> Job:
    """Make a job out of what was POSTed and return it."""
    spec = said.get("platform_spec") or {"steps": []}
    now = timestamp(state.now())
    extras = {"environment": None, "config": {}, "lifecycle": {"staleness_timeout_seconds": 0}}
    record = {
        "id": f"platform-job-{new_id(state)}",
        "attempt_id": f"platform-job-attempt-{new_id(state)}",
        "name": name,
        "workspace": workspace,
        "project": said.get("project"),
        "description": said.get("description"),
        "source": said["source"],
        "spec": said["spec"],
        "platform_spec": {"secrets": None, **spec, "steps": [{**extras, **step} for step in spec["steps"]]},
        "fileset": f"job-fileset-{name}",
        "output_location": None,
        "status": "created",
        "status_details": {},
        "error_details": None,
        "created_at": now,
        "updated_at": now,
        "ownership": said.get("ownership"),
        "custom_fields": said.get("custom_fields"),
    }
    steps = [_step(state, step["name"], now) for step in spec["steps"]]
    job = state.jobs[workspace, name] = Job(name, workspace, record, steps, f"att-{new_id(state).lower()}")
    return job


def merge(job: Job, details: Mapping[str, Any], seen: int) -> Reply:
    """Answer a PATCH that read the job at version `seen`: keys replace keys, unless it was overtaken."""
    if job.version != seen:
        return answers.conflict(job.workspace, job.entity, seen, job.version)
    job.details.update(details)
    job.version += 1
    return answers.ok(None)


def status(job: Job) -> dict[str, Any]:
    """Return a job as the status route shows it."""
    record = job.record
    first = {key: record[key] for key in ("id", "name", "status", "status_details", "error_details")}
    return {
        **first,
        "steps": job.steps,
        "created_at": record["created_at"],
        "updated_at": record["updated_at"],
    }


def workspaces(state: State) -> list[dict[str, Any]]:
    """Return the workspaces: a fresh platform's, and those that jobs are in."""
    used = dict.fromkeys(workspace for workspace, _ in state.jobs)
    return [
        {
            "id": f"workspace-{name}",
            "name": name,
            "description": WORKSPACES.get(name),
            "created_at": "2026-01-01T00:00:00.000000",
            "created_by": None,
            "updated_at": "2026-01-01T00:00:00.000000",
            "updated_by": None,
        }
        for name in {**WORKSPACES, **used}
    ]


def timestamp(seconds: float) -> str:
    """Return a moment as the server writes it: ISO, UTC, without a zone."""
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat(timespec="microseconds")


def new_id(state: State) -> str:
    """Return 22 characters of base58, as the server's ids have."""
    return "".join(state.dice.choices(_BASE58, k=22))


def _step(state: State, name: str, now: str) -> dict[str, Any]:
    return {
        "id": f"platform-job-step-{new_id(state)}",
        "name": name,
        "status": "created",
        "status_details": {},
        "error_details": {},
        "tasks": [],
        "created_at": now,
        "updated_at": now,
    }
