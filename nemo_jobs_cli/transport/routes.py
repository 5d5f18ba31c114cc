"""Build the paths of the platform's API, each segment encoded."""

from __future__ import annotations

import re

DISCOVERY = "/apis/auth/discovery"
CLUSTER = "/cluster-info"
WORKSPACES = "/apis/entities/v2/workspaces"

# The reserved selector of a job's current attempt.
CURRENT = "current"


def permission(path: str) -> str:
    """Return the permission that reading a path of jobs needs."""
    return "jobs.list" if path.endswith("/jobs") else "jobs.read"


def segment(text: str) -> str:
    """Percent-encode `text` as one path segment (RFC 3986); UTF-8 bytes."""
    if re.fullmatch(r"[A-Za-z0-9._~\-@+]+", text) and text not in {".", ".."}:
        return text
    return "".join(f"%{byte:02X}" for byte in text.encode("utf-8", "surrogatepass"))


def jobs(workspace: str) -> str:
    """Return the path of a workspace's list of jobs."""
    return f"/apis/jobs/v2/workspaces/{segment(workspace)}/jobs"


def job(workspace: str, name: str) -> str:
    """Return the path of a job's record."""
    return f"{jobs(workspace)}/{segment(name)}"


def job_logs(workspace: str, job: str) -> str:
    """Return the path of a job's log."""
    return f"{jobs(workspace)}/{segment(job)}/logs"


def job_status(workspace: str, job: str) -> str:
    """Return the path of a job's status and details."""
    return f"{jobs(workspace)}/{segment(job)}/status"


def status_details(workspace: str, job: str) -> str:
    """Return the path for updates on NeMo Platform 0.6 and Helix 0.8."""
    return f"{jobs(workspace)}/{segment(job)}/status-details"


def attempt_status_details(workspace: str, job: str, attempt: str = CURRENT) -> str:
    """Return the path for updates in the API reference of NeMo Helix 0.9.

    `attempt` is an id, or CURRENT.
    """
    return f"{jobs(workspace)}/{segment(job)}/attempts/{segment(attempt)}/status-details"


def has_exact_attempt(path: str) -> bool:
    """Return whether a path names an attempt by its id."""
    return path.split("/")[8:9] == ["attempts"] and path.split("/")[9] != CURRENT
