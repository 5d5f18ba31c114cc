"""Answer the routes of attempts of NeMo Helix 0.9 to 0.11.

Unverified: no release with these routes could be installed. Paths, parameters and their meaning are those of the public
API reference; the words of the errors are guesses. So is the refusal of an attempt that is not the current one: the
reference promises it only with `expected_step_id`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nemo_jobs_cli.sandbox import _wire
from nemo_jobs_cli.sandbox._wire import RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nemo_jobs_cli.sandbox._database import Attempt, Job

CURRENT = "current"


def find(job: Job, selector: str) -> Attempt:
    """Return an attempt by its id or `current`, or raise RefusedError."""
    name = job.record["name"]
    if selector == CURRENT:
        if job.current is None:
            raise RefusedError(404, f"Job '{name}' has no current attempt.")
        return job.current
    for attempt in job.attempts:
        if attempt.record["id"] == selector:
            return attempt
    raise RefusedError(404, f"Attempt '{selector}' not found for job '{name}'.")


def check(job: Job, attempt: Attempt, query: Mapping[str, str]) -> None:
    """Raise RefusedError if an update of `attempt` must not be stored."""
    if attempt is not job.current:
        message = f"Attempt '{attempt.record['id']}' is not the current attempt of job '{job.record['name']}'."
        raise RefusedError(409, message, _wire.NO_RETRY)
    expected = query.get("expected_step_id")
    if expected is None:
        return
    status = next((step["status"] for step in attempt.steps if step["id"] == expected), None)
    if status is None:
        raise RefusedError(409, f"Step '{expected}' is not in attempt '{attempt.record['id']}'.", _wire.NO_RETRY)
    if query.get("expected_step_status", status) != status:
        raise RefusedError(409, f"Step '{expected}' has the status '{status}'.", _wire.NO_RETRY)
