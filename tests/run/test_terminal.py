"""A terminal of the command's own: modes, sizes, keys; and its output, copied byte for byte."""

from __future__ import annotations

import contextlib
import os
import select
import struct
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest
from raw import CHILD_ENVIRONMENT
from terminals import Terminal as Screen

from nemo_jobs_cli.core import clock, signals
from nemo_jobs_cli.run import terminal

# Uses a Terminal on a terminal of its own, and reports the modes of both.
CODE = """
import os, sys, termios
from nemo_jobs_cli.run.terminal import Terminal

def tell(name, number):
    mode = termios.tcgetattr(number)
    on = [bool(mode[1] & termios.OPOST), bool(mode[3] & termios.ICANON), bool(mode[3] & termios.ISIG)]
    os.write(report, f"{name} {on}\\n".encode())

report = int(sys.argv[1])
one = Terminal()
tell("side", one.side)
held = os.dup(one.side)
one.start(0)
tell("during", 0)
os.write(report, f"{os.get_terminal_size(held)}\\n".encode())
one.close()
tell("after", 0)
"""


def run_on_terminal(tmp_path, **streams):
    """Return what CODE writes on a terminal; `streams` go elsewhere."""
    with open(tmp_path / "run_on_terminal", "w+b") as file:
        words = [sys.executable, "-c", CODE, str(file.fileno())]
        with Screen(words, CHILD_ENVIRONMENT, rows=33, columns=99, pass_fds=[file.fileno()], **streams) as screen:
            assert screen.end() == 0, screen.seen
            assert screen.mode() == screen.before
        file.seek(0)
        return file.read().decode().splitlines()


SIZE = "os.terminal_size(columns=99, lines=33)"


def test_keys_belong_to_the_command_while_it_runs(tmp_path):
    """Its terminal gets our mode, ours is raw until the end."""
    assert run_on_terminal(tmp_path) == [
        "side [True, True, True]",
        "during [False, False, False]",
        SIZE,
        "after [True, True, True]",
    ]


def test_output_to_a_file_is_unchanged(tmp_path):
    r"""No \n becomes \r\n; the size is that of the terminal on stdin."""
    with open(tmp_path / "out", "wb") as out:
        first, _, size, _ = run_on_terminal(tmp_path, stdout=out)
    assert (first, size) == ("side [False, True, True]", SIZE)


def test_input_from_elsewhere_leaves_our_mode_alone(tmp_path):
    r"""Ctrl-C comes as a signal, and our terminal makes \r\n itself."""
    code = """
import os, termios
from nemo_jobs_cli.run.terminal import Terminal
one = Terminal()
held = os.dup(one.side)
one.start(0)
print(bool(termios.tcgetattr(held)[1] & termios.OPOST), bool(termios.tcgetattr(1)[3] & termios.ISIG))
one.close()
"""
    with Screen([sys.executable, "-c", code], CHILD_ENVIRONMENT, stdin=subprocess.DEVNULL) as screen:
        assert screen.end() == 0
        assert screen.seen == b"False True\r\n"


@pytest.mark.parametrize("name", ["stdin", "stdout", "stderr"])
def test_the_size_is_that_of_any_stream_on_a_terminal(tmp_path, name):
    """The other two may be files."""
    code = """
import os, sys
from nemo_jobs_cli.run.terminal import Terminal
one = Terminal()
with open(sys.argv[1], "w") as file:
    print(os.get_terminal_size(one.side), file=file)
one.close()
"""
    words, streams = [sys.executable, "-c", code, str(tmp_path / "size")], {"stdin", "stdout", "stderr"} - {name}
    elsewhere = dict.fromkeys(streams, subprocess.DEVNULL)
    with Screen(words, CHILD_ENVIRONMENT, rows=33, columns=99, **elsewhere) as screen:
        assert screen.end() == 0
    assert (tmp_path / "size").read_text(encoding="utf-8") == f"{SIZE}\n"


# The window of our terminal is closed.
HUNG_UP = """
import os, sys, signal, threading
from nemo_jobs_cli.run.terminal import Terminal
signal.signal(signal.SIGHUP, signal.SIG_IGN)
one = Terminal()
one.start(0)
print("ready", flush=True)
for thread in threading.enumerate():
    if thread.name == "keys" and sys.argv[1] == "end":
        thread.join(10)
one.close()
os.write(int(sys.argv[2]), b"over")
os._exit(0)
"""


@pytest.mark.parametrize("how", ["end", "close"])
def test_a_closed_window_ends_the_copying_of_keys(tmp_path, how):
    """There is no error and no busy thread, and the process goes on."""
    with open(tmp_path / "run_on_terminal", "w+b") as file:
        words = [sys.executable, "-c", HUNG_UP, how, str(file.fileno())]
        screen = Screen(words, CHILD_ENVIRONMENT, pass_fds=[file.fileno()])
        screen.until(b"ready")
        os.close(screen.side)
        os.close(screen.main)
        assert screen.process.wait(30) == 0
        file.seek(0)
        assert file.read() == b"over"


# The end of the command's terminal is closed: Linux swallows the keys, other systems refuse them.
TYPED = """
import errno, os, sys, threading
from nemo_jobs_cli.run import terminal
from nemo_jobs_cli.run.terminal import Terminal

def refuse(*_):
    raise OSError(errno.EIO, "closed")

terminal.write_all = refuse
one = Terminal()
one.start(0)
(keys,) = (thread for thread in threading.enumerate() if thread.name == "keys")
os.write(1, b"ready")
keys.join(10)
late = keys.is_alive()
one.close()
sys.exit(late)
"""


def test_a_key_after_the_end_is_dropped():
    """Our terminal is restored."""
    with Screen([sys.executable, "-c", TYPED], CHILD_ENVIRONMENT) as screen:
        screen.until(b"ready")
        screen.type(b"q")
        assert screen.end() == 0, screen.seen
        assert screen.mode() == screen.before


# Our terminal belongs to another job, which leaves a key unread.
REFUSED = """
import errno, os, sys, threading
from nemo_jobs_cli.run.terminal import Terminal

read, first, second = os.read, threading.Event(), threading.Event()

def refuse(number, size):
    if number != 0:
        return read(number, size)
    (second if first.is_set() else first).set()
    raise OSError(errno.EIO, "in the background")

os.read = refuse
one = Terminal()
one.start(0)
os.write(1, b"ready")
first.wait()
is_busy = second.wait(0.1)
one.close()
sys.exit(is_busy)
"""


def test_a_key_for_another_job_is_tried_once():
    """Nothing is busy with a terminal in whose background it is."""
    with Screen([sys.executable, "-c", REFUSED], CHILD_ENVIRONMENT) as screen:
        screen.until(b"ready")
        screen.type(b"q")
        assert screen.end() == 0, screen.seen


# A key is being written when the command has ended.
HELD = """
import os, sys, threading
from nemo_jobs_cli.run import terminal

writing, never = threading.Event(), threading.Event()
terminal.KEYS_TIMEOUT = 0.01
terminal.write_all = lambda *_: writing.set() or never.wait()
one = terminal.Terminal()
one.start(0)
os.write(1, b"ready")
writing.wait(20)
one.close()
os.write(1, b"open" if os.isatty(one.main) else b"closed")
"""


def test_descriptors_stay_open_while_keys_are_copied():
    """A closed number could soon be the socket of a connection. The thread does not keep the process."""
    with Screen([sys.executable, "-c", HELD], CHILD_ENVIRONMENT) as screen:
        screen.until(b"ready")
        screen.type(b"q")
        screen.until(b"open")
        assert screen.end() == 0


# Output --------------------------------------------------------------------------------------------------------------


class Output:
    """Collect every chunk; an empty one is a pause."""

    def __init__(self):
        self.chunks = []
        self.changed = threading.Condition()

    def feed(self, stream, piece):
        with self.changed:
            self.chunks.append(piece)
            self.changed.notify_all()

    def until(self, condition):
        with self.changed:
            assert self.changed.wait_for(condition, 10), self.chunks


class Copy:
    """A copier between two pipes."""

    def __init__(self, listen):
        source, self.into = os.pipe()
        self.out, self.target = os.pipe()
        self.copier = terminal.OutputCopier(source, self.target, listen)
        self.copier.start()

    def close(self):
        for number in (self.into, self.out, self.target):
            with contextlib.suppress(OSError):
                os.close(number)
        self.copier.finish()


@pytest.fixture
def output():
    """Return what collects the output."""
    return Output()


@pytest.fixture
def copy(output):
    """Return a running copier."""
    copy = Copy(output.feed)
    yield copy
    copy.close()


def test_a_pause_is_reported_once(copy, output):
    """The same unfinished line would look like news."""
    os.write(copy.into, b"45%")
    output.until(lambda: output.chunks == [b"45%", b""])
    with output.changed:
        assert not output.changed.wait_for(lambda: len(output.chunks) > 2, 3 * terminal.PAUSE)
    os.write(copy.into, b"46%")
    output.until(lambda: output.chunks == [b"45%", b"", b"46%", b""])


def test_a_shorter_silence_is_no_pause(output, monkeypatch):
    """A command may print a line in pieces."""
    monkeypatch.setattr(terminal, "PAUSE", 50)
    copy = Copy(output.feed)
    os.write(copy.into, b"45")
    output.until(lambda: output.chunks)
    with output.changed:
        assert not output.changed.wait_for(lambda: len(output.chunks) > 1, 0.2)
    copy.close()


def test_silence_before_the_first_byte_is_no_pause(copy, output):
    """There is no unfinished line."""
    with output.changed:
        assert not output.changed.wait_for(lambda: output.chunks, 2 * terminal.PAUSE)


def test_output_at_the_end_of_a_pause_is_not_lost(output, monkeypatch):
    """The command writes and ends just after a poll without output; a loaded machine makes that likely."""
    started, finishing, join = threading.Event(), threading.Event(), threading.Thread.join

    class LatePoll:
        """A poll whose first result is from before the last output, and is looked at after the command's end."""

        def __init__(self):
            self.real, self.is_late = select.poll(), True
            self.register = self.real.register

        def poll(self, milliseconds):
            if not self.is_late:
                return self.real.poll(milliseconds)
            self.is_late = False
            assert started.wait(10)
            os.write(copy.into, b"done\n")
            ending.start()
            assert finishing.wait(10)
            return []

    def note_join(thread, *words):
        if thread.name == "output":
            finishing.set()
        join(thread, *words)

    monkeypatch.setattr(terminal, "select", SimpleNamespace(poll=LatePoll, POLLIN=select.POLLIN))
    monkeypatch.setattr(threading.Thread, "join", note_join)
    copy = Copy(output.feed)
    ending = threading.Thread(target=copy.copier.finish)
    started.set()
    output.until(lambda: output.chunks == [b"done\n"])
    assert os.read(copy.out, 100) == b"done\n"
    ending.join(10)
    copy.close()


def test_endless_output_does_not_delay_the_end(output, monkeypatch):
    """It is copied for a while, then the pipe is closed."""
    monkeypatch.setattr(terminal, "MAX_DRAIN", 0.3)
    source, into = os.pipe()
    with open(os.devnull, "wb") as nothing:
        one = terminal.OutputCopier(source, nothing.fileno(), output.feed)
        one.start()
        talking = threading.Thread(target=write_forever, args=[into], daemon=True)
        talking.start()
        output.until(lambda: output.chunks)
        one.finish()
    talking.join(20)
    assert not talking.is_alive()
    os.close(into)


def write_forever(into):
    """Write until the pipe is closed."""
    with contextlib.suppress(BrokenPipeError):
        while os.write(into, b"more"):
            pass


def test_what_is_written_soon_after_the_end_is_copied(monkeypatch):
    """By a child of the command, which may still print a last line."""
    chunks = []

    def measure(*_):
        os.write(copy.into, b"soon")
        return bytes(4)

    def feed(_target, chunk):
        chunks.append(chunk)
        if chunk == b"soon":
            os.write(copy.into, b"later")

    copy = Copy(feed)
    monkeypatch.setattr(terminal, "fcntl", SimpleNamespace(ioctl=measure))
    monkeypatch.setattr(terminal, "MAX_DRAIN", 60.0)
    copy.copier.finish()
    assert chunks == [b"soon", b"later"]
    copy.close()


def test_all_output_from_before_the_end_is_copied_and_nothing_later(monkeypatch):
    """The time limit of 0 is for later output only."""
    chunks = []

    def measure(*_):
        os.write(copy.into, b"early")
        return struct.pack("i", len(b"early"))

    def feed(_target, chunk):
        chunks.append(chunk)
        if chunk == b"y":
            os.write(copy.into, b"late")

    copy = Copy(feed)
    monkeypatch.setattr(terminal, "fcntl", SimpleNamespace(ioctl=measure))
    monkeypatch.setattr(terminal, "MAX_DRAIN", 0.0)
    monkeypatch.setattr(terminal, "CHUNK", 1)
    copy.copier.finish()
    assert b"".join(chunks) == b"early"
    copy.close()


def test_a_slow_reader_gets_all_output(output, monkeypatch):
    """The time limit is for later output only."""
    monkeypatch.setattr(terminal, "MAX_DRAIN", 0.0)
    monkeypatch.setattr(terminal, "CHUNK", 1024)
    copy = Copy(output.feed)
    os.set_blocking(copy.into, False)
    data = os.urandom(1 << 20)
    sent = 0
    with contextlib.suppress(BlockingIOError):
        while sent < len(data):
            sent += os.write(copy.into, data[sent : sent + 4096])

    def stop():
        copy.copier.finish()
        os.close(copy.target)

    stopping = threading.Thread(target=stop)
    stopping.start()
    got = b""
    while piece := os.read(copy.out, 512):
        got += piece
    stopping.join()
    assert got == data[:sent]
    copy.close()


def test_a_non_blocking_target_gets_everything():
    """Another process may have set our stdout so."""
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


def test_a_write_that_nobody_reads_is_waited_for_in_steps(monkeypatch):
    """A signal just before a blocking write would be handled only after it, or never."""
    reader, writer = os.pipe()
    data, waits = bytes(range(256)) * 32, []  # two pieces

    def is_writable(_fd, seconds):
        waits.append(seconds)
        return len(waits) > 2

    monkeypatch.setattr(signals, "is_writable", is_writable)
    terminal.write_in_steps(writer, data)
    assert waits == [clock.STEP] * 4
    assert os.read(reader, 2 * len(data)) == data
    os.close(reader)
    os.close(writer)
