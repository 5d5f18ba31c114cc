"""Estimate the time that a job still takes from its progress over time.

Times are those of this process's polls, on a monotonic clock. They are late by at most one poll interval, but do not
depend on the clock of the job or on its `lastUpdated`, which also changes with a heartbeat.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from nemo_jobs_cli.core import known_keys, times

# Only samples of the last so many seconds count: a job may become slower.
WINDOW = 600.0

# Samples closer than this, in seconds, are merged, so that the window holds at most a hundred.
SPACING = WINDOW / 100

# An estimate takes at least so many samples (even if they are older than the window), over so many seconds.
MIN_SAMPLES = 3
MIN_SPAN = 10.0

# A fall by at most this, in percent, is noise; a larger one is a restart.
NOISE = 1.0

# A job without progress for this many times its longest pause is stalled.
STALLED = 3.0

# A rise this many times faster than the rest, and larger than all of it, is a loaded checkpoint.
LEAP = 5.0

# The longest estimate, in seconds: a longer one would change by days with each poll.
MAX_ESTIMATE = 30 * 86400.0


@dataclass(frozen=True, slots=True)
class Sample:
    """A new progress in percent, and its time on a monotonic clock."""

    time: float
    percent: float


@dataclass(frozen=True, slots=True)
class History:
    """The highest progress since the last restart, and a sample of each rise.

    The first poll adds no sample: the progress may have been reported long before.
    """

    best: float | None = None
    samples: tuple[Sample, ...] = ()


EMPTY = History()


def record(history: History, now: float, percent: float | None) -> History:
    """Return the history after a poll at `now`."""
    if percent is None or not math.isfinite(percent + now) or not 0 <= percent <= known_keys.PROGRESS_MAX:
        return history
    samples = history.samples
    if history.best is None or (samples and now < samples[-1].time):  # the clock was set back
        return History(percent)
    if percent < history.best - NOISE:
        return History(percent, (Sample(now, percent),))
    if percent <= history.best:
        return history
    if len(samples) > 1 and samples[-1].time - samples[-2].time < SPACING:
        samples = samples[:-1]
    older, newest = samples[: 1 - MIN_SAMPLES], samples[1 - MIN_SAMPLES :]
    recent = tuple(sample for sample in older if now - sample.time <= WINDOW)
    return History(percent, (*recent, *newest, Sample(now, percent)))


def estimate(history: History, now: float) -> float | None:
    """Return the seconds until the job is done, or None if unknown."""
    samples = _since_leap(history.samples)
    if len(samples) < MIN_SAMPLES:
        return None
    first, last = samples[0], samples[-1]
    span, waited = last.time - first.time, now - last.time
    pauses = [after.time - before.time for before, after in itertools.pairwise(samples)]
    if span < MIN_SPAN or not 0 <= waited <= STALLED * max(pauses):
        return None
    rest = span * (known_keys.PROGRESS_MAX - last.percent) / (last.percent - first.percent)
    # The next rise is due after an average pause; if it is late, the estimate stands still.
    return max(0.0, rest - min(waited, span / len(pauses))) if 0 < rest <= MAX_ESTIMATE else None


def format_estimate(seconds: float | None) -> str:
    """Return an estimate as text, coarse enough to change rarely."""
    if seconds is None:
        return ""
    if seconds < 60:  # noqa: PLR2004 - seconds to a minute
        return "a few seconds left" if seconds < MIN_SPAN else "under a minute left"
    hours = seconds / 3600
    unit = 60 if hours < 1 else 300 if hours < 10 else 3600 if hours < 48 else 86400  # noqa: PLR2004
    return f"about {times.format_duration(round(seconds / unit) * unit)} left"


def _since_leap(samples: tuple[Sample, ...]) -> tuple[Sample, ...]:
    """Return the samples after a leap, if there is one.

    Only one rise can be more than half of the progress.
    """
    if len(samples) < MIN_SAMPLES:
        return samples
    span, total = samples[-1].time - samples[0].time, samples[-1].percent - samples[0].percent
    for number, (before, after) in enumerate(itertools.pairwise(samples)):
        seconds, rise = after.time - before.time, after.percent - before.percent
        if rise > total / 2 and rise * (span - seconds) > LEAP * (total - rise) * seconds:
            return samples[number + 1 :]
    return samples
