"""When a signal interrupts the main thread, also after the command has ended."""

from __future__ import annotations

import signal
import threading
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from nemo_jobs_cli.core import signals


@pytest.fixture(autouse=True)
def _usr1_interrupts():
    """Let USR1 interrupt as a handler of ours does."""
    before = signal.signal(signal.SIGUSR1, lambda *_: signals.interrupt(KeyboardInterrupt("first")))
    yield
    signal.signal(signal.SIGUSR1, before)


def test_a_signal_interrupts_at_once():
    """Unless a block is open."""
    steps = []
    with pytest.raises(KeyboardInterrupt):
        steps.append(signal.raise_signal(signal.SIGUSR1))
    assert steps == []


def test_a_signal_in_a_deferred_block_interrupts_at_its_end():
    """At that of the outer block; a later signal cannot replace the first one."""
    steps = []

    def work():
        with signals.deferred():
            with signals.deferred():
                signal.raise_signal(signal.SIGUSR1)
                steps.append("inner")
            signals.interrupt(KeyboardInterrupt("second"))
            steps.append("outer")

    with pytest.raises(KeyboardInterrupt, match="first"):
        work()
    assert steps == ["inner", "outer"]
    with signals.deferred():
        steps.append("later")
    assert steps[-1] == "later"


def test_a_block_of_another_thread_defers_nothing():
    """Handlers run on the main thread."""
    opened, end = threading.Event(), threading.Event()

    def hold():
        with signals.deferred():
            opened.set()
            end.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    opened.wait()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGUSR1)
    end.set()
    thread.join()


def test_a_latch_stays_set():
    """Also after a wait."""
    latch = signals.Latch()
    assert not latch.wait(0)
    latch.set()
    assert [latch.wait(0), latch.wait(0)] == [True, True]


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
