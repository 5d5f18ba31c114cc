"""Show a job while it changes: one picture kept up to date on a terminal, one line a change elsewhere, or nothing."""

from __future__ import annotations

import contextlib
import sys
import textwrap
import time
from typing import TYPE_CHECKING, NamedTuple

from nemo_jobs_cli.core import known_keys, times
from nemo_jobs_cli.core.text import finite_number, one_line, percent
from nemo_jobs_cli.output import _eta, jobs_view, render

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nemo_jobs_cli.api.models import Job
    from nemo_jobs_cli.api.wait import Watcher
    from nemo_jobs_cli.core.errors import NotDeliveredError
    from nemo_jobs_cli.output._live import Frame
    from nemo_jobs_cli.settings.model import Screen

# On a line of its own a value shows its beginning; `show` shows all of it.
LONGEST_VALUE = 60

# A platform that answers sooner than this, in seconds, needs no word on how long it takes.
PROMPT = 1.0

_INDENT = " " * len("08:00:00Z  ")


class SilentView:
    """Show nothing but outages and their ends: they are prose, on stderr."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._away = False

    def look(self, job: Job) -> None:  # noqa: ARG002 - a view that shows it takes it
        """Say that the platform is back, where it was away: until something changes nothing else would."""
        if self._away:
            self._away = False
            render.notes(["the platform answers again"], self._screen)

    def trouble(self, error: NotDeliveredError) -> None:
        """Say it once; who reads a log wants to know why it is slow."""
        self._away = True
        render.warnings([_still_trying(error)], self._screen)


class LineView(SilentView):
    """Print a line a change: for people on a terminal, for programs in a pipe, as JSON with `-o ndjson`."""

    def __init__(self, screen: Screen, now: Callable[[], float], clock: Callable[[], float]) -> None:
        super().__init__(screen)
        self._now, self._clock = now, clock
        self._before: Job | None = None
        self._course = _eta.Course()

    def look(self, job: Job) -> None:
        """Print what has changed, at once: a pipe's buffer would hold it back for minutes."""
        super().look(job)
        news = jobs_view.changes(self._before, job)
        self._course = _eta.seen(self._course, self._clock(), finite_number(job.progress))
        self._before = job
        if not news:
            return
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._now()))
        if self._screen.output != "text":
            render.document("show", jobs_view.OK, result=job.raw)
        elif self._screen.terminal:
            left = _eta.words(_left(job, self._course, self._clock()))
            for text in told(job, news, left, stamp, self._screen.width):
                render.line(text)
        else:
            render.line("\t".join([stamp, *news]))
        sys.stdout.flush()


def told(job: Job, news: list[str], left: str, stamp: str, width: int) -> list[str]:
    """Return a change as a person reads it, wrapped to `width`: when, the state, how far, and what else is new."""
    progress = "" if job.progress is None else percent(job.progress)
    said = {"state", f"details.{known_keys.STAMP}", f"details.{known_keys.PROGRESS}" if progress else ""}
    pairs = [(key, value) for key, _, value in (text.partition("=") for text in news) if key not in said]
    rest = [
        f"{one_line(key.removeprefix('details.'), LONGEST_VALUE)}: {one_line(value, LONGEST_VALUE)}"
        for key, value in pairs
    ]
    clock = stamp.partition("T")[2]
    text = "  ".join(filter(None, [clock, one_line(job.state, 40) or "unknown", progress, left, *rest]))
    return textwrap.wrap(text, max(20, width - 1), subsequent_indent=_INDENT, break_on_hyphens=False)


class Scene(NamedTuple):
    """What a picture is drawn from; moments are those of a steady clock."""

    begun: float
    job: Job | None = None
    course: _eta.Course = _eta.Course()
    changed: float | None = None
    note: str = ""
    waits: bool = True


class LiveView:
    """Follow a job for a picture of it; `show` makes the terminal show the new one soon."""

    def __init__(self, screen: Screen, now: Callable[[], float], clock: Callable[[], float]) -> None:
        self._screen, self._now, self._clock = screen, now, clock
        self._scene = Scene(clock())
        self.show: Callable[[], None] = lambda: None

    def look(self, job: Job) -> None:
        """Take in the job."""
        at, before = self._clock(), self._scene
        course = _eta.seen(before.course, at, finite_number(job.progress))
        news = before.job is not None and jobs_view.changes(before.job, job)
        self._scene = before._replace(
            job=job, course=course, changed=at if news else before.changed, note="", waits=False
        )
        self.show()

    def trouble(self, error: NotDeliveredError) -> None:
        """Say below the last known state that the platform is away, until it is back."""
        self._scene = self._scene._replace(note=_still_trying(error))
        self.show()

    def over(self) -> None:
        """Wait no more: what is left on the screen stands above what ended the watch."""
        self._scene = self._scene._replace(waits=False)

    def picture(self, width: int) -> Frame:
        """Return the job as it is known now, for a terminal of this width; called from another thread."""
        from rich.text import Text

        from nemo_jobs_cli.output import _job_layout, rich_text
        from nemo_jobs_cli.output._live import Frame

        scene, target = self._scene, rich_text.console(self._screen, width=width)
        lines: list[str] = []
        if scene.job is not None:
            seen = _job_layout.Seen(_eta.words(_left(scene.job, scene.course, self._clock())), self._news(scene))
            lines = rich_text.lines(_job_layout.job(scene.job, target, self._now(), seen), target)
        note = Text(scene.note, style="yellow") if scene.note else Text(self._unanswered(scene), style="dim")
        foot = rich_text.lines(note, target) if note else []
        return Frame(lines, ["", *foot] if lines and foot else foot)

    def _news(self, scene: Scene) -> str:
        """Return when something last changed: of a job that does not say when it reports, the only sign of life."""
        past = self._clock() - (scene.begun if scene.changed is None else scene.changed)
        span = _span(past)
        return f"none for {span}, since this watch began" if scene.changed is None else f"{span} ago, as seen here"

    def _unanswered(self, scene: Scene) -> str:
        """Return how long the first answer has been waited for; "" where it has come, or may come any moment."""
        past = self._clock() - scene.begun
        return f"no answer yet from the platform ({_span(past)})" if scene.waits and past >= PROMPT else ""


@contextlib.contextmanager
def open_view(
    screen: Screen, now: Callable[[], float], *, clock: Callable[[], float] = time.monotonic, silent: bool = False
) -> Iterator[Watcher]:
    """Open what shows a job on this screen, and leave the terminal as it was.

    A picture that is kept up to date takes escape codes, so where colours are off (NO_COLOR, TERM=dumb, a pipe) it is
    lines; also with --verbose, whose words would stand in the picture. `-o json` promises one object: it is silent
    until the end. `now` is the time of day, `clock` a steady one.
    """
    if silent or screen.output == "json":
        yield SilentView(screen)
    elif not (screen.terminal and screen.color) or screen.verbose or screen.output == "ndjson":
        yield LineView(screen, now, clock)
    else:
        from nemo_jobs_cli.output._live import LiveDisplay

        frame = LiveView(screen, now, clock)
        with LiveDisplay(frame.picture, screen.width) as live:
            frame.show = live.refresh
            try:
                yield frame
            finally:
                frame.over()


def _left(job: Job, course: _eta.Course, now: float) -> float | None:
    """Return the seconds left of a job that runs."""
    return None if job.is_terminal else _eta.left(course, now)


def _span(seconds: float) -> str:
    return f"{int(seconds)} s" if seconds < 60 else times.format_duration(seconds)  # noqa: PLR2004 - seconds to a minute


def _still_trying(error: NotDeliveredError) -> str:
    return one_line(f"{error.message}; still trying", 400)
