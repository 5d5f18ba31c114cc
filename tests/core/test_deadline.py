"""The deadline of a command."""

from __future__ import annotations

from nemo_jobs_cli.core import deadline


def test_the_deadline_counts_from_the_start_of_the_process(fake_time):
    """The start-up time is part of it."""
    limit = deadline.start(10, fake_time.now - 4, fake_time.clock)
    assert limit.left() == 6
    fake_time.now += 100
    assert limit.left() == 0


def test_a_deadline_of_zero_is_one_attempt_of_at_most_ten_seconds(fake_time):
    """Without retries it must end too."""
    limit = deadline.start(0, fake_time.now - 99, fake_time.clock)
    assert limit.once
    assert limit.left() == 10
