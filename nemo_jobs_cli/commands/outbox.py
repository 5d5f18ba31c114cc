"""`nemo-jobs outbox`: see what could not be delivered, deliver it, or let it go."""

from __future__ import annotations

import gc
import json
import time
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from nemo_jobs_cli.api.session import Session, open_session
from nemo_jobs_cli.cli import helptext, options
from nemo_jobs_cli.core import clock, times
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
from nemo_jobs_cli.settings.model import Flags, Sourced

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nemo_jobs_cli.core.outcome import Update
    from nemo_jobs_cli.delivery.outbox import Outbox
    from nemo_jobs_cli.settings.model import Screen, Settings

# How often --watch looks for new entries, in seconds.
LOOK_AGAIN = 10.0

app = helptext.app()


@app.callback()
def group() -> None:
    r"""See, deliver or drop the updates that could not be delivered (--outbox).

    \b
    Examples:
      nemo-jobs outbox list
      nemo-jobs outbox flush          # deliver all for the host of the settings
      nemo-jobs outbox flush --watch  # deliver whatever comes, until Ctrl-C
    """


@app.command("list")
@options.with_outbox_flags
def list_entries(flags: Flags = Flags()) -> None:  # noqa: B008 - frozen, and replaced by the decorator
    r"""List what waits, oldest first, of every host.

    \b
    Examples:
      nemo-jobs outbox list
      nemo-jobs outbox list -o json | jq '.result | length'
    """
    screen, box = make_screen(flags), policy.open_outbox(resolve.load_settings(flags))
    rows = [(name, entry) for name in box.names() if (entry := box.read(name)) is not None]
    kinds = (CLAIMED, REJECTED, SET_ASIDE, BROKEN)
    outbox_view.entries(screen, rows, time.time(), {kind: box.count(kind) for kind in kinds})


@app.command("show")
@options.with_outbox_flags
def show(entry: Annotated[str, typer.Argument(metavar="ENTRY")], *, flags: Flags = Flags()) -> None:  # noqa: B008 - as above
    r"""Print one entry as JSON, also a rejected one or one that was set aside, with the reason.

    \b
    Examples:
      nemo-jobs outbox list                    # names the entries
      nemo-jobs outbox show ENTRY | jq .
    """
    screen, box = make_screen(flags), policy.open_outbox(resolve.load_settings(flags))
    text = box.read_text(entry)
    if text is None:
        raise _unknown(entry)
    if screen.output == "text":
        render.line(text)
    else:
        render.document("outbox show", "ok", result=_json(text))


@app.command("flush")
@options.with_outbox_flags
def flush(
    context: typer.Context,
    job: Annotated[
        str | None, typer.Option("--job", metavar="NAME", help="Deliver only what waits for this job.")
    ] = None,
    max_age: Annotated[
        str, typer.Option("--max-age", metavar="TIME", help="Of entries older than TIME send only keys that are new.")
    ] = "24h",
    watch: Annotated[bool, typer.Option("--watch", help="Go on delivering what comes, until Ctrl-C.")] = False,
    *,
    flags: Flags = Flags(),  # noqa: B008 - as above
) -> None:
    r"""Deliver what waits for the host of the settings: folded, a PATCH a job, each with the time of --deadline.

    What is rejected is set aside; 401 and 403 stop everything and keep it.

    \b
    Examples:
      nemo-jobs outbox flush
      nemo-jobs outbox flush --job train-llama --max-age 2h
      nemo-jobs outbox flush --watch -q &
    """
    where, screen = resolve.load_settings(flags), make_screen(flags)
    limit = times.parse_duration(max_age, "--max-age")
    if watch:
        _watch(where, screen, job, limit, context.obj["started"])
    raise typer.Exit(_flush(where, screen, job, limit, context.obj["started"]))


@app.command("drop")
@options.with_outbox_flags
def drop(
    entry: Annotated[list[str] | None, typer.Argument(metavar="[ENTRY]...")] = None,
    every: Annotated[bool, typer.Option("--all", help="Delete all that waits, of every host.")] = False,
    *,
    flags: Flags = Flags(),  # noqa: B008 - as above
) -> None:
    r"""Delete what waits: it will never be delivered.

    \b
    Examples:
      nemo-jobs outbox drop ENTRY
      nemo-jobs outbox drop --all
    """
    if bool(entry) == every:
        raise UsageError("say which entries, or --all", "see them: nemo-jobs outbox list")
    screen, box = make_screen(flags), policy.open_outbox(resolve.load_settings(flags))
    names = box.names() if every else list(dict.fromkeys(entry or ()))
    dropped = [name for name in names if box.drop(name)]
    if len(dropped) < len(names) and not every:
        error = _unknown(next(name for name in names if name not in dropped))
        error.facts["dropped"] = dropped
        raise error
    if screen.output != "text":
        render.document("outbox drop", "dropped", result=dropped)
    elif not screen.quiet:
        render.message(f"dropped {len(dropped)} of {len(names)}")


def _flush(settings: Settings, screen: Screen, job: str | None, max_age: float, started: float) -> int:
    box = policy.open_outbox(settings)
    waiting = [update for update in pending_jobs(box, settings.host.value) if job in {None, update.job}]
    rows = [] if not waiting else list(_each(box, waiting, open_session(settings, started), max_age))
    code = worst_exit_code(row.code for row in rows)
    outbox_view.flushed(screen, rows, code, len(box.names()) - len(box.names(settings.host.value)))
    return code


def _watch(settings: Settings, screen: Screen, job: str | None, max_age: float, started: float) -> NoReturn:
    """Flush again and again; a signal ends it quietly, with the exit code that shells expect of it."""
    gc.enable()  # off for one-shot calls, but this one may run for days
    try:
        _flush(settings, screen, job, max_age, started)
        while True:
            clock.sleep(LOOK_AGAIN)
            if policy.open_outbox(settings).names(settings.host.value):
                _flush(settings, screen, job, max_age, SYSTEM_CLOCK.now())
    except Stopped as stop:
        raise typer.Exit(128 + stop.number) from None


def _each(box: Outbox, waiting: list[Update], session: Session, max_age: float) -> Iterator[FlushedJob]:
    """Deliver what waits of each job; raise what stops a flush: 401, 403, settings."""
    for update in waiting:
        task = FlushTask(box, _in(session, update).restart(), update, time.time(), max_age)
        try:
            stored = flush_job(task).stored
        except NotDeliveredError as error:
            yield FlushedJob(update, error=error.message, code=error.exit_code)
        else:
            yield FlushedJob(update, stored, code=ExitCode.REJECTED if stored.rejected else ExitCode.OK)


def _in(session: Session, update: Update) -> Session:
    """Return the session for the workspace of an entry: messages name it."""
    return session._replace(settings=session.settings._replace(workspace=Sourced(update.workspace, "the outbox")))


def _json(text: str) -> Any:
    """Return what a file says; one that is broken as its text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _unknown(entry: str) -> NotFoundError:
    return NotFoundError(f"no entry {one_line(entry, 80)!r} waits", "see them: nemo-jobs outbox list")
