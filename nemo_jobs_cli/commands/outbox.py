"""`nemo-jobs outbox`: list, deliver or drop stored updates."""

from __future__ import annotations

import gc
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from nemo_jobs_cli.api.session import Session, open_session
from nemo_jobs_cli.cli import helptext, params
from nemo_jobs_cli.core import clock
from nemo_jobs_cli.core.clock import SYSTEM_CLOCK
from nemo_jobs_cli.core.errors import ExitCode, NotDeliveredError, NotFoundError, Stopped, UsageError, worst_exit_code
from nemo_jobs_cli.core.text import one_line
from nemo_jobs_cli.delivery import policy
from nemo_jobs_cli.delivery.flush import FlushTask, flush_job, pending_jobs
from nemo_jobs_cli.delivery.outbox import BROKEN, CLAIMED, REJECTED, SET_ASIDE
from nemo_jobs_cli.output import outbox_view, render
from nemo_jobs_cli.output.outbox_view import FlushedJob
from nemo_jobs_cli.output.screen import make_screen
from nemo_jobs_cli.settings import resolve
from nemo_jobs_cli.settings.model import Sourced

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nemo_jobs_cli.core.outcome import Update
    from nemo_jobs_cli.delivery.outbox import Outbox
    from nemo_jobs_cli.settings.model import Screen, Settings

# How often --watch looks for new entries, in seconds.
WATCH_INTERVAL = 10.0

app = helptext.app(
    """List, deliver or drop the updates that --outbox has stored.

    \b
    Examples:
      nemo-jobs outbox list
      nemo-jobs outbox flush          # deliver all updates for this host
      nemo-jobs outbox flush --watch  # keep delivering until Ctrl-C
    """
)

SHARED = ("outbox_dir", *params.CONNECTION, *params.OUTPUT)


@dataclass(frozen=True, slots=True)
class FlushOptions:
    """The options of `outbox flush`; times in seconds."""

    job: Annotated[str | None, params.option("--job", metavar="NAME", help="Deliver only updates of this job")] = None
    max_age: Annotated[
        float,
        params.duration("--max-age", help="From entries older than TIME, send only new keys", default="24h"),
    ] = 86400.0
    watch: Annotated[bool, params.option("--watch", help="Keep delivering until Ctrl-C")] = False


@params.command(app, "list", *SHARED)
def list_entries(invocation: params.Invocation) -> None:
    r"""List the entries for all hosts, oldest first.

    \b
    Examples:
      nemo-jobs outbox list
      nemo-jobs outbox list -o json | jq '.result | length'
    """
    screen, box = make_screen(invocation.flags), policy.open_outbox(resolve.load_settings(invocation.flags))
    rows = [(name, entry) for name in box.names() if (entry := box.read(name)) is not None]
    kinds = (CLAIMED, REJECTED, SET_ASIDE, BROKEN)
    outbox_view.entries(screen, rows, time.time(), {kind: box.count(kind) for kind in kinds})


@params.command(app, "show", *SHARED)
def show(entry: Annotated[str, params.argument("ENTRY")], invocation: params.Invocation) -> None:
    r"""Print one entry as JSON, with the reason if it was rejected or set aside.

    \b
    Examples:
      nemo-jobs outbox list                    # prints the names of the entries
      nemo-jobs outbox show ENTRY | jq .
    """
    screen, box = make_screen(invocation.flags), policy.open_outbox(resolve.load_settings(invocation.flags))
    text = box.read_text(entry)
    if text is None:
        raise _no_entry(entry)
    if screen.output == "text":
        render.line(text)
    else:
        render.document("outbox show", "ok", result=_json(text))


@params.command(app, "flush", *SHARED)
def flush(options: FlushOptions, invocation: params.Invocation) -> int:
    r"""Deliver the entries for the configured host, merged into one request per job.

    --deadline applies to each job. Rejected entries are set aside; after 401 or 403 the flush stops
    and keeps all entries.

    \b
    Examples:
      nemo-jobs outbox flush
      nemo-jobs outbox flush --job train-llama --max-age 2h
      nemo-jobs outbox flush --watch -q &
    """
    settings, screen = resolve.load_settings(invocation.flags), make_screen(invocation.flags)
    flush_entries = _watch if options.watch else _flush
    return flush_entries(options, settings, screen, invocation.started)


@params.command(app, "drop", *SHARED)
def drop(
    invocation: params.Invocation,
    entry: Annotated[tuple[str, ...], params.argument("[ENTRY]...")] = (),
    every: Annotated[bool, params.option("--all", help="Delete all entries, for all hosts")] = False,
) -> None:
    r"""Delete entries without delivering them.

    \b
    Examples:
      nemo-jobs outbox drop ENTRY
      nemo-jobs outbox drop --all
    """
    if bool(entry) == every:
        raise UsageError("missing argument: ENTRY or --all", "list the entries: nemo-jobs outbox list")
    screen, box = make_screen(invocation.flags), policy.open_outbox(resolve.load_settings(invocation.flags))
    names = box.names() if every else list(dict.fromkeys(entry))
    dropped = [name for name in names if box.drop(name)]
    if len(dropped) < len(names) and not every:
        error = _no_entry(next(name for name in names if name not in dropped))
        error.facts["dropped"] = dropped
        raise error
    if screen.output != "text":
        render.document("outbox drop", "dropped", result=dropped)
    elif not screen.quiet:
        render.message(f"dropped {len(dropped)} of {len(names)}")


def _flush(options: FlushOptions, settings: Settings, screen: Screen, started: float) -> int:
    box = policy.open_outbox(settings)
    pending = [update for update in pending_jobs(box, settings.host.value) if options.job in {None, update.job}]
    rows = (
        []
        if not pending
        else list(_flush_jobs(box, pending, open_session(settings, started, renews=True), options.max_age))
    )
    code = worst_exit_code(row.code for row in rows)
    outbox_view.flushed(screen, rows, code, len(box.names()) - len(box.names(settings.host.value)))
    return code


def _watch(options: FlushOptions, settings: Settings, screen: Screen, started: float) -> int:
    """Flush until a signal arrives; return its exit code."""
    gc.enable()  # off for short calls; this one may run for days
    try:
        _flush(options, settings, screen, started)
        while True:
            clock.sleep(WATCH_INTERVAL)
            if policy.open_outbox(settings).names(settings.host.value):
                _flush(options, settings, screen, SYSTEM_CLOCK.now())
    except Stopped as stop:
        return 128 + stop.number


def _flush_jobs(box: Outbox, pending: list[Update], session: Session, max_age: float) -> Iterator[FlushedJob]:
    """Deliver the entries of each job; stop at 401, 403, invalid settings."""
    for update in pending:
        task = FlushTask(box, _in_workspace_of(session, update).restart(), update, time.time(), max_age)
        try:
            stored = flush_job(task).stored
        except NotDeliveredError as error:
            yield FlushedJob(update, error=error.message, code=error.exit_code)
        else:
            yield FlushedJob(update, stored, code=ExitCode.REJECTED if stored.rejected else ExitCode.OK)


def _in_workspace_of(session: Session, update: Update) -> Session:
    """Return a session with the workspace of the entry, for error messages."""
    return session._replace(settings=session.settings._replace(workspace=Sourced(update.workspace, "the outbox")))


def _json(text: str) -> Any:
    """Return the parsed JSON of a file, or its text if it is broken."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _no_entry(entry: str) -> NotFoundError:
    return NotFoundError(f"no entry {one_line(entry, 80)!r} in the outbox", "list the entries: nemo-jobs outbox list")
