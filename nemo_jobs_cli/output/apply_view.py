"""Print many updates: plan, progress bar, NDJSON lines and summary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.core.errors import ExitCode, NemoJobsError
from nemo_jobs_cli.core.outcome import Delivered, Dropped, Kept
from nemo_jobs_cli.core.text import one_line, plural
from nemo_jobs_cli.output import outbox_view, render

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from nemo_jobs_cli.delivery.batch import BatchItem
    from nemo_jobs_cli.settings.model import Screen

    Outcome = Delivered | Kept | Dropped | NemoJobsError | None

# Text output counts more failures than these without printing them.
MAX_FAILURES = 20


def plan(screen: Screen, queues: Sequence[list[BatchItem]], updates: int) -> None:
    """Print the requests that would be sent, one per row."""
    items = [item for queue in queues for item in queue]
    if screen.output != "text":
        requests = [{**_facts(item), "status_details": dict(item.update.fields)} for item in items]
        render.document("apply", "dry-run", updates=updates, requests=requests)
        return
    rows = [
        (f"{item.update.workspace}/{item.update.job}", render.format_fields(item.update.fields), item.location)
        for item in items
    ]
    render.table(screen, ("JOB", "WOULD SET", "FROM"), rows)
    if not screen.quiet:
        counts = f"{plural(updates, 'update')} of {plural(len(queues), 'job')}, {plural(len(rows), 'request')}"
        render.message(f"{counts}; nothing was sent")


class Report:
    """The output of `apply`, with a progress bar on a terminal."""

    def __init__(self, screen: Screen, total: int) -> None:
        self._screen = screen
        self._total = total
        self._counts = dict.fromkeys(("delivered", "kept", "dropped", "rejected", "failed", "left"), 0)
        self._attempts = self._conflicts = self._failures = 0
        self._errors: list[dict[str, Any]] = []
        self._first: dict[str, Kept | Dropped] = {}
        self._hint = ""  # of the first failure: most share one cause
        self._bar: Any = None

    def __enter__(self) -> Self:
        """Start the progress bar."""
        if self._screen.terminal and not self._screen.quiet:
            from nemo_jobs_cli.output import rich_text

            self._bar = rich_text.progress(self._screen, self._total)
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the progress bar."""
        if self._bar is not None:
            self._bar.stop()

    def add(self, item: BatchItem, outcome: Outcome) -> None:
        """Count and print the outcome of one update."""
        word = _word(outcome)
        self._counts[word] += 1
        if isinstance(outcome, Delivered):
            self._attempts += outcome.attempts
            self._conflicts += outcome.conflicts
        elif isinstance(outcome, NemoJobsError):
            self._failures += 1
            self._hint = self._hint or outcome.hint
            if len(self._errors) < MAX_FAILURES:
                self._errors.append({**_facts(item), **outcome.as_dict()})
        elif outcome is not None:
            self._first.setdefault(word, outcome)
        if self._screen.output == "ndjson":
            self._line(item, word, outcome)
        elif isinstance(outcome, NemoJobsError) and self._screen.output == "text" and self._failures <= MAX_FAILURES:
            more = "; further failures are only counted" if self._failures == MAX_FAILURES else ""
            render.message(f"{one_line(item.location, 200)}: {item.update.job}: {outcome.message}{more}")
        if self._bar is not None:
            self._bar.advance(self._bar.task_ids[0])

    def on_wait(self, limit: float) -> None:
        """Say what the command waits for after Ctrl-C."""
        render.long_wait("delivering the last updates", limit, self._screen)

    def summary(self, code: int, left: int) -> None:
        """Print the counts of all outcomes; `left` is the undelivered number."""
        counts = {**self._counts, "left": left, "attempts": self._attempts, "conflicts": self._conflicts}
        if self._screen.output != "text":
            errors = {"errors": self._errors} if self._screen.output == "json" and self._errors else {}
            render.document("apply", self._outcome(code), code, updates=self._total, **counts, **errors)
            return
        if self._hint:
            render.message(f"next: {self._hint}")
        for word, first in self._first.items():
            outbox_view.kept_or_dropped(self._screen, first)
            if self._counts[word] > 1:
                render.message(f"{self._counts[word]} updates {word} in total")
        if self._screen.quiet:
            return
        nouns = {"attempts": "attempt", "conflicts": "conflict"}
        adjectives = {"left": "undelivered"}  # failed, dropped or not sent
        texts = [
            plural(count, nouns[word]) if word in nouns else f"{count} {adjectives.get(word, word)}"
            for word, count in counts.items()
            if count
        ]
        render.line(", ".join(texts) or "nothing to send")

    def _outcome(self, code: int) -> str:
        if code:
            return "rejected" if code == ExitCode.REJECTED else "failed"
        return next((word for word in ("dropped", "kept") if self._counts[word]), "delivered")

    def _line(self, item: BatchItem, word: str, outcome: Outcome) -> None:
        facts = _facts(item)
        code = 0
        if isinstance(outcome, Delivered):
            facts |= {"attempts": outcome.attempts, "conflicts": outcome.conflicts}
        elif isinstance(outcome, NemoJobsError):
            facts["error"] = outcome.as_dict()
            code = int(outcome.exit_code)
        elif outcome is not None:
            facts["error"] = {"message": outcome.reason}
        render.document("apply", word, code, **facts)


def _facts(item: BatchItem) -> dict[str, Any]:
    return {"job": item.update.job, "workspace": item.update.workspace, "from": item.location}


def _word(outcome: Outcome) -> str:
    if outcome is None:
        return "left"
    return outcome.outcome if isinstance(outcome, NemoJobsError) else type(outcome).__name__.lower()
