"""`nemo-jobs apply`: send many updates of many jobs from a file."""

from __future__ import annotations

import gc
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

from nemo_jobs_cli.api.session import Session, open_session
from nemo_jobs_cli.cli import helptext, params
from nemo_jobs_cli.core import deadline, known_keys, times
from nemo_jobs_cli.core.errors import NemoJobsError, Stopped, UsageError, worst_exit_code
from nemo_jobs_cli.core.files import check_writable, is_stream, unwritable, write_file
from nemo_jobs_cli.core.outcome import Delivered, Kept
from nemo_jobs_cli.delivery import batch, pool
from nemo_jobs_cli.fields import files, strict_json
from nemo_jobs_cli.output import apply_view, prompt, render
from nemo_jobs_cli.output.screen import make_screen
from nemo_jobs_cli.settings import resolve

if TYPE_CHECKING:
    from nemo_jobs_cli.core.outcome import Update
    from nemo_jobs_cli.delivery.batch import BatchItem
    from nemo_jobs_cli.delivery.pool import Outcome
    from nemo_jobs_cli.settings.model import Screen, Settings

MAX_WORKERS = 64
MAX_WARNINGS = 10


@dataclass(frozen=True, slots=True)
class Options:
    """The options of `apply`."""

    file: Annotated[str, params.argument("FILE", "NDJSON or a JSON array (- is stdin)")]
    dry_run: Annotated[bool, params.option("--dry-run", help="Check the file and print the plan; send nothing")] = False
    concurrency: Annotated[
        int,
        params.option(
            "--concurrency", metavar="N", min=1, max=MAX_WORKERS, help="Send updates of N jobs at once", default="4"
        ),
    ] = 4
    fold: Annotated[
        bool,
        params.option("--fold/--no-fold", help="Merge the updates of a job, or send each in order", default="fold"),
    ] = True
    fail_fast: Annotated[bool, params.option("--fail-fast", help="Start nothing new after the first failure")] = False
    failed: Annotated[
        str | None, params.option("--failed", metavar="FILE", help="Write undelivered updates to FILE")
    ] = None
    allow_large: params.AllowLarge = False


app = helptext.app()


@params.command(app, "apply", *params.DELIVERY, *params.CONNECTION, *params.OUTPUT)
def apply(options: Options, invocation: params.Invocation) -> int:
    r"""Send many updates of many jobs from a file.

    \b
    An update is one line, or one element of an array:
      {"job": "x1", "workspace": "research", "status_details": {"progress": 45}}

    workspace is optional. Everything is checked before anything is sent. A failure does not
    stop the other jobs.

    \b
    Examples:
      nemo-jobs apply updates.ndjson
      nemo-jobs apply updates.ndjson --failed left.ndjson
      jq -c '.[] | {job, status_details: {step}}' jobs.json | nemo-jobs apply -

    \b
    Exit codes (the first of 1, 3, 2, 4, 6, 5, 7 that applies):
      0  all delivered, or stored or dropped as configured
      2  invalid usage or input
      3  invalid settings
      4  not authorized (401, 403)
      5  no such job or workspace
      6  rejected by the server
      7  not delivered before the deadline
    """
    flags = invocation.flags
    return run(options, resolve.load_settings(flags), make_screen(flags), invocation.started)


def run(options: Options, settings: Settings, screen: Screen, started: float) -> int:
    """Read and check the updates, send them, and return the exit code."""
    gc.enable()  # off for short calls; this one sends many requests
    workspace = resolve.require_workspace(settings)
    reader = files.InputReader(allow_large=True, on_stdin=lambda: prompt.announce_stdin(screen))
    text = reader.read_text(options.file).removeprefix("\ufeff")
    updates = batch.parse(text, "stdin" if options.file == files.STDIN else options.file, workspace)
    stamp, now = settings.stamp or settings.outbox, times.format_timestamp(time.time())
    items = [_stamped(item, now) for item in updates.items] if stamp.value else updates.items
    queues = batch.group_by_job(items, coalesce=options.fold)
    for item in (item for queue in queues for item in queue):
        _check_size(item, updates.warnings, allow_large=options.allow_large)
    render.warnings(updates.warnings[:MAX_WARNINGS], screen)
    if options.dry_run:
        apply_view.plan(screen, queues, len(updates.items))
        return 0
    if options.failed is not None:
        # Write all updates first: the file is complete even after a crash, and an unwritable path fails early.
        _write_failed(options.failed, [item.update for queue in queues for item in queue], is_last=False)
    session = open_session(settings, started, renews=True)
    report = apply_view.Report(screen, sum(len(queue) for queue in queues))
    return _send(options, queues, session, report)


def _send(options: Options, queues: list[list[BatchItem]], session: Session, report: apply_view.Report) -> int:
    codes: list[int] = []
    unsent: dict[int, Update] = {id(item): item.update for queue in queues for item in queue}
    stopped: Stopped | None = None

    def on_result(item: BatchItem, outcome: Outcome | None) -> None:
        if isinstance(outcome, Delivered | Kept):
            unsent.pop(id(item), None)
        codes.append(int(outcome.exit_code) if isinstance(outcome, NemoJobsError) else 0)
        report.add(item, outcome)
        if options.fail_fast and isinstance(outcome, NemoJobsError):
            workers.stop()

    workers = pool.WorkerPool(queues, session, options.concurrency, on_result)
    try:
        with report:
            try:
                workers.run()
            except Stopped as stop:
                stopped = stop
                workers.stop()
                # A second Ctrl-C interrupts this; --failed is written anyway.
                limit = session.settings.deadline.value or deadline.ONE_ATTEMPT_LIMIT
                workers.wait(lambda: report.on_wait(limit))
    finally:  # even after a bug
        left = list(unsent.values())
        if options.failed is not None:
            _write_failed(options.failed, left)
    code = worst_exit_code(codes) if stopped is None else 128 + stopped.number
    report.summary(code, len(left))
    return code


def _stamped(item: BatchItem, now: str) -> BatchItem:
    """Return the item with a timestamp, by which the outbox orders updates."""
    return replace(item, update=item.update._replace(fields={known_keys.STAMP: now, **item.update.fields}))


def _check_size(item: BatchItem, warnings: list[str], *, allow_large: bool) -> None:
    try:
        warning = files.check_size(strict_json.dumps(dict(item.update.fields)), allow_large=allow_large)
    except UsageError as error:
        raise UsageError(f"{item.location}: {error.message}; nothing was sent", error.hint) from None
    if warning:
        warnings.append(f"{item.location}: {warning}")


def _write_failed(path: str, updates: list[Update], *, is_last: bool = True) -> None:
    """Write undelivered updates; a pipe or device gets only the last ones."""
    try:
        if is_last or not is_stream(path):
            write_file(path, batch.dumps(updates))
        else:
            check_writable(path)
    except (OSError, ValueError) as error:
        raise unwritable("--failed", path, error) from None
