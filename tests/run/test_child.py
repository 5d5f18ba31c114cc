"""Commands run as children: exit codes, groups, signals, environments, ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from raw import CHILD_ENVIRONMENT
from terminals import Terminal

from nemo_jobs_cli.run import child, terminal
from nemo_jobs_cli.run.status import ExitStatus

ENVIRONMENT = {"PATH": os.defpath}

# Ends by itself after a minute, so that a test that fails leaves nothing behind.
WAIT = "n=0; while [ $n -lt 200 ]; do sleep 0.05; n=$((n+1)); done"


PLAIN = child.ChildOptions()


def run(*words, environment=None, plan=PLAIN):
    """Run a command to its end."""
    return child.Child(words, ENVIRONMENT if environment is None else environment, plan).wait()


class Ears:
    """Remember what was heard of each stream."""

    def __init__(self):
        self.heard = {1: b"", 2: b""}
        self.changed = threading.Condition()

    def hear(self, stream, piece):
        with self.changed:
            self.heard[stream] += piece
            self.changed.notify_all()

    def until(self, stream, text):
        with self.changed:
            assert self.changed.wait_for(lambda: text in self.heard[stream], 10), self.heard


@pytest.fixture
def ears():
    """Return what listens to a command."""
    return Ears()


def later(condition, act):
    """Act from another thread once a condition holds; signals then meet the waiting main thread."""
    started = threading.Thread(target=lambda: (condition(), act()))
    started.start()
    return started


@pytest.mark.parametrize("code", [0, 1, 7, 255])
def test_the_exit_code_is_the_commands(code):
    """What the command ends with is what one gets."""
    assert run("sh", "-c", f"exit {code}") == ExitStatus(code=code)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGABRT])
def test_a_signals_code_is_the_shells(number):
    """A command that signal N ended gives 128+N, also where it dumps core."""
    ended = run("sh", "-c", f"ulimit -c 0; kill -{int(number)} $$")
    assert (ended, ended.exit_code) == (ExitStatus(signal=number), 128 + number)


def test_the_environment_is_the_one_given(tmp_path):
    """The command sees the variables it was given, and none of this process's."""
    out = tmp_path / "out"
    run("sh", "-c", f'echo "$A-$HOME" > {out}', environment={**ENVIRONMENT, "A": "1"})
    assert out.read_text() == "1-\n"


def test_a_command_is_looked_up_on_its_own_path(tmp_path):
    """PATH of the environment given decides, not this process's."""
    tool = tmp_path / "my-own-tool"
    tool.write_text("#!/bin/sh\nexit 5\n")
    tool.chmod(0o755)
    assert run("my-own-tool", environment={"PATH": f"{tmp_path}:{os.defpath}"}).code == 5


@pytest.mark.parametrize(
    ("word", "code", "says"),
    [
        ("no-such-command", 127, "command not found: 'no-such-command'"),
        ("/no/such/command", 127, "command not found: '/no/such/command'"),
        ("/etc/passwd", 126, "Permission denied"),
        ("/", 126, "Permission denied"),
        ("a\0b", 126, "cannot run 'a\\x00b': it contains NUL"),
        ("\x1b[31m", 127, "'\\x1b[31m'"),
    ],
)
def test_what_can_not_be_run(word, code, says):
    """A command that can't start has the shell's code for it and a next step; the old handlers are back."""
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(child.CommandError) as caught:
        run(word)
    assert caught.value.code == code
    assert says in caught.value.message
    assert caught.value.hint
    assert signal.getsignal(signal.SIGTERM) == before


def test_output_is_heard_and_passed_on(ears, capfdbinary):
    """Who listens gets every byte of both streams, each by its number, and so do the streams."""
    assert run("sh", "-c", r"printf 'a\377\0b'; printf 'err\r' >&2", plan=child.ChildOptions(ears.hear)) == ExitStatus()
    assert ears.heard == {1: b"a\xff\0b", 2: b"err\r"}
    assert capfdbinary.readouterr() == (b"a\xff\0b", b"err\r")


def test_descriptors_are_given_back(ears):
    """After a command everything that was opened for it is closed."""
    before = sorted(Path("/dev/fd").iterdir())
    run("true", plan=child.ChildOptions(ears.hear))
    run("true", plan=child.ChildOptions(ears.hear, terminal=True))
    with pytest.raises(child.CommandError):
        run("no-such-command", plan=child.ChildOptions(ears.hear, terminal=True))
    assert sorted(Path("/dev/fd").iterdir()) == before


@pytest.fixture
def _alone(monkeypatch):
    """Behave as where there is no terminal, also where the tests are started on one."""
    monkeypatch.setattr(child, "_foreground_group", lambda: None)


TELLING = [
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGWINCH,
]


@pytest.mark.usefixtures("_alone")
@pytest.mark.parametrize("number", TELLING)
def test_signals_are_passed_on(number, ears):
    """The command gets the signal and decides how it ends; then the old handler is back."""
    before = signal.getsignal(number)
    sent = later(lambda: ears.until(1, b"ready"), lambda: os.kill(os.getpid(), number))
    script = f"trap 'exit 42' {int(number)}; echo ready; {WAIT}"
    assert run("sh", "-c", script, plan=child.ChildOptions(ears.hear)) == ExitStatus(
        code=42, stopped=number in child.STOP_SIGNALS
    )
    sent.join()
    assert signal.getsignal(number) == before


@pytest.mark.usefixtures("_alone")
def test_a_second_interrupt_is_passed_on_too(ears):
    """Programs that end at the second Ctrl-C get it."""
    script = f"trap 'trap \"exit 9\" INT; echo hit' INT; echo ready; {WAIT}"

    def twice():
        os.kill(os.getpid(), signal.SIGINT)
        ears.until(1, b"hit")
        os.kill(os.getpid(), signal.SIGINT)

    sent = later(lambda: ears.until(1, b"ready"), twice)
    assert run("sh", "-c", script, plan=child.ChildOptions(ears.hear)).code == 9
    sent.join()


@pytest.mark.usefixtures("_alone")
def test_a_signal_that_comes_while_the_command_starts_is_not_lost(monkeypatch, ears):
    """What arrives before there is anybody to pass it on to is passed on then."""
    popen = subprocess.Popen

    def slow(*args, **more):
        os.kill(os.getpid(), signal.SIGTERM)
        return popen(*args, **more)

    monkeypatch.setattr(subprocess, "Popen", slow)
    assert run("sh", "-c", WAIT, plan=child.ChildOptions(ears.hear)) == ExitStatus(signal=signal.SIGTERM, stopped=True)


@pytest.mark.usefixtures("_alone")
def test_an_ignored_signal_stays_ignored(monkeypatch):
    """Under nohup the command doesn't hear HUP either: neither from us nor by itself."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert run("sh", "-c", "kill -HUP $$; kill -HUP $PPID; exit 3") == ExitStatus(code=3)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("_alone")
def test_the_whole_group_gets_a_signal(ears):
    """What the command has started in its group is told, too."""
    script = f"trap 'wait; exit 4' TERM; (trap 'echo inner; exit' TERM; echo ready; {WAIT}) & wait"
    sent = later(lambda: ears.until(1, b"ready"), lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert run("sh", "-c", script, plan=child.ChildOptions(ears.hear)).code == 4
    assert b"inner" in ears.heard[1]
    sent.join()


@pytest.mark.usefixtures("_alone")
def test_who_ignores_term_is_killed_after_grace(ears):
    """TERM, then KILL for the whole group; a second TERM does not put that off."""
    script = f"trap '' TERM; echo ready; (echo $$; {WAIT}) & {WAIT}"

    def twice():
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)

    sent = later(lambda: ears.until(1, b"ready"), twice)
    assert run("sh", "-c", script, plan=child.ChildOptions(ears.hear, grace=0.1)) == ExitStatus(
        signal=signal.SIGKILL, stopped=True
    )
    sent.join()


@pytest.mark.usefixtures("_alone")
def test_who_ends_in_time_is_not_killed(ears):
    """A command that cleans up within its grace ends as it wants."""
    sent = later(lambda: ears.until(1, b"ready"), lambda: os.kill(os.getpid(), signal.SIGTERM))
    script = f"trap 'sleep 0.1; exit 6' TERM; echo ready; {WAIT}"
    one = child.Child(["sh", "-c", script], ENVIRONMENT, child.ChildOptions(ears.hear, grace=30))
    assert one.wait() == ExitStatus(code=6, stopped=True)
    sent.join()
    assert one._kill_timer.finished.is_set()


@pytest.mark.usefixtures("_alone")
def test_afterwards_others_hear_the_signals():
    """Who names a handler for the time after the command gets every signal then, without a gap."""
    heard = []
    before = {number: signal.getsignal(number) for number in child.FORWARDED}
    try:
        run("true", plan=child.ChildOptions(signal_handler=lambda number, _: heard.append(number)))
        os.kill(os.getpid(), signal.SIGUSR1)
        assert heard == [signal.SIGUSR1]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.mark.usefixtures("_alone")
def test_a_signal_for_a_command_that_is_over_goes_nowhere(monkeypatch):
    """It may have ended this very moment, and its number may soon be somebody else's."""
    sent = []
    one = child.Child(["true"], ENVIRONMENT)
    one.wait()
    monkeypatch.setattr(os, "killpg", lambda *given: sent.append(given))
    one._forward(signal.SIGTERM, None)
    one._signal(signal.SIGKILL)  # of the grace that is over this very moment
    assert not sent


@pytest.mark.usefixtures("_alone")
def test_a_command_may_end_while_a_signal_is_on_its_way(monkeypatch):
    """A group that has gone is no error."""

    def gone(*_):
        raise ProcessLookupError

    one = child.Child(["true"], ENVIRONMENT)
    monkeypatch.setattr(os, "killpg", gone)
    one._forward(signal.SIGUSR1, None)
    assert one.wait() == ExitStatus()


def test_a_daemon_does_not_hold_us_up(ears):
    """A command is over when it has ended, though what it left behind keeps its output open."""
    out = subprocess.run(
        [sys.executable, "-c", DAEMON], capture_output=True, timeout=50, env=CHILD_ENVIRONMENT, check=True
    )
    assert out.stdout.startswith(b"said\n")
    os.kill(int(out.stdout.split()[1]), signal.SIGKILL)


# The daemon leaves the session and keeps the pipes.
DAEMON = """
import sys
from nemo_jobs_cli.run import child
code = "echo said; setsid sh -c 'exec sleep 60' & echo $!"
sys.exit(child.Child(["sh", "-c", code], {"PATH": "/usr/bin:/bin"}, child.ChildOptions(lambda *_: None)).wait().exit_code)
"""


# Ctrl-C and the like are typed on the terminal; the command counts.
COUNTER = """
import signal, sys, time
hits = []
number = int(sys.argv[1])
signal.signal(number, lambda *_: hits.append(1))
print("ready", flush=True)
while not hits:
    time.sleep(0.02)
time.sleep(0.3)
print("hits", len(hits), flush=True)
"""

HOST = """
import sys
from nemo_jobs_cli.run import child
sys.exit(child.Child([sys.executable, *sys.argv[1:]], {"PATH": "/usr/bin:/bin"}).wait().exit_code)
"""


def on_terminal(*words):
    """Run a Python command as a child of a process that has a terminal."""
    return Terminal([sys.executable, "-c", HOST, *words], CHILD_ENVIRONMENT)


@pytest.mark.parametrize(("key", "number"), [(b"\x03", signal.SIGINT), (b"\x1c", signal.SIGQUIT)])
def test_keys_reach_the_command_once(key, number):
    """On a terminal the command hears Ctrl-C and its like from there; they are not passed on a second time."""
    with on_terminal("-c", COUNTER, str(int(number))) as screen:
        screen.until(b"ready")
        screen.type(key)
        assert b"hits 1" in screen.until(b"hits 1")
        assert screen.end() == 0


def test_a_supervisors_signal_reaches_a_command_that_shares_the_terminal():
    """TERM comes to us alone, and is passed on."""
    with on_terminal("-c", COUNTER, str(int(signal.SIGTERM))) as screen:
        screen.until(b"ready")
        os.kill(screen.process.pid, signal.SIGTERM)
        screen.until(b"hits 1")
        assert screen.end() == 0


def test_without_a_terminal_there_is_no_foreground(monkeypatch):
    """Where no terminal is, none passes Ctrl-C to the command."""

    def refuse(*_):
        raise OSError

    monkeypatch.setattr(os, "open", refuse)
    assert child._foreground_group() is None


def test_a_terminal_that_is_not_ours_has_no_foreground(monkeypatch, tmp_path):
    """A terminal that does not answer who is in front counts as none."""
    handle = os.open(tmp_path, os.O_RDONLY)
    monkeypatch.setattr(os, "open", lambda *_: handle)
    assert child._foreground_group() is None


def test_without_a_terminal_to_be_had_the_output_is_still_read(monkeypatch, ears, capfdbinary):
    """Where the machine has no terminal to give, the command runs on pipes: that beats not running."""

    def refuse():
        raise OSError(28, "out of pty devices")

    monkeypatch.setattr(terminal.pty, "openpty", refuse)
    assert run("sh", "-c", "echo out; exit 3", plan=child.ChildOptions(ears.hear, terminal=True)) == ExitStatus(code=3)
    assert (ears.heard[1], capfdbinary.readouterr().out) == (b"out\n", b"out\n")


def test_a_command_on_a_terminal_of_its_own(ears, capfdbinary):
    """What it writes there is heard, passed on to stdout, and stays as it was."""
    code = "import sys; print(sys.stdout.isatty()); sys.exit(3)"
    assert run(sys.executable, "-c", code, plan=child.ChildOptions(ears.hear, terminal=True)) == ExitStatus(code=3)
    assert (ears.heard[1], capfdbinary.readouterr().out) == (b"True\n", b"True\n")


def test_the_last_output_on_a_terminal_is_not_lost(ears, capfdbinary):
    """A command that prints a lot and ends at once has said all of it."""
    run("seq", "200000", plan=child.ChildOptions(ears.hear, terminal=True))
    assert capfdbinary.readouterr().out == "".join(f"{n}\n" for n in range(1, 200001)).encode()


def test_names_of_files_are_no_commands(tmp_path, monkeypatch):
    """A file of the working folder isn't run unless PATH or a slash says so."""
    Path(tmp_path / "tool").write_text("#!/bin/sh\nexit 5\n")
    Path(tmp_path / "tool").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    assert run("./tool").code == 5
    with pytest.raises(child.CommandError):
        run("tool")
