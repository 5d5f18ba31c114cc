"""Waits in steps, and work with a time limit."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import pytest

from nemo_jobs_cli.core import clock
from nemo_jobs_cli.core.clock import SYSTEM_CLOCK


def test_what_work_returns_or_raises_is_passed_on():
    """Also None, and an error that is not an Exception."""
    assert clock.run_within(10, lambda: 3) == 3
    assert clock.run_within(10, lambda: None) is None

    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        clock.run_within(10, interrupt)


def test_a_long_wait_is_split_into_steps(monkeypatch):
    """A Ctrl-C just before one of them is handled after it."""
    waits = []
    monkeypatch.setattr(clock, "time", SimpleNamespace(monotonic=lambda: 5.0 + sum(waits)))

    def wait(seconds):
        waits.append(seconds)
        return len(waits) == 9

    assert not clock.wait_until(wait, 1.25)
    assert waits == [0.5, 0.5, 0.25]
    assert clock.wait_until(wait, 60)
    assert waits[3:] == [0.5] * 6


@pytest.mark.parametrize(
    ("limit", "ends", "result", "calls"), [(60, 5, True, 0), (60, 7, True, 1), (60, 99, False, 1), (4, 99, False, 0)]
)
def test_a_long_wait_is_announced_once(monkeypatch, limit, ends, result, calls):
    """After five seconds, if there is time left."""
    waits, announced = [], []
    monkeypatch.setattr(clock, "time", SimpleNamespace(monotonic=lambda: sum(waits)))

    def wait(seconds):
        waits.append(seconds)
        return sum(waits) >= ends

    assert clock.wait_long(wait, limit, lambda: announced.append(sum(waits))) is result
    assert announced == [5.0] * calls
    assert sum(waits) == min(limit, ends)


def test_a_long_sleep_is_split_into_steps(monkeypatch):
    """As a wait."""
    slept = []
    time = SimpleNamespace(monotonic=lambda: 5.0 + sum(slept), sleep=slept.append)
    monkeypatch.setattr(clock, "time", time)
    assert clock.sleep is SYSTEM_CLOCK.sleep
    clock.sleep(1.25)
    assert slept == [0.5, 0.5, 0.25]


def test_endless_work_is_abandoned_at_the_limit():
    """Whatever it waits for."""
    end, began = threading.Event(), time.monotonic()
    with pytest.raises(TimeoutError):
        clock.run_within(0.05, end.wait)
    assert time.monotonic() - began < 50
    end.set()
