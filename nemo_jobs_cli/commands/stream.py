"""`nemo-jobs stream`: turn lines into updates of one job."""

from __future__ import annotations

import gc
import signal
import time
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from nemo_jobs_cli.api.session import open_session
from nemo_jobs_cli.cli import helptext, params
from nemo_jobs_cli.core import known_keys, signals, times
from nemo_jobs_cli.core.clock import SYSTEM_CLOCK
from nemo_jobs_cli.core.errors import ExitCode, NemoJobsError, NotDeliveredError, Stopped, UsageError
from nemo_jobs_cli.core.outcome import Kept
from nemo_jobs_cli.core.text import one_line
from nemo_jobs_cli.delivery import policy
from nemo_jobs_cli.fields.files import STDIN
from nemo_jobs_cli.fields.flow import FlowValues
from nemo_jobs_cli.output import outbox_view, prompt, render
from nemo_jobs_cli.output.screen import make_screen
from nemo_jobs_cli.reporting.coalesce import Coalescer
from nemo_jobs_cli.reporting.match import Matcher
from nemo_jobs_cli.reporting.pace import INTERVAL
from nemo_jobs_cli.reporting.reporter import Reporter
from nemo_jobs_cli.reporting.source import LineReader, is_missing, read_chunks
from nemo_jobs_cli.reporting.view import StreamView
from nemo_jobs_cli.run import launcher
from nemo_jobs_cli.run.terminal import write_in_steps
from nemo_jobs_cli.settings import resolve
from nemo_jobs_cli.settings.model import FLOW_DEADLINE

if TYPE_CHECKING:
    from nemo_jobs_cli.core.outcome import FlowResult, Target
    from nemo_jobs_cli.fields.lines import MergedLines
    from nemo_jobs_cli.settings.model import Screen, Settings


@dataclass(frozen=True, slots=True)
class Options:
    """The options of `stream`; times in seconds."""

    job: params.Job = None
    source: Annotated[
        str, params.option("--input", "-i", metavar="FILE", help="Read FILE or a FIFO", default="stdin")
    ] = STDIN
    follow: Annotated[
        bool, params.option("--follow", help="Wait for the file of --input, and keep reading as it grows")
    ] = False
    match: params.Match = ()
    interval: params.Interval = INTERVAL
    max_wait: Annotated[
        float,
        params.duration("--max-wait", help="Wait for a pause in the input before sending, at most TIME", default="0"),
    ] = 0.0
    tee: Annotated[bool, params.option("--tee", help="Copy the input to stdout")] = False
    strict: Annotated[bool, params.option("--strict", help="Stop at the first bad line")] = False
    all_ranks: params.AllRanks = False


app = helptext.app()


@params.command(app, "stream", "number", *params.DELIVERY, *params.CONNECTION, *params.OUTPUT)
def stream(options: Options, invocation: params.Invocation) -> int:
    r"""Turn lines into updates of one job.

    \b
    A line is a JSON object, or fields as for `update` (but not key@=file):
      {"step": 120, "train_loss": 0.31}
      progress=45 message="batch 3 of 10"

    Updates are merged: the last value of each key is sent, at most once per interval. The first
    update is sent immediately, and the last one always. A bad line is skipped with a warning.

    \b
    Examples:
      ./train.sh | nemo-jobs stream train-llama
      ./train.sh 2>&1 | nemo-jobs stream train-llama --match tqdm --tee
      nemo-jobs stream -i metrics.jsonl --follow  # inside a job, JOB is known

    \b
    Exit codes:
      0  all delivered, or stored or dropped as configured
      2  invalid usage, or a bad line with --strict
      3  invalid settings
      4  not authorized (401, 403)
      5  no such job or workspace
      6  rejected by the server
      7  the last update was not delivered before the deadline
    """
    settings = resolve.load_settings(invocation.flags, deadline=FLOW_DEADLINE)
    screen = make_screen(invocation.flags)
    check(options, settings, screen)
    target = resolve.require_target(options.job, settings, "nemo-jobs stream JOB")
    silent_rank = None if options.all_ranks else launcher.find_silent_rank(resolve.environment())
    if silent_rank is not None and not screen.quiet:
        render.message(silent_rank.notice)
    if options.follow and not screen.quiet and is_missing(options.source):
        render.message(f"waiting for {one_line(options.source, 300)} to appear")
    if options.source == STDIN:
        prompt.announce_stdin(screen)
    return run(options, target, settings, screen, silent=silent_rank is not None)


def check(options: Options, settings: Settings, screen: Screen) -> None:
    """Raise UsageError if the options contradict each other or the settings."""
    if options.tee and screen.output != "text":
        raise UsageError("cannot combine --tee and -o json: both write to stdout", "remove one of them")
    if options.follow and options.source == STDIN:
        raise UsageError("--follow needs --input", "name a file: --input FILE; stdin is read to its end anyway")
    if options.source == STDIN and settings.credential is not None and settings.credential[:2] == ("file", "-"):
        raise UsageError("cannot read both the lines and the token from stdin", "use --token-file FILE or --input FILE")


def run(options: Options, target: Target, settings: Settings, screen: Screen, *, silent: bool) -> int:
    """Read to the end or a signal, report, and return the exit code."""
    gc.enable()  # off for short calls; this one may run for days
    view = StreamView(
        screen, target.job, stdout_taken=options.tee, typed=options.source == STDIN and prompt.can_prompt()
    )
    values = FlowValues(settings.numbers.value, view.warn)
    matcher = Matcher(options.match, values) if options.match else None
    name = "stdin" if options.source == STDIN else options.source
    reader = LineReader(name, values, view.on_bad_line, matcher, strict=options.strict)
    reporter = Reporter(
        target,
        Coalescer(options.interval, options.max_wait),
        lambda: open_session(settings, SYSTEM_CLOCK.now(), renews=True, on_warning=view.warn),
        on_event=view.on_event,
        make_stamp=lambda: {known_keys.STAMP: times.format_timestamp(time.time())},
        stamp=settings.stamp is None or settings.stamp.value,
    )
    reporter.start()
    failure = stopped = flow = None
    try:
        failure = _read(options, reader, values, reporter, view, silent=silent)
        flow = _send_last(reporter, values, settings, screen, view)
    except Stopped as error:  # at any point: Ctrl-C reaches all processes, so the input may have ended before
        stopped = error
    if flow is None:
        flow = _send_last(reporter, values, settings, screen, view)
    if failure is not None:
        raise failure
    if flow.error is not None:
        code = int(flow.error.exit_code)
    else:
        code = ExitCode.OK if stopped is None else 128 + stopped.number
    view.print_summary(reader.lines, flow, code, [] if matcher is None else matcher.unmatched)
    if flow.error is not None and screen.output == "text":
        raise flow.error
    return code


def _read(
    options: Options, reader: LineReader, values: FlowValues, reporter: Reporter, view: StreamView, *, silent: bool
) -> NemoJobsError | OSError | None:
    """Add the updates of the input; return the error that ended it."""

    def add(batch: MergedLines) -> None:
        if batch.updates and not silent:
            values.check_keys(batch.fields)
            reporter.add(batch.fields, batch.updates)
        view.refresh(reader.lines, reporter.flow)
        if reader.error is not None:
            raise reader.error

    # A signal must not lose what was read; but a slow pattern must not hold it up.
    whole = nullcontext if options.match else signals.deferred
    try:
        with view:
            for chunk in read_chunks(options.source, follow=options.follow):
                if options.tee:
                    write_in_steps(1, chunk)
                with whole():
                    add(reader.feed(chunk))
            with whole():
                add(reader.finish())
    except (NemoJobsError, OSError) as error:  # OSError: the reader of --tee has closed the pipe
        return error
    return None


def _send_last(
    reporter: Reporter, values: FlowValues, settings: Settings, screen: Screen, view: StreamView
) -> FlowResult:
    """Send the last update; on failure, store or drop it as configured."""
    values.finish()
    interrupt = None
    try:
        flow = reporter.finish({}, settings.deadline.value, view.on_wait)
    except KeyboardInterrupt:  # a second Ctrl-C
        interrupt = Stopped(signal.SIGINT)
        flow = reporter.flow._replace(error=NotDeliveredError("interrupted", "wait longer: --deadline 60"))
    flow = policy.settle(flow, reporter.unacknowledged, settings)
    if interrupt is not None:
        interrupt.kept = isinstance(flow.kept, Kept)
        raise interrupt
    if flow.kept is not None and screen.output == "text":
        outbox_view.kept_or_dropped(screen, flow.kept)
    return flow
