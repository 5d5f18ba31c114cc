"""`nemo-jobs run`: run a command and report its progress and end."""

from __future__ import annotations

import gc
import os
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from nemo_jobs_cli.cli import helptext, params
from nemo_jobs_cli.core import signals
from nemo_jobs_cli.core.errors import UsageError
from nemo_jobs_cli.core.files import check_writable, unwritable
from nemo_jobs_cli.core.text import one_line
from nemo_jobs_cli.output import render
from nemo_jobs_cli.output.screen import make_screen
from nemo_jobs_cli.reporting.pace import INTERVAL
from nemo_jobs_cli.run import child, launcher, reaper
from nemo_jobs_cli.run import task as run_task
from nemo_jobs_cli.run.reports import Reports
from nemo_jobs_cli.run.status import ExitStatus
from nemo_jobs_cli.run.view import RunView
from nemo_jobs_cli.settings import resolve

if TYPE_CHECKING:
    from nemo_jobs_cli.run.task import Task
    from nemo_jobs_cli.settings.model import Screen


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
    interval: params.Interval = INTERVAL
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
            "--pty/--no-pty", help="Give COMMAND a terminal while its output is read", default="if stdout is one"
        ),
    ] = None
    report: Annotated[
        str | None, params.option("--report", metavar="FILE", help="Write all reported fields to FILE as JSON")
    ] = None
    all_ranks: params.AllRanks = False
    prefix: Annotated[
        str,
        params.option("--prefix", metavar="TEXT", help="Put TEXT before each key, for several runs of one job"),
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
        RunView(screen).say(silent_rank.notice)
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
    late = signals.LateSignalHandler()
    with ExitStack() as stack:
        with signals.deferred():  # a signal would leave the folder of its channel
            reports = Reports(
                task,
                view,
                interval=options.interval,
                heartbeat=options.heartbeat,
                prefix=options.prefix,
                tail=options.tail,
            )
            stack.callback(reports.close)
        child_options = child.ChildOptions(
            reports.on_output,
            on_signal=reports.on_signal,
            grace=options.grace or None,
            terminal=terminal,
            signal_handler=late.handle,
            channel=reports.channel_path,
        )
        started = _start_command(task, child_options, screen)
        problem = reports.start()
        ended = started if isinstance(started, ExitStatus) else started.wait()
        if problem is None:
            reports.finish(ended, late, options.report)
        else:
            render.error(problem, "run", screen)
    return ended.exit_code


def _start_command(task: Task, options: child.ChildOptions, screen: Screen) -> child.Child | ExitStatus:
    """Start the command; if it cannot start, return that as its exit status."""
    environ = task.environment(options.channel, terminal=options.terminal)
    try:
        return child.Child(task.command, environ, options)
    except child.CommandError as error:
        render.error(error, "run", screen)
        return ExitStatus(code=error.code, start_error=error.message)
