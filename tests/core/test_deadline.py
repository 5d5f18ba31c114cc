"""The deadline of a command."""

from __future__ import annotations

from nemo_jobs_cli.core import deadline


def test_the_deadline_counts_from_the_start_of_the_process(fake_time):
    """The start-up time is part of it."""
    limit = deadline.start(10, fake_time.now - 4, fake_time.clock)
    assert limit.left() == 6
    fake_time.now += 100
    assert limit.left() == 0


def test_one_attempt_leaves_room_for_the_next(fake_time):
    """An attempt gets two thirds of the time left, at least three seconds, never more than is left."""
    assert deadline.start(60, fake_time.now, fake_time.clock).attempt() == 40
    assert deadline.start(4, fake_time.now, fake_time.clock).attempt() == 3
    assert deadline.start(2, fake_time.now, fake_time.clock).attempt() == 2


def test_a_deadline_of_zero_is_one_attempt_of_at_most_ten_seconds(fake_time):
    """Without retries it must end too."""
    limit = deadline.start(0, fake_time.now - 99, fake_time.clock)
    assert limit.once
    assert limit.attempt() == 10
