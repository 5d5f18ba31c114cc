"""Keep jobs and their attempts in memory, with ids and versions."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.core import identifiers
from nemo_jobs_cli.sandbox import _logs, _wire

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable, Mapping

WORKSPACES = {
    "system": "Platform-provided resources (read-only for users)",
    "default": "General-purpose workspace (all users have write access)",
}


@dataclass(slots=True)
class Attempt:
    """One run of a job: its record, its steps, and its entity."""

    record: dict[str, Any]
    steps: list[dict[str, Any]]
    entity: str
    version: int = 1

    def merge(self, details: Mapping[str, Any], version: int) -> None:
        """Merge an update for `version`, or raise RefusedError if it is old."""
        if self.version != version:
            raise _wire.conflict(self.record["workspace"], self.entity, version, self.version)
        self.record["status_details"].update(details)
        self.version += 1


@dataclass(slots=True)
class Job:
    """A job: its record, its attempts (the last is current), their log.

    A job without an attempt gets its first one at `starts_at`, in seconds since 1970.
    """

    record: dict[str, Any]
    starts_at: float
    attempts: list[Attempt] = field(default_factory=list)
    log: list[_logs.Line] = field(default_factory=list)

    @property
    def current(self) -> Attempt | None:
        """Return the current attempt, or None."""
        return self.attempts[-1] if self.attempts else None

    @property
    def details(self) -> dict[str, Any]:
        """Return the status details."""
        details: dict[str, Any] = self.record["status_details"]
        return details

    def status(self) -> dict[str, Any]:
        """Return the job as the status route shows it."""
        keys = ("id", "name", "status", "status_details", "error_details", "created_at", "updated_at")
        steps = [] if self.current is None else self.current.steps
        return {**{key: self.record[key] for key in keys}, "steps": steps}


@dataclass(slots=True)
class Database:
    """All jobs by workspace and name.

    `now` returns seconds since 1970, `rng` makes ids. Unless `strict`, reading or updating a job creates it. A job has
    its first attempt `start_delay` seconds after its creation.
    """

    now: Callable[[], float]
    rng: random.Random
    strict: bool = False
    start_delay: float = 0.0
    jobs: dict[tuple[str, str], Job] = field(default_factory=dict)

    def has_workspace(self, workspace: str) -> bool:
        """Return whether a workspace exists; a strict sandbox has few."""
        return workspace in WORKSPACES if self.strict else identifiers.is_name(workspace)

    def find(self, workspace: str, name: str) -> Job | None:
        """Return a job, created if the sandbox is not strict."""
        job = self.jobs.get((workspace, name))
        if job is None and not self.strict and identifiers.is_name(workspace) and identifiers.is_name(name):
            job = self.add(workspace, name)
        if job is not None and job.current is None and self.now() >= job.starts_at:
            self.begin_attempt(job)
        return job

    def add(self, workspace: str, name: str, body: Mapping[str, Any] | None = None) -> Job:
        """Create a job from the body of a POST."""
        body = body or {"source": "nemo-jobs-sandbox", "spec": {}}
        spec = body.get("platform_spec") or {"steps": []}
        now = self.timestamp()
        defaults = {"environment": None, "config": {}, "lifecycle": {"staleness_timeout_seconds": 0}}
        record = {
            "id": f"platform-job-{self.new_id()}",
            "attempt_id": None,
            "name": name,
            "workspace": workspace,
            "project": body.get("project"),
            "description": body.get("description"),
            "source": body["source"],
            "spec": body["spec"],
            "platform_spec": {"secrets": None, **spec, "steps": [{**defaults, **step} for step in spec["steps"]]},
            "fileset": f"job-fileset-{name}",
            "output_location": None,
            "status": "created",
            "status_details": {},
            "error_details": None,
            "created_at": now,
            "updated_at": now,
            "ownership": body.get("ownership"),
            "custom_fields": body.get("custom_fields"),
        }
        job = self.jobs[workspace, name] = Job(record, self.now() + self.start_delay)
        if not self.start_delay:
            self.begin_attempt(job)
        return job

    def add_lines(self, workspace: str, name: str, lines: Iterable[str], step: str) -> None:
        """Add lines to a job's log in order; create the job if needed."""
        job = self.jobs.get((workspace, name))
        if job is None:
            spec = {"steps": [{"name": step}]}
            job = self.add(workspace, name, {"source": "nemo-jobs-sandbox", "spec": {}, "platform_spec": spec})
        source = _logs.Source(str(job.record["attempt_id"]), step, f"task-{step}")
        for line in lines:
            timestamp = _logs.to_time(self.now())
            if job.log:
                timestamp = max(timestamp, job.log[-1].timestamp + timedelta(microseconds=1))
            _logs.append(job.log, timestamp, source, line)

    def begin_attempt(self, job: Job) -> None:
        """Begin the next attempt of a job, which supersedes the one before."""
        now, record = self.timestamp(), job.record
        steps = [
            {
                "id": f"platform-job-step-{self.new_id()}",
                "name": step["name"],
                "status": "created",
                "status_details": {},
                "error_details": {},
                "tasks": [],
                "created_at": now,
                "updated_at": now,
            }
            for step in record["platform_spec"]["steps"]
        ]
        entity = f"att-{self.new_id().lower()}"
        # The details of the job are those of its current attempt, and no copy.
        record |= {"attempt_id": f"platform-job-attempt-{self.new_id()}", "status": "created", "status_details": {}}
        attempt = {
            "id": record["attempt_id"],
            "name": entity,
            "job": record["id"],
            "workspace": record["workspace"],
            "seq": len(job.attempts),
            "platform_spec": record["platform_spec"],
            "status": record["status"],
            "status_details": record["status_details"],
            "error_details": None,
            "created_at": now,
            "updated_at": now,
        }
        job.attempts.append(Attempt(attempt, steps, entity))

    def timestamp(self) -> str:
        """Return the time as the server writes it."""
        return _logs.to_time(self.now()).isoformat(timespec="microseconds")

    def new_id(self) -> str:
        """Return 22 characters of base58, like the server's ids."""
        return "".join(self.rng.choices(_wire.BASE58, k=22))

    def workspaces(self) -> list[dict[str, Any]]:
        """Return the workspaces of a new platform, then those of the jobs."""
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
            for name in dict.fromkeys([*WORKSPACES, *(workspace for workspace, _ in self.jobs)])
        ]
