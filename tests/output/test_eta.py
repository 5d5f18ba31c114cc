"""The estimate of the time left: present if the pace is known, absent otherwise."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_jobs_cli.output import _eta
from nemo_jobs_cli.output._eta import History

INTERVAL = 2.0  # seconds between two polls


def record(polls, history=_eta.EMPTY):
    """Return the history after polls: pairs of a time and a progress."""
    for now, percent in polls:
        history = _eta.record(history, now, percent)
    return history


def steady(rate, seconds, *, interval=INTERVAL, start=0.0, since=1000.0):
    """Return the polls of a job that rises by `rate` percent a second from `start`, over so many seconds."""
    return [(since + n * interval, start + rate * n * interval) for n in range(int(seconds / interval) + 1)]


def estimate(polls, *, after=0.0):
    """Return the estimate, some seconds after the last poll."""
    return _eta.estimate(record(polls), polls[-1][0] + after)


@given(rate=st.floats(0.001, 1.0), seconds=st.floats(21, 90), interval=st.sampled_from([0.2, 1.0, 2.0, 5.0]))
def test_a_steady_job_is_estimated_to_a_hundredth(rate, seconds, interval):
    """At any rate and any poll interval."""
    polls = steady(rate, seconds, interval=interval)
    assert estimate(polls) == pytest.approx((100 - polls[-1][1]) / rate, rel=0.01)


@given(step=st.floats(0.5, 6.0), pause=st.floats(10.0, 900.0), phase=st.floats(0, 1))
def test_a_job_that_reports_in_steps_is_estimated_to_a_poll(step, pause, phase):
    """The polls may fall anywhere between two reports; the first poll does not count."""
    rises = 5
    polls = [
        (n * INTERVAL, step * math.floor((n * INTERVAL + phase * pause) / pause))
        for n in range(int(rises * pause / INTERVAL) + 2)
    ]
    left = _eta.estimate(record(polls), polls[-1][0])
    exact = (100 - polls[-1][1]) / step * pause
    waited = (polls[-1][0] + phase * pause) % pause
    assert left == pytest.approx(exact - waited, rel=INTERVAL / pause, abs=2 * INTERVAL)


@given(st.lists(st.tuples(st.floats(allow_nan=True), st.floats(allow_nan=True) | st.none() | st.integers())))
def test_any_number_is_accepted(polls):
    """NaN, infinities, clocks that jump, progress outside 0-100: the estimate is a time or None."""
    history = record(polls)
    assert len(history.samples) < 2 * _eta.WINDOW / _eta.SPACING
    for now in (0.0, -1e9, 1e9, math.nan, math.inf, *[now for now, _ in polls[-1:]]):
        left = _eta.estimate(history, now)
        assert left is None or 0 <= left <= _eta.MAX_ESTIMATE
        assert len(_eta.format_estimate(left)) <= 21


VALUES = st.lists(st.floats(0, 100), min_size=1, max_size=40)


@given(VALUES | VALUES.map(sorted), st.floats(0.2, 100))
def test_samples_rise_in_time_and_percent(values, interval):
    """All but the newest are within the window."""
    history = record([(n * interval, value) for n, value in enumerate(values)])
    pairs = [(sample.time, sample.percent) for sample in history.samples]
    assert pairs == sorted(pairs)
    assert len({percent for _, percent in pairs}) == len(pairs)
    assert history.best is not None
    for time, _ in pairs[: -_eta.MIN_SAMPLES]:
        assert pairs[-1][0] - time <= _eta.WINDOW


@pytest.mark.parametrize(
    "polls",
    [
        [(0.0, 45.0)],
        [(0.0, 45.0), (2.0, 45.0), (4.0, 45.0)],
        [(0.0, 45.0), (100.0, 46.0)],
        [(0.0, 45.0), (100.0, 46.0), (200.0, 47.0)],
        [(0.0, 0.0), (2.0, 1.0), (4.0, 2.0), (6.0, 3.0)],
        [(0.0, None), (2.0, None)],
        steady(1.0, 100.0),
        [(n * INTERVAL, 45 + 0.3 * (n % 2)) for n in range(300)],
        [(n * 10.0, (20.0, 80.0)[n % 2]) for n in range(300)],
        steady(1e-5, 100),
    ],
    ids=[
        "one poll",
        "no rise",
        "one rise",
        "one pause",
        "a few seconds",
        "never reported",
        "done",
        "only noise",
        "two writers that disagree",
        "over a month",
    ],
)
def test_without_a_known_pace_there_is_no_estimate(polls):
    """It takes two whole pauses, over ten seconds; at 100 nothing is left."""
    assert estimate(polls) is None


def test_the_first_and_the_last_percents_are_estimated():
    """From 0 on, and down to the last seconds."""
    assert estimate(steady(0.5, 20)) == pytest.approx(180)
    assert estimate(steady(0.5, 198)) == pytest.approx(2)


def test_the_estimate_counts_down_until_the_next_report_is_late():
    """It counts down for an average pause, stands still, and ends after three of the longest pauses."""
    polls = [(n * 60.0, n * 10.0) for n in range(5)]
    assert [estimate(polls, after=after) for after in (0, 30, 60, 120, 180)] == [360, 330, 300, 300, 300]
    assert estimate(polls, after=181) is None


def test_a_clock_that_is_set_back_clears_the_history():
    """During a poll or between polls."""
    polls = steady(0.5, 60)
    assert estimate(polls, after=-1) is None
    assert record([*polls, (5.0, 40.0)]) == History(40.0)
    assert estimate([*polls, *steady(0.25, 20, start=40.0, since=5.0)]) == pytest.approx(220)


def test_the_pace_is_that_of_the_last_minutes():
    """A job that has become ten times slower does not keep its old estimate."""
    slow = steady(0.02, 1200, start=50.0, since=1100.0)
    assert estimate([*steady(0.5, 100), *slow]) == pytest.approx((100 - slow[-1][1]) / 0.02, rel=0.02)


@pytest.mark.parametrize("start", [0.0, 20.0])
def test_a_restart_clears_the_history(start):
    """Progress that falls means that the job was started again."""
    polls = [*steady(1.0, 50), *steady(0.1, 30, start=start, since=1052.0)]
    assert estimate(polls) == pytest.approx((100 - polls[-1][1]) / 0.1, rel=0.01)
    assert estimate(polls[:-14]) is None


@given(st.lists(st.floats(-0.4, 0.4), min_size=100, max_size=100))
def test_noise_is_not_a_restart(noise):
    """Progress that varies by less than a point is estimated nearly as well."""
    polls = [(now, percent + error) for (now, percent), error in zip(steady(0.1, 198, start=5.0), noise, strict=True)]
    assert estimate(polls) == pytest.approx((100 - polls[-1][1]) / 0.1, rel=0.15)


def test_a_loaded_checkpoint_does_not_count_as_pace():
    """From 0 to 40 in half a minute, and then on as slowly as before."""
    resumed = [(0.0, 7.0), (10.0, 0.0), (40.0, 40.0)]
    after = steady(0.01, 60, start=40.0, since=40.0)
    assert estimate([*resumed, *after[1:3]]) is None
    assert estimate([*resumed, *after[1:]]) == pytest.approx(60 / 0.01, rel=0.02)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (0, "a few seconds left"),
        (9.9, "a few seconds left"),
        (10, "under a minute left"),
        (60, "about 1 min left"),
        (89, "about 1 min left"),
        (720, "about 12 min left"),
        (3599, "about 1 h left"),
        (7501, "about 2 h 5 min left"),
        (35_900, "about 10 h left"),
        (100_000, "about 28 h left"),
        (200_000, "about 2 d left"),
        (2_592_000, "about 30 d left"),
    ],
)
def test_a_longer_estimate_is_coarser(seconds, text):
    """Minutes, then five of them, then hours, then days."""
    assert _eta.format_estimate(seconds) == text
