"""Work that can't be interrupted is left behind when its time is over."""

from __future__ import annotations

import threading
import time

import pytest

from nemo_jobs_cli import bounded


def test_what_work_returns_is_returned():
    """None, too."""
    assert bounded.within(10, lambda: 3) == 3
    assert bounded.within(10, lambda: None) is None


def test_what_work_raises_is_raised_here():
    """Also what is no Exception."""
    with pytest.raises(ZeroDivisionError):
        bounded.within(10, lambda: 1 // 0)
    with pytest.raises(KeyboardInterrupt):
        bounded.within(10, _interrupted)


def _interrupted():
    raise KeyboardInterrupt


def test_work_that_does_not_end_is_left_behind():
    """The limit holds whatever the work waits for."""
    end, began = threading.Event(), time.monotonic()
    with pytest.raises(TimeoutError):
        bounded.within(0.05, end.wait)
    assert time.monotonic() - began < 50
    end.set()
