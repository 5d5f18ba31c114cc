"""Estimate how long a job will still take, from the moments at which its progress was seen to rise.

The moments are those of the looks, on the looker's own steady clock: off by at most the time between two looks, but
never by what a writer's clock or a heartbeat's `lastUpdated` says, and always there.
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

from nemo_jobs_cli.core import known_keys, times

# Only what was seen in the last so many seconds tells the pace: a job may become slower.
WINDOW = 600.0

# Marks closer than this, in seconds, are one: so the window holds a hundred, however often a job reports.
SPACING = WINDOW / 100

# No pace is told by fewer marks (of a slow job they may be older), or by ones that span less than this, in seconds.
FEWEST = 3
SHORTEST_SPAN = 10.0

# A fall by no more than this, in percent, is noise; by more it is a new start.
NOISE = 1.0

# A job that has not risen for this many times its longest pause may never do so again.
STALLED = 3.0

# A rise this many times faster than the rest, and larger than all of it, is a checkpoint that was loaded, no pace.
LEAP = 5.0

# The farthest end that is told, in seconds; what is further away moves by days with each look.
FARTHEST = 30 * 86400.0


class Mark(NamedTuple):
    """A moment, in seconds of a steady clock, and the progress that was new then, in percent."""

    at: float
    percent: float


class Course(NamedTuple):
    """What was seen of a job's progress: the highest value of this start, and the moments of its rise.

    The first look has a value but no moment: since when it holds nobody has seen.
    """

    best: float | None = None
    marks: tuple[Mark, ...] = ()


def seen(course: Course, at: float, percent: float | None) -> Course:
    """Return the course after a look at `at`, a moment of a steady clock, that found `percent`."""
    if percent is None or not math.isfinite(percent + at) or not 0 <= percent <= known_keys.PROGRESS_MAX:
        return course
    marks = course.marks
    if course.best is None or (marks and at < marks[-1].at):  # a clock that was set back tells nothing of before
        return Course(percent)
    if percent < course.best - NOISE:
        return Course(percent, (Mark(at, percent),))
    if percent <= course.best:
        return course
    if len(marks) > 1 and marks[-1].at - marks[-2].at < SPACING:
        marks = marks[:-1]
    kept = [mark for mark in marks[: 1 - FEWEST] if at - mark.at <= WINDOW] + list(marks[1 - FEWEST :])
    return Course(percent, (*kept, Mark(at, percent)))


def left(course: Course, now: float) -> float | None:
    """Return the seconds until the job is done; None where that can't be told honestly, or nothing is left."""
    marks = _since_leap(course.marks)
    if len(marks) < FEWEST:
        return None
    first, last = marks[0], marks[-1]
    span, waited = last.at - first.at, now - last.at
    pauses = [after.at - before.at for before, after in itertools.pairwise(marks)]
    if span < SHORTEST_SPAN or not 0 <= waited <= STALLED * max(pauses):
        return None
    whole = span * (known_keys.PROGRESS_MAX - last.percent) / (last.percent - first.percent)
    # The next rise is due after a usual pause; while it is late, time does not run on.
    return max(0.0, whole - min(waited, span / len(pauses))) if 0 < whole <= FARTHEST else None


def words(seconds: float | None) -> str:
    """Return an estimate as people say it, coarser the farther it is, so that it holds still; "" without one."""
    if seconds is None:
        return ""
    if seconds < 60:  # noqa: PLR2004 - seconds to a minute
        return "a few seconds left" if seconds < SHORTEST_SPAN else "under a minute left"
    hours = seconds / 3600
    unit = 60 if hours < 1 else 300 if hours < 10 else 3600 if hours < 48 else 86400  # noqa: PLR2004
    return f"about {times.format_duration(round(seconds / unit) * unit)} left"


def _since_leap(marks: tuple[Mark, ...]) -> tuple[Mark, ...]:
    """Return the marks from the end of a leap on, where there is one: more than half can rise only once."""
    if len(marks) < FEWEST:
        return marks
    span, rise = marks[-1].at - marks[0].at, marks[-1].percent - marks[0].percent
    for n, (before, after) in enumerate(itertools.pairwise(marks)):
        took, rose = after.at - before.at, after.percent - before.percent
        if rose > rise / 2 and rose * (span - took) > LEAP * (rise - rose) * took:
            return marks[n + 1 :]
    return marks
