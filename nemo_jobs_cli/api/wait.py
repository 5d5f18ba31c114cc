"""Look at a job again and again until it has got where it should: the loop of --watch and --wait."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from nemo_jobs_cli.core.errors import JobFailedError, NotDeliveredError, WaitedError
from nemo_jobs_cli.core.text import one_line, plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from nemo_jobs_cli.api.models import Job
    from nemo_jobs_cli.core.clock import Clock
    from nemo_jobs_cli.fields.condition import Condition

# Without a timeout, this many failed looks in a row end the wait: each has its own deadline of retries.
MOST_FAILURES = 10

# A look gets at least this long, in seconds, so that `--timeout 0` means "look once".
SHORTEST_LOOK = 1.0

# The longest sleep in seconds (30 years) that no clock of an operating system refuses.
LONGEST_SLEEP = 1e9


@dataclass(frozen=True)
class Plan:
    """How to wait: seconds between two looks, seconds until it is over, what to wait for.

    Without `until` the wait is for the job's end. `gate` makes an end without success a failure.
    """

    interval: float
    timeout: float | None = None
    until: Condition | None = None
    gate: bool = True


class Watcher(Protocol):
    """What a wait tells while it goes on."""

    def look(self, job: Job) -> None:
        """Take in the job as a look has found it."""
        ...

    def trouble(self, error: NotDeliveredError) -> None:
        """Hear that the platform does not answer: once an outage, when it begins."""
        ...


def follow(look: Callable[[float | None], Job], plan: Plan, clock: Clock, watcher: Watcher) -> Job:
    """Look at a job until it is where `plan` wants it, and return it as the last look found it.

    `look` gets the seconds that it may take (None: as many as it likes). Raise JobFailedError when the job
    ended otherwise than `plan` wants, WaitedError when time is over, NotDeliveredError when the platform
    stays away; what else `look` raises passes through.
    """
    ends = None if plan.timeout is None else clock.now() + plan.timeout
    failures = 0
    last: Job | None = None
    while True:
        left = None if ends is None else ends - clock.now()
        failure: NotDeliveredError | None = None
        try:
            last = look(None if left is None else max(left, SHORTEST_LOOK))
        except NotDeliveredError as error:
            failure = error
            failures += 1
            if ends is None and failures >= MOST_FAILURES:
                raise
            if failures == 1:
                watcher.trouble(error)
        else:
            failures = 0
            watcher.look(last)
            if is_over(last, plan):
                return last
        left = None if ends is None else ends - clock.now()
        if left is not None and left <= 0:
            raise _waited(last, plan, failure)
        clock.sleep(min(plan.interval, LONGEST_SLEEP if left is None else min(left, LONGEST_SLEEP)))


def is_over(job: Job, plan: Plan) -> bool:
    """Tell whether the wait has succeeded; raise JobFailedError where it never can."""
    if plan.until is not None and plan.until.holds(job.status_details):
        return True
    if not job.is_terminal:
        return False
    if not plan.gate or (plan.until is None and job.status == "completed"):
        return True
    raise _failed(job, plan)


def _failed(job: Job, plan: Plan) -> JobFailedError:
    ended = {"error": "ended in error", "cancelled": "was cancelled"}.get(job.status, "is completed")
    unmet = "" if plan.until is None else f" and {_condition(plan.until)} does not hold: {_found(job, plan.until)}"
    why = one_line(job.reason, 300)
    return JobFailedError(
        f"job {_name(job)} {ended}{unmet}{': ' if why else ''}{why}",
        f"see what it reported: nemo-jobs show {_name(job)}",
        facts={"job": job.name, "state": job.status, "result": job.answer},
    )


def _waited(job: Job | None, plan: Plan, failure: NotDeliveredError | None) -> WaitedError:
    """Say what the wait ended with: the last known state, and whether the platform still answered."""
    outage = "" if failure is None else f"; the last look failed: {failure.message}"
    if job is None:
        return WaitedError(
            f"the platform did not answer within --timeout{outage}",
            failure.hint if failure is not None else "wait longer with --timeout",
            facts=None if failure is None else failure.facts,
        )
    unmet = "" if plan.until is None else f" and {_condition(plan.until)} does not hold: {_found(job, plan.until)}"
    state = one_line(job.status, 40) or "unknown"
    return WaitedError(
        f"--timeout is over: job {_name(job)} is still {state}{unmet}{outage}",
        f"wait longer, or look at it live: nemo-jobs show {_name(job)} --watch",
        facts={"job": job.name, "state": job.status, "result": job.answer},
    )


def _name(job: Job) -> str:
    return one_line(job.name, 80)


def _condition(until: Condition) -> str:
    return one_line(until.text, 80)


def _found(job: Job, until: Condition) -> str:
    if until.key not in job.status_details:
        return f"{one_line(until.key, 80)} was never reported"
    return f"{one_line(until.key, 80)} is {one_line(plain(job.status_details[until.key]), 80)}"
