"""Show a flow of updates: live line and summary, or JSON lines."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

from nemo_jobs_cli.core import times
from nemo_jobs_cli.core.clock import SYSTEM_CLOCK
from nemo_jobs_cli.core.outcome import Delivered, Slowed
from nemo_jobs_cli.core.text import plural
from nemo_jobs_cli.output import render
from nemo_jobs_cli.reporting import match
from nemo_jobs_cli.settings import running_job

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Self

    from nemo_jobs_cli.core.errors import NemoJobsError
    from nemo_jobs_cli.core.outcome import FlowResult
    from nemo_jobs_cli.settings.model import Screen

# Bad lines shown; further ones are only counted: in a log that holds no updates, every line is bad.
MAX_WARNINGS = 10

# Seconds between two changes of the live line.
REFRESH_INTERVAL = 0.1


class FlowView:
    """Messages about a flow on stderr, unless `quiet`.

    A command sets the `prefix` of its messages and of a `warning`, and its name for the `last` update.
    """

    prefix, warning, last = "", "warning: ", "last update"

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._is_noted = False

    def say(self, text: str) -> None:
        """Print a line."""
        if not self._screen.quiet:
            render.message(self.prefix + text)

    def warn(self, text: str) -> None:
        """Print a warning."""
        self.say(self.warning + text)

    def on_event(self, event: Delivered | NemoJobsError | Slowed) -> None:
        """Report an event; note once keys that do not last."""
        if isinstance(event, Slowed):
            if self._screen.verbose:
                self.warn(f"the server is busy: the next request follows in {times.format_duration(event.pause)}")
        elif isinstance(event, Delivered):
            note = None if self._is_noted else running_job.overwritten_note(event.update)
            if note is not None and self._screen.output == "text":
                self._is_noted = True
                self.say(f"note: {note}")
            self.on_delivered(event)
        else:
            self.on_error(event)

    def on_delivered(self, delivered: Delivered) -> None:
        """Report a delivery, in the words of the command."""

    def on_error(self, error: NemoJobsError) -> None:
        """Report a failure."""
        self.warn(f"{error.message}; {error.hint}")

    def on_wait(self, limit: float) -> None:
        """Say what the command waits for at the end."""
        render.long_wait(f"{self.prefix}delivering the {self.last}", limit, self._screen)


class StreamView(FlowView):
    """The output of `stream`; `skipped` counts the bad lines.

    With `stdout_taken`, prose goes to stderr, because the input is passed through to stdout. `typed`: the input comes
    from the terminal.
    """

    def __init__(
        self,
        screen: Screen,
        job: str,
        *,
        stdout_taken: bool,
        typed: bool = False,
        now: Callable[[], float] = SYSTEM_CLOCK.now,
    ) -> None:
        super().__init__(screen)
        self.skipped = 0
        self._job = job
        self._stdout_taken = stdout_taken
        self._typed = typed
        self._now = now
        self._refreshed = now()
        self._stack = ExitStack()
        self._show: Callable[[str], None] | None = None

    def __enter__(self) -> Self:
        """Start the live line on a terminal that nothing else writes to."""
        is_free = not self._screen.quiet and not self._stdout_taken and not self._typed
        if is_free and self._screen.color and sys.stderr.isatty():
            from nemo_jobs_cli.output import rich_text

            self._show = self._stack.enter_context(rich_text.live_line(self._screen))
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the live line."""
        self._stack.close()

    def on_bad_line(self, error: NemoJobsError) -> None:
        """Warn about a line that is skipped."""
        self.skipped += 1
        if self._screen.output == "ndjson":
            self._print_event("dropped", error)
        elif self.skipped <= MAX_WARNINGS:
            more = "; further bad lines are only counted" if self.skipped == MAX_WARNINGS else ""
            self.warn(f"skipped {error.message}; {error.hint}{more}")

    def on_delivered(self, delivered: Delivered) -> None:
        """Show a delivery, if asked for."""
        if self._screen.output == "ndjson":
            render.delivered(self._screen, delivered, "stream")
            sys.stdout.flush()
        elif self._screen.verbose:
            self.say(f"{delivered.update.job}: {render.format_fields(delivered.update.fields)}")

    def on_error(self, error: NemoJobsError) -> None:
        """Show a failure."""
        if self._screen.output == "ndjson":
            self._print_event(error.outcome, error, error.exit_code)
        else:
            super().on_error(error)

    def refresh(self, lines: int, flow: FlowResult) -> None:
        """Redraw the live line, unless it has just been redrawn."""
        if self._show is not None and self._now() - self._refreshed >= REFRESH_INTERVAL:
            self._refreshed = self._now()
            self._show(self._counts(lines, flow))

    def print_summary(self, lines: int, flow: FlowResult, exit_code: int, unmatched: Sequence[str] = ()) -> None:
        """Print the result of the flow, and patterns that never matched."""
        if self._screen.output == "text":
            if unmatched:
                self.warn(match.never_matched(unmatched))
            if not self._screen.quiet:
                (render.message if self._stdout_taken else render.line)(self._counts(lines, flow))
            return
        stopped = flow.error is None and exit_code != 0
        render.document(
            "stream",
            "failed" if stopped else flow.outcome,
            exit_code,
            lines=lines,
            **flow._replace(errors=flow.errors + self.skipped).counts,
            skipped=self.skipped,
            unmatched=list(unmatched),
            error=flow.error and flow.error.as_dict(),
        )

    def _counts(self, lines: int, flow: FlowResult) -> str:
        counts = (
            plural(lines, "line"),
            plural(flow.updates, "update"),
            plural(flow.requests, "request"),
            plural(flow.retries, "retry", "retries"),
            plural(flow.errors + self.skipped, "error"),
            *([f"slowed down by the server {plural(flow.slowed, 'time')}"] if flow.slowed else []),
        )
        return f"{self._job}: {', '.join(counts)}"

    def _print_event(self, outcome: str, error: NemoJobsError, exit_code: int = 0) -> None:
        render.document("stream", outcome, exit_code, error=error.as_dict())
        sys.stdout.flush()

    def warn(self, text: str) -> None:
        """Print a warning; in an object per line there is no place for it."""
        if self._screen.output != "ndjson":
            super().warn(text)
