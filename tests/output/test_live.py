"""A live frame on a real terminal: redrawn in place, also after a resize, and the terminal restored at the end."""

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
from terminals import Terminal
from waiting import LIMIT

from nemo_jobs_cli.output import _live
from nemo_jobs_cli.output._live import Frame, LiveDisplay

ENV = {**CHILD_ENVIRONMENT, "TERM": "xterm"}
LONG_AGO = {"name": "train-x", "status": "active", "created_at": "2024-01-15T05:00:00"}
STAMPED = {"progress": 45, "message": "batch 3", "lastUpdated": "2024-01-15T05:00:00Z"}
DRAWN = b"A\r\x1b[?7h"  # the end of a frame: the cursor goes back to its start
WATCH = [sys.executable, "-m", "nemo_jobs_cli", "show", "train-x", "--watch", "--interval"]


def answer(status="active", **details):
    """Return a response for a job whose times are too old to change while a test runs."""
    return response(200, json.dumps({**LONG_AGO, "status": status, "status_details": details or STAMPED}))


@pytest.fixture
def watch(raw_server):
    """Return a function that watches a job on a terminal of so many rows and columns, with these responses."""
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
    """Read from a terminal while `busy()` is true."""
    ends = time.monotonic() + LIMIT
    while busy():
        assert time.monotonic() < ends, terminal.seen
        terminal.read(0.05)


def seen(terminal, rows, columns):
    """Return the screen after all output so far."""
    text = terminal.seen.decode().replace("\r\n", "\n")
    return Emulated(rows, columns).feed(text)


def test_only_changed_lines_are_written(watch):
    """Not one byte after polls without a change, then one line for the progress."""
    polls, rise = [], threading.Event()

    def handler(connection, _seen, _stop):
        read_request(connection)
        polls.append(rise.is_set())
        connection.sendall(answer(**{**STAMPED, "progress": 46}) if polls[-1] else answer())

    _, terminal = watch(handler)
    terminal.until(DRAWN)
    read_while(terminal, lambda: len(polls) < 2)
    before = len(terminal.seen)
    read_while(terminal, lambda: len(polls) < 8)
    assert len(terminal.seen) == before
    assert "progress     45 %" in seen(terminal, 24, 60).shown()
    rise.set()
    terminal.until(b"46 %")
    read_while(terminal, lambda: sum(polls) < 4)
    written = terminal.seen[before:]
    assert written.count(b"\x1b[K") == 1
    assert b"batch 3" not in written
    assert "progress     46 %" in seen(terminal, 24, 60).shown()


def test_ages_change_without_a_request(watch):
    """The age of the last report is counted here."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    server, terminal = watch([answer(progress=45, lastUpdated=now)], interval="1h")
    read_while(terminal, lambda: len(set(re.findall(rb"(?<!\d)\d+ s ago", terminal.seen))) < 2)
    assert len(server.seen) == 1


SIZES = [
    (24, 30, "  lastUpdated  2024-01-15T05:\n               00:00Z"),
    (6, 100, "  last report  681 d ago  lastUpdated\n\n  +4 lines: a taller window shows more"),
    (40, 100, "  lastUpdated  2024-01-15T05:00:00Z"),
]


def test_a_resize_redraws_for_the_new_size(watch):
    """At once, without a request, from the first line on; a frame that is too high is cut."""
    server, terminal = watch([answer()], interval="1h")
    terminal.until(DRAWN)
    for rows, columns, last in SIZES:
        terminal.seen = b""
        terminal.resize(rows, columns)
        assert terminal.until(DRAWN).startswith(b"\x1b[?7l\r\x1b[K")
        screen = seen(terminal, rows, columns)
        assert screen.shown().startswith("train-x\n")
        assert re.sub("[0-9]+ d ago", "681 d ago", screen.shown()).endswith(last)
        assert (screen.row, screen.past, len(server.seen)) == (0, [], 1)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_the_last_frame_and_restores_the_terminal(watch, number, code):
    """The whole frame, even if the screen was too low; echo and cursor are on again."""
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


def test_an_end_and_an_error_restore_the_terminal(watch):
    """The last state of the job stays; an error is printed below the last frame."""
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
    """Return a function that watches from a small shell, in the foreground ("fg") or background ("bg")."""
    opened = []

    def go(start, answers, interval="200ms"):
        server = raw_server(answers)
        words = [sys.executable, "-c", SHELL, start, *WATCH, interval, "--host", server.url]
        opened.append(Terminal(words, ENV, rows=24, columns=60))
        return server, opened[-1]

    yield go
    for terminal in opened:
        terminal.close()


def rising(*last):
    """Return responses that each have another progress, so that a frame has something to draw each time."""
    return [answer(**{**STAMPED, "progress": n}) for n in range(60)] + list(last)


def test_ctrl_z_restores_the_terminal_until_fg(shell):
    """The shell has cursor and echo; after `bg` nothing is written; after `fg` the frame is drawn again, below."""
    server, terminal = shell("fg", rising())
    terminal.until(DRAWN)
    terminal.type(b"\x1a")
    terminal.until(b"stopped True\r\n")
    screen = seen(terminal, 24, 60)
    assert (screen.hidden, terminal.mode()) == (False, terminal.before)
    assert screen.shown().endswith("lastUpdated  2024-01-15T05:00:00Z\nstopped True")
    polls = len(server.seen)
    terminal.seen = b""
    terminal.type(b"bg\r")
    read_while(terminal, lambda: len(server.seen) < polls + 5)
    assert (terminal.seen, terminal.mode()) == (b"bg\r\n", terminal.before)
    terminal.type(b"fg\r")
    terminal.until(DRAWN)
    screen = seen(terminal, 24, 60)
    assert screen.shown().startswith("bg\nfg\ntrain-x\n")
    assert (screen.hidden, screen.row) == (True, 2)
    terminal.type(b"\x03")
    assert terminal.end() == 130
    assert (seen(terminal, 24, 60).hidden, terminal.mode()) == (False, terminal.before)


def test_a_watch_started_in_the_background_draws_after_fg(shell):
    """`show --watch &` leaves prompt, cursor and echo alone until `fg`."""
    server, terminal = shell("bg", rising())
    read_while(terminal, lambda: len(server.seen) < 5)
    assert (terminal.seen, terminal.mode()) == (b"", terminal.before)
    terminal.type(b"fg\r")
    terminal.until(DRAWN)
    assert (seen(terminal, 24, 60).hidden, terminal.mode() == terminal.before) == (True, False)
    terminal.type(b"\x03")
    assert terminal.end() == 130
    assert (seen(terminal, 24, 60).hidden, terminal.mode()) == (False, terminal.before)


def test_a_watch_that_ends_in_the_background_prints_its_last_frame(shell):
    """Once and whole, without moving the cursor."""
    _, terminal = shell("bg", [answer(), answer("completed")])
    terminal.type(b"wait\r")
    assert terminal.end() == 0
    assert terminal.seen.count(b"train-x") == 1
    assert re.findall(rb"\x1b\[[^m]*[A-Zhl]|\r(?!\n)", terminal.seen) == []
    assert seen(terminal, 24, 60).shown().endswith("lastUpdated  2024-01-15T05:00:00Z")


@pytest.mark.parametrize("refresh", [True, False])
def test_an_error_of_the_drawing_thread_is_raised(capsys, refresh):
    """By the next refresh, or else at the end; the cursor is shown again."""
    failed = threading.Event()

    def draw(_width):
        failed.set()
        raise ValueError("no frame")

    live = LiveDisplay(draw, 60)

    def watch():
        with live:
            assert failed.wait(LIMIT)
            ends = time.monotonic() + LIMIT
            while refresh and time.monotonic() < ends:
                live.refresh()

    with pytest.raises(ValueError, match="no frame"):
        watch()
    assert capsys.readouterr().out.endswith(_live.SHOW_CURSOR)


def test_a_slow_frame_is_drawn_less_often(monkeypatch):
    """Drawing takes at most a twentieth of the time."""
    waits, taken, waiting, over = [], [], threading.Event(), threading.Event()

    def is_readable(_fd, seconds):
        waits.append(seconds)
        waiting.set()
        return not over.wait(LIMIT)

    monkeypatch.setattr(_live, "time", SimpleNamespace(monotonic=lambda: 5 + sum(taken)))
    monkeypatch.setattr(_live, "is_readable", is_readable)
    with LiveDisplay(lambda _: taken.append(0.3) or Frame(["a"]), 60):
        assert waiting.wait(LIMIT)
        over.set()
    assert waits[0] == pytest.approx(6.0)


def test_two_quick_ctrl_z_stop_twice_and_the_frame_comes_back_at_once(monkeypatch, capsys):
    """The second one comes while the first is handled; the frame does not wait for the next tick."""
    stops, drawn = [], threading.Event()

    def draw(_width):
        drawn.set()
        return Frame(["a"])

    def kill(_process, number):
        stops.append(number)
        if len(stops) == 1:
            suspend(number, None)
        drawn.clear()

    def too_late(*_):
        raise TimeoutError

    monkeypatch.setattr(_live, "os", SimpleNamespace(**{**vars(os), "kill": kill}))
    monkeypatch.setattr(_live, "TICK", 2 * LIMIT)
    before = signal.signal(signal.SIGALRM, too_late)
    try:
        with LiveDisplay(draw, 60):
            suspend = signal.getsignal(signal.SIGTSTP)
            assert drawn.wait(LIMIT)
            signal.setitimer(signal.ITIMER_REAL, LIMIT)
            suspend(signal.SIGTSTP, None)
            signal.setitimer(signal.ITIMER_REAL, 0)
            assert drawn.wait(LIMIT)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert stops == [signal.SIGTSTP] * 2


HANDLED = (signal.SIGWINCH, signal.SIGTSTP)


def handlers_and_pipes():
    """Return the signal handlers and the pipes of this process."""
    return [signal.getsignal(number) for number in HANDLED], set(filter(_is_pipe, Path("/dev/fd").iterdir()))


def _is_pipe(path):
    try:
        return stat.S_ISFIFO(os.fstat(int(path.name)).st_mode)
    except OSError:  # the listing's own, closed by now
        return False


def test_handlers_and_pipes_are_restored_at_the_end(capsys):
    """They are changed only while the display is shown."""
    before = handlers_and_pipes()
    live = LiveDisplay(lambda _: Frame(["a"]), 60)
    assert handlers_and_pipes() == before
    with live:
        handlers, pipes = handlers_and_pipes()
        assert handlers != before[0]
        assert len(pipes) == len(before[1]) + 2
    assert handlers_and_pipes() == before


def test_a_failed_start_restores_handlers_and_pipes(capsys, monkeypatch):
    """If the system has no thread left."""
    before = handlers_and_pipes()
    live = LiveDisplay(lambda _: Frame(["a"]), 60)

    def start(_thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(RuntimeError, match="new thread"):
        live.__enter__()
    assert handlers_and_pipes() == before


def test_an_interrupted_end_restores_the_handlers(capsys, monkeypatch):
    """After a second Ctrl-C during a slow frame, a resize has no effect, and nothing more is drawn."""
    before = handlers_and_pipes()
    drawing, release = threading.Event(), threading.Event()

    def draw(_width):
        drawing.set()
        release.wait(LIMIT)
        return Frame(["late"])

    threads = []

    def interrupted(thread):
        assert drawing.wait(LIMIT)
        threads.append(thread)
        raise KeyboardInterrupt

    live = LiveDisplay(draw, 60)
    join = threading.Thread.join
    monkeypatch.setattr(threading.Thread, "join", interrupted)
    with pytest.raises(KeyboardInterrupt), live:
        pass
    assert handlers_and_pipes()[0] == before[0]
    signal.raise_signal(signal.SIGWINCH)
    release.set()
    join(threads[0], LIMIT)
    live.refresh()  # raises what has stopped the thread
    assert "late" not in capsys.readouterr().out
    for path in handlers_and_pipes()[1] - before[1]:  # left open for a thread that may never end
        os.close(int(path.name))


@pytest.mark.parametrize("number", HANDLED)
def test_an_ignored_signal_stays_ignored(capsys, number):
    """A shell without job control has no `fg`."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with LiveDisplay(lambda _: Frame(["a"]), 60):
            assert signal.getsignal(number) == signal.SIG_IGN
        assert signal.getsignal(number) == signal.SIG_IGN
    finally:
        signal.signal(number, before)
