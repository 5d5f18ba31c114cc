"""`nemo-jobs run`: run a command and report its progress and end."""

from __future__ import annotations

import gc
import os
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from nemo_jobs_cli.api.session import open_session
from nemo_jobs_cli.cli import helptext, params
from nemo_jobs_cli.core import signals
from nemo_jobs_cli.core.clock import SYSTEM_CLOCK
from nemo_jobs_cli.core.errors import NotDeliveredError, UsageError, bug_error
from nemo_jobs_cli.core.files import check_writable, os_reason, unwritable
from nemo_jobs_cli.core.outcome import FlowResult
from nemo_jobs_cli.core.text import one_line
from nemo_jobs_cli.delivery import policy
from nemo_jobs_cli.fields import lines
from nemo_jobs_cli.output import render
from nemo_jobs_cli.output.screen import make_screen
from nemo_jobs_cli.reporting.coalesce import Coalescer
from nemo_jobs_cli.reporting.pace import INTERVAL
from nemo_jobs_cli.reporting.reporter import Reporter
from nemo_jobs_cli.run import child, launcher, reaper
from nemo_jobs_cli.run import task as run_task
from nemo_jobs_cli.run import view as run_view
from nemo_jobs_cli.run.channel import Channel, ChannelTarget
from nemo_jobs_cli.run.listener import OutputListener
from nemo_jobs_cli.run.status import ExitStatus, StatusFields
from nemo_jobs_cli.run.view import RunView
from nemo_jobs_cli.settings import resolve, urls
from nemo_jobs_cli.settings.model import Sourced

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nemo_jobs_cli.core.errors import NemoJobsError
    from nemo_jobs_cli.fields.flow import FlowValues
    from nemo_jobs_cli.run.task import Task
    from nemo_jobs_cli.settings.model import Screen, Settings

# Messages about bad channel lines appear between the lines of the command, so their number is limited.
MAX_BAD_LINES = 20

# How long matching may go on after the command has ended, in seconds: the last lines matter most, and the listener may
# still have to read megabytes, on a loaded machine.
MATCH_LIMIT = 10.0


@dataclass(frozen=True, slots=True)
class Options:
    """The options of `run`; times in seconds."""

    words: Annotated[
        tuple[str, ...],
        params.argument(
            "[JOB] -- COMMAND...", "Job [default: the job this runs in] [env: NEMO_JOBS_JOB], then the command to run"
        ),
    ] = ()
    match: params.Match = ()
    tail: Annotated[
        int,
        params.option("--tail", metavar="N", min=0, help="If COMMAND fails, report its last N lines", default="0"),
    ] = 0
    interval: Annotated[float, params.duration("--interval", help="Send at most once per TIME", default="1s")] = (
        INTERVAL
    )
    heartbeat: Annotated[
        float,
        params.duration("--heartbeat", help="Send lastUpdated after TIME without news; 0 is never", default="30s"),
    ] = 30.0
    grace: Annotated[
        float,
        params.duration("--grace", help="Send KILL if COMMAND still runs TIME after TERM; 0 is never", default="0"),
    ] = 0.0
    pty: Annotated[
        bool | None,
        params.option(
            "--pty/--no-pty", help="Give COMMAND a terminal while its output is read", default="same as stdout"
        ),
    ] = None
    report: Annotated[
        str | None, params.option("--report", metavar="FILE", help="Write all reported fields to FILE as JSON")
    ] = None
    all_ranks: params.AllRanks = False
    prefix: Annotated[
        str,
        params.option("--prefix", metavar="TEXT", help="Report each KEY as TEXT and KEY: for several runs of one job"),
    ] = ""


app = helptext.app()


@params.command(app, "run", "number", *params.DELIVERY, *params.CONNECTION, *params.PROSE)
def run(options: Options, invocation: params.Invocation) -> int:
    r"""Run COMMAND and report its progress and whether it completed or failed.

    COMMAND keeps its input, output, signals and exit code, even if reports fail.

    \b
    COMMAND can report itself:     echo progress=45 > "$NEMO_JOBS_CHANNEL"
    or, for the same job:          nemo-jobs update progress=45

    With --match and without a terminal, PYTHONUNBUFFERED=1 is set for COMMAND if it is unset.
    Programs in other languages may need --pty.

    \b
    Examples:
      nemo-jobs run -- python train.py           # inside a job, JOB is known
      nemo-jobs run train-llama --match tqdm -- python train.py
      nemo-jobs run train-llama --match 'loss=(?P<val_loss>[\d.]+)' -- ./train.sh

    \b
    Exit codes:
      COMMAND's own; 128 + N if signal N ended it; 126 or 127 if it cannot start
      2 or 3 for a mistake in JOB or an option: COMMAND was not started

    After any other problem, such as a broken config file, COMMAND runs without reports.
    """
    flags = invocation.flags._replace(output="text")  # stdout belongs to COMMAND, whatever NEMO_JOBS_OUTPUT says
    screen = make_screen(flags, stderr=True)
    command = parse_command(options, invocation)
    stdout_is_terminal = make_screen(flags).terminal
    terminal = bool(options.match or options.tail) and (stdout_is_terminal if options.pty is None else options.pty)
    task = run_task.load(command, next(iter(options.words), None), options.match, flags)
    silent_rank = None if options.all_ranks else launcher.find_silent_rank(resolve.environment())
    if silent_rank is not None:
        task = task._replace(is_silent=True)
        if not screen.quiet:
            render.message(f"{run_view.NAME}: {silent_rank.notice}")
    elif task.error is not None:
        render.error(task.error, "run", screen)
        render.message("warning: running the command without reports")
    return reaper.supervise(lambda: run_command(task, options, screen, terminal=terminal))


def parse_command(options: Options, invocation: params.Invocation) -> tuple[str, ...]:
    """Return the words of the command, or raise UsageError."""
    command = invocation.wrapped
    syntax = "write: nemo-jobs run JOB -- COMMAND..., with only JOB and options before --"
    if os.name != "posix":
        raise UsageError("cannot run a command: not a POSIX system", "use nemo-jobs update or nemo-jobs stream")
    if command is None:
        raise UsageError("missing -- before the command", syntax)
    if len(options.words) > 1:
        raise UsageError(f"unexpected argument before --: {one_line(options.words[-1], 80)}", syntax)
    run_task.refuse_stdin(invocation.flags.token_file, "--token-file")
    if not command or not command[0]:
        raise UsageError("missing command after --", "name it: nemo-jobs run JOB -- python train.py")
    if options.report is not None:
        try:
            check_writable(options.report)
        except OSError as error:
            raise unwritable("--report", options.report, error) from None
    return command


def run_command(task: Task, options: Options, screen: Screen, *, terminal: bool) -> int:
    """Run the command, report its progress, and return its exit code."""
    gc.enable()  # off for short calls; this one may run for days
    view = RunView(screen, hold=terminal)
    task.values.on_note = view.say
    fields = StatusFields(task.settings.run_keys.value, options.prefix)
    reporter = _reporter(task, options, view, fields)
    add = _make_add(reporter, fields, task.values)
    listener = OutputListener(task.matcher, add, view.say)
    channel = _channel(task, add, view)
    late = signals.LateSignalHandler()
    child_options = child.ChildOptions(
        listener.feed if task.matcher is not None or options.tail else None,
        on_signal=lambda number: reporter.add(fields.received(number)),
        grace=options.grace or None,
        terminal=terminal,
        signal_handler=late.handle,
        channel="" if channel is None else str(channel.path),
    )
    with ExitStack() as closing:
        if channel is not None:
            closing.callback(channel.remove)
        started = _start_command(task, child_options, screen)
        if not task.is_silent:
            reporter.add(fields.running())
        problem = _start(None if task.is_silent else reporter, listener, channel)
        ended = started if isinstance(started, ExitStatus) else started.wait()
        if problem is not None:
            render.error(problem, "run", screen)
            return ended.exit_code
        fields.end(ended)
        flow = None
        try:
            late.enable()
            listener.finish(MATCH_LIMIT)
            if channel is not None:
                channel.finish()
            if not task.is_silent:
                ended_fields = fields.ended(listener.tail(options.tail))
                flow = reporter.finish(ended_fields, task.settings.deadline.value, view.on_wait)
            late.disable()
        except KeyboardInterrupt:
            if not task.is_silent:
                reporter.add(fields.ended(listener.tail(options.tail)))  # `finish` may not have added them yet
                message = "interrupted before the end of the command was reported"
                flow = reporter.flow._replace(error=NotDeliveredError(message, "wait longer: --deadline 60"))
    task.values.finish()
    flow = None if flow is None else policy.settle(flow, reporter.unacknowledged, _outbox_settings(task, channel))
    unmatched = [] if task.matcher is None or ended.start_error or task.is_silent else task.matcher.unmatched
    view.finish(flow, unmatched)
    if options.report is not None:
        report = FlowResult(error=task.error) if task.error else flow
        reported = reporter.reported | fields.ended(listener.tail(options.tail))
        view.write_report(options.report, task.target.job, ended, report, status_details=reported, unmatched=unmatched)
    return ended.exit_code


def _start_command(task: Task, options: child.ChildOptions, screen: Screen) -> child.Child | ExitStatus:
    """Start the command; if it cannot start, return that as its exit status."""
    environ = task.environment(options.channel, terminal=options.terminal)
    try:
        return child.Child(task.command, environ, options)
    except child.CommandError as error:
        render.error(error, "run", screen)
        return ExitStatus(code=error.code, start_error=error.message)


def _outbox_settings(task: Task, channel: Channel | None) -> Settings:
    """Return the settings of `run` with the outbox of a nested update."""
    outbox_dir = None if channel is None else channel.outbox_dir
    if outbox_dir is None or task.settings.outbox.value:
        return task.settings
    source = "update --outbox"
    return task.settings._replace(outbox=Sourced(True, source), outbox_dir=Sourced(outbox_dir, source))


def _start(*readers: Reporter | OutputListener | Channel | None) -> NemoJobsError | None:
    """Start threads; return an error if one cannot start."""
    try:
        for reader in readers:
            if reader is not None:
                reader.start()
    except Exception as error:  # noqa: BLE001 - the command goes on without reports
        return bug_error(error)
    return None


def _make_add(reporter: Reporter, fields: StatusFields, values: FlowValues) -> Callable[..., None]:
    def add(own: Mapping[str, Any], updates: int = 1) -> None:
        values.check_keys(own)
        fields.note(own)
        reporter.add(fields.add_prefix(own), updates)

    return add


def _reporter(task: Task, options: Options, view: RunView, fields: StatusFields) -> Reporter:
    return Reporter(
        task.target,
        Coalescer(options.interval),
        lambda: open_session(task.settings, SYSTEM_CLOCK.now(), renews=True, on_warning=view.say),
        on_event=view.on_event,
        make_stamp=fields.stamp,
        reset=lambda details: fields.reset(policy.with_stored(details, task.target, task.settings)),
        stamp=task.settings.stamp is None or task.settings.stamp.value,
        heartbeat=options.heartbeat or None,
    )


def _channel(task: Task, add: Callable[..., None], view: RunView) -> Channel | None:
    """Open the channel; return None if it cannot be created."""
    number = skipped = 0

    def on_bad_line(error: NemoJobsError) -> None:
        nonlocal skipped
        skipped += 1
        if skipped <= MAX_BAD_LINES:
            view.say(f"skipped {error.message}; {error.hint}")
        elif skipped == MAX_BAD_LINES + 1:
            view.say("further bad lines of the channel are skipped without a message")

    def read(data: bytes) -> None:
        nonlocal number
        batch = lines.merge(data.decode("utf-8", "replace"), number + 1, "channel", task.values, on_bad_line)
        number += batch.lines
        if batch.updates:
            add(batch.fields, batch.updates)

    try:
        # Without settings the target is empty, so that a nested update is sent directly.
        host = urls.normalize(task.settings.host.value)
        return Channel(ChannelTarget(host, *task.target), read)
    except OSError as error:
        view.say(f"cannot create NEMO_JOBS_CHANNEL: {os_reason(error)}")
        return None
