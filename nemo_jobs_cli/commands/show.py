"""`nemo-jobs show`: one job's state and what it reported, once, live, or as a gate."""

from __future__ import annotations

import gc
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from nemo_jobs_cli.api import jobs
from nemo_jobs_cli.api.session import open_session
from nemo_jobs_cli.api.wait import WaitPlan, follow
from nemo_jobs_cli.cli import options
from nemo_jobs_cli.core import known_keys, names, times
from nemo_jobs_cli.core.errors import Stopped, UsageError
from nemo_jobs_cli.fields import condition
from nemo_jobs_cli.output import jobs_view, render, watch_view
from nemo_jobs_cli.output.screen import make_screen
from nemo_jobs_cli.settings import resolve
from nemo_jobs_cli.settings.model import Flags

if TYPE_CHECKING:
    from collections.abc import Callable

    from nemo_jobs_cli.api.models import Job
    from nemo_jobs_cli.api.session import Session
    from nemo_jobs_cli.settings.model import Screen, Settings

INTERVAL = 2.0
SHORTEST_INTERVAL = 0.2


@dataclass(frozen=True)
class Options:
    """What `show` was asked to do; without `plan` it takes one look."""

    workspace: str
    job: str
    field: str | None = None
    default: str | None = None
    state: bool = False
    watch: bool = False
    plan: WaitPlan | None = None


@options.with_flags
def command(
    context: typer.Context,
    job: Annotated[
        str | None, typer.Argument(metavar="[JOB]", help="The job's name or id (else the one this runs in).")
    ] = None,
    *,
    field: Annotated[str | None, typer.Option("--field", metavar="KEY", help="Print one reported value, bare.")] = None,
    default: Annotated[
        str | None, typer.Option("--default", metavar="V", help="With --field: print V where KEY is missing.")
    ] = None,
    state: Annotated[bool, typer.Option("--state", help="Print the state, bare.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Show it live until it ends.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for its end: 0 completed, 8 otherwise.")] = False,
    until: Annotated[
        str | None,
        typer.Option("--until", metavar="COND", help="Wait for 'KEY OP VALUE' (= != >= <= > <) instead."),
    ] = None,
    timeout: Annotated[
        str | None,
        typer.Option("--timeout", metavar="TIME", help="Stop waiting after TIME, with exit code 9."),
    ] = None,
    interval: Annotated[
        str | None,
        typer.Option("--interval", metavar="TIME", help="Look every TIME (default 2s, at least 200ms)."),
    ] = None,
    flags: Flags = Flags(),  # noqa: B008 - frozen, and replaced by the decorator
) -> None:
    r"""Show a job: its state on the platform and the reported details.

    The state (created, active, completed, error, cancelled, ...) is the platform's, the
    detail `status` is what a writer reported: --state prints the first, --field status
    the second. --watch also says about how long it will still take,
    from the pace of the last minutes.

    \b
    Examples:
      nemo-jobs show train-llama
      nemo-jobs show train-llama --watch
      loss=$(nemo-jobs show train-llama --field train_loss --default none)
      nemo-jobs show train-llama --wait --timeout 2h && ./evaluate.sh
      nemo-jobs show train-llama --until 'progress>=50' --timeout 10m

    In a pipe: one fact a line, KEY<TAB>VALUE: job, id, state, created,
    details.KEY, error.KEY, step.NAME, task.STEP.NAME. With --watch: one line a change,
    TIME<TAB>KEY=VALUE... Line breaks in values are written \n; exact values come from
    --field KEY and from -o json.

    Exit codes of --wait and --until: 0 completed, or the condition holds; 8 the job ended
    in error, was cancelled, or ended while the condition does not hold; 9 --timeout.
    --watch alone ends with 0 when the job has ended.
    """
    where, screen = resolve.load_settings(flags), make_screen(flags)
    asked = parse(
        where,
        job,
        field=field,
        default=default,
        state=state,
        watch=watch,
        wait=wait,
        until=until,
        timeout=timeout,
        interval=interval,
    )
    if asked.plan is not None and asked.plan.until is not None:  # a key that never comes is waited for in vain
        render.warnings(known_keys.typo_warnings([asked.plan.until.key], where.numbers.value), screen)
    # While waiting, an outage is said once, by the view; only --verbose hears of each attempt.
    notice = partial(render.retry, screen=screen) if asked.plan is None or screen.verbose else None
    session = open_session(where, context.obj["started"], on_retry=notice)
    if screen.verbose:
        render.message(f"asking {session.describe()}")
    run(asked, session, screen)


def parse(
    settings: Settings,
    job: str | None = None,
    *,
    field: str | None = None,
    default: str | None = None,
    state: bool = False,
    watch: bool = False,
    wait: bool = False,
    until: str | None = None,
    timeout: str | None = None,
    interval: str | None = None,
) -> Options:
    """Return the options as values; raise UsageError where they are wrong, or exclude or need each other."""
    follows = watch or wait or until is not None
    if field == "":
        raise UsageError("--field is empty: which key?", "name it: --field progress (is a shell variable unset?)")
    if default is not None and field is None:
        raise UsageError("--default needs --field", "say which value it stands in for: --field KEY")
    if state and field is not None:
        raise UsageError(
            "--state and --field exclude each other",
            "choose one: --state prints the platform's state, --field status the reported status",
        )
    if watch and (state or field is not None):
        raise UsageError("--watch shows everything", "use --wait to print one value at the end")
    for name, said in (("--timeout", timeout), ("--interval", interval)):
        if said is not None and not follows:
            raise UsageError(f"{name} needs --wait, --watch or --until", "add --wait to wait for the job's end")
    plan = None
    if follows:
        every = INTERVAL if interval is None else times.parse_duration(interval, "--interval")
        if every < SHORTEST_INTERVAL:
            raise UsageError("--interval is too short", "200ms is the least; the platform has other work, too")
        plan = WaitPlan(
            every,
            None if timeout is None else times.parse_duration(timeout, "--timeout"),
            None if until is None else condition.parse(until),
            must_succeed=wait or until is not None,
        )
    workspace = names.check_workspace(settings.workspace.value, f"workspace ({settings.workspace.source})")
    chosen = resolve.require_job(job, settings.job, "nemo-jobs show JOB")
    return Options(workspace, chosen, field, default, state, watch, plan)


def run(asked: Options, session: Session, screen: Screen, *, now: Callable[[], float] = time.time) -> None:
    """Show the job that was asked for, following it where asked; raise a NemoJobsError."""
    from nemo_jobs_cli.api import models

    if asked.plan is None:
        found = models.parse_job(jobs.find_status(session, asked.workspace, asked.job), asked.job)
    else:
        found = _follow(asked, asked.plan, session, screen, now)
    try:
        _print(asked, found, screen, now)
    finally:  # also where it has not reported what was asked for
        if screen.terminal:
            from nemo_jobs_cli.completion import remember

            remember.jobs(session.settings, screen, asked.workspace, [found])


def _print(asked: Options, found: Job, screen: Screen, now: Callable[[], float]) -> None:
    if asked.field is not None:
        jobs_view.print_value(found.field(asked.field, asked.default), screen)
    elif asked.state:
        jobs_view.print_value(found.state, screen)
    elif asked.watch and screen.output != "json":
        return  # its last look is on the screen
    elif asked.plan is None or not screen.quiet or screen.output != "text":
        jobs_view.print_job(found, screen, now())


def _follow(asked: Options, plan: WaitPlan, session: Session, screen: Screen, now: Callable[[], float]) -> Job:
    from nemo_jobs_cli.api import models

    gc.enable()  # off for one-shot calls, but this one may run for days
    poll = jobs.make_poll(session, asked.workspace, asked.job)
    try:
        with watch_view.open_view(screen, now, silent=not asked.watch) as view:
            return follow(lambda left: models.parse_job(poll(left), asked.job), plan, session.deadline.clock, view)
    except Stopped as stop:
        if not asked.watch or screen.output != "text":
            raise
        raise typer.Exit(128 + stop.number) from None  # how one stops watching: nothing went wrong
