"""How many requests at once a server takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_jobs_cli.delivery.pool import ROUNDS, Throttle


def test_a_busy_server_gets_half_as_many_and_never_none():
    """Halving ends at one: somebody has to find out that it is better."""
    throttle = Throttle(8)
    found = []
    for now in range(1, 6):
        throttle.busy(now, None, started=now)
        found.append(throttle.allowed)
    assert found == [4, 2, 1, 1, 1]


def test_those_that_were_on_their_way_together_halve_once():
    """Eight answers of one busy moment are one message."""
    throttle = Throttle(8)
    for _ in range(8):
        throttle.busy(10.0, None, started=9.0)
    assert throttle.allowed == 4
    throttle.busy(11.0, None, started=10.5)
    assert throttle.allowed == 2


@pytest.mark.parametrize("most", [2, 4, 64])
def test_recovering_is_slow_and_ends_where_it_began(most):
    """One more after some rounds of success."""
    throttle = Throttle(most)
    throttle.busy(1.0, None, started=1.0)
    for allowed in range(most // 2, most):
        assert throttle.allowed == allowed
        for _ in range(ROUNDS * allowed - 1):
            throttle.success()
        assert throttle.allowed == allowed
        throttle.success()
    for _ in range(1000):
        throttle.success()
    assert throttle.allowed == most


def test_a_complaint_begins_the_count_anew():
    """A late answer of the same moment doesn't halve, but it is no success either."""
    throttle = Throttle(4)
    throttle.busy(10.0, None, started=9.0)
    for _ in range(ROUNDS * 2 - 1):
        throttle.success()
    throttle.busy(10.5, None, started=9.0)
    throttle.success()
    assert throttle.allowed == 2


def test_everybody_waits_as_long_as_anybody_was_asked_to():
    """The longest Retry-After counts, and it passes."""
    throttle = Throttle(4)
    assert throttle.wait(10.0) == 0
    throttle.busy(10.0, 5.0, started=9.0)
    throttle.busy(10.0, 1.0, started=9.0)
    throttle.busy(11.0, None, started=9.0)
    assert [throttle.wait(now) for now in (10.0, 12.0, 15.0, 20.0)] == [5, 3, 0, 0]


@given(
    st.integers(1, 64),
    st.lists(st.tuples(st.booleans(), st.floats(0, 100), st.none() | st.floats(0, 100)), max_size=60),
)
def test_the_number_stays_between_one_and_what_was_asked_for(most, events):
    """Whatever comes in whatever order."""
    throttle = Throttle(most)
    for busy, now, retry_after in events:
        if busy:
            throttle.busy(now, retry_after, started=now)
        else:
            throttle.success()
        assert 1 <= throttle.allowed <= most
        assert throttle.wait(now) >= (retry_after or 0 if busy else 0) - 1e-9
