"""Fleets of writers on a server that handles one request at a time: a discrete-event simulation of the pace.

The server handles every request, also those whose writer has given up, as NeMo Platform 0.6.0 does.
"""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field

import pytest

from nemo_jobs_cli.reporting._flow_session import SHARE_IN_FLIGHT
from nemo_jobs_cli.reporting.pace import ATTEMPT_LIMIT, LATENCIES, LONGEST, Pace
from nemo_jobs_cli.transport.messages import Failure, Response

SERVICE = 0.055  # seconds that the real server takes for one PATCH
INTERVAL = 1.0
LARGE = [pytest.param(count, marks=pytest.mark.slow) for count in (2000, 5000)]


class FixedPace:
    """One request an interval, whatever the server says."""

    pause = 0.0

    def __init__(self, random):
        """Ignore the random numbers."""

    def observe(self, last):
        """Ignore the response."""


@dataclass
class Writer:
    """One flow: its pace, the request in flight, and when its last report was asked for and acknowledged."""

    pace: Pace | FixedPace
    sent: float | None = None
    is_last: bool = False
    ended: float | None = None
    done: float | None = None
    acknowledged: list[float] = field(default_factory=list)


class Fleet:
    """`count` writers that start at once and all end at `ends` seconds, each with `deadline` for its last report."""

    def __init__(self, count, ends, deadline, *, law=Pace, attempt=ATTEMPT_LIMIT, outage=(0.0, 0.0)):
        numbers = random.Random(1)
        self.random, self.deadline, self.attempt, self.outage = numbers.random, deadline, attempt, outage
        self.writers = [Writer(law(numbers.random)) for _ in range(count)]
        self.events, self.order, self.free, self.served, self.useful = [], 0, 0.0, 0, 0
        for writer in self.writers:
            self.at(0.0, self.send, writer)
            self.at(ends, self.end, writer)
        while self.events:
            now, _, act, writer, sent = heapq.heappop(self.events)
            if sent is None or sent == writer.sent:
                act(now, writer)

    def at(self, when, act, writer, sent=None):
        """Call `act` later; with `sent`, only while that request is in flight."""
        self.order += 1
        heapq.heappush(self.events, (when, self.order, act, writer, sent))

    def send(self, now, writer):
        """Send a report, the last one after the end of the flow."""
        if writer.sent is not None or writer.is_last:
            return
        if self.outage[0] <= now < self.outage[1]:
            self.at(now + 2 * self.random(), self.send, writer)  # refused: retried quickly
            return
        writer.sent, writer.is_last = now, writer.ended is not None
        limit = writer.ended + self.deadline if writer.is_last else now + self.attempt
        self.free = max(self.free, now) + SERVICE
        self.served += 1
        self.at(min(self.free, limit), self.answer if self.free <= limit else self.give_up, writer, now)

    def end(self, now, writer):
        """End the flow: the last report follows the request in flight, which may take a share of the time."""
        writer.ended = now
        if writer.sent is None:
            self.send(now, writer)
        else:
            self.at(now + self.deadline * SHARE_IN_FLIGHT, self.give_up, writer, writer.sent)

    def answer(self, now, writer):
        """Acknowledge the request in flight."""
        self.useful += 1
        if writer.is_last:
            writer.done = now - writer.ended
            writer.sent = None
            return
        writer.acknowledged.append(now)
        self.proceed(now, writer, Response(200, seconds=now - writer.sent))

    def give_up(self, now, writer):
        """Abandon the request in flight; the server still handles it."""
        if not writer.is_last:
            self.proceed(now, writer, Failure("timeout", "", now - writer.sent))

    def proceed(self, now, writer, last):
        """Send again when the pace allows it."""
        writer.pace.observe(last)
        due = max(writer.sent + INTERVAL, now + writer.pace.pause)
        writer.sent = None
        self.at(now if writer.ended is not None else due, self.send, writer)

    @property
    def useful_share(self):
        """Return the share of the server's work whose answer a writer received."""
        return self.useful / self.served

    @property
    def lost(self):
        """Return how many final states did not arrive."""
        return sum(writer.done is None for writer in self.writers)

    @property
    def fairness(self):
        """Return Jain's index of the acknowledged updates: 1 if all writers have the same number."""
        counts = [len(writer.acknowledged) for writer in self.writers]
        return sum(counts) ** 2 / (len(counts) * sum(count * count for count in counts))


@pytest.mark.parametrize("count", [20, 200, 400, *LARGE])
def test_a_fleet_of_any_size_delivers_every_final_state(count):
    """N writers keep a server busy for N x 55 ms: 1, 11, 22, 110 and 275 s. Nearly all of its work is useful."""
    busy = count * SERVICE
    fleet = Fleet(count, max(600, 40 * busy), 1.4 * busy + 5)
    assert fleet.lost == 0
    assert fleet.useful_share >= 0.9
    assert fleet.fairness >= 0.8


@pytest.mark.parametrize("count", [200, 400, *LARGE])
def test_a_fixed_pace_collapses(count):
    """With attempts that are cut off and a deadline of 10 s, as before there was a pace."""
    fleet = Fleet(count, 600, 10, law=FixedPace, attempt=20 / 3)
    assert fleet.useful_share < 0.5
    assert fleet.lost > count / 2


@pytest.mark.parametrize("count", [20, 200, 400, *LARGE])
def test_a_fleet_recovers_from_an_outage_within_two_cycles(count):
    """In one cycle, of ten times N x 55 ms, each writer is served once."""
    busy = count * SERVICE
    begins = max(300, 20 * busy)
    ends = begins + 600
    fleet = Fleet(count, ends + max(300, 20 * busy), 1.4 * busy + 5, outage=(begins, ends))
    recovered = [min(when for when in writer.acknowledged if when > ends) for writer in fleet.writers]
    assert max(recovered) - ends <= 2 * (LATENCIES + 1) * busy
    assert fleet.lost == 0


def pauses(*responses):
    """Return the pause after each response, with jitter in its middle."""
    pace = Pace(lambda: 0.5)
    result = []
    for last in responses:
        pace.observe(last)
        result.append(round(pace.pause, 3))
    return result


def test_a_fast_server_is_not_spared():
    """The pause is shorter than the interval of a second."""
    assert pauses(Response(200, seconds=0.05)) == [0.45]


def test_the_pause_doubles_while_the_server_is_overloaded_and_halves_afterwards():
    """It is at least as long as the last attempt, and bounded."""
    busy, timeout = Response(503), Failure("timeout", "", 120.0)
    assert pauses(busy, busy, busy, Response(200), Response(200), Response(200)) == [1, 2, 4, 2, 1, 0]
    assert pauses(timeout, timeout, timeout) == [120, 240, LONGEST]


def test_retry_after_is_added():
    """So that a fleet does not return at the same moment."""
    assert pauses(Response(429, headers={"retry-after": "60"})) == [61]
    assert pauses(Response(429, headers={"retry-after": "86400"})) == [LONGEST + 1]


@pytest.mark.parametrize("kind", ["refused", "reset", "dns"])
def test_a_failure_without_work_for_the_server_has_no_pause(kind):
    """Such requests are retried quickly."""
    assert pauses(Failure(kind, "", 5.0)) == [0]
    assert pauses(Response(503), Failure(kind, "", 5.0)) == [1, 0]


def test_pauses_are_jittered():
    """By a tenth after an answer, by half after an overload."""
    for number, expected in ((0.0, (8.1, 0.5)), (1.0, (9.9, 1.5))):
        pace = Pace(lambda number=number: number)
        pace.observe(Response(200, seconds=1.0))
        answered = pace.pause
        pace.observe(Response(500))
        assert (answered, pace.pause) == pytest.approx(expected)
