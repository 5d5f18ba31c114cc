"""Listening beside the way of a command's output: nothing is held up, nothing is made up."""

from __future__ import annotations

import threading
import time

import pytest

from nemo_jobs_cli.core import known_keys
from nemo_jobs_cli.reporting.match import Matcher
from nemo_jobs_cli.run import listener
from nemo_jobs_cli.run.listener import OutputListener


class Ears:
    """A listener with what it found and told."""

    def __init__(self, *patterns):
        self.added, self.told = [], []
        self.changed = threading.Condition()
        matcher = Matcher(patterns, known_keys.NUMBERS) if patterns else None
        self.listener = OutputListener(matcher, self.add, self.told.append)

    def add(self, fields):
        with self.changed:
            self.added.append(fields)
            self.changed.notify()

    @property
    def state(self):
        return {key: value for fields in self.added for key, value in fields.items()}

    def wait(self, **fields):
        with self.changed:
            assert self.changed.wait_for(lambda: self.state == fields, 20), self.added

    def hear(self, *pieces, stream=1):
        for piece in pieces:
            self.listener.feed(stream, piece)

    def all(self, *pieces, stream=1):
        """Start, hear, finish; return what was found, folded."""
        self.listener.start()
        self.hear(*pieces, stream=stream)
        self.listener.finish(20)
        return self.state


STEP = r"step (?P<step>\d+)"


def test_fields_are_found_in_lines_cut_anywhere():
    """Also in the last line, which nothing ends."""
    assert Ears(STEP, r"loss (?P<train_loss>\S+)").all(b"st", b"ep 1\nlo", b"ss 0.5\nstep 2\nstep", b" 3") == {
        "step": 3,
        "train_loss": 0.5,
    }


def test_the_lines_of_two_streams_do_not_mix():
    """Each of stdout and stderr has its own unfinished line."""
    ears = Ears(STEP, r"loss (?P<train_loss>\S+)")
    ears.listener.start()
    ears.hear(b"step ", stream=1)
    ears.hear(b"loss 0", stream=2)
    ears.hear(b"7\n", stream=1)
    ears.hear(b".5\n", stream=2)
    ears.listener.finish(20)
    assert ears.state == {"step": 7, "train_loss": 0.5}


def test_an_unfinished_line_is_looked_at_in_a_pause():
    """A bar that draws itself and then computes for minutes."""
    ears = Ears("tqdm")
    ears.listener.start()
    ears.hear(b"\r 45%|####  | 45/100 [00:01<00:01, 41.2it/s]", b"")
    ears.wait(progress=45, step=45, max_steps=100)
    ears.listener.finish(20)


def test_one_piece_is_one_update():
    """A thousand lines at once need no thousand calls."""
    ears = Ears(STEP)
    ears.all(b"".join(b"step %d\n" % n for n in range(1000)))
    assert ears.added == [{"step": 999}]


def test_trouble_is_told_once():
    """A loss that is nan stays nan, and the other fields are found."""
    ears = Ears(r"loss (?P<train_loss>\S+) at (?P<step>\d+)")
    assert ears.all(b"".join(b"loss nan at %d\n" % n for n in range(100))) == {"step": 99}
    assert ears.told == ["train_loss must be a number: 'nan'"]


def test_lines_can_not_fill_the_screen_with_complaints():
    """Each may be wrong in its own way."""
    ears = Ears(r"loss (?P<train_loss>\S+)")
    ears.all(b"".join(b"loss x%d\n" % n for n in range(100)))
    assert len(ears.told) == 20


def test_a_catastrophic_pattern_holds_nothing_up():
    """Hearing takes no time, and the end comes although the pattern would take years."""
    ears = Ears("(?P<x>(a+)+)$", STEP)
    began = time.monotonic()
    assert ears.all(*[b"a" * 5000 + b"b\n"] * 100, b"step 5\n") == {"step": 5}
    assert time.monotonic() - began < 10
    assert [text.partition("' ")[2] for text in ears.told] == [
        "took longer than 0.1 s on one line, which is skipped",
        "is too slow for these lines and is no longer tried",
    ]


def test_output_that_comes_too_fast_is_passed_over_and_told_of(monkeypatch):
    """The oldest goes: what comes later says more about where the command is."""
    monkeypatch.setattr(listener, "MAX_WAITING", 1000)
    ears = Ears(STEP, r"first (?P<message>\w+)")
    ears.hear(b"first line\n", *[b"step %03d\n" % n for n in range(500)])  # nobody reads yet
    assert ears.listener._waiting <= 1000
    ears.listener.start()
    ears.listener.finish(20)
    assert ears.state == {"step": 499}
    assert ears.told == ["output comes faster than --match can read it: some of it is skipped"]


def test_what_is_passed_over_makes_up_no_line(monkeypatch):
    """`step 4` and, a lost piece later, `5 of 9` are not `step 45 of 9`."""
    monkeypatch.setattr(listener, "MAX_WAITING", 20)
    ears = Ears(STEP)
    ears.listener.start()
    ears.hear(b"step 1\nstep 4", b"")
    ears.wait(step=4)
    with ears.listener._changed:  # the thread can't take anything in between
        ears.hear(b" of 9" + b"." * 10, b"5" * 10, b"5 step 6\nstep 7")
    ears.listener.finish(20)
    assert ears.state == {"step": 7}
    assert {"step": 6} not in ears.added
    assert all(fields["step"] in {1, 4, 7} for fields in ears.added)


def test_the_end_waits_for_a_slow_matcher_only_so_long():
    """The command's end is not held up by what its output says."""
    held = threading.Event()
    ears = Ears(STEP)
    ears.listener._on_fields = lambda _: held.wait(20)
    ears.listener.start()
    ears.hear(b"step 1\n")
    began = time.monotonic()
    ears.listener.finish(0.05)
    assert time.monotonic() - began < 10
    assert ears.listener._thread.is_alive()
    held.set()
    ears.listener._thread.join(20)


def test_without_patterns_only_the_tail_is_kept():
    """`run --tail` alone needs no thread."""
    ears = Ears()
    ears.listener._match(["step 1"])
    assert ears.all(b"a\n", b"b\nc\n", b"") == {}
    assert not ears.listener._thread.is_alive()
    assert not ears.listener._chunks
    assert ears.listener.tail(2) == "b\nc"


@pytest.mark.parametrize("size", [1, 100, 5000, 100_000])
def test_the_tail_is_the_end_of_all_streams_and_bounded(size):
    """Details are rewritten by every update: a log doesn't belong there."""
    ears = Ears(STEP)
    ears.listener.feed(1, b"x" * size + b"\n")
    ears.listener.feed(2, b"Traceback\n")
    assert ears.listener.tail(1) == "Traceback"
    assert len(ears.listener.tail(9)) == min(size + 10, listener.MAX_TAIL - 1)
