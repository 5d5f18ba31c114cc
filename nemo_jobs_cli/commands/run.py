"""`nemo-jobs run`: run a command and report its life, whatever becomes of the reports."""

from __future__ import annotations

import gc
import os
import shutil
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from nemo_jobs_cli.api.session import open_session
from nemo_jobs_cli.cli import options
from nemo_jobs_cli.core import names, signals, times
from nemo_jobs_cli.core.clock import SYSTEM_CLOCK
from nemo_jobs_cli.core.errors import NotDeliveredError, UsageError
from nemo_jobs_cli.core.outcome import Target
from nemo_jobs_cli.core.text import one_line
from nemo_jobs_cli.delivery import policy
from nemo_jobs_cli.fields import lines
from nemo_jobs_cli.output import render
from nemo_jobs_cli.output.screen import make_screen
from nemo_jobs_cli.reporting.coalesce import Coalescer
from nemo_jobs_cli.reporting.match import Matcher
from nemo_jobs_cli.reporting.reporter import Reporter
from nemo_jobs_cli.run import child, launcher
from nemo_jobs_cli.run import view as run_view
from nemo_jobs_cli.run.channel import Channel, ChannelTarget
from nemo_jobs_cli.run.listener import OutputListener
from nemo_jobs_cli.run.status import ExitStatus, StatusFields
from nemo_jobs_cli.run.view import RunView
from nemo_jobs_cli.settings import resolve
from nemo_jobs_cli.settings.model import Flags

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nemo_jobs_cli.core.errors import NemoJobsError
    from nemo_jobs_cli.settings.model import Screen, Settings

# So many bad lines of the channel are told of: they stand between those of the command.
MOST_TOLD = 20

# How long matching may go on after the command's end, in seconds: what it printed last matters most.
LAST_LINES = 2.0


class Options(NamedTuple):
    """What `run` was asked to do; times in seconds."""

    words: tuple[str, ...]
    job: str
    workspace: str
    patterns: tuple[str, ...] = ()
    tail: int = 0
    interval: float = 1.0
    heartbeat: float = 30.0
    grace: float = 10.0
    terminal: bool = False
    report: str | None = None
    silent: bool = False


@options.with_keeping_flags
def command(
    context: typer.Context,
    stray: Annotated[
        list[str] | None,
        typer.Argument(metavar="[JOB] -- COMMAND...", help="The job, else the one this runs in; what to run."),
    ] = None,
    *,
    match: Annotated[
        list[str] | None,
        typer.Option(
            "--match", metavar="REGEX", help="Find fields in the output: named groups, or tqdm, rich; may repeat."
        ),
    ] = None,
    number: Annotated[
        list[str] | None, typer.Option("--number", metavar="KEY", help="What KEY is found as is a number; may repeat.")
    ] = None,
    tail: Annotated[
        int,
        typer.Option("--tail", metavar="N", min=0, help="Report the last N lines of output of a command that fails."),
    ] = 0,
    interval: Annotated[str, typer.Option("--interval", metavar="TIME", help="Send at most once in TIME.")] = "1s",
    heartbeat: Annotated[
        str, typer.Option("--heartbeat", metavar="TIME", help="After TIME without news send lastUpdated (0: never).")
    ] = "30s",
    grace: Annotated[
        str, typer.Option("--grace", metavar="TIME", help="After TERM give the command TIME, then KILL.")
    ] = "10s",
    pty: Annotated[
        bool | None,
        typer.Option(
            "--pty/--no-pty", help="Give the command a terminal while its output is read (else as stdout is)."
        ),
    ] = None,
    report: Annotated[
        str | None, typer.Option("--report", metavar="FILE", help="Write what was reported to FILE, as JSON.")
    ] = None,
    all_ranks: Annotated[
        bool, typer.Option("--all-ranks", help="Report from every process of a launch, not only from rank 0.")
    ] = False,
    flags: Flags = Flags(),  # noqa: B008 - frozen, and replaced by the decorator
) -> None:
    r"""Run COMMAND and report its life: running, progress, completed or failed.

    COMMAND's output, input, signals and exit code are its own, whatever becomes of the reports.

    \b
    It may speak for itself:  echo progress=45 > "$NEMO_JOBS_CHANNEL"
    or, for the same job:     nemo-jobs update progress=45

    \b
    Examples:
      nemo-jobs run -- python train.py           # in a job: its name is known
      nemo-jobs run train-llama --match tqdm -- python train.py
      nemo-jobs run train-llama --match 'loss=(?P<val_loss>[\d.]+)' -- ./train.sh
    """
    _ = number  # reaches the settings through the flags
    where, screen = resolve.load_settings(flags), make_screen(flags, stderr=True)
    asked = parse(
        context.obj["command"], stray or (), where, screen,
        Options((), "", "", tuple(match or ()), tail, times.parse_duration(interval, "--interval"),
                times.parse_duration(heartbeat, "--heartbeat"), times.parse_duration(grace, "--grace"), report=report),
        pty=pty, all_ranks=all_ranks, on_terminal=make_screen(flags).terminal,
    )  # fmt: skip
    raise typer.Exit(run(asked, where, screen))


def parse(
    words: Sequence[str] | None,
    stray: Sequence[str],
    settings: Settings,
    screen: Screen,
    asked: Options,
    *,
    pty: bool | None = None,
    all_ranks: bool = False,
    on_terminal: bool = False,
) -> Options:
    """Return the options with the command and the job; raise UsageError where they make no sense."""
    if os.name != "posix":
        raise UsageError("run needs a POSIX system", "on others report with: nemo-jobs update, or nemo-jobs stream")
    if screen.output != "text":
        raise UsageError("stdout belongs to the command, not to -o json", "write to a file: --report FILE")
    if words is None or len(stray) > 1:
        what = (
            f"'{one_line(stray[-1], 80)}' stands before --" if words is not None else "no -- stands before the command"
        )
        raise UsageError(what, "write: nemo-jobs run JOB -- COMMAND...; only JOB and options stand before --")
    if not words or not words[0]:
        raise UsageError("no command stands after --", "say which: nemo-jobs run -- python train.py")
    silent_rank = None if all_ranks else launcher.find_silent_rank(resolve.environment())
    if silent_rank is not None and not screen.quiet:
        render.message(f"{run_view.NAME}: {silent_rank.notice}")
    listens = bool(asked.patterns or asked.tail)
    return asked._replace(
        words=tuple(words),
        job=resolve.require_job(stray[0] if stray else None, settings.job, "nemo-jobs run JOB -- COMMAND"),
        workspace=names.check_workspace(settings.workspace.value, f"workspace ({settings.workspace.source})"),
        terminal=listens and (on_terminal if pty is None else pty),
        silent=silent_rank is not None,
    )


def run(asked: Options, settings: Settings, screen: Screen) -> int:
    """Run the command, report it, and return the command's own exit code."""
    gc.enable()  # off for one-shot calls, but this one may run for days
    matcher = Matcher(asked.patterns, settings.numbers.value) if asked.patterns else None
    view = RunView(screen, hold=asked.terminal)
    fields = StatusFields(settings.run_keys.value)
    reporter = _reporter(asked, settings, view, fields)
    listener = OutputListener(matcher, reporter.add, view.say)
    channel = _channel(asked, settings, reporter, view)
    late = signals.LateSignalHandler()
    child_options = child.ChildOptions(
        listener.feed if matcher is not None or asked.tail else None,
        asked.grace,
        asked.terminal,
        signal_handler=late.hear,
    )
    with ExitStack() as closing:
        if channel is not None:
            closing.callback(shutil.rmtree, channel.path.parent, ignore_errors=True)
        process, ended = None, ExitStatus()
        try:
            process = child.Child(asked.words, _environment(asked, settings, channel), child_options)
        except child.CommandError as error:
            ended = ExitStatus(code=error.code, start_error=error.message)
            render.error(error, "run", screen)
        if not asked.silent:
            reporter.add(fields.running())
            reporter.start()
        listener.start()
        if channel is not None:
            channel.start()
        if process is not None:
            ended = process.wait()
        last = fields.ended(ended, listener.tail(asked.tail))
        flow = None
        try:
            late.arm()
            listener.finish(LAST_LINES)
            if channel is not None:
                channel.finish()
            if not asked.silent:
                flow = reporter.finish(last, settings.deadline.value)
            late.disarm()
        except KeyboardInterrupt:
            flow = None if asked.silent else reporter.flow._replace(error=NotDeliveredError(
                "interrupted before the end of the command was reported", "give it the time: --deadline"))  # fmt: skip
    flow = None if flow is None else policy.settle(flow, reporter.unacknowledged, settings)
    view.finish(flow)
    if asked.report is not None:
        view.write_report(asked.report, asked.job, ended, last, flow)
    return ended.exit_code


def _reporter(asked: Options, settings: Settings, view: RunView, fields: StatusFields) -> Reporter:
    return Reporter(
        Target(asked.workspace, asked.job),
        Coalescer(asked.interval),
        lambda: open_session(settings, SYSTEM_CLOCK.now()),
        on_event=view.on_event,
        make_heartbeat=fields.heartbeat,
        heartbeat=asked.heartbeat or None,
    )


def _channel(asked: Options, settings: Settings, reporter: Reporter, view: RunView) -> Channel | None:
    """Open the side channel, whose lines are updates; None where there is no place for one."""
    number = told = 0

    def bad(error: NemoJobsError) -> None:
        nonlocal told
        told += 1
        if told <= MOST_TOLD:
            view.say(f"skipped {error.message}; {error.hint}")
        elif told == MOST_TOLD + 1:
            view.say("more lines of the channel are skipped without a word")

    def read(data: bytes) -> None:
        nonlocal number
        found = lines.merge(data.decode("utf-8", "replace"), number + 1, "channel", settings.numbers.value, bad)
        number += found.lines
        if found.updates:
            reporter.add(found.fields, found.updates)

    try:
        return Channel(ChannelTarget(settings.host.value, asked.workspace, asked.job), read)
    except OSError as error:
        view.say(f"there is no NEMO_JOBS_CHANNEL: {error.strerror}")
        return None


def _environment(asked: Options, settings: Settings, channel: Channel | None) -> dict[str, str]:
    """Return what the command inherits: everything, and whom to report to; without a token that was meant for us."""
    found = resolve.environment()
    for name in ("NEMO_JOBS_TOKEN", "NEMO_JOBS_CHANNEL"):
        found.pop(name, None)
    if channel is not None:
        found["NEMO_JOBS_CHANNEL"] = str(channel.path)
    return found | {
        "NEMO_JOBS_HOST": settings.host.value,
        "NEMO_JOBS_JOB": asked.job,
        "NEMO_JOBS_WORKSPACE": asked.workspace,
    }
