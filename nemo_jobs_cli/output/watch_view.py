"""Show a job while it changes: a live frame, lines, or nothing."""

from __future__ import annotations

import contextlib
import sys
import textwrap
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nemo_jobs_cli.core import known_keys, times
from nemo_jobs_cli.core.text import finite_number, one_line, percent
from nemo_jobs_cli.output import _eta, jobs_view, logs_view, render

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from nemo_jobs_cli.api.logs import Line
    from nemo_jobs_cli.api.models import Job
    from nemo_jobs_cli.core.errors import NotDeliveredError
    from nemo_jobs_cli.output._live import Frame
    from nemo_jobs_cli.settings.model import Screen

# A line shows the beginning of a value; `show` prints it whole.
MAX_VALUE = 60

# The lines of the log below a frame, and the characters of each.
LOG_LINES = 10
MAX_LINE = 1000

# The seconds without an answer after which the frame says so.
NO_ANSWER_AFTER = 1.0

_INDENT = " " * len("08:00:00Z  ")


class SilentView:
    """Print only outages and their ends, on stderr."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._is_outage = self._is_log_outage = False

    def on_job(self, job: Job) -> None:  # noqa: ARG002 - the other views show it
        """Print the end of an outage, which a job without changes would not show."""
        if self._is_outage:
            self._is_outage = False
            render.notes(["the platform responds again"], self._screen)

    def on_lines(self, lines: Sequence[Line]) -> None:
        """Show new lines of the log, if the view has a place for them."""

    def on_outage(self, error: NotDeliveredError) -> None:
        """Print why the platform does not answer."""
        self._is_outage = True
        render.warnings([_still_trying(error)], self._screen)

    def on_log_outage(self, error: NotDeliveredError | None) -> None:
        """Print once per outage why the log cannot be read; None if it can."""
        if error is not None and not self._is_log_outage:
            render.warnings([_no_log(error)], self._screen)
        self._is_log_outage = error is not None


class LineView(SilentView):
    """Print a line for each change."""

    def __init__(self, screen: Screen, now: Callable[[], float], clock: Callable[[], float]) -> None:
        super().__init__(screen)
        self._now, self._clock = now, clock
        self._facts: dict[str, str] = {}
        self._history = _eta.EMPTY

    def on_job(self, job: Job) -> None:
        """Print and flush the changes, which a pipe would buffer for minutes."""
        super().on_job(job)
        now, before = self._now(), self._facts
        self._facts = jobs_view.watched_facts(job, now)
        changes = jobs_view.changes(before, self._facts)
        self._history = _eta.record(self._history, self._clock(), finite_number(job.progress))
        if not changes:
            return
        timestamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
        if self._screen.output != "text":
            render.document("show", "ok", result=job.raw)
        elif self._screen.terminal:
            left = _time_left(job, self._history, self._clock())
            for line in _format_change(job, changes, left, timestamp, self._screen.width):
                render.line(line)
        else:
            render.line("\t".join([timestamp, *changes]))
        sys.stdout.flush()

    def on_lines(self, lines: Sequence[Line]) -> None:
        """Print lines of the log, each with its time."""
        for line in lines:
            text, separator = logs_view.terminal_text(line.message), "  " if self._screen.terminal else "\t"
            render.line(f"{times.add_zone(line.time)}{separator}log={one_line(text, MAX_LINE)}")
        sys.stdout.flush()


def _format_change(job: Job, changes: list[str], left: str, timestamp: str, width: int) -> list[str]:
    """Return lines of at most `width` for a change."""
    progress = "" if job.progress is None else percent(job.progress)
    separate = {"state", f"details.{known_keys.STAMP}", f"details.{known_keys.PROGRESS}" if progress else ""}
    pairs = [(key, value) for key, _, value in (change.partition("=") for change in changes) if key not in separate]
    others = [
        f"{one_line(key.removeprefix('details.'), MAX_VALUE)}: {one_line(value, MAX_VALUE)}" for key, value in pairs
    ]
    time_of_day = timestamp.partition("T")[2]
    text = "  ".join(filter(None, [time_of_day, one_line(job.state, 40) or "unknown", progress, left, *others]))
    return textwrap.wrap(text, max(20, width - 1), subsequent_indent=_INDENT, break_on_hyphens=False)


@dataclass(frozen=True, slots=True)
class WatchState:
    """The job as last polled, and its history on a monotonic clock."""

    started: float
    job: Job | None = None
    history: _eta.History = _eta.EMPTY
    changed: float | None = None
    outage: str = ""
    waiting: bool = True
    log: tuple[Line, ...] = ()
    log_outage: str = ""


class LiveView:
    """Keep the state of a watched job, and lay out its frames."""

    def __init__(self, screen: Screen, now: Callable[[], float], clock: Callable[[], float]) -> None:
        self._screen, self._now, self._clock = screen, now, clock
        self._state = WatchState(clock())
        self.refresh: Callable[[], None] = lambda: None

    def on_job(self, job: Job) -> None:
        """Update the state with a polled job, and redraw."""
        now, last = self._clock(), self._state
        history = _eta.record(last.history, now, finite_number(job.progress))
        before, after = (jobs_view.watched_facts(each, 0) for each in (last.job or job, job))
        has_changed = jobs_view.changes(before, after)
        self._state = replace(
            last,
            job=job,
            history=history,
            changed=now if has_changed else last.changed,
            outage="",
            waiting=False,
        )
        self.refresh()

    def on_lines(self, lines: Sequence[Line]) -> None:
        """Keep the last lines of the log for the next frame."""
        self._state = replace(self._state, log=(*self._state.log, *lines)[-LOG_LINES:])

    def on_outage(self, error: NotDeliveredError) -> None:
        """Show the outage below the last known state until the platform answers."""
        self._state = replace(self._state, outage=_still_trying(error))
        self.refresh()

    def on_log_outage(self, error: NotDeliveredError | None) -> None:
        """Show below the log why it cannot be read; None if it can."""
        self._state = replace(self._state, log_outage="" if error is None else _no_log(error))

    def stop_waiting(self) -> None:
        """Remove the note on the missing response from the last frame."""
        self._state = replace(self._state, waiting=False)

    def frame(self, width: int) -> Frame:
        """Return the frame for `width` columns; called from another thread."""
        from rich.text import Text

        from nemo_jobs_cli.output import _job_layout, rich_text
        from nemo_jobs_cli.output._live import Frame

        state, console = self._state, rich_text.console(self._screen, width=width)
        lines: list[str] = []
        if state.job is not None:
            left = _time_left(state.job, state.history, self._clock())
            watched = _job_layout.Watched(left, self._last_change(state))
            lines = rich_text.lines(_job_layout.job_frame(state.job, console, self._now(), watched), console)
        log = [Text(one_line(logs_view.terminal_text(line.message), MAX_LINE)) for line in state.log]
        for text in log:
            text.truncate(width, overflow="ellipsis")
        outage = state.outage or state.log_outage
        note = Text(outage, style="yellow") if outage else Text(self._no_answer(state), style="dim")
        parts = [rich_text.lines(part, console) for part in (Text("\n").join(log), note) if part]
        footer = [line for part in parts for line in ("", *part)]
        return Frame(lines, footer if lines else footer[1:])

    def _last_change(self, state: WatchState) -> str:
        """Return when a job without `lastUpdated` last changed."""
        span = _format_span(self._clock() - (state.started if state.changed is None else state.changed))
        return f"none since this watch began, {span} ago" if state.changed is None else f"seen {span} ago"

    def _no_answer(self, state: WatchState) -> str:
        """Return how long the first response takes, "" within a second."""
        waited = self._clock() - state.started
        is_late = state.waiting and waited >= NO_ANSWER_AFTER
        return f"no response from the platform yet ({_format_span(waited)})" if is_late else ""


@contextlib.contextmanager
def open_view(
    screen: Screen, now: Callable[[], float], *, clock: Callable[[], float] = time.monotonic, silent: bool = False
) -> Iterator[SilentView | LiveView]:
    """Yield the view for this screen; restore the terminal at the end.

    A live frame needs escape codes: without color (NO_COLOR, TERM=dumb, a pipe) it is lines, and with --verbose,
    whose messages would break the frame. `-o json` promises one object, so it prints nothing before the end. `now` is
    the time of day, `clock` a monotonic clock.
    """
    if silent or screen.output == "json":
        yield SilentView(screen)
    elif not (screen.terminal and screen.color) or screen.verbose or screen.output == "ndjson":
        yield LineView(screen, now, clock)
    else:
        from nemo_jobs_cli.output._live import LiveDisplay

        view = LiveView(screen, now, clock)
        with LiveDisplay(view.frame, screen.width) as live:
            view.refresh = live.refresh
            try:
                yield view
            finally:
                view.stop_waiting()


def _time_left(job: Job, history: _eta.History, now: float) -> str:
    """Return the estimated time left as text, or ""."""
    return "" if job.is_terminal else _eta.format_estimate(_eta.estimate(history, now))


def _format_span(seconds: float) -> str:
    return f"{int(seconds)} s" if seconds < 60 else times.format_duration(seconds)  # noqa: PLR2004 - seconds to a minute


def _no_log(error: NotDeliveredError) -> str:
    return f"cannot read the log: {_still_trying(error)}"


def _still_trying(error: NotDeliveredError) -> str:
    return one_line(f"{error.message}; still trying", 400)
