"""Coalesced updates: what the server has in the end, and how often it gets a request."""

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
        st.tuples(st.just("answer"), st.one_of(st.none(), SECONDS)),  # None: acknowledged; else failed, with this pause
    ),
    max_size=40,
)


class Simulation:
    """A sender and a server on a clock of their own: what is due is sent at once, one request at a time."""

    def __init__(self, interval, max_wait):
        self.coalescer = Coalescer(interval, max_wait)
        self.max_wait, self.interval = max_wait, interval
        self.now = 0.0
        self.server, self.wanted = {}, {}
        self.taken = []
        self.in_flight = None
        self.since = self.paused_until = 0.0

    def take(self):
        """Send what is due, if nothing is in flight."""
        if self.in_flight is None and self.coalescer.due_in(self.now) == 0:
            self.in_flight = self.coalescer.take(self.now)
            assert self.in_flight
            self.taken.append(self.now)

    def add(self, fields):
        """Add an update."""
        if not self.coalescer and fields:
            self.since = self.now
        self.wanted |= fields
        self.coalescer.add(fields, self.now)
        self.take()

    def advance(self, seconds):
        """Let time pass, and send whatever becomes due."""
        ends = self.now + seconds
        while (
            self.in_flight is None and (wait := self.coalescer.due_in(self.now)) is not None and self.now + wait <= ends
        ):
            self.now += wait
            assert self.now <= max(self.since + self.max_wait, self.paused_until, self.free_at()) + 1e-9
            self.take()
        self.now = ends

    def free_at(self):
        """Return the end of the interval after the last send."""
        return self.taken[-1] + self.interval if self.taken else 0.0

    def answer(self, pause):
        """Let the request in flight succeed, or fail."""
        if self.in_flight is None:
            return
        if pause is None:
            self.server |= self.in_flight
            self.coalescer.acknowledge(self.now)
        else:
            if not self.coalescer:
                self.since = self.now
            self.coalescer.put_back(self.now, pause)
            self.paused_until = max(self.paused_until, self.now + pause)
        self.in_flight = None
        self.take()


@given(EVENTS, st.sampled_from([0.0, 0.5, 1.0, 2.0]), st.sampled_from([0.0, 0.5, 3.0]))
def test_the_server_ends_with_every_update_applied_in_order(events, interval, max_wait):
    """Nothing is lost or overtaken, sends keep their interval, and no wait is unbounded."""
    world = Simulation(interval, max_wait)
    for kind, what in events:
        {"add": world.add, "pass": world.advance, "answer": world.answer}[kind](what)
    assert all(later - earlier >= interval for earlier, later in zip(world.taken, world.taken[1:], strict=False))
    while world.in_flight is not None:
        world.answer(None)
    if world.coalescer:
        world.server |= world.coalescer.take(world.now)  # the last update waits for nothing
        world.coalescer.acknowledge(world.now)
    assert world.server == world.wanted
    assert not world.coalescer
    assert world.coalescer.due_in(world.now + 1e9) is None


def test_newer_values_stay_above_those_that_are_put_back():
    """The update that failed is older than what came meanwhile."""
    coalescer = Coalescer(1)
    coalescer.add({"a": 1, "b": 1}, 0)
    coalescer.take(0)
    coalescer.add({"a": 2, "c": 2}, 0)
    assert coalescer.unacknowledged == {"a": 2, "b": 1, "c": 2}
    coalescer.put_back(0, 0)
    assert coalescer.take(1) == {"a": 2, "b": 1, "c": 2}


def test_the_first_update_is_due_at_once():
    """People want to see that it works, even with a long interval."""
    coalescer = Coalescer(10, 60)
    coalescer.add({}, 5)
    assert (bool(coalescer), coalescer.due_in(5)) == (False, None)
    coalescer.add({"a": 1}, 5)
    assert coalescer.due_in(5) == 0


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
def test_later_updates_wait_for_quiet_up_to_max_wait(max_wait, adds, due):
    """The numbers are seconds after the first send, with an interval of 1 s."""
    coalescer = Coalescer(1, max_wait)
    coalescer.add({"a": 0}, 0)
    coalescer.take(0)
    coalescer.acknowledge(0.0)
    for at in adds:
        coalescer.add({"a": at}, at)
    assert adds[-1] + coalescer.due_in(adds[-1]) == pytest.approx(due)


def test_max_wait_starts_again_after_a_failure():
    """The next update can still join the fields that were put back."""
    coalescer = Coalescer(1, 3)
    coalescer.add({"a": 1}, 0)
    coalescer.take(0)
    coalescer.put_back(20, 0)
    assert coalescer.due_in(20) == 1


def test_changing_taken_fields_changes_nothing():
    """The fields that are put back are a copy."""
    coalescer = Coalescer(0)
    coalescer.add({"a": 1}, 0)
    coalescer.take(0)["a"] = 2
    coalescer.put_back(0, 0)
    assert coalescer.take(0) == {"a": 1}
