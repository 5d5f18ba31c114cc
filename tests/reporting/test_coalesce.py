"""Folding updates: what the server has in the end, and how often it is asked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_jobs_cli.reporting.coalesce import Coalescer

UPDATES = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 9), max_size=3)
SECONDS = st.sampled_from([0.0, 0.25, 0.5, 1.0, 1.5, 4.0])
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), UPDATES),
        st.tuples(st.just("pass"), SECONDS),
        st.tuples(st.just("answer"), st.one_of(st.none(), SECONDS)),  # None: arrived; else failed, with this pause
    ),
    max_size=40,
)


class Simulation:
    """A writer and a server around a fold, on a clock of their own: what is due is taken at once, one at a time."""

    def __init__(self, interval, max_wait):
        self.fold = Coalescer(interval, max_wait)
        self.max_wait, self.interval = max_wait, interval
        self.now = 0.0
        self.server, self.wanted = {}, {}
        self.taken = []
        self.flying = None
        self.since = self.paused_until = 0.0

    def take(self):
        """Take what is due, where nothing is on its way."""
        if self.flying is None and self.fold.due_in(self.now) == 0:
            self.flying = self.fold.take(self.now)
            assert self.flying
            self.taken.append(self.now)

    def add(self, fields):
        """Write an update."""
        if not self.fold and fields:
            self.since = self.now
        self.wanted |= fields
        self.fold.add(fields, self.now)
        self.take()

    def pass_(self, seconds):
        """Let time pass, waking when the fold says."""
        ends = self.now + seconds
        while self.flying is None and (wait := self.fold.due_in(self.now)) is not None and self.now + wait <= ends:
            self.now += wait
            assert self.now <= max(self.since + self.max_wait, self.paused_until, self.free_at()) + 1e-9
            self.take()
        self.now = ends

    def free_at(self):
        """Return when the interval after the last taking is over."""
        return self.taken[-1] + self.interval if self.taken else 0.0

    def answer(self, pause):
        """Let what is on its way arrive, or fail."""
        if self.flying is None:
            return
        if pause is None:
            self.server |= self.flying
            self.fold.acknowledge()
        else:
            if not self.fold:
                self.since = self.now
            self.fold.put_back(self.now, pause)
            self.paused_until = max(self.paused_until, self.now + pause)
        self.flying = None
        self.take()


@given(EVENTS, st.sampled_from([0.0, 0.5, 1.0, 2.0]), st.sampled_from([0.0, 0.5, 3.0]))
def test_whatever_happens_the_server_ends_with_every_update_applied_in_order(events, interval, max_wait):
    """Nothing is lost or overtaken; takings keep their distance, the final one alone excepted; no wait is unbounded."""
    world = Simulation(interval, max_wait)
    for kind, what in events:
        {"add": world.add, "pass": world.pass_, "answer": world.answer}[kind](what)
    assert all(later - earlier >= interval for earlier, later in zip(world.taken, world.taken[1:], strict=False))
    while world.flying is not None:
        world.answer(None)
    if world.fold:
        world.server |= world.fold.take(world.now)  # the final one, which waits for nothing
        world.fold.acknowledge()
    assert world.server == world.wanted
    assert not world.fold
    assert world.fold.due_in(world.now + 1e9) is None


@given(EVENTS)
def test_a_flow_that_is_answered_at_once_needs_no_final_one(events):
    """Given an interval of quiet all is there."""
    world = Simulation(1.0, 2.0)
    for kind, what in events:
        if kind != "answer":
            {"add": world.add, "pass": world.pass_}[kind](what)
            world.answer(None)
    for _ in range(3):
        world.pass_(2.0)
        world.answer(None)
    assert world.server == world.wanted


def test_the_first_update_may_go_at_once():
    """Also with a quiet interval asked for: people look whether it works."""
    fold = Coalescer(10, 60)
    assert fold.due_in(5) is None
    fold.add({"a": 1}, 5)
    assert fold.due_in(5) == 0


@pytest.mark.parametrize(
    ("max_wait", "adds", "due"),
    [
        (0, [0.5], 1.0),
        (0, [3], 3.0),
        (5, [3], 4.0),
        (5, [3, 3.5], 4.5),
        (5, [3, 3.9, 4.8, 5.7, 6.6, 7.5], 8.0),
        (0.5, [3, 3.2], 3.5),
    ],
)
def test_later_ones_wait_for_quiet_no_longer_than_max_wait(max_wait, adds, due):
    """Seconds after the first taking, with an interval of 1 s."""
    fold = Coalescer(1, max_wait)
    fold.add({"a": 0}, 0)
    fold.take(0)
    fold.acknowledge()
    for at in adds:
        fold.add({"a": at}, at)
    assert adds[-1] + fold.due_in(adds[-1]) == pytest.approx(due)


def test_what_failed_goes_back_below_what_has_come_since():
    """The newest value of each key wins, whichever request it was meant for."""
    fold = Coalescer(1)
    fold.add({"a": 1, "b": 1}, 0)
    fold.take(0)
    fold.add({"b": 2, "c": 2}, 0.5)
    fold.put_back(0.5, 3)
    assert fold.due_in(0.5) == 3
    assert fold.take(3.5) == {"a": 1, "b": 2, "c": 2}


def test_a_failure_never_shortens_the_interval():
    """A server that refuses at once is not asked more often."""
    fold = Coalescer(10)
    fold.add({"a": 1}, 0)
    fold.take(0)
    fold.put_back(0.1, 0)
    assert fold.due_in(0.1) == pytest.approx(9.9)


def test_what_failed_begins_to_wait_anew():
    """`max_wait` counts from when it came back, so that what comes next can still join it."""
    fold = Coalescer(1, 3)
    fold.add({"a": 1}, 0)
    fold.take(0)
    fold.put_back(20, 0)
    assert fold.due_in(20) == 1


def test_a_failure_of_nothing_puts_nothing_back():
    """A pause alone may be asked for."""
    fold = Coalescer(1)
    fold.put_back(0, 5)
    assert fold.due_in(0) is None
    fold.add({"a": 1}, 1)
    assert fold.due_in(1) == 4


def test_an_empty_update_is_nothing_to_send():
    """It changes nothing on the server."""
    fold = Coalescer(1)
    fold.add({}, 0)
    assert not fold
    assert fold.due_in(0) is None


def test_what_was_taken_is_the_takers():
    """Changing it changes nothing that is put back."""
    fold = Coalescer(0)
    fold.add({"a": 1}, 0)
    fold.take(0)["a"] = 2
    fold.put_back(0, 0)
    assert fold.take(0) == {"a": 1}
