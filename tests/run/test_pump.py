"""Output passed on byte for byte, with somebody listening."""

from __future__ import annotations

import contextlib
import os
import threading

import pytest

from nemo_jobs_cli.run import terminal


class Ears:
    """Remember every piece; an empty one is a pause."""

    def __init__(self):
        self.pieces = []
        self.changed = threading.Condition()

    def hear(self, stream, piece):
        with self.changed:
            self.pieces.append(piece)
            self.changed.notify_all()

    def until(self, condition):
        with self.changed:
            assert self.changed.wait_for(condition, 10), self.pieces


class FlowResult:
    """A pump between two pipes."""

    def __init__(self, listen):
        source, self.into = os.pipe()
        self.out, self.target = os.pipe()
        self.pump = terminal.OutputCopier(source, self.target, listen)
        self.pump.start()

    def close(self):
        for number in (self.into, self.out, self.target):
            with contextlib.suppress(OSError):
                os.close(number)
        self.pump.finish()


@pytest.fixture
def ears():
    """Return what listens."""
    return Ears()


@pytest.fixture
def flow(ears):
    """Return a pump that runs."""
    made = FlowResult(ears.hear)
    yield made
    made.close()


def test_every_byte_passes(flow, ears):
    """Whatever it is; the listener gets the same."""
    data = bytes(range(256)) * 16
    os.write(flow.into, data)
    os.close(flow.into)
    flow.pump.finish()
    assert os.read(flow.out, 1 << 20) == b"".join(ears.pieces) == data


def test_a_pause_is_told_once(flow, ears):
    """A listener may look at an unfinished line then; it doesn't get the same line to look at again and again."""
    os.write(flow.into, b"45%")
    ears.until(lambda: ears.pieces == [b"45%", b""])
    with ears.changed:
        assert not ears.changed.wait_for(lambda: len(ears.pieces) > 2, 3 * terminal.PAUSE)
    os.write(flow.into, b"46%")
    ears.until(lambda: ears.pieces == [b"45%", b"", b"46%", b""])


def test_silence_before_the_first_byte_is_no_pause(flow, ears):
    """There is nothing to look at."""
    with ears.changed:
        assert not ears.changed.wait_for(lambda: ears.pieces, 2 * terminal.PAUSE)


def test_the_end_does_not_wait_for_who_keeps_the_pipe(flow, ears):
    """A child that is over has said all; a process of its own that holds the pipe says nothing."""
    os.write(flow.into, b"last")
    flow.pump.finish()
    assert os.read(flow.out, 100) == b"last"


def test_the_end_does_not_wait_for_who_goes_on_talking(ears, monkeypatch):
    """What was there is passed on, and what comes for a while; then the pipe is closed."""
    monkeypatch.setattr(terminal, "MAX_DRAIN", 0.3)
    source, into = os.pipe()
    with open(os.devnull, "wb") as nothing:
        one = terminal.OutputCopier(source, nothing.fileno(), ears.hear)
        one.start()
        talking = threading.Thread(target=talk, args=[into])
        talking.start()
        ears.until(lambda: ears.pieces)
        one.finish()
    talking.join()
    os.close(into)


def talk(into):
    """Talk until nobody listens any more."""
    with contextlib.suppress(BrokenPipeError):
        while os.write(into, b"more"):
            pass


def test_a_slow_reader_gets_all_that_was_said(ears, monkeypatch):
    """However long it takes: the limit is for what comes later."""
    monkeypatch.setattr(terminal, "MAX_DRAIN", 0.0)
    monkeypatch.setattr(terminal, "CHUNK", 1024)
    flow = FlowResult(ears.hear)
    os.set_blocking(flow.into, False)
    data = os.urandom(1 << 20)
    sent = 0
    with contextlib.suppress(BlockingIOError):
        while sent < len(data):
            sent += os.write(flow.into, data[sent : sent + 4096])

    def stop():
        flow.pump.finish()
        os.close(flow.target)

    stopping = threading.Thread(target=stop)
    stopping.start()
    got = b""
    while piece := os.read(flow.out, 512):
        got += piece
    stopping.join()
    assert got == data[:sent]
    flow.close()


def test_a_reader_that_went_away_closes_the_pipe(flow):
    """So the child learns it, by SIGPIPE."""
    os.close(flow.out)
    os.write(flow.into, b"x")
    flow.pump._thread.join(10)
    with pytest.raises(BrokenPipeError):
        os.write(flow.into, b"x")


def test_a_target_that_does_not_wait_gets_everything():
    """Stdout may be shared with who has set it so (a terminal of ssh)."""
    out, target = os.pipe()
    os.set_blocking(target, False)
    data = os.urandom(1 << 20)
    writing = threading.Thread(target=terminal.write_all, args=(target, data))
    writing.start()
    got = b""
    while len(got) < len(data):
        got += os.read(out, 65536)
    writing.join()
    assert got == data
    os.close(out)
    os.close(target)
