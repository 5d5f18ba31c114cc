"""Fields in a copy of a command's output: it delays nothing, and makes nothing up."""

from __future__ import annotations

import threading
import time
import tracemalloc

import pytest
from memory import traced_bytes

from nemo_jobs_cli.fields.flow import FlowValues
from nemo_jobs_cli.reporting.match import Matcher
from nemo_jobs_cli.run import _listener as listener
from nemo_jobs_cli.run._listener import OutputListener


class Listening:
    """A listener with the fields and problems that it reports."""

    def __init__(self, *patterns):
        self.added, self.problems = [], []
        self.changed = threading.Condition()
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        matcher = Matcher(patterns, FlowValues()) if patterns else None
        self.listener = OutputListener(matcher, self.add, self.problems.append)

    def add(self, fields):
        with self.changed:
            self.added.append(fields)
            self.changed.notify()
        self.may_go_on.wait(20)

    @property
    def state(self):
        return {key: value for fields in self.added for key, value in fields.items()}

    def wait(self, **fields):
        with self.changed:
            assert self.changed.wait_for(lambda: self.state == fields, 20), self.added

    def feed(self, *pieces, stream=1):
        for piece in pieces:
            self.listener.feed(stream, piece)

    def all(self, *pieces, stream=1):
        """Start, feed, finish; return the fields."""
        self.listener.start()
        self.feed(*pieces, stream=stream)
        self.listener.finish(60)
        return self.state


STEP = r"step (?P<step>\d+)"


def test_fields_are_found_in_lines_cut_anywhere():
    """The last line may be unfinished."""
    assert Listening(STEP, r"loss (?P<train_loss>\S+)").all(b"st", b"ep 1\nlo", b"ss 0.5\nstep 2\nstep", b" 3") == {
        "step": 3,
        "train_loss": 0.5,
    }


def test_the_lines_of_two_streams_do_not_mix():
    """Each of stdout and stderr has its own unfinished line."""
    listening = Listening(STEP, r"loss (?P<train_loss>\S+)")
    listening.listener.start()
    listening.feed(b"step ", stream=1)
    listening.feed(b"loss 0", stream=2)
    listening.feed(b"7\n", stream=1)
    listening.feed(b".5\n", stream=2)
    listening.listener.finish(20)
    assert listening.state == {"step": 7, "train_loss": 0.5}


def test_an_unfinished_line_is_matched_in_a_pause():
    """A progress bar may be drawn minutes before its line ends."""
    listening = Listening("tqdm")
    listening.listener.start()
    listening.feed(b"\r 45%|####  | 45/100 [00:01<00:01, 41.2it/s]", b"")
    listening.wait(progress=45, step=45, max_steps=100)
    listening.listener.finish(20)


def test_one_chunk_is_one_update():
    """A thousand lines need no thousand calls."""
    listening = Listening(STEP)
    listening.all(b"".join(b"step %d\n" % n for n in range(1000)))
    assert listening.added == [{"step": 999}]


def test_a_problem_is_reported_once():
    """The other fields of the line count."""
    listening = Listening(r"loss (?P<train_loss>\S+) at (?P<step>\d+)")
    assert listening.all(b"".join(b"loss bad at %d\n" % n for n in range(100))) == {"step": 99}
    assert listening.problems == ["invalid train_loss 'bad': must be a number"]


def test_the_number_of_problems_is_bounded():
    """Each line may have a problem of its own."""
    listening = Listening(r"loss (?P<train_loss>\S+)")
    listening.all(b"".join(b"loss x%d\n" % n for n in range(100)))
    assert len(listening.problems) == 20


def test_a_catastrophic_pattern_delays_nothing():
    """It is dropped after a few timeouts."""
    listening = Listening("(?P<x>(a+)+)$", STEP)
    began = time.process_time()
    assert listening.all(*[b"a" * 5000 + b"b\n"] * 100, b"step 5\n") == {"step": 5}
    assert time.process_time() - began < 10
    assert [text.partition("' ")[2] for text in listening.problems] == [
        "took longer than 0.1 s on one line, which is skipped",
        "is too slow for these lines and is no longer tried",
    ]


def test_output_that_comes_too_fast_is_skipped(monkeypatch):
    """The oldest is dropped, with a warning."""
    monkeypatch.setattr(listener, "MAX_WAITING", 1000)
    listening = Listening(STEP, r"first (?P<message>\w+)")
    listening.feed(b"first line\n", *[b"step %03d\n" % n for n in range(500)])  # nobody reads yet
    listening.listener.start()
    listening.listener.finish(20)
    assert listening.state == {"step": 499}
    assert listening.problems == ["output comes faster than --match can read it: some of it is skipped"]


def test_no_line_is_made_of_two_halves(monkeypatch):
    """`step 4`, a lost chunk and `5 of 9` are not `step 45 of 9`."""
    monkeypatch.setattr(listener, "MAX_WAITING", 20)
    listening = Listening(STEP)
    listening.listener.start()
    listening.feed(b"step 1\nstep 4")
    listening.wait(step=1)
    listening.may_go_on.clear()  # the thread takes nothing in between
    listening.feed(b"")
    listening.wait(step=4)
    listening.feed(b" of 9" + b"." * 10, b"5" * 10, b"5 step 6\nstep 7")
    listening.may_go_on.set()
    listening.listener.finish(20)
    assert listening.state == {"step": 7}
    assert {"step": 6} not in listening.added
    assert all(fields["step"] in {1, 4, 7} for fields in listening.added)


def test_the_end_waits_for_a_slow_matcher_up_to_a_limit():
    """The output of a command does not delay its end, nor that of the process."""
    listening = Listening(STEP)
    listening.may_go_on.clear()
    listening.listener.start()
    listening.feed(b"step 1\n", b"step 2\n")
    listening.wait(step=1)
    began = time.monotonic()
    listening.listener.finish(0.05)
    assert time.monotonic() - began < 10
    assert listening.state == {"step": 1}
    assert listening.problems == ["output comes faster than --match can read it: some of it is skipped"]
    assert [thread.daemon for thread in threading.enumerate() if thread.name == "listener"] == [True]
    listening.may_go_on.set()
    listening.wait(step=2)


def test_without_patterns_only_the_tail_is_kept():
    """`run --tail` alone needs no thread."""
    listening, before = Listening(), threading.enumerate()
    listening.listener.start()
    assert set(threading.enumerate()) <= set(before)
    tracemalloc.start()
    try:
        listening.feed(*(b"%d\n" % n * 1000 for n in range(1000)), b"b\nc\n", b"")
        assert traced_bytes() < 4 * listener.MAX_TAIL
    finally:
        tracemalloc.stop()
    listening.listener.finish(20)
    assert listening.state == {}
    assert listening.listener.tail(2) == "b\nc"


@pytest.mark.parametrize("size", [1, 100, 5000, 100_000])
def test_the_tail_is_the_bounded_end_of_both_streams(size):
    """Every update rewrites the details."""
    listening = Listening(STEP)
    listening.listener.feed(1, b"x" * size + b"\n")
    listening.listener.feed(2, b"Traceback\n")
    assert listening.listener.tail(1) == "Traceback"
    assert len(listening.listener.tail(9)) == min(size + 10, listener.MAX_TAIL - 1)
