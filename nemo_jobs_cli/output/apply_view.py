"""Show many updates: the plan, a bar while they are sent, a line an update as NDJSON, a table at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.core.errors import ExitCode, NemoJobsError
from nemo_jobs_cli.core.outcome import Delivered, Dropped, Kept
from nemo_jobs_cli.core.text import one_line
from nemo_jobs_cli.output import outbox_view, render

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from nemo_jobs_cli.delivery.batch import BatchItem, JobQueue
    from nemo_jobs_cli.settings.model import Screen

    Outcome = Delivered | Kept | Dropped | NemoJobsError | None

# More failures than these are only counted in text.
MOST_FAILURES = 20


def plan(screen: Screen, queues: Sequence[JobQueue], updates: int) -> None:
    """Show what would be sent, a row a request."""
    if screen.output != "text":
        requests = [
            {
                "workspace": queue.workspace,
                "job": queue.job,
                "status_details": dict(item.update.fields),
                "from": item.location,
            }
            for queue in queues
            for item in queue.items
        ]
        render.document("apply", "dry-run", updates=updates, requests=requests)
        return
    rows = [
        (f"{queue.workspace}/{queue.job}", render.format_fields(item.update.fields), item.location)
        for queue in queues
        for item in queue.items
    ]
    render.table(screen, ("JOB", "WOULD SET", "FROM"), rows)
    if not screen.quiet:
        render.message(f"{updates} updates of {len(queues)} jobs, {len(rows)} requests; nothing was sent")


class Report:
    """What `apply` says. A context manager: on a terminal a bar stands inside it."""

    def __init__(self, screen: Screen, total: int) -> None:
        self._screen = screen
        self._total = total
        self._counts = dict.fromkeys(("delivered", "kept", "dropped", "rejected", "failed", "left"), 0)
        self._attempts = self._conflicts = self._failures = 0
        self._errors: list[dict[str, Any]] = []
        self._first: dict[str, Kept | Dropped] = {}
        self._bar: Any = None

    def __enter__(self) -> Self:
        """Begin the bar."""
        if self._screen.terminal and not self._screen.quiet:
            from nemo_jobs_cli.output import rich_text

            self._bar = rich_text.progress(self._screen, self._total)
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()

    def add(self, item: BatchItem, outcome: Outcome) -> None:
        """Take in what became of one update."""
        name = _name(outcome)
        self._counts[name] += 1
        if isinstance(outcome, Delivered):
            self._attempts += outcome.attempts
            self._conflicts += outcome.conflicts
        elif isinstance(outcome, NemoJobsError):
            self._failures += 1
            if len(self._errors) < MOST_FAILURES:
                self._errors.append({**_facts(item), "message": outcome.message, "hint": outcome.hint})
        elif outcome is not None:
            self._first.setdefault(name, outcome)
        if self._screen.output == "ndjson":
            self._line(item, name, outcome)
        elif isinstance(outcome, NemoJobsError) and self._screen.output == "text" and self._failures <= MOST_FAILURES:
            more = "; more are only counted" if self._failures == MOST_FAILURES else ""
            render.message(f"{one_line(item.location, 200)}: {item.update.job}: {outcome.message}{more}")
        if self._bar is not None:
            self._bar.advance(self._bar.task_ids[0])

    def summary(self, code: int, left: int) -> None:
        """Print what became of all of them."""
        facts = {**self._counts, "left": left, "attempts": self._attempts, "conflicts": self._conflicts}
        if self._screen.output != "text":
            more = {"errors": self._errors} if self._screen.output == "json" and self._errors else {}
            render.document("apply", self._outcome(code), code, updates=self._total, **facts, **more)
            return
        for name, first in self._first.items():
            outbox_view.aside(self._screen, first)
            if self._counts[name] > 1:
                render.message(f"{self._counts[name]} updates {name} in all")
        if self._screen.terminal:
            rows = [(name, str(count)) for name, count in facts.items() if count]
            if not self._screen.quiet:
                render.table(self._screen, ("", "UPDATES"), rows)
        elif not self._screen.quiet:
            render.line(", ".join(f"{count} {name}" for name, count in facts.items() if count) or "nothing to send")

    def _outcome(self, code: int) -> str:
        if code:
            return "rejected" if code == ExitCode.REJECTED else "failed"
        return next((name for name in ("dropped", "kept") if self._counts[name]), "delivered")

    def _line(self, item: BatchItem, name: str, outcome: Outcome) -> None:
        facts = _facts(item)
        code = 0
        if isinstance(outcome, Delivered):
            facts |= {"attempts": outcome.attempts, "conflicts": outcome.conflicts}
        elif isinstance(outcome, NemoJobsError):
            facts["error"] = {"message": outcome.message, "hint": outcome.hint, **outcome.facts}
            code = int(outcome.exit_code)
        elif outcome is not None:
            facts["error"] = {"message": outcome.why if isinstance(outcome, Kept) else outcome.why.message}
        render.document("apply", name, code, **facts)


def _facts(item: BatchItem) -> dict[str, Any]:
    return {"job": item.update.job, "workspace": item.update.workspace, "from": item.location}


def _name(outcome: Outcome) -> str:
    if outcome is None:
        return "left"
    return outcome.outcome if isinstance(outcome, NemoJobsError) else type(outcome).__name__.lower()
