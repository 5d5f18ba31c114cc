"""A picture on a real terminal: calm while nothing changes, right after a resize, and the terminal as it was after."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from emulated import Emulated
from raw import CHILD_ENVIRONMENT, read_request, response
from terminals import LIMIT, Terminal

from nemo_jobs_cli.output import _live
from nemo_jobs_cli.output._live import Frame, LiveDisplay

ENV = {**CHILD_ENVIRONMENT, "TERM": "xterm"}
LONG_AGO = {"name": "train-x", "status": "active", "created_at": "2024-01-15T05:00:00"}
STAMPED = {"progress": 45, "message": "batch 3", "lastUpdated": "2024-01-15T05:00:00Z"}
DRAWN = b"A\r\x1b[?7h"  # the end of a picture: the cursor goes back to its start
WATCH = [sys.executable, "-m", "nemo_jobs_cli", "show", "train-x", "--watch", "--interval"]


def answer(status="active", **details):
    """Return a look's answer for a job whose times are too old to change while a test runs."""
    return response(200, json.dumps({**LONG_AGO, "status": status, "status_details": details or STAMPED}))


@pytest.fixture
def watch(raw_server):
    """Return a function that watches a job on a terminal of so many rows and columns; looks are scripted."""
    opened = []

    def go(answers, rows=24, columns=60, interval="200ms"):
        server = raw_server(answers)
        terminal = Terminal([*WATCH, interval, "--host", server.url], ENV, rows=rows, columns=columns)
        opened.append(terminal)
        return server, terminal

    yield go
    for terminal in opened:
        terminal.close()


def read_while(terminal, busy):
    """Read from a terminal while `busy` says so."""
    ends = time.monotonic() + LIMIT
    while busy():
        assert time.monotonic() < ends, terminal.seen
        terminal.read(0.05)


def seen(terminal, rows, columns):
    """Return the screen that shows what came."""
    text = terminal.seen.decode().replace("\r\n", "\n")
    return Emulated(rows, columns).feed(text)


def test_nothing_is_written_while_nothing_changes(watch):
    """Look after look: not one byte."""
    server, terminal = watch([answer()])
    terminal.until(DRAWN)
    read_while(terminal, lambda: len(server.seen) < 3)
    calm = len(terminal.seen)
    read_while(terminal, lambda: len(server.seen) < 12)
    assert len(terminal.seen) == calm
    assert "progress     45 %" in seen(terminal, 24, 60).shown()


def test_only_what_changes_is_written(watch):
    """One line for the progress; the rest of the picture stays untouched."""
    looks, rise = [], threading.Event()

    def handler(connection, _seen, _stop):
        read_request(connection)
        looks.append(rise.is_set())
        connection.sendall(answer(**{**STAMPED, "progress": 46}) if looks[-1] else answer())

    _, terminal = watch(handler)
    terminal.until(DRAWN)
    read_while(terminal, lambda: len(looks) < 3)
    before = len(terminal.seen)
    rise.set()
    terminal.until(b"46 %")
    read_while(terminal, lambda: sum(looks) < 6)
    written = terminal.seen[before:]
    assert written.count(b"\x1b[K") == 1
    assert b"batch 3" not in written
    assert "progress     46 %" in seen(terminal, 24, 60).shown()


def test_time_passes_without_a_request(watch):
    """The age of the last report ticks, and nobody is asked for it."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    server, terminal = watch([answer(progress=45, lastUpdated=now)], interval="1h")
    read_while(terminal, lambda: len(set(re.findall(rb"(?<!\d)\d+ s ago", terminal.seen))) < 2)
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("rows", "columns", "last"),
    [
        (24, 30, "  lastUpdated  2024-01-15T05:\n               00:00Z"),
        (6, 100, "  last report  681 d ago  lastUpdated\n\n  +4 lines: a taller window shows more"),
        (40, 100, "  lastUpdated  2024-01-15T05:00:00Z"),
    ],
)
def test_a_resize_draws_for_the_new_size_and_cuts_what_is_too_high(watch, rows, columns, last):
    """At once, without a look; from the picture's first line on, where the cursor waits."""
    server, terminal = watch([answer()], interval="1h")
    terminal.until(DRAWN)
    terminal.seen = b""
    terminal.resize(rows, columns)
    assert terminal.until(DRAWN).startswith(b"\x1b[?7l\r\x1b[K")
    screen = seen(terminal, rows, columns)
    assert screen.shown().startswith("train-x\n")
    assert re.sub("[0-9]+ d ago", "681 d ago", screen.shown()).endswith(last)
    assert (screen.row, screen.past, len(server.seen)) == (0, [], 1)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_the_last_picture_and_the_terminal_as_it_was(watch, number, code):
    """The whole of it, also where the screen was too low; keys are shown again, and so is the cursor."""
    _, terminal = watch([answer()], rows=6)
    assert b"taller window" in terminal.until(DRAWN)
    assert seen(terminal, 6, 60).hidden
    assert terminal.mode() != terminal.before
    if number == signal.SIGINT:
        terminal.type(b"\r\rxx\x03")
    else:
        os.kill(terminal.process.pid, number)
    assert terminal.end() == code
    screen = seen(terminal, 6, 60)
    assert (screen.hidden, screen.wraps, terminal.mode()) == (False, True, terminal.before)
    assert [*screen.past, *screen.lines][0].rstrip() == "train-x"
    assert screen.shown().endswith("lastUpdated  2024-01-15T05:00:00Z")
    assert screen.column == 0


def test_an_end_and_an_error_leave_it_so_too(watch):
    """What the job was when it ended stays; an error is told below the last picture."""
    _, terminal = watch([answer(), answer("completed")])
    assert terminal.end() == 0
    assert "completed" in seen(terminal, 24, 60).shown()
    assert not seen(terminal, 24, 60).hidden
    _, terminal = watch([answer(), response(401, '{"detail": "Unauthorized"}')])
    assert terminal.end() == 4
    screen = seen(terminal, 24, 60)
    assert re.search("Z\nerror: .*", screen.shown())
    assert (screen.hidden, terminal.mode()) == (False, terminal.before)


SHELL = """
import os, signal, sys
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
child = os.fork()
if not child:
    os.setpgid(0, 0)
    if sys.argv[1] == "fg":
        os.tcsetpgrp(0, os.getpgrp())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    os.execv(sys.argv[2], sys.argv[2:])
if sys.argv[1] == "fg":
    _, status = os.waitpid(child, os.WUNTRACED)
    os.tcsetpgrp(0, os.getpgrp())
    print("stopped", os.WIFSTOPPED(status), flush=True)
for word in iter(lambda: sys.stdin.readline().strip(), "wait"):
    if word == "fg":
        os.tcsetpgrp(0, child)
    os.kill(child, signal.SIGCONT)
    if word == "fg":
        break
_, status = os.waitpid(child, 0)
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.fixture
def shell(raw_server):
    """Return a function that watches from a small shell, in front ("fg") or not ("bg"); it takes the same words."""
    opened = []

    def go(start, answers, interval="200ms"):
        server = raw_server(answers)
        words = [sys.executable, "-c", SHELL, start, *WATCH, interval, "--host", server.url]
        opened.append(Terminal(words, ENV, rows=24, columns=60))
        return server, opened[-1]

    yield go
    for terminal in opened:
        terminal.close()


def test_ctrl_z_gives_the_terminal_back_and_takes_it_again(shell):
    """A shell gets a cursor, and keys that are shown; then the picture is drawn below what was done there."""
    _, terminal = shell("fg", [answer()])
    terminal.until(DRAWN)
    terminal.type(b"\x1a")
    terminal.until(b"stopped True")
    screen = seen(terminal, 24, 60)
    assert (screen.hidden, terminal.mode()) == (False, terminal.before)
    assert screen.shown().endswith("lastUpdated  2024-01-15T05:00:00Z\nstopped True")
    terminal.seen = b""
    terminal.type(b"fg\r")
    terminal.until(DRAWN)
    assert seen(terminal, 24, 60).hidden
    terminal.type(b"\x03")
    assert terminal.end() == 130
    assert terminal.mode() == terminal.before


def rising(*last):
    """Return looks that each find another progress, so that a picture has something to draw each time."""
    return [answer(**{**STAMPED, "progress": n}) for n in range(60)] + list(last)


def test_in_the_background_the_screen_is_the_shells(shell):
    """After Ctrl-Z and `bg` nothing is written, look after look; after `fg` the picture is there again, below."""
    server, terminal = shell("fg", rising())
    terminal.until(DRAWN)
    terminal.type(b"\x1a")
    terminal.until(b"stopped True\r\n")
    looks = len(server.seen)
    terminal.seen = b""
    terminal.type(b"bg\r")
    read_while(terminal, lambda: len(server.seen) < looks + 5)
    assert (terminal.seen, terminal.mode()) == (b"bg\r\n", terminal.before)
    terminal.type(b"fg\r")
    terminal.until(DRAWN)
    screen = seen(terminal, 24, 60)
    assert screen.shown().startswith("bg\nfg\ntrain-x\n")
    assert (screen.hidden, screen.row) == (True, 2)
    terminal.type(b"\x03")
    assert terminal.end() == 130
    assert not seen(terminal, 24, 60).hidden


def test_a_watch_that_begins_in_the_background_waits_for_its_turn(shell):
    """`show --watch &` leaves the prompt, its cursor and its keys alone until `fg`."""
    server, terminal = shell("bg", rising())
    read_while(terminal, lambda: len(server.seen) < 5)
    assert (terminal.seen, terminal.mode()) == (b"", terminal.before)
    terminal.type(b"fg\r")
    terminal.until(DRAWN)
    assert (seen(terminal, 24, 60).hidden, terminal.mode() == terminal.before) == (True, False)
    terminal.type(b"\x03")
    assert terminal.end() == 130
    assert (seen(terminal, 24, 60).hidden, terminal.mode()) == (False, terminal.before)


def test_a_watch_that_ends_in_the_background_leaves_its_last_picture(shell):
    """Once and whole, as any command leaves its output: without a step of the cursor."""
    _, terminal = shell("bg", [answer(), answer("completed")])
    terminal.type(b"wait\r")
    assert terminal.end() == 0
    assert terminal.seen.count(b"train-x") == 1
    assert re.findall(rb"\x1b\[[^m]*[A-Zhl]|\r(?!\n)", terminal.seen) == []
    assert seen(terminal, 24, 60).shown().endswith("lastUpdated  2024-01-15T05:00:00Z")


def test_what_keeps_the_picture_from_being_drawn_is_raised_where_it_can_be_told(capsys):
    """The drawing thread has nobody to tell; the cursor comes back all the same."""

    def draw(_width):
        raise ValueError("no picture")

    live = LiveDisplay(draw, 60)

    def look():
        with live:
            live._thread.join()
            live.refresh()

    with pytest.raises(ValueError, match="no picture"):
        look()
    assert capsys.readouterr().out.endswith(_live.SHOW_CURSOR)


def test_what_fails_between_two_looks_is_raised_at_the_end(capsys):
    """Nothing is lost in silence."""

    def draw(_width):
        raise ValueError("no picture")

    live = LiveDisplay(draw, 60)
    with pytest.raises(ValueError, match="no picture"), live:
        live._thread.join()


def test_a_picture_that_is_slow_to_draw_is_drawn_less_often(monkeypatch):
    """Watching costs one part in twenty of a processor, however much there is to see."""
    waits = []
    moments = iter([0.0, 0.3])
    live = LiveDisplay(lambda _: Frame(["a"]), 60)

    def select(*words):
        waits.append(words[3])
        live._done = True
        return [], [], []

    monkeypatch.setattr(_live, "time", SimpleNamespace(monotonic=lambda: next(moments)))
    monkeypatch.setattr(_live, "select", SimpleNamespace(select=select))
    live._run()
    assert (waits[0], live._failure) == (pytest.approx(6.0), None)


def test_two_quick_ctrl_z_stop_twice_and_the_picture_comes_back_at_once(monkeypatch, capsys):
    """The second key is heard while the first is being handled; then nobody waits for the next tick."""
    stops, drawn = [], threading.Event()

    def draw(_width):
        drawn.set()
        return Frame(["a"])

    live = LiveDisplay(draw, 60)

    def kill(_process, number):
        free = live._writing.acquire(blocking=False)  # else the second one would wait forever
        stops.append(free)
        if free:
            live._writing.release()
            if len(stops) == 1:
                live._suspend(number, None)
        drawn.clear()

    monkeypatch.setattr(_live, "os", SimpleNamespace(**{**vars(os), "kill": kill}))
    monkeypatch.setattr(_live, "TICK", 2 * LIMIT)
    with live:
        assert drawn.wait(LIMIT)
        live._suspend(signal.SIGTSTP, None)
        assert drawn.wait(LIMIT)
    assert stops == [True, True]


HEARD = (signal.SIGWINCH, signal.SIGTSTP)


def held():
    """Return what this process holds that a picture takes: how it hears signals, and its pipes."""
    return [signal.getsignal(number) for number in HEARD], set(filter(_is_pipe, Path("/dev/fd").iterdir()))


def _is_pipe(path):
    try:
        return stat.S_ISFIFO(os.fstat(int(path.name)).st_mode)
    except OSError:  # the listing's own, closed by now
        return False


def test_an_end_leaves_nothing_behind(capsys):
    """Neither handlers nor descriptors; one that never began has not even taken them."""
    before = held()
    live = LiveDisplay(lambda _: Frame(["a"]), 60)
    assert held() == before
    with live:
        heard, pipes = held()
        assert heard != before[0]
        assert len(pipes) == len(before[1]) + 2
    assert held() == before


def test_a_beginning_that_fails_leaves_nothing_behind(capsys, monkeypatch):
    """A machine may have no thread left."""
    before = held()
    live = LiveDisplay(lambda _: Frame(["a"]), 60)

    def start():
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(live._thread, "start", start)
    with pytest.raises(RuntimeError, match="new thread"):
        live.__enter__()
    assert held() == before


def test_an_end_that_is_cut_off_hears_no_more_signals(capsys):
    """A second Ctrl-C while a slow picture is awaited: a resize then wakes nobody, and nothing more is drawn."""
    before = held()
    drawing, go_on = threading.Event(), threading.Event()

    def draw(_width):
        drawing.set()
        go_on.wait(LIMIT)
        return Frame(["late"])

    live = LiveDisplay(draw, 60)
    join = live._thread.join

    def interrupted():
        assert drawing.wait(LIMIT)
        raise KeyboardInterrupt

    live._thread.join = interrupted
    with pytest.raises(KeyboardInterrupt), live:
        pass
    assert held()[0] == before[0]
    signal.raise_signal(signal.SIGWINCH)
    go_on.set()
    join(LIMIT)
    assert (live._failure, "late" in capsys.readouterr().out) == (None, False)
    for number in (live._out, live._in):  # left open for a thread that may never end
        os.close(number)


@pytest.mark.parametrize("number", HEARD)
def test_a_signal_that_is_ignored_stays_so(capsys, number):
    """Who started this has said so: a shell without job control knows no `fg`."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with LiveDisplay(lambda _: Frame(["a"]), 60):
            assert signal.getsignal(number) == signal.SIG_IGN
        assert signal.getsignal(number) == signal.SIG_IGN
    finally:
        signal.signal(number, before)
