"""`nemo-jobs show`: print a job once, live, or after waiting."""

from __future__ import annotations

import gc
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from nemo_jobs_cli.api import jobs, wait
from nemo_jobs_cli.api.wait import WaitPlan, condition_warnings, follow
from nemo_jobs_cli.cli import helptext, params
from nemo_jobs_cli.core.clock import sleep_while_read
from nemo_jobs_cli.core.errors import ExitCode, JobFailedError, NemoJobsError, NotDeliveredError, Stopped, UsageError
from nemo_jobs_cli.fields import condition
from nemo_jobs_cli.output import jobs_view, render, watch_view
from nemo_jobs_cli.output.screen import make_screen
from nemo_jobs_cli.settings import resolve

if TYPE_CHECKING:
    from collections.abc import Callable

    from nemo_jobs_cli.api.models import Job
    from nemo_jobs_cli.api.session import Session
    from nemo_jobs_cli.core.outcome import Target
    from nemo_jobs_cli.output.watch_view import LiveView, SilentView
    from nemo_jobs_cli.settings.model import Screen

SHORTEST_INTERVAL = 0.2

# The lines of a failed job's log that --wait prints.
LOG_LINES = 20


@dataclass(frozen=True, slots=True)
class Options:
    """The options of `show`; times in seconds."""

    job: params.Job = None
    field: Annotated[
        str | None, params.option("--field", metavar="KEY", help="Print one reported value; KEY.KEY is nested")
    ] = None
    default: Annotated[
        str | None, params.option("--default", metavar="V", help="With --field: print V if KEY is missing")
    ] = None
    state: Annotated[bool, params.option("--state", help="Print the state")] = False
    watch: Annotated[bool, params.option("--watch", help="Show the job live until it ends")] = False
    logs: Annotated[bool, params.option("--logs", help="With --watch: show the end of the log too")] = False
    wait: Annotated[bool, params.option("--wait", help="Wait for the end of the job")] = False
    until: Annotated[
        str | None, params.option("--until", metavar="COND", help="Wait for 'KEY OP VALUE [or ...]' (= != >= <= > <)")
    ] = None
    timeout: Annotated[float | None, params.duration("--timeout", help="Stop waiting after TIME")] = None
    interval: Annotated[
        float | None, params.duration("--interval", help="Poll every TIME, at least 200ms", default="2s")
    ] = None


app = helptext.app()


@params.command(app, "show", *params.CONNECTION, *params.OUTPUT)
def show(options: Options, invocation: params.Invocation) -> int | None:
    r"""Show a job: its state on the platform and the reported details.

    The state (created, active, completed, error, cancelled, ...) is set by the platform.
    --state prints it. The detail `status` is reported by the job. --field status prints it.
    --watch also estimates the time left, from the pace of the last minutes. In a condition
    `age` is the time since the last report (lastUpdated) of a job that has not ended: --until
    'age>10m'.

    \b
    Examples:
      nemo-jobs show train-llama
      nemo-jobs show train-llama --watch --logs
      loss=$(nemo-jobs show train-llama --field train_loss --default none)
      nemo-jobs show train-llama --wait --timeout 2h && ./evaluate.sh
      nemo-jobs show train-llama --until 'progress>=50' --timeout 10m
      nemo-jobs show train-llama --until 'state=active or status=failed'

    In a pipe: one value per line, KEY<TAB>VALUE: job, id, state, created, silent,
    details.KEY, error.KEY, step.NAME, task.STEP.NAME. Nulls are left out, and so are values
    that a step or task shares with the job. `silent true` means that the job has not ended
    and its last report (lastUpdated) is older than 150 s. With --watch: one line per change,
    TIME<TAB>KEY=VALUE..., without the details of steps and tasks. Line breaks in values are
    written \n; exact values come from --field KEY and from -o json.

    If the job has failed, --wait and --until print the last 20 lines of its log on stderr.

    \b
    Exit codes:
      0  shown; with --wait: completed; with --until: the condition holds
      4  not authorized (401, 403)
      5  no such job, workspace or field
      7  the server was not reached before the deadline
      8  the job failed or was cancelled, or ended before the condition held
      9  --timeout passed

    --watch alone exits with 0 when the job has ended. --watch --wait exits as --wait does. If the
    reader of the output leaves (`| head -1`), the code is 0, or 141 with --wait or --until.
    """
    settings, screen = resolve.load_settings(invocation.flags), make_screen(invocation.flags)
    plan = make_plan(options)
    if options.logs and screen.output != "text":
        raise UsageError(f"cannot combine --logs and -o {screen.output}", "use nemo-jobs logs JOB --follow -o ndjson")
    if plan is not None and plan.until is not None:  # waiting for a misspelled key never ends
        render.warnings(condition_warnings(plan.until, settings), screen)
    session = invocation.connect(settings, screen, follows=plan is not None)
    return run(options, plan, session, screen)


def make_plan(options: Options) -> WaitPlan | None:
    """Return how to wait for the job, None to read it once."""
    follows = options.watch or options.wait or options.until is not None
    if options.field == "":
        raise UsageError("--field is empty", "name a key: --field progress (is a shell variable unset?)")
    if options.default is not None and options.field is None:
        raise UsageError("--default needs --field", "name the key: --field KEY")
    if options.state and options.field is not None:
        raise UsageError(
            "cannot combine --state and --field",
            "use --state for the platform's state, or --field status for the reported status",
        )
    if options.watch and (options.state or options.field is not None):
        raise UsageError("cannot combine --watch with --field or --state", "use --wait to print one value at the end")
    if options.logs and not options.watch:
        raise UsageError("--logs needs --watch", "add --watch, or print the log: nemo-jobs logs JOB")
    for name, value in (("--timeout", options.timeout), ("--interval", options.interval)):
        if value is not None and not follows:
            raise UsageError(f"{name} needs --wait, --watch or --until", "add --wait to wait for the job's end")
    if options.interval is not None and options.interval < SHORTEST_INTERVAL:
        raise UsageError("--interval is too short", "use at least 200ms")
    if not follows:
        return None
    until = None if options.until is None else condition.parse(options.until)
    interval = wait.INTERVAL if options.interval is None else options.interval
    return WaitPlan(interval, options.timeout, until, must_succeed=options.wait or until is not None)


def run(
    options: Options,
    plan: WaitPlan | None,
    session: Session,
    screen: Screen,
    *,
    now: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = sleep_while_read,
) -> int | None:
    """Show the job, following it as planned; raise a NemoJobsError.

    Return the exit code if a signal or the reader's leaving ended --watch. `sleep` is used while lines are printed.
    """
    target = resolve.require_target(options.job, session.settings, "nemo-jobs show JOB")
    try:
        job = _read(options, plan, session, target, screen, now=now, sleep=sleep)
    except JobFailedError as error:
        _print_log(error, options, session, target, screen)
        raise
    except BrokenPipeError:
        if plan is None or not plan.must_succeed:
            raise  # the normal end of `| head -1`
        return ExitCode.READER_LEFT  # the condition does not hold yet
    except Stopped as stop:
        if not options.watch or screen.output != "text":
            raise
        return 128 + stop.number  # the normal end of --watch
    try:
        _print(options, job, screen, now)
    finally:  # even if the field is missing
        if screen.terminal:
            from nemo_jobs_cli.completion import remember

            remember.jobs(session.settings, screen, target.workspace, [job])
    return None


def _read(
    options: Options,
    plan: WaitPlan | None,
    session: Session,
    target: Target,
    screen: Screen,
    *,
    now: Callable[[], float],
    sleep: Callable[[float], None],
) -> Job:
    """Read the job; with a plan, follow it until the plan is fulfilled."""
    from nemo_jobs_cli.api import models

    def parse(raw: dict[str, Any]) -> Job:
        return models.parse_job(raw, target.job, now=now())

    if plan is None:
        return parse(jobs.find_status(session, target.workspace, target.job))
    gc.enable()  # off for short calls; this one may run for days
    clock = session.deadline.clock
    if options.watch and screen.output != "json":
        clock = clock._replace(sleep=sleep)
    with watch_view.open_view(screen, now, silent=not options.watch) as view:
        poll = _make_poll(options, session, target, view)
        return follow(lambda left: parse(poll(left)), plan, clock, view)


def _make_poll(
    options: Options, session: Session, target: Target, view: SilentView | LiveView
) -> Callable[[float | None], dict[str, Any]]:
    """Return a function that reads the status and passes on new lines."""
    poll = jobs.make_poll(session, target.workspace, target.job)
    if not options.logs:
        return poll
    from nemo_jobs_cli.api import logs

    log = logs.open_log(session, *target, tail=watch_view.LOG_LINES)

    def poll_with_log(limit: float | None) -> dict[str, Any]:
        ends = None if limit is None else session.deadline.clock.now() + limit
        status = poll(limit)
        try:
            for lines in log.read(ends):
                view.on_lines(lines)
        except NotDeliveredError as error:  # the job can be shown without its log
            view.on_log_outage(error)
        else:
            view.on_log_outage(None)
        return status

    return poll_with_log


def _print_log(error: JobFailedError, options: Options, session: Session, target: Target, screen: Screen) -> None:
    """Print the end of a failed job's log, and name `logs` in the hint."""
    from nemo_jobs_cli.api import logs
    from nemo_jobs_cli.output import logs_view

    if screen.output != "text" or screen.quiet or options.logs or error.facts["state"] == "completed":
        return
    with suppress(NemoJobsError):  # report the job's failure, not this one
        lines = [line for page in logs.open_log(session, *target, tail=LOG_LINES).read() for line in page]
        if lines:
            logs_view.print_end(lines, screen)
            error.hint += f"; read its log: nemo-jobs logs {error.facts['job']}"


def _print(options: Options, job: Job, screen: Screen, now: Callable[[], float]) -> None:
    waited = options.wait or options.until is not None
    if options.field is not None:
        jobs_view.print_value(job.field(options.field, options.default), screen)
    elif options.state:
        jobs_view.print_value(job.state, screen)
    elif options.watch and screen.output != "json":
        return  # the live view has shown it
    elif not waited or not screen.quiet or screen.output != "text":
        jobs_view.print_job(job, screen, now())
