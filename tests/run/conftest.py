"""A time limit for the tests that wait for a command in this process."""

from __future__ import annotations

import signal

import pytest

LIMIT = 100  # seconds; without a fault no test takes more than two


@pytest.fixture(autouse=True)
def _limit():
    """End a test that waits for ever, and its fixtures too."""

    def fail(*_):
        pytest.fail(f"no end after {LIMIT} s")

    previous = signal.signal(signal.SIGALRM, fail)
    signal.setitimer(signal.ITIMER_REAL, LIMIT, LIMIT)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, previous)
