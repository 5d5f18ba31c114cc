"""A terminal of the command's own: modes, sizes, keys; and its output, copied byte for byte."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import termios
import threading

import pytest
from raw import CHILD_ENVIRONMENT
from terminals import Terminal as Screen

from nemo_jobs_cli.core import terminals
from nemo_jobs_cli.run import terminal

# Does with a Terminal what the words say, on a terminal of its own, and tells how that one is treated.
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


def told(tmp_path, **streams):
    """Return what CODE tells on a terminal, but for `streams`."""
    with open(tmp_path / "told", "w+b") as file:
        words = [sys.executable, "-c", CODE, str(file.fileno())]
        with Screen(words, CHILD_ENVIRONMENT, rows=33, columns=99, pass_fds=[file.fileno()], **streams) as screen:
            assert screen.end() == 0, screen.seen
            assert screen.mode() == screen.before
        file.seek(0)
        return file.read().decode().splitlines()


SIZE = "os.terminal_size(columns=99, lines=33)"


def test_keys_are_the_childs_while_it_runs(tmp_path):
    """Its end is treated as ours was; ours hands everything on, until it is as before."""
    assert told(tmp_path) == [
        "side [True, True, True]",
        "during [False, False, False]",
        SIZE,
        "after [True, True, True]",
    ]


def test_output_that_goes_elsewhere_stays_as_it_was(tmp_path):
    """Where stdout is a file, no line break becomes two characters; the size is that of stdin's terminal."""
    with open(tmp_path / "out", "wb") as out:
        first, _, size, _ = told(tmp_path, stdout=out)
    assert (first, size) == ("side [False, True, True]", SIZE)


def test_input_from_elsewhere_leaves_our_keys_alone(tmp_path):
    """Where stdin is a pipe, Ctrl-C is ours to pass on, and our terminal makes its line breaks itself."""
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


def test_without_any_terminal_there_is_still_one_for_the_child(monkeypatch):
    """--pty in a pipeline: nothing of ours is touched."""
    ran = subprocess.run(
        [sys.executable, "-c", "from nemo_jobs_cli.run.terminal import Terminal; Terminal().close(); print('fine')"],
        env=CHILD_ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
    )
    assert (ran.stdout, ran.stderr) == (b"fine\n", b"")


# The child ends at once; somebody has left the other end of the keys' terminal.
HUNG_UP = """
import os, sys, signal
from nemo_jobs_cli.run.terminal import Terminal
signal.signal(signal.SIGHUP, signal.SIG_IGN)
one = Terminal()
one.start(0)
print("ready", flush=True)
one._thread.join(10) if sys.argv[1] == "end" else None
one.close()
os.write(int(sys.argv[2]), b"over")
os._exit(0)
"""


@pytest.mark.parametrize("how", ["end", "close"])
def test_a_terminal_that_hangs_up_ends_the_keys(tmp_path, how):
    """A window that is closed: no error, no thread that spins, and what follows goes on."""
    with open(tmp_path / "told", "w+b") as file:
        words = [sys.executable, "-c", HUNG_UP, how, str(file.fileno())]
        screen = Screen(words, CHILD_ENVIRONMENT, pass_fds=[file.fileno()])
        screen.until(b"ready")
        os.close(screen.side)
        os.close(screen.main)
        assert screen.process.wait(30) == 0
        file.seek(0)
        assert file.read() == b"over"


# The command is over, and its end of the terminal takes no keys any more: Linux swallows them, others refuse.
TYPED = """
import errno, os, sys
from nemo_jobs_cli.run import terminal
from nemo_jobs_cli.run.terminal import Terminal

def refuse(*_):
    raise OSError(errno.EIO, "closed")

terminal.write_all = refuse
one = Terminal()
one.start(0)
os.write(1, b"ready")
one._thread.join(10)
late = one._thread.is_alive()
one.close()
sys.exit(late)
"""


def test_a_key_that_comes_too_late_leaves_nothing_raw():
    """What is typed as the command ends reaches nobody, and our terminal is as it was."""
    with Screen([sys.executable, "-c", TYPED], CHILD_ENVIRONMENT) as screen:
        screen.until(b"ready")
        screen.type(b"q")
        assert screen.end() == 0, screen.seen
        assert screen.mode() == screen.before


def test_the_childs_end_controls_it():
    """Who adopts it finds it as /dev/tty."""
    code = (
        "import os; from nemo_jobs_cli.run.terminal import Terminal; one = Terminal(); one.adopt(); "
        "tty = os.open('/dev/tty', os.O_RDWR); print(os.isatty(tty), os.tcgetpgrp(tty) == os.getpgrp())"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], env=CHILD_ENVIRONMENT, start_new_session=True, capture_output=True, check=True
    )
    assert ran.stdout == b"True True\n"


def test_keys_on_their_way_keep_their_terminal(monkeypatch):
    """A number that was given back may be somebody else's connection by the time a key is written to it."""
    monkeypatch.setattr(terminal, "_KEYS_TIMEOUT", 0.01)
    one, over = terminal.Terminal(), threading.Event()
    one._thread = threading.Thread(target=over.wait)
    one._thread.start()
    one.close()
    assert os.isatty(one.main)
    over.set()
    one._thread.join()
    os.close(one.main)
    os.close(one._end_read)


def test_a_terminal_that_does_not_control_usis_in_front(tmp_path):
    """Nobody could move us behind it."""
    main, side = os.openpty()
    try:
        assert terminals.is_in_front(side)
        assert termios.tcgetattr(side)[3] & termios.ISIG
    finally:
        os.close(main)
        os.close(side)


# Output --------------------------------------------------------------------------------------------------------------


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
