"""Show a flow of updates: a live line for people, one line at its end, or a line of JSON an event."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.core import known_keys
from nemo_jobs_cli.core.outcome import Delivered
from nemo_jobs_cli.output import render

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from collections.abc import Set as AbstractSet
    from typing import Self

    from nemo_jobs_cli.core.errors import NemoJobsError
    from nemo_jobs_cli.core.outcome import FlowResult
    from nemo_jobs_cli.settings.model import Screen

# More mistakes than these are only counted: a log that isn't meant for us has one a line.
MOST_COMPLAINTS = 10

# Who sends more keys than these does not type them.
MOST_KEYS = 1000

# How often the live line changes, in seconds.
REDRAW = 0.1


class View:
    """What `stream` says while it runs, and at its end; `skipped` counts the bad lines.

    `aside` leaves stdout to the lines that pass through. A context manager: the live line stands inside it.
    """

    def __init__(self, screen: Screen, job: str, *, aside: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self.skipped = 0
        self._keys: set[str] = set()
        self._screen = screen
        self._job = job
        self._aside = aside
        self._clock = clock
        self._drawn = clock()
        self._stack = ExitStack()
        self._show: Callable[[str], None] | None = None

    def __enter__(self) -> Self:
        """Begin the live line, where stdout and stderr are a terminal that nothing else writes to."""
        if self._screen.color and sys.stderr.isatty() and not self._screen.quiet and not self._aside:
            from nemo_jobs_cli.output import rich_text

            self._show = self._stack.enter_context(rich_text.live_line(self._screen))
        return self

    def __exit__(self, *_: object) -> None:
        """Take the live line away."""
        self._stack.close()

    def bad(self, error: NemoJobsError) -> None:
        """Tell of a line that is skipped."""
        self.skipped += 1
        if self._screen.output == "ndjson":
            render.document("stream", "dropped", error={"message": error.message, "hint": error.hint})
            sys.stdout.flush()
        elif self.skipped <= MOST_COMPLAINTS:
            more = "; more of them are only counted" if self.skipped == MOST_COMPLAINTS else ""
            self._say(f"warning: skipped {error.message}; {error.hint}{more}")

    def saw(self, fields: Mapping[str, Any], numbers: AbstractSet[str]) -> None:
        """Warn, once a key, of one that is nearly a well-known one: it is sent, and nobody will see it."""
        new = fields.keys() - self._keys
        if new and len(self._keys) < MOST_KEYS:
            self._keys |= new
            for text in known_keys.misspelt(sorted(new), numbers) if self._screen.output == "text" else ():
                self._say(f"warning: {text}")

    def hear(self, event: Delivered | NemoJobsError) -> None:
        """Tell of a delivery where that is asked for, and of trouble once an outage."""
        if isinstance(event, Delivered):
            if self._screen.output == "ndjson":
                render.delivered(self._screen, event, "stream")
                sys.stdout.flush()
            elif self._screen.verbose:
                self._say(f"{event.update.job}: {render.format_fields(event.update.fields)}")
        elif self._screen.output == "ndjson":
            render.document(
                "stream", event.outcome, event.exit_code, error={"message": event.message, "hint": event.hint}
            )
            sys.stdout.flush()
        else:
            self._say(f"warning: {event.message}; {event.hint}")

    def look(self, lines: int, flow: FlowResult) -> None:
        """Draw the live line, not more often than an eye can follow."""
        if self._show is not None and self._clock() - self._drawn >= REDRAW:
            self._drawn = self._clock()
            self._show(f"{self._job}: {_counts(lines, flow, self.skipped)}")

    def summary(self, lines: int, flow: FlowResult, exit_code: int) -> None:
        """Print what became of the flow: one line, or one object."""
        if self._screen.output != "text":
            stopped = flow.error is None and exit_code != 0
            outcome = "failed" if stopped else flow.outcome
            render.document("stream", outcome, exit_code, **_facts(lines, flow, self.skipped))
            return
        if not self._screen.quiet:
            (render.message if self._aside else render.line)(f"{self._job}: {_counts(lines, flow, self.skipped)}")

    def _say(self, text: str) -> None:
        if not self._screen.quiet:
            render.message(text)


def _counts(lines: int, flow: FlowResult, skipped: int) -> str:
    counted = (
        (lines, "lines"),
        (flow.updates, "updates"),
        (flow.requests, "requests"),
        (flow.retries, "retries"),
        (flow.errors + skipped, "errors"),
    )
    return ", ".join(f"{number:,} {name if number != 1 else _ONE[name]}" for number, name in counted)


_ONE = {"lines": "line", "updates": "update", "requests": "request", "retries": "retry", "errors": "error"}


def _facts(lines: int, flow: FlowResult, skipped: int) -> dict[str, Any]:
    error = flow.error
    said = None if error is None else {"message": error.message, "hint": error.hint, **error.facts}
    return {
        "lines": lines,
        "updates": flow.updates,
        "requests": flow.requests,
        "retries": flow.retries,
        "errors": flow.errors + skipped,
        "skipped": skipped,
        "error": said,
    }
