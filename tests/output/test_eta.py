"""The time left: told where the pace can be known, and not where it can't."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_jobs_cli.output import _eta
from nemo_jobs_cli.output._eta import Course

NOTHING = Course()
LOOK = 2.0  # seconds between two looks


def course(looks, start=NOTHING):
    """Return the course after looks: pairs of a moment and a progress."""
    for at, percent in looks:
        start = _eta.seen(start, at, percent)
    return start


def steady(rate, seconds, *, every=LOOK, start=0.0, since=1000.0):
    """Return the looks at a job that rises by `rate` percent a second from `start`, for so many seconds."""
    return [(since + n * every, start + rate * n * every) for n in range(int(seconds / every) + 1)]


def left(looks, *, after=0.0):
    """Return the estimate, some seconds after the last look."""
    return _eta.left(course(looks), looks[-1][0] + after)


@given(rate=st.floats(0.001, 1.0), seconds=st.floats(21, 90), every=st.sampled_from([0.2, 1.0, 2.0, 5.0]))
def test_a_steady_job_ends_when_it_is_told(rate, seconds, every):
    """To a hundredth, whatever the rate and however often one looks."""
    looks = steady(rate, seconds, every=every)
    assert left(looks) == pytest.approx((100 - looks[-1][1]) / rate, rel=0.01)


@given(step=st.floats(0.5, 6.0), pause=st.floats(10.0, 900.0), phase=st.floats(0, 1))
def test_a_job_that_reports_in_steps_is_told_to_a_look(step, pause, phase):
    """Where the looks fall between two reports matters no more than one look does; the first has no say."""
    rises = 5
    looks = [
        (n * LOOK, step * math.floor((n * LOOK + phase * pause) / pause)) for n in range(int(rises * pause / LOOK) + 2)
    ]
    told = _eta.left(course(looks), looks[-1][0])
    true = (100 - looks[-1][1]) / step * pause
    waited = (looks[-1][0] + phase * pause) % pause
    assert told == pytest.approx(true - waited, rel=LOOK / pause, abs=2 * LOOK)


@given(st.lists(st.tuples(st.floats(allow_nan=True), st.floats(allow_nan=True) | st.none() | st.integers())))
def test_whatever_is_seen_is_taken(looks):
    """NaN, infinities, clocks that jump, numbers that are no share: an estimate is a time, or none is made."""
    made = course(looks)
    assert len(made.marks) < 2 * _eta.WINDOW / _eta.SPACING
    for now in (0.0, -1e9, 1e9, math.nan, math.inf, *[at for at, _ in looks[-1:]]):
        told = _eta.left(made, now)
        assert told is None or 0 <= told <= _eta.FARTHEST
        assert len(_eta.words(told)) <= 21


@given(st.lists(st.floats(0, 100), min_size=1, max_size=40), st.floats(0.2, 100))
def test_marks_rise_and_follow_each_other(values, every):
    """In time and in percent, within the window but for the last few."""
    made = course([(n * every, value) for n, value in enumerate(values)])
    assert list(made.marks) == sorted(made.marks)
    assert len({mark.percent for mark in made.marks}) == len(made.marks)
    assert made.best is not None
    for mark in made.marks[: -_eta.FEWEST]:
        assert made.marks[-1].at - mark.at <= _eta.WINDOW


@pytest.mark.parametrize(
    "looks",
    [
        [(0.0, 45.0)],
        [(0.0, 45.0), (2.0, 45.0), (4.0, 45.0)],
        [(0.0, 45.0), (100.0, 46.0)],
        [(0.0, 45.0), (100.0, 46.0), (200.0, 47.0)],
        [(0.0, 0.0), (2.0, 1.0), (4.0, 2.0), (6.0, 3.0)],
        [(0.0, None), (2.0, None)],
        steady(1.0, 100.0),
    ],
    ids=["one look", "no rise", "one rise", "one pause", "a few seconds", "never reported", "done"],
)
def test_too_little_tells_nothing(looks):
    """Two pauses must have been seen whole, over ten seconds; at 100 nothing is left."""
    assert left(looks) is None


def test_at_nothing_and_near_the_end_it_is_told():
    """From 0 on, and down to the last seconds."""
    assert left(steady(0.5, 20)) == pytest.approx(180)
    assert left(steady(0.5, 198)) == pytest.approx(2)


def test_time_runs_while_the_next_report_is_awaited_and_stops_when_it_is_late():
    """It counts down for a usual pause, holds, and is taken back when three of the longest have gone by."""
    looks = [(n * 60.0, n * 10.0) for n in range(5)]
    assert [left(looks, after=after) for after in (0, 30, 60, 120, 180)] == [360, 330, 300, 300, 300]
    assert left(looks, after=181) is None


def test_a_clock_that_was_set_back_tells_nothing():
    """Neither between looks nor at one; the course begins anew."""
    looks = steady(0.5, 60)
    assert left(looks, after=-1) is None
    assert course([*looks, (5.0, 40.0)]) == Course(40.0)
    assert left([*looks, *steady(0.25, 20, start=40.0, since=5.0)]) == pytest.approx(220)


def test_the_pace_is_that_of_the_last_minutes():
    """A job that has become ten times slower is not told to be done in no time."""
    slow = steady(0.02, 1200, start=50.0, since=1100.0)
    assert left([*steady(0.5, 100), *slow]) == pytest.approx((100 - slow[-1][1]) / 0.02, rel=0.02)


@pytest.mark.parametrize("again", [0.0, 20.0])
def test_a_new_start_forgets_the_old_one(again):
    """Progress that goes back: the job was started again."""
    looks = [*steady(1.0, 50), *steady(0.1, 30, start=again, since=1052.0)]
    assert left(looks) == pytest.approx((100 - looks[-1][1]) / 0.1, rel=0.01)
    assert left(looks[:-14]) is None


@given(st.lists(st.floats(-0.4, 0.4), min_size=100, max_size=100))
def test_noise_is_no_new_start(noise):
    """A progress that trembles by less than a point is told nearly as well."""
    looks = [(at, percent + tremble) for (at, percent), tremble in zip(steady(0.1, 198, start=5.0), noise, strict=True)]
    told = left(looks)
    assert told == pytest.approx((100 - looks[-1][1]) / 0.1, rel=0.15)


def test_trembling_on_the_spot_is_no_progress():
    """It rises no more, so nothing is told."""
    assert left([(n * LOOK, 45 + 0.3 * (n % 2)) for n in range(300)]) is None


def test_two_writers_who_disagree_are_not_believed():
    """Each change is a new start."""
    assert left([(n * 10.0, (20.0, 80.0)[n % 2]) for n in range(300)]) is None


def test_a_checkpoint_that_is_loaded_is_no_pace():
    """From 0 to 40 in half a minute, and on from there as slowly as before."""
    resumed = [(0.0, 7.0), (10.0, 0.0), (40.0, 40.0)]
    after = steady(0.01, 60, start=40.0, since=40.0)
    assert left([*resumed, *after[1:3]]) is None
    assert left([*resumed, *after[1:]]) == pytest.approx(60 / 0.01, rel=0.02)


def test_what_ends_in_a_month_is_not_told():
    """It would move by days with each look."""
    assert left(steady(1e-5, 100)) is None


@pytest.mark.parametrize(
    ("seconds", "shown"),
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
def test_an_estimate_is_said_as_coarsely_as_it_is_known(seconds, shown):
    """Minutes, then five of them, then hours, then days."""
    assert _eta.words(seconds) == shown
