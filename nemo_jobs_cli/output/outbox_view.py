"""Say what became of updates that were kept or let go, and of those that lie in the outbox."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from nemo_jobs_cli.core import times
from nemo_jobs_cli.core.outcome import Dropped, Kept, StoredResult
from nemo_jobs_cli.core.text import one_line
from nemo_jobs_cli.output import render

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nemo_jobs_cli.core.outcome import DeliveryResult, Update
    from nemo_jobs_cli.delivery.entry import Entry
    from nemo_jobs_cli.settings.model import Screen


class FlushedJob(NamedTuple):
    """What a flush has done for one job; `why` its entries stay, or "", and the exit code that this is worth."""

    update: Update
    older: StoredResult = StoredResult()
    why: str = ""
    code: int = 0

    @property
    def outcome(self) -> str:
        """Return the word for it."""
        return "failed" if self.why else "rejected" if self.older.rejected else "delivered"


def ended(screen: Screen, how: DeliveryResult) -> None:
    """Say how it ended for one update: delivered, kept or dropped."""
    outcome = how.outcome
    if isinstance(outcome, Kept):
        _kept(screen, outcome)
    elif isinstance(outcome, Dropped):
        _dropped(screen, outcome)
    else:
        render.delivered(screen, outcome, **_more(how))
        if screen.output == "text" and not screen.quiet:
            for text in (older(how.older), _missing(how.dropped)):
                if text:
                    render.message(text)


def older(found: StoredResult) -> str:
    """Return a sentence on kept updates that went along, or "" where there were none."""
    said = (
        (found.delivered, "delivered from the outbox"),
        (found.aside, "set aside, in part or whole, as newer values stand or the job has ended"),
        (found.rejected, "rejected by the platform"),
    )
    return ", ".join(f"{_updates(number)} {what}" for number, what in said if number)


def entries(screen: Screen, rows: Sequence[tuple[str, Entry]], now: float, counts: dict[str, int]) -> None:
    """List what waits in the outbox, oldest first: name, age, host, workspace, job, fields."""
    if screen.output == "json":
        found = [{"entry": name, **entry._asdict()} for name, entry in rows]
        render.document("outbox list", "ok", result=found, **counts)
        return
    if screen.output == "ndjson":
        for name, entry in rows:
            render.document("outbox list", "ok", result={"entry": name, **entry._asdict()})
        return
    shown = [
        (name, f"{times.human(max(0.0, now - entry.time))} ago", entry.host, f"{entry.workspace}/{entry.job}",
         render.format_fields(entry.fields))
        for name, entry in rows
    ]  # fmt: skip
    if shown:
        render.table(screen, ("ENTRY", "KEPT", "HOST", "JOB", "FIELDS"), shown)
    if not screen.quiet:
        more = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
        if not shown or more:
            render.message("; ".join(filter(None, ("" if shown else "nothing waits", more))))


def flushed(screen: Screen, rows: Sequence[FlushedJob], code: int, elsewhere: int = 0) -> None:
    """Say what a flush has done, a line a job; `code` is that of the whole, `elsewhere` what waits for other hosts."""
    if screen.output == "ndjson":
        for row in rows:
            render.document("outbox flush", row.outcome, row.code, **_job(row))
    elif screen.output == "json":
        worst = next((row.outcome for row in rows if row.code == code), "delivered")
        render.document("outbox flush", worst, code, result=[_job(row) for row in rows], elsewhere=elsewhere)
    else:
        for row in rows:
            if row.why or not screen.quiet:
                said = (older(row.older), one_line(row.why, 300))
                render.line(f"{row.update.job}: {'; '.join(filter(None, said)) or 'left to who delivers it now'}")
        if not rows and not screen.quiet:
            more = f" for this host, {elsewhere} for other hosts: nemo-jobs outbox list" if elsewhere else ""
            render.message(f"nothing waits{more}")
    sys.stdout.flush()  # with --watch there is more to come


def _job(row: FlushedJob) -> dict[str, Any]:
    job = {"workspace": row.update.workspace, "job": row.update.job}
    return {**job, **row.older._asdict(), "error": {"message": row.why} if row.why else None}


def aside(screen: Screen, outcome: Kept | Dropped) -> None:
    """Say, beside the output of a command that goes on, that something was kept or dropped."""
    if isinstance(outcome, Dropped) and screen.annotate:
        render.message(f"::warning::{_escaped(sentence(outcome))}")
    elif not screen.quiet or isinstance(outcome, Dropped):
        render.message(sentence(outcome))


def sentence(outcome: Kept | Dropped) -> str:
    """Say in one line what was kept or dropped, and why."""
    update = outcome.update
    if isinstance(outcome, Kept):
        what, why = "kept", f"{outcome.why}; it goes with the next update of the job, or: nemo-jobs outbox flush"
    else:
        what, why = "dropped", outcome.why.message
    return one_line(f"{what} {update.job}: {render.format_fields(update.fields)}, as {why}", 600)


def _kept(screen: Screen, kept: Kept) -> None:
    if screen.output != "text":
        render.document("update", "kept", **_facts(kept), path=kept.path, error={"message": kept.why})
    else:
        aside(screen, kept)


def _dropped(screen: Screen, dropped: Dropped) -> None:
    if screen.output != "text":
        render.document("update", "dropped", **_facts(dropped), error={"message": dropped.why.message})
    else:
        aside(screen, dropped)


def _escaped(text: str) -> str:
    """Return text as GitHub Actions wants it in a workflow command."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _facts(outcome: Kept | Dropped) -> dict[str, Any]:
    update = outcome.update
    return {
        "host": outcome.host,
        "workspace": update.workspace,
        "job": update.job,
        "status_details": dict(update.fields),
    }


def _more(how: DeliveryResult) -> dict[str, Any]:
    found = {name: count for name, count in how.older._asdict().items() if count}
    more: dict[str, Any] = {"older": found} if found else {}
    return more | ({"dropped_before": how.dropped} if how.dropped else {})


def _missing(count: int) -> str:
    return f"{_updates(count)} dropped before (best effort)" if count else ""


def _updates(count: int) -> str:
    return f"{count} {'update' if count == 1 else 'updates'}"
