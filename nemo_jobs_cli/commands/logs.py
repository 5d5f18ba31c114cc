"""`nemo-jobs logs`: print the log of a job, once or until its end."""

from __future__ import annotations

import gc
import itertools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from nemo_jobs_cli.api import jobs, logs
from nemo_jobs_cli.cli import helptext, params
from nemo_jobs_cli.core import times
from nemo_jobs_cli.core.clock import sleep_while_read
from nemo_jobs_cli.core.errors import ExitCode, Stopped, UsageError
from nemo_jobs_cli.output import render
from nemo_jobs_cli.output.logs_view import LogView
from nemo_jobs_cli.output.screen import make_screen
from nemo_jobs_cli.settings import resolve

if TYPE_CHECKING:
    from collections.abc import Callable

    from nemo_jobs_cli.api.models import Job
    from nemo_jobs_cli.api.session import Session
    from nemo_jobs_cli.core.clock import Clock
    from nemo_jobs_cli.core.outcome import Target
    from nemo_jobs_cli.settings.model import Screen


@dataclass(frozen=True, slots=True)
class Options:
    """The options of `logs`; the timeout is in seconds."""

    job: params.Job = None
    follow: Annotated[
        bool, params.option("--follow", "-f", help="Print new lines until the job ends; exit as show --wait does")
    ] = False
    tail: Annotated[
        int | None,
        params.option("--tail", "-n", metavar="N", min=0, max=logs.MAX_PAGE, help="Begin with the last N lines"),
    ] = None
    since: Annotated[
        str | None,
        params.option("--since", metavar="WHEN", help="Begin at a time, or as long ago: 10m, 2026-11-27T08:00Z"),
    ] = None
    step: Annotated[str | None, params.option("--step", metavar="STEP", help="Print only this step, by name or id")] = (
        None
    )
    timestamps: Annotated[bool, params.option("--timestamps", help="Begin each line with its time (UTC)")] = False
    timeout: Annotated[float | None, params.duration("--timeout", help="With --follow: stop after TIME")] = None


app = helptext.app()


@params.command(app, "logs", *params.CONNECTION, *params.OUTPUT)
def print_logs(options: Options, invocation: params.Invocation) -> int | None:
    r"""Print the log of a job, once or until it ends.

    The platform stores the lines: a line of stderr begins with [stderr], and empty lines are
    missing. If a command prints very fast, some lines are lost. The lines of a running job arrive
    within a few seconds.

    \b
    Examples:
      nemo-jobs logs train-llama
      nemo-jobs logs train-llama --follow && ./evaluate.sh
      nemo-jobs logs train-llama --tail 100 --step train
      nemo-jobs logs train-llama --since 10m | grep -i error
      nemo-jobs logs train-llama -o ndjson | jq -r .result.message

    In a pipe, lines are written as they are. On a terminal, colors are left out, other control
    characters are escaped, and a heading marks each new step. With -o ndjson each line
    is an object with time, step, task and message under `result`; -o json is one object, and
    needs the memory for all lines.

    \b
    Exit codes:
      0  printed; with --follow: the job has completed
      4  not authorized (401, 403)
      5  no such job, workspace or step
      7  the server was not reached before the deadline
      8  with --follow: the job failed or was cancelled
      9  --timeout passed

    --follow survives outages of the platform. If the reader of the output leaves (`| head -1`),
    the code is 141.
    """
    check(options)
    settings, screen = resolve.load_settings(invocation.flags), make_screen(invocation.flags)
    if options.follow and screen.output == "json":
        raise UsageError("cannot combine --follow and -o json", "use -o ndjson, which prints lines as they arrive")
    session = invocation.connect(settings, screen, follows=options.follow)
    target = resolve.require_target(options.job, settings, "nemo-jobs logs JOB")
    return run(options, target, session, screen)


def check(options: Options) -> None:
    """Raise UsageError if options contradict each other."""
    if options.step == "":
        raise UsageError("--step is empty", "name a step: --step train (is a shell variable unset?)")
    if options.timeout is not None and not options.follow:
        raise UsageError("--timeout needs --follow", "add --follow to wait for the job's end")


def parse_since(text: str, now: float) -> float:
    """Return the time that --since names, in seconds since 1970.

    A date is the beginning of that day in UTC.
    """
    moment = times.parse_timestamp(text) or times.parse_timestamp(f"{text}T00:00Z")
    if moment is None:
        try:
            moment = now - times.parse_duration(text, "--since")
        except UsageError as error:
            hint = "write how long ago, such as 10m, or a time, such as 2026-11-27T08:00:00Z"
            raise UsageError(error.message.replace("duration", "time"), hint, pointer=error.pointer) from None
    return max(0.0, moment)


def run(
    options: Options,
    target: Target,
    session: Session,
    screen: Screen,
    *,
    now: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = sleep_while_read,
) -> int | None:
    """Print the log, following it if asked; raise a NemoJobsError.

    Return the exit code if a signal or the reader's leaving ended --follow. `sleep` is used while lines are printed.
    """
    since = None if options.since is None else parse_since(options.since, now())
    step = None if options.step is None else jobs.find_step(session, *target, options.step)
    log = logs.open_log(session, *target, step=step, tail=options.tail, since=since)
    view = LogView(screen, timestamps=options.timestamps)
    if options.follow:
        poll = _make_poll(log, session, target, view)
        return _follow(poll, options.timeout, session.deadline.clock._replace(sleep=sleep), screen)
    if screen.output == "json":
        view.print_all(itertools.chain.from_iterable(log.read()))
        return None
    gc.enable()  # off for short calls; a log may be long
    is_empty = True
    for lines in log.read():
        view.print(lines)
        is_empty = False
    view.warn_missed(log.missed, target.job)
    if is_empty and screen.terminal:
        render.notes([f"no lines yet; print them as they arrive: nemo-jobs logs {target.job} --follow"], screen)
    return None


def _make_poll(log: logs.Log, session: Session, target: Target, view: LogView) -> Callable[[float | None], Job]:
    """Return a function that prints the new lines and returns the job."""
    from nemo_jobs_cli.api import models

    poll_status = jobs.make_poll(session, target.workspace, target.job)

    def poll(left: float | None) -> Job:
        ends = None if left is None else session.deadline.clock.now() + left
        # The state first: the log of a job that has ended is complete.
        job = models.parse_job(poll_status(left), target.job)
        for lines in log.read(ends):
            view.print(lines)
        view.warn_missed(log.missed, target.job)
        return job

    return poll


def _follow(poll: Callable[[float | None], Job], timeout: float | None, clock: Clock, screen: Screen) -> int | None:
    """Print new lines until the job has ended."""
    from nemo_jobs_cli.api import wait
    from nemo_jobs_cli.output import watch_view

    gc.enable()  # this command may run for days
    try:
        wait.follow(poll, wait.WaitPlan(wait.INTERVAL, timeout), clock, watch_view.SilentView(screen))
    except BrokenPipeError:
        return ExitCode.READER_LEFT  # the job's result is unknown
    except Stopped as stop:
        if screen.output != "text":
            raise
        return 128 + stop.number  # the normal end of --follow
    return None
