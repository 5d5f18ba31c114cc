"""`nemo-jobs apply`: send many updates of many jobs from one file."""

from __future__ import annotations

import gc
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from nemo_jobs_cli.api.session import Session, open_session
from nemo_jobs_cli.cli import options
from nemo_jobs_cli.core import known_keys, names, times
from nemo_jobs_cli.core.errors import NemoJobsError, Stopped, UsageError, worst_exit_code
from nemo_jobs_cli.core.files import write_atomic
from nemo_jobs_cli.core.outcome import Delivered, Kept
from nemo_jobs_cli.core.text import one_line
from nemo_jobs_cli.delivery import batch, pool
from nemo_jobs_cli.fields import files, strict_json
from nemo_jobs_cli.output import apply_view, render
from nemo_jobs_cli.output.screen import make_screen
from nemo_jobs_cli.settings import resolve
from nemo_jobs_cli.settings.model import Flags

if TYPE_CHECKING:
    from nemo_jobs_cli.core.outcome import Update
    from nemo_jobs_cli.delivery.batch import BatchItem, JobQueue
    from nemo_jobs_cli.delivery.pool import ItemResult
    from nemo_jobs_cli.settings.model import Screen, Settings

MOST_WORKERS = 64
MOST_WARNINGS = 10


class Options(NamedTuple):
    """What `apply` was asked to do."""

    path: str
    dry_run: bool = False
    workers: int = 4
    fold: bool = True
    fail_fast: bool = False
    failed: str | None = None
    allow_large: bool = False


@options.with_keeping_flags
def command(
    context: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE", help="NDJSON or a JSON array (- is stdin).")],
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, show the plan, send nothing.")] = False,
    concurrency: Annotated[
        int, typer.Option("--concurrency", metavar="N", min=1, max=MOST_WORKERS, help="Send N jobs' updates at once.")
    ] = 4,
    fold: Annotated[
        bool, typer.Option("--fold/--no-fold", help="Send the updates of one job as one, or each by itself, in order.")
    ] = True,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Begin nothing more after the first failure.")] = False,
    failed: Annotated[
        str | None, typer.Option("--failed", metavar="FILE", help="Write what is left to FILE, for the next apply.")
    ] = None,
    allow_large: Annotated[bool, typer.Option("--allow-large", help="Send an update of more than 4 MiB.")] = False,
    flags: Flags = Flags(),  # noqa: B008 - frozen, and replaced by the decorator
) -> None:
    r"""Send many updates of many jobs from one file.

    \b
    An entry, a line or an element of an array, is
      {"job": "x1", "workspace": "research", "status_details": {"progress": 45}}

    where workspace may be left away. Everything is checked before anything is sent. Failures
    don't stop the rest; the exit code is the worst of all.

    \b
    Examples:
      nemo-jobs apply updates.ndjson
      nemo-jobs apply updates.ndjson --failed left.ndjson
      jq -c '.[] | {job, status_details: {step}}' jobs.json | nemo-jobs apply -
    """
    asked = Options(file, dry_run, concurrency, fold, fail_fast, failed, allow_large)
    raise typer.Exit(run(asked, resolve.load_settings(flags), make_screen(flags), context.obj["started"]))


def run(asked: Options, settings: Settings, screen: Screen, started: float) -> int:
    """Read, check, send, and return the exit code."""
    gc.enable()  # off for one-shot calls, but this is one of many requests
    workspace = names.check_workspace(settings.workspace.value, f"workspace ({settings.workspace.source})")
    text = files.InputReader(allow_large=True).read_text(asked.path).removeprefix("\ufeff")
    updates = batch.parse(text, "stdin" if asked.path == files.STDIN else asked.path, workspace)
    now = times.format_timestamp(time.time()) if settings.outbox.value else None
    items = updates.items if now is None else [_stamped(item, now) for item in updates.items]
    queues = batch.group_by_job(items, coalesce=asked.fold)
    for item in (item for queue in queues for item in queue.items):
        _check_size(item, updates.warnings, allow_large=asked.allow_large)
    render.warnings(updates.warnings[:MOST_WARNINGS], screen)
    if asked.dry_run:
        apply_view.plan(screen, queues, len(updates.items))
        return 0
    if asked.failed is not None:
        # Now everything is left: whatever happens from here on, the file holds it; and that it can't be written is
        # known before anything is sent.
        _write(asked.failed, [item.update for queue in queues for item in queue.items])
    session = open_session(settings, started)
    report = apply_view.Report(screen, sum(len(queue.items) for queue in queues))
    return _send(asked, queues, session, report)


def _send(asked: Options, queues: list[JobQueue], session: Session, report: apply_view.Report) -> int:
    codes: list[int] = []
    unsent: dict[int, Update] = {id(item): item.update for queue in queues for item in queue.items}
    stopped: Stopped | None = None

    def on_result(result: ItemResult) -> None:
        if isinstance(result.outcome, Delivered | Kept):
            unsent.pop(id(result.item), None)
        codes.append(int(result.outcome.exit_code) if isinstance(result.outcome, NemoJobsError) else 0)
        report.add(result.item, result.outcome)
        if asked.fail_fast and isinstance(result.outcome, NemoJobsError):
            workers.stop()

    workers = pool.WorkerPool(queues, session, asked.workers, on_result)
    try:
        with report:
            try:
                workers.run()
            except Stopped as why:
                stopped = why
                workers.stop()
                workers.wait()  # a second ^C cuts this off, and what is left is written all the same
    finally:  # also after a bug
        left = list(unsent.values())
        if asked.failed is not None:
            _write(asked.failed, left)
    code = worst_exit_code(codes) if stopped is None else 128 + stopped.number
    report.summary(code, len(left))
    return code


def _stamped(item: BatchItem, now: str) -> BatchItem:
    """Return an update that says when it was made: the outbox needs to know."""
    return replace(item, update=item.update._replace(fields={known_keys.STAMP: now, **item.update.fields}))


def _check_size(item: BatchItem, warnings: list[str], *, allow_large: bool) -> None:
    try:
        warning = files.check_size(strict_json.dumps(dict(item.update.fields)), allow_large=allow_large)
    except UsageError as error:
        raise UsageError(f"{item.location}: {error.message}; nothing was sent", error.hint) from None
    if warning:
        warnings.append(f"{item.location}: {warning}")


def _write(path: str, updates: list[Update]) -> None:
    """Write what is left, readable by whom the user's umask lets."""
    try:
        write_atomic(Path(path), batch.dumps(updates), mode=0o666)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "not a usable name"
        raise UsageError(
            f"--failed {one_line(path, 200)} can't be written: {why}",
            "name a file in a folder that can be written to",
        ) from None
