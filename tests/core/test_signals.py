"""Signals that arrive after the command has ended."""

from __future__ import annotations

import signal
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from nemo_jobs_cli.core import signals


@pytest.mark.parametrize(
    ("number", "seconds", "interrupts"),
    [
        (signal.SIGINT, 0.1, False),
        (signal.SIGINT, 0.5, True),
        (signal.SIGQUIT, 0.5, True),
        (signal.SIGTERM, 0.5, False),
    ],
)
def test_a_second_ctrl_c_interrupts(monkeypatch, number, seconds, interrupts):
    """One of the same moment was for the command; half a second later it is for the last report, once."""
    now = 100.0
    monkeypatch.setattr(signals, "time", SimpleNamespace(monotonic=lambda: now))
    late = signals.LateSignalHandler()
    late.handle(number, None)  # not yet enabled
    late.enable()
    now += seconds
    with pytest.raises(KeyboardInterrupt) if interrupts else nullcontext():
        late.handle(number, None)
    late.handle(number, None)
