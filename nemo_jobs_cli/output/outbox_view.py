"""Print stored and dropped updates, and the entries of the outbox."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.core import times
from nemo_jobs_cli.core.outcome import Dropped, Kept, StoredResult
from nemo_jobs_cli.core.text import one_line, plural
from nemo_jobs_cli.output import render

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nemo_jobs_cli.core.outcome import DeliveryResult, Update
    from nemo_jobs_cli.delivery.entry import Entry
    from nemo_jobs_cli.delivery.listing import StoredFile
    from nemo_jobs_cli.settings.model import Screen


_COLUMNS = ("ENTRY", "STATE", "STORED", "HOST", "JOB", "FIELDS", "REASON")

# A narrow terminal leaves out these columns, first to last; `outbox show` prints them.
_OPTIONAL = ("HOST", "FIELDS", "STORED", "REASON")

# Longer cells continue on the next line if the terminal is narrow; _GAP characters separate two columns.
_FOLDED, _GAP = 20, 2


@dataclass(frozen=True, slots=True)
class EntryRow:
    """A file of the outbox, its entry if it can be read, and why not."""

    file: StoredFile
    entry: Entry | None
    error: str = ""

    @property
    def reason(self) -> str:
        """Return the process that is delivering it, or why none can."""
        claim = f"{self.file.owner or 'another process'} is delivering it" if self.file.kind == "claimed" else ""
        return one_line(self.error or claim or (self.entry and self.entry.why) or "", 300)

    def as_dict(self) -> dict[str, Any]:
        """Return the row as JSON values."""
        owner = self.file.owner if self.file.kind == "claimed" else None
        facts = {"id": self.file.id, "entry": self.file.name, "state": self.file.kind}
        claim = {"claimed_by": {"host": owner.host, "pid": owner.pid}} if owner else {}
        return {**facts, **claim, **(self.entry._asdict() if self.entry else {"why": self.error})}


@dataclass(frozen=True, slots=True)
class FlushedJob:
    """The result of a flush for one job, with its error and next step or "".

    `left` counts the entries that are left, with `is_busy` to another process.
    """

    update: Update
    stored: StoredResult = field(default_factory=StoredResult)
    error: str = ""
    hint: str = ""
    code: int = 0
    left: int = 0
    is_busy: bool = False

    @property
    def outcome(self) -> str:
        """Return the outcome in one word."""
        return "failed" if self.error else "rejected" if self.stored.rejected else "delivered"


def delivery_result(screen: Screen, result: DeliveryResult) -> None:
    """Print the result of one update: delivered, kept or dropped."""
    outcome = result.outcome
    if isinstance(outcome, Kept | Dropped):
        if screen.output == "text":
            kept_or_dropped(screen, outcome)
        else:
            _document(outcome)
        return
    older = {name: count for name, count in result.older._asdict().items() if count}
    facts: dict[str, Any] = {"older": older, "dropped_before": result.dropped}
    render.delivered(screen, outcome, **{name: fact for name, fact in facts.items() if fact})
    if screen.output == "text" and not screen.quiet:
        if older:
            render.message(stored_result(result.older))
        if result.dropped:
            render.message(f"{plural(result.dropped, 'earlier update')} dropped (best effort)")


def stored_result(stored: StoredResult) -> str:
    """Describe the outcome of stored updates, "" if there were none."""
    parts = (
        (stored.delivered, "delivered from the outbox"),
        (stored.aside, "set aside, in part or whole: the job has newer values or a newer attempt, or has ended"),
        (stored.rejected, "rejected by the platform"),
    )
    return ", ".join(f"{plural(count, 'update')} {outcome}" for count, outcome in parts if count)


def entries(screen: Screen, rows: Sequence[EntryRow], now: float) -> None:
    """List the entries with ages, in a pipe with timestamps."""
    results = [row.as_dict() for row in rows]
    if screen.output == "json":
        kinds = ("claimed", "rejected", "set-aside", "broken")
        counts = {kind: sum(row.file.kind == kind for row in rows) for kind in kinds}
        render.document("outbox list", "ok", result=results, **counts)
    elif screen.output == "ndjson":
        for result in results:
            render.document("outbox list", "ok", result=result)
    elif rows:
        cells = [_cells(row, now if screen.terminal else None) for row in rows]
        render.table(screen, *(_fit(cells, screen.width) if screen.terminal else (_COLUMNS, cells)))
    elif not screen.quiet:
        render.message("no entries")


def _fit(rows: Sequence[Sequence[str]], width: int) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """Return the columns that have cells and room, and their cells."""
    columns = {title: cells for title, *cells in zip(_COLUMNS, *rows, strict=True) if any(cells)}
    widths = {title: min(_FOLDED, max(map(len, (title, *cells)))) for title, cells in columns.items()}
    for title in _OPTIONAL:
        if sum(widths.values()) + _GAP * (len(widths) - 1) > width:
            widths.pop(title, None)
    return tuple(widths), list(zip(*(columns[title] for title in widths), strict=True))


def _cells(row: EntryRow, now: float | None) -> tuple[str, ...]:
    """Return the cells of a row; with `now` the age, else the time."""
    if row.entry is None:
        return (row.file.id, row.file.kind, "", "", "", "", row.reason)
    entry = row.entry
    if now is None:
        stored = times.format_timestamp(entry.time)
    else:
        stored = f"{times.format_duration(max(0.0, now - entry.time))} ago"
    fields = render.format_fields(entry.fields)
    return (row.file.id, row.file.kind, stored, entry.host, f"{entry.workspace}/{entry.job}", fields, row.reason)


def flushed(screen: Screen, rows: Sequence[FlushedJob], code: int, *, elsewhere: int = 0, unreadable: int = 0) -> None:
    """Print the result of a flush per job.

    `elsewhere` is the number of entries for other hosts, `unreadable` of those that this version cannot read.
    """
    if screen.output == "ndjson":
        for row in rows:
            render.document("outbox flush", row.outcome, row.code, **_flushed_facts(row))
    elif screen.output == "json":
        outcome = next((row.outcome for row in rows if row.code == code), "failed" if code else "delivered")
        render.document(
            "outbox flush",
            outcome,
            code,
            result=[_flushed_facts(row) for row in rows],
            elsewhere=elsewhere,
            unreadable=unreadable,
        )
    else:
        for row in rows:
            if row.error or not screen.quiet:
                texts = filter(None, (stored_result(row.stored), one_line(row.error, 300)))
                render.line(f"{row.update.job}: {'; '.join(texts) or 'another process has taken its updates'}")
        if hint := next((row.hint for row in rows if row.hint), ""):
            render.message(f"next: {hint}")
        if unreadable:
            render.message(f"{plural(unreadable, 'update')} left that cannot be read: nemo-jobs outbox list")
        elif not rows and not screen.quiet:
            others = f"; {elsewhere} for other hosts: nemo-jobs outbox list" if elsewhere else ""
            render.message(f"nothing to deliver{others}")
    sys.stdout.flush()  # --watch prints more later


def kept_or_dropped(screen: Screen, outcome: Kept | Dropped) -> None:
    """Print a message about a stored or dropped update.

    On GitHub Actions it is a warning; `quiet` hides stored ones.
    """
    text = sentence(outcome)
    if isinstance(outcome, Dropped) and screen.annotate:
        escaped = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
        render.message(f"::warning::{escaped}")
    elif not screen.quiet or isinstance(outcome, Dropped):
        render.message(text)


def sentence(outcome: Kept | Dropped) -> str:
    """Describe a stored or dropped update in one line, with the reason."""
    word, hint = "dropped", ""
    if isinstance(outcome, Kept):
        word, hint = "kept", "; the next update of the job delivers it, or: nemo-jobs outbox flush"
    fields = render.format_fields(outcome.update.fields)
    return one_line(f"{word} {outcome.update.job}: {fields}, because {outcome.reason}{hint}", 600)


def _document(outcome: Kept | Dropped) -> None:
    facts = {**render.update_facts(outcome.update, outcome.host), "error": {"message": outcome.reason}}
    if isinstance(outcome, Kept):
        facts["path"] = outcome.path
    render.document("update", "kept" if isinstance(outcome, Kept) else "dropped", **facts)


def _flushed_facts(row: FlushedJob) -> dict[str, Any]:
    facts = {"workspace": row.update.workspace, "job": row.update.job, **row.stored._asdict(), "left": row.left}
    return {**facts, "error": {"message": row.error} if row.error else None}
