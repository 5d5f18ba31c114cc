"""`nemo-jobs stream`: turn lines into updates of one job, folded and sent at a bounded rate."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from nemo_jobs_cli.api.session import open_session
from nemo_jobs_cli.cli import options
from nemo_jobs_cli.core import names, times
from nemo_jobs_cli.core.clock import SYSTEM_CLOCK
from nemo_jobs_cli.core.errors import ExitCode, NemoJobsError, Stopped, UsageError
from nemo_jobs_cli.core.outcome import Target
from nemo_jobs_cli.delivery import policy
from nemo_jobs_cli.output import outbox_view, render
from nemo_jobs_cli.output.screen import make_screen
from nemo_jobs_cli.reporting.coalesce import Coalescer
from nemo_jobs_cli.reporting.match import Matcher
from nemo_jobs_cli.reporting.reporter import Reporter
from nemo_jobs_cli.reporting.source import STDIN, Batch, LineReader, read_chunks
from nemo_jobs_cli.reporting.view import StreamView
from nemo_jobs_cli.run import launcher
from nemo_jobs_cli.run.terminal import write_all
from nemo_jobs_cli.settings import resolve
from nemo_jobs_cli.settings.model import Flags

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nemo_jobs_cli.core.outcome import FlowResult
    from nemo_jobs_cli.settings.model import Screen, Settings

INTERVAL = "1s"


class Options(NamedTuple):
    """What `stream` was asked to do; times in seconds."""

    job: str
    workspace: str
    source: str
    patterns: tuple[str, ...]
    interval: float
    max_wait: float
    follow: bool
    tee: bool
    strict: bool
    silent: bool


@options.with_keeping_flags
def command(
    job: Annotated[str | None, typer.Argument(metavar="[JOB]", help="The job, else the one this runs in.")] = None,
    *,
    source: Annotated[
        str, typer.Option("--input", "-i", metavar="FILE", help="Read FILE or a FIFO instead of stdin.")
    ] = STDIN,
    follow: Annotated[bool, typer.Option("--follow", help="Go on reading --input as it grows.")] = False,
    match: Annotated[
        list[str] | None,
        typer.Option(
            "--match", metavar="REGEX", help="Find fields in any text: named groups, or tqdm, rich; may repeat."
        ),
    ] = None,
    number: Annotated[
        list[str] | None, typer.Option("--number", metavar="KEY", help="KEY=... is a number; may repeat.")
    ] = None,
    interval: Annotated[str, typer.Option("--interval", metavar="TIME", help="Send at most once in TIME.")] = INTERVAL,
    max_wait: Annotated[
        str, typer.Option("--max-wait", metavar="TIME", help="Wait for a quiet interval, but no longer than TIME.")
    ] = "0",
    tee: Annotated[bool, typer.Option("--tee", help="Pass the input through to stdout.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first bad line.")] = False,
    all_ranks: Annotated[
        bool, typer.Option("--all-ranks", help="Report from every process of a launch, not only from rank 0.")
    ] = False,
    flags: Flags = Flags(),  # noqa: B008 - frozen, and replaced by the decorator
) -> None:
    r"""Turn lines into updates of one job.

    \b
    A line is a JSON object, or fields as `update` takes them (none reads a file):
      {"step": 120, "train_loss": 0.31}
      progress=45 message="batch 3 of 10"

    Updates are folded: the last value of each key is sent, at most once an interval, the first
    at once and the last always. A bad line is told of by its number, and skipped.

    \b
    Examples:
      ./train.sh | nemo-jobs stream train-llama
      ./train.sh 2>&1 | nemo-jobs stream train-llama --match tqdm --tee
      nemo-jobs stream -i metrics.jsonl --follow  # in a job: its name is known
    """
    _ = number  # reaches the settings through the flags
    where, screen = resolve.load_settings(flags), make_screen(flags)
    asked = parse(job, source, match or (), where, screen, interval=interval, max_wait=max_wait, follow=follow, tee=tee,
                  strict=strict, all_ranks=all_ranks)  # fmt: skip
    raise typer.Exit(run(asked, where, screen))


def parse(
    job: str | None,
    source: str,
    match: Sequence[str],
    settings: Settings,
    screen: Screen,
    *,
    interval: str = INTERVAL,
    max_wait: str = "0",
    follow: bool = False,
    tee: bool = False,
    strict: bool = False,
    all_ranks: bool = False,
) -> Options:
    """Return the options as values; raise UsageError where they make no sense."""
    if tee and screen.output != "text":
        raise UsageError("--tee and -o json both want stdout", "leave one of them away")
    if follow and source == STDIN:
        raise UsageError("--follow needs a file to follow", "name it: --input FILE; stdin is read to its end anyway")
    if source == STDIN and settings.credential is not None and settings.credential[:2] == ("file", "-"):
        raise UsageError(
            "stdin holds the lines, so it can't hold the token", "give one: --token-file FILE, or --input FILE"
        )
    silent_rank = None if all_ranks else launcher.find_silent_rank(resolve.environment())
    if silent_rank is not None and not screen.quiet:
        render.message(silent_rank.notice)
    return Options(
        resolve.require_job(job, settings.job, "nemo-jobs stream JOB"),
        names.check_workspace(settings.workspace.value, f"workspace ({settings.workspace.source})"),
        source,
        tuple(match),
        times.parse_duration(interval, "--interval"),
        times.parse_duration(max_wait, "--max-wait"),
        follow,
        tee,
        strict,
        silent_rank is not None,
    )


def run(asked: Options, settings: Settings, screen: Screen) -> int:
    """Read to the end, report, and return the exit code; what came until a signal is sent before it ends us."""
    gc.enable()  # off for one-shot calls, but this one may run for days
    view = StreamView(screen, asked.job, stdout_taken=asked.tee)
    matcher = Matcher(asked.patterns, settings.numbers.value) if asked.patterns else None
    name = "stdin" if asked.source == STDIN else asked.source
    reader = LineReader(name, settings.numbers.value, view.on_bad_line, matcher, strict=asked.strict)
    reporter = Reporter(
        Target(asked.workspace, asked.job),
        Coalescer(asked.interval, asked.max_wait),
        lambda: open_session(settings, SYSTEM_CLOCK.now()),
        on_event=view.on_event,
    )
    if not asked.silent:
        reporter.start()
    stopped: Stopped | NemoJobsError | OSError | None = None
    try:
        with view:
            for batch in _batches(asked, reader):
                if batch.updates and not asked.silent:
                    view.check_keys(batch.fields, settings.numbers.value)
                    reporter.add(batch.fields, batch.updates)
                view.refresh(reader.lines, reporter.flow)
    except (Stopped, NemoJobsError, OSError) as why:  # OSError: nobody takes what we pass through any more
        stopped = why
    flow = reporter.flow
    if not asked.silent:
        try:
            flow = reporter.finish({}, settings.deadline.value)
        except Stopped as why:  # a supervisor stops everybody: our input ended first, and the last is on its way
            stopped = stopped or why
            flow = reporter.finish({}, settings.deadline.value)
        flow = policy.settle(flow, reporter.unacknowledged, settings)
        if flow.kept is not None and screen.output == "text":
            outbox_view.kept_or_dropped(screen, flow.kept)
    if stopped is not None and not isinstance(stopped, Stopped):
        raise stopped
    code = _code(flow, stopped)
    view.print_summary(reader.lines, flow, code)
    if flow.error is not None and screen.output == "text":
        raise flow.error
    return code


def _batches(asked: Options, reader: LineReader) -> Iterator[Batch]:
    """Yield what the input amounts to, piece by piece."""
    for chunk in read_chunks(asked.source, follow=asked.follow):
        if asked.tee:
            write_all(1, chunk)
        yield reader.feed(chunk)
        if reader.error is not None:
            raise reader.error
    yield reader.finish()
    if reader.error is not None:
        raise reader.error


def _code(flow: FlowResult, stopped: Stopped | None) -> int:
    if flow.error is not None:
        return int(flow.error.exit_code)
    return ExitCode.OK if stopped is None else 128 + stopped.number
