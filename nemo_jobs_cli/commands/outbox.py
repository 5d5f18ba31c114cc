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
from nemo_jobs_cli.core.errors import ExitCode, NotDeliveredError, SettingsError, Stopped, UsageError, worst_exit_code
from nemo_jobs_cli.core.files import os_reason, read_regular
from nemo_jobs_cli.core.outcome import StoredResult
from nemo_jobs_cli.core.text import plural
from nemo_jobs_cli.delivery import policy
from nemo_jobs_cli.delivery.flush import FlushTask, flush_job, pending_jobs
from nemo_jobs_cli.output import outbox_view, render
from nemo_jobs_cli.output.outbox_view import EntryRow, FlushedJob
from nemo_jobs_cli.output.screen import make_screen
from nemo_jobs_cli.settings import resolve
from nemo_jobs_cli.settings.model import Sourced

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nemo_jobs_cli.core.outcome import Update
    from nemo_jobs_cli.delivery.listing import StoredFile
    from nemo_jobs_cli.delivery.outbox import Outbox
    from nemo_jobs_cli.settings.model import Screen, Settings

# How often --watch looks for new entries, in seconds.
WATCH_INTERVAL = 10.0

# How often flush looks whether another process has delivered what it claims, in seconds.
POLL_INTERVAL = 0.2

app = helptext.app(
    """List, deliver or drop the updates that --outbox has stored.

    \b
    Examples:
      nemo-jobs outbox list
      nemo-jobs outbox flush          # deliver all updates for this host
      nemo-jobs outbox flush --watch  # keep delivering until Ctrl-C
    """
)

_ENTRY = "Id of an entry (see `outbox list`), or its first characters"

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

    Entries that were rejected or set aside are listed too.

    \b
    Examples:
      nemo-jobs outbox list
      nemo-jobs outbox list -o json | jq '.result | length'
    """
    screen, box = make_screen(invocation.flags), policy.open_outbox(resolve.load_settings(invocation.flags))
    outbox_view.entries(screen, [_row(box, file) for file in box.files()], time.time())


@params.command(app, "show", *SHARED)
def show(entry: Annotated[str, params.argument("ENTRY", _ENTRY)], invocation: params.Invocation) -> None:
    r"""Print one entry as JSON.

    If the entry was rejected or set aside, the JSON has the reason.

    \b
    Examples:
      nemo-jobs outbox list                    # prints the ids
      nemo-jobs outbox show ENTRY | jq .
    """
    screen, box = make_screen(invocation.flags), policy.open_outbox(resolve.load_settings(invocation.flags))
    file = box.find(entry)
    try:
        text = read_regular(file.path).decode("utf-8", "replace").rstrip("\n")
    except OSError as error:
        raise SettingsError(
            f"cannot read entry {file.id}: {os_reason(error)}", "delete it: nemo-jobs outbox drop"
        ) from None
    if screen.output == "text":
        render.line(text)
    else:
        render.document("outbox show", "ok", result=_json(text))


@params.command(app, "flush", *SHARED)
def flush(options: FlushOptions, invocation: params.Invocation) -> int:
    r"""Deliver the entries for the configured host.

    The entries of a job are merged into one request. --deadline applies to each job, and to the
    wait for entries that another process is delivering. If entries are left, the exit code is 7.
    Rejected entries are marked as rejected. After 401 or 403 the flush stops and keeps all entries.

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
    entry: Annotated[tuple[str, ...], params.argument("[ENTRY]...", _ENTRY)] = (),
    every: Annotated[
        bool, params.option("--all", help="Delete all entries, for all hosts, except those being delivered")
    ] = False,
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
    files = box.files() if every else list(dict.fromkeys(map(box.find, entry)))
    dropped = [file for file in files if box.drop(file)]
    busy = next((file for file in files if file not in dropped), None)
    if busy is not None and not every:
        error = NotDeliveredError(f"{_delivering(busy)} entry {busy.id}", "try again")
        error.facts["dropped"] = [file.name for file in dropped]
        raise error
    if screen.output != "text":
        render.document("outbox drop", "dropped", result=[file.name for file in dropped])
    elif not screen.quiet:
        render.message(f"dropped {len(dropped)} of {len(files)}")


def _flush(options: FlushOptions, settings: Settings, screen: Screen, started: float) -> int:
    box = policy.open_outbox(settings)
    host = settings.host.value
    pending = [update for update in pending_jobs(box, host) if options.job in {None, update.job}]
    rows = []
    if pending:
        rows = list(_flush_jobs(box, pending, open_session(settings, started, renews=True), options))
    unreadable = 0 if options.job or options.watch else sum(box.read(name) is None for name in box.names(host))
    code = worst_exit_code([*(row.code for row in rows), ExitCode.NOT_DELIVERED if unreadable else ExitCode.OK])
    elsewhere = len(box.names()) - len(box.names(host))
    if rows or not options.watch:
        outbox_view.flushed(screen, rows, code, elsewhere=elsewhere, unreadable=unreadable)
    return code


def _watch(options: FlushOptions, settings: Settings, screen: Screen, started: float) -> int:
    """Flush until a signal arrives; return its exit code."""
    gc.enable()  # off for short calls; this one may run for days
    try:
        while True:
            _flush(options, settings, screen, started)
            clock.sleep(WATCH_INTERVAL)
            started = SYSTEM_CLOCK.now()
    except Stopped as stop:
        return 128 + stop.number


def _flush_jobs(box: Outbox, pending: list[Update], session: Session, options: FlushOptions) -> Iterator[FlushedJob]:
    """Deliver the entries of each job, those claimed by others last.

    Wait for these until the deadline. Stop at 401, 403, invalid settings.
    """
    busy = []
    for update in pending:
        row = _flush_job(box, update, session, options.max_age)
        if row.is_busy:
            busy.append(update)
        else:
            yield row
    deadline = session.restart().deadline
    for update in () if options.watch else busy:
        while not deadline.once and deadline.left() and box.claimed(*_key(session, update)):
            deadline.clock.sleep(min(POLL_INTERVAL, deadline.left()))
        yield _flush_job(box, update, session, options.max_age)


def _flush_job(box: Outbox, update: Update, session: Session, max_age: float) -> FlushedJob:
    workspace = Sourced(update.workspace, "the outbox")  # for messages
    named = session._replace(settings=session.settings._replace(workspace=workspace))
    task = FlushTask(box, named.restart(), update, time.time(), max_age)
    key = _key(session, update)
    try:
        stored = flush_job(task).stored
    except NotDeliveredError as error:
        left = len(box.entries(*key))
        return FlushedJob(update, error=error.message, hint=error.hint, code=error.exit_code, left=left)
    claimed = box.claimed(*key)
    if claimed and stored == StoredResult():
        left = len(box.entries(*key))
        reason = f"{plural(left, 'update')} left: {_delivering(claimed[0])} them"
        hint = "wait longer: --deadline 60"
        return FlushedJob(update, error=reason, hint=hint, code=ExitCode.NOT_DELIVERED, left=left, is_busy=True)
    if stored.rejected:
        return FlushedJob(update, stored, hint="see the reason: nemo-jobs outbox list", code=ExitCode.REJECTED)
    return FlushedJob(update, stored)


def _key(session: Session, update: Update) -> tuple[str, str, str]:
    return session.settings.host.value, update.workspace, update.job


def _json(text: str) -> Any:
    """Return the parsed JSON of a file, or its text if it is broken."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _row(box: Outbox, file: StoredFile) -> EntryRow:
    try:
        return EntryRow(file, box.load(file))
    except (OSError, ValueError) as error:
        return EntryRow(file, None, os_reason(error) if isinstance(error, OSError) else str(error))


def _delivering(file: StoredFile) -> str:
    return f"{file.owner or 'another process'} is delivering"
