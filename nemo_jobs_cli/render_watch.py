"""Show a job while it changes: one frame redrawn on a terminal, one line a change elsewhere, or nothing."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING

from nemo_jobs_cli import render, render_jobs
from nemo_jobs_cli.sanitize import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.live import Live

    from nemo_jobs_cli.errors import NotDeliveredError
    from nemo_jobs_cli.settings import Screen
    from nemo_jobs_cli.statuses import Job
    from nemo_jobs_cli.waiting import Watcher


class Silent:
    """Show nothing but outages: they are prose, on stderr."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen

    def look(self, job: Job) -> None:
        """Show nothing."""

    def trouble(self, error: NotDeliveredError) -> None:
        """Say it once; who reads a log wants to know why it is slow."""
        render.warnings([_still_trying(error)], self._screen)


class Lines(Silent):
    """Print a line a change, or a JSON document a change with `-o ndjson`."""

    def __init__(self, screen: Screen, now: Callable[[], float]) -> None:
        super().__init__(screen)
        self._now = now
        self._before: Job | None = None

    def look(self, job: Job) -> None:
        """Print what has changed, at once: a pipe's buffer would hold it back for minutes."""
        news = render_jobs.changes(self._before, job)
        self._before = job
        if not news:
            return
        if self._screen.output == "text":
            stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._now()))
            render.line("\t".join([stamp, *news]))
        else:
            render.document("show", render_jobs.OK, result=job.answer)
        sys.stdout.flush()


class Frame:
    """Redraw one frame in place, only when there is something to look at."""

    def __init__(self, live: Live, now: Callable[[], float]) -> None:
        self._live = live
        self._now = now
        self._job: Job | None = None

    def look(self, job: Job) -> None:
        """Draw the job."""
        self._job = job
        self._draw("")

    def trouble(self, error: NotDeliveredError) -> None:
        """Draw the last known state with a line on the outage below it."""
        self._draw(_still_trying(error))

    def _draw(self, note: str) -> None:
        from rich.text import Text

        from nemo_jobs_cli import render_frames

        if self._job is None:
            self._live.update(Text(note, style="yellow"), refresh=True)
        else:
            frame = render_frames.job(self._job, self._live.console, self._now(), note=note)
            self._live.update(frame, refresh=True)


@contextlib.contextmanager
def view(screen: Screen, now: Callable[[], float], *, silent: bool = False) -> Iterator[Watcher]:
    """Open what shows a job on this screen, and leave the terminal as it was.

    Redrawing takes escape codes, so where colours are off (NO_COLOR, TERM=dumb, a pipe) it is lines.
    `-o json` promises one object: it is silent until the end.
    """
    if silent or screen.output == "json":
        yield Silent(screen)
    elif screen.output == "ndjson" or not (screen.terminal and screen.color):
        yield Lines(screen, now)
    else:
        from rich.live import Live

        from nemo_jobs_cli import render_rich

        target = render_rich.console(screen)
        with Live(console=target, auto_refresh=False, redirect_stdout=False, redirect_stderr=False) as live:
            yield Frame(live, now)


def _still_trying(error: NotDeliveredError) -> str:
    return one_line(f"{error.message}; still trying", 400)
