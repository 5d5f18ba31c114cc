"""Poll a job until it has ended or a condition holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from nemo_jobs_cli.api import jobs
from nemo_jobs_cli.core import known_keys
from nemo_jobs_cli.core.errors import JobFailedError, NotDeliveredError, WaitedError
from nemo_jobs_cli.core.text import one_line
from nemo_jobs_cli.fields import coerce, condition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nemo_jobs_cli.api.models import Job
    from nemo_jobs_cli.core.clock import Clock
    from nemo_jobs_cli.settings.model import Settings

# Seconds between two polls, by default.
INTERVAL = 2.0

# The longest pause that a slow poll sets: it may also have waited for the reader of a log, such as a pager.
LONGEST_PAUSE = 30.0

# Without a timeout, so many failed polls in a row end the wait: each of them retries until its own deadline.
MAX_FAILURES = 10

# A poll may take at least this many seconds, so that `--timeout 0` polls once.
MIN_POLL = 1.0

# Reported status that says that the job is over, whatever the platform's state.
_ENDED = frozenset(
    {"completed", "complete", "done", "finished", "succeeded", "success", "failed", "error", "cancelled"}
)

# The longest sleep, in seconds (30 years), that every operating system accepts.
MAX_SLEEP = 1e9


@dataclass(frozen=True, slots=True)
class WaitPlan:
    """The poll interval and timeout in seconds, and the end of the wait.

    Without `until` it is the job's end. `must_succeed` makes an end without success an error.
    """

    interval: float
    timeout: float | None = None
    until: condition.Condition | None = None
    must_succeed: bool = True


class Watcher(Protocol):
    """A view of the job during the wait."""

    def on_job(self, job: Job) -> None:
        """Show the job as polled."""
        ...

    def on_outage(self, error: NotDeliveredError) -> None:
        """Show that the platform does not answer; called once per outage."""
        ...


def condition_warnings(tested: condition.Condition, settings: Settings, option: str = "--until") -> Iterator[str]:
    """Yield warnings about keys and states that are probably misspelled."""
    for comparison in tested.comparisons:
        if comparison.key == condition.STATE:
            warning = jobs.unknown_state(comparison.value, f"{condition.STATE} in {option}")
            yield from [warning] if warning else []
        else:
            yield from known_keys.typo_warnings([comparison.key], settings.numbers.value).values()


def follow(poll: Callable[[float | None], Job], plan: WaitPlan, clock: Clock, watcher: Watcher) -> Job:
    """Poll a job until `plan` is fulfilled, and return its last state.

    `poll` gets the seconds that it may take, or None. Raise JobFailedError if the job has ended and the plan cannot be
    fulfilled, WaitedError after the timeout, NotDeliveredError if too many polls fail. Other errors of `poll` are
    not caught.
    """
    ends = None if plan.timeout is None else clock.now() + plan.timeout
    failures = 0
    job: Job | None = None
    while True:
        started, pause = clock.now(), plan.interval
        left = None if ends is None else ends - started
        failure: NotDeliveredError | None = None
        try:
            job = poll(None if left is None else max(left, MIN_POLL))
        except NotDeliveredError as error:
            failure = error
            failures += 1
            if ends is None and failures >= MAX_FAILURES:
                raise
            if failures == 1:
                watcher.on_outage(error)
        else:
            failures = 0
            # A slow server is busy: it gets as much time as it took.
            pause = max(pause, min(clock.now() - started, LONGEST_PAUSE))
            watcher.on_job(job)
            if _is_fulfilled(plan, job):
                return job
        left = None if ends is None else ends - clock.now()
        if left is not None and left <= 0:
            raise _timed_out(job, plan, failure)
        clock.sleep(min(pause, MAX_SLEEP if left is None else min(left, MAX_SLEEP)))


def _is_fulfilled(plan: WaitPlan, job: Job) -> bool:
    """Return whether the wait has succeeded, or raise JobFailedError."""
    if plan.until is not None and plan.until.holds(job.values):
        return True
    if not job.is_terminal:
        return False
    if not plan.must_succeed or (plan.until is None and job.state == "completed"):
        return True
    ended = {"error": "ended in error", "cancelled": "was cancelled"}.get(job.state, "is completed")
    reason = f": {one_line(job.reason, 300)}" if job.reason else ""
    raise JobFailedError(
        f"job {_name(job)} {ended}{_unmet(plan, job)}{reason}",
        f"see its details: nemo-jobs show {_name(job)}",
        facts=_facts(job),
    )


def _timed_out(job: Job | None, plan: WaitPlan, failure: NotDeliveredError | None) -> WaitedError:
    outage = "" if failure is None else f"; the last poll failed: {failure.message}"
    if job is None:
        hint = "wait longer: --timeout TIME"
        if failure is not None and failure.facts.get("failure") != "timeout":
            hint = failure.hint
        return WaitedError(
            f"no response from the platform within --timeout{outage}",
            hint,
            facts=None if failure is None else failure.facts,
        )
    state = one_line(job.state, 40) or "unknown"
    hint = f"wait longer, or watch it: nemo-jobs show {_name(job)} --watch"
    reported = ""
    status = job.text("status")
    if plan.until is None and status.lower() in _ENDED:
        reported = f", but reports status={one_line(status, 40)}"
        hint = f"wait for the reported status: --until {coerce.quote(f'status={status}')}"
    return WaitedError(
        f"--timeout has passed: job {_name(job)} is still in state {state}{reported}{_unmet(plan, job)}{outage}",
        hint,
        facts=_facts(job),
    )


def _facts(job: Job) -> dict[str, Any]:
    return {"job": job.name, "state": job.state, "result": job.raw}


def _name(job: Job) -> str:
    return one_line(job.name, 80)


def _unmet(plan: WaitPlan, job: Job) -> str:
    """Return the clause on the condition that does not hold, or ""."""
    if plan.until is None:
        return ""
    return f" and {one_line(plan.until.text, 80)} does not hold: {plan.until.describe(job.values)}"
