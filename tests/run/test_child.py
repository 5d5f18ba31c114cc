"""Commands as child processes; tests/commands/run has what signals and terminals do to them."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from pathlib import Path

import pytest
from raw import CHILD_ENVIRONMENT
from run_command import await_signal
from terminals import Terminal

from nemo_jobs_cli.run import child, terminal
from nemo_jobs_cli.run._guard import Guard
from nemo_jobs_cli.run.status import ExitStatus

ENVIRONMENT = {"PATH": os.defpath}

# Ends by itself after a minute, so that a test that fails leaves nothing behind.
WAIT = "n=0; while [ $n -lt 200 ]; do sleep 0.05; n=$((n+1)); done"


def run(*words, environment=ENVIRONMENT, on_output=None, **options):
    """Run a command to its end."""
    return child.Child(words, environment, child.ChildOptions(on_output, **options)).wait()


class Output:
    """Collect the output of each stream."""

    def __init__(self):
        self.data = {1: b"", 2: b""}
        self.changed = threading.Condition()

    def feed(self, stream, chunk):
        with self.changed:
            self.data[stream] += chunk
            self.changed.notify_all()

    def until(self, stream, text):
        with self.changed:
            assert self.changed.wait_for(lambda: text in self.data[stream], 10), self.data


@pytest.fixture
def output():
    """Return what collects the output."""
    return Output()


def later(condition, act):
    """Act on another thread once a condition holds, because a signal must interrupt the main thread."""
    started = threading.Thread(target=lambda: (condition(), act()))
    started.start()
    return started


def test_the_environment_is_the_given_one(tmp_path):
    """The command gets no variable of this process."""
    out = tmp_path / "out"
    run("sh", "-c", f'echo "$A-$HOME" > {out}', environment={**ENVIRONMENT, "A": "1"})
    assert out.read_text(encoding="utf-8") == "1-\n"


def test_a_command_is_looked_up_on_its_own_path(tmp_path):
    """The PATH of its environment counts, not that of this process."""
    tool = tmp_path / "my-own-tool"
    tool.write_text("#!/bin/sh\nexit 5\n", encoding="utf-8")
    tool.chmod(0o755)
    assert run("my-own-tool", environment={"PATH": f"{tmp_path}:{os.defpath}"}).code == 5


@pytest.mark.parametrize(
    ("word", "code", "reason"),
    [
        ("no-such-command", 127, "command not found: 'no-such-command'"),
        ("/no/such/command", 127, "command not found: '/no/such/command'"),
        ("/etc/passwd", 126, "Permission denied"),
        ("/", 126, "Permission denied"),
        ("/etc/passwd/x", 126, "Not a directory"),
        ("a\0b", 126, "cannot run 'a\\x00b': it contains NUL"),
        ("\x1b[31m", 127, "'\\x1b[31m'"),
    ],
)
def test_a_command_that_cannot_start(word, code, reason):
    """The error has the exit code of a shell and a hint; the signal handlers are restored."""
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(child.CommandError) as caught:
        run(word)
    assert caught.value.code == code
    assert reason in caught.value.message
    assert caught.value.hint
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize(
    ("content", "code", "reason", "hint"),
    [
        (b"#!/no/such/python -u\n", 127, "its interpreter '/no/such/python' does not exist", "#!"),
        (b"#!/bin/sh\r\necho\r\n", 127, "its interpreter '/bin/sh\\r' does not exist", "sed -i"),
        (b"#! /etc/passwd\n", 126, "its interpreter '/etc/passwd' is not executable", "#!"),
        (b"\0\1\2", 126, "Exec format error", "another system"),
        (b"\x7fELF" + bytes(60), 126, "Exec format error", "another system"),
    ],
)
@pytest.mark.parametrize("word", ["./tool", "tool"])
def test_a_program_that_the_system_cannot_start(tmp_path, monkeypatch, word, content, code, reason, hint):
    """The error names what is missing; the program itself is there."""
    monkeypatch.chdir(tmp_path)
    Path("tool").write_bytes(content)
    Path("tool").chmod(0o755)
    with pytest.raises(child.CommandError) as caught:
        run(word, environment={"PATH": str(tmp_path)})
    assert (caught.value.code, caught.value.message) == (code, f"cannot run '{word}': {reason}")
    assert hint in caught.value.hint


def test_a_program_whose_loader_is_missing(tmp_path):
    """A binary of another system has the loader of that system as its interpreter."""
    binary = bytearray(Path(os.path.realpath("/bin/sh")).read_bytes())
    loader = re.search(rb"/lib[^\0]*/ld-[^\0]*", binary)
    if loader is None:
        pytest.skip("no dynamic /bin/sh")
    binary[slice(*loader.span())] = loader[0].replace(b"/lib", b"/bil")
    (tmp_path / "tool").write_bytes(binary)
    (tmp_path / "tool").chmod(0o755)
    with pytest.raises(child.CommandError) as caught:
        run(str(tmp_path / "tool"))
    assert caught.value.code == 127
    assert caught.value.message.endswith("': its loader does not exist")
    assert "another system" in caught.value.hint


def test_a_script_without_an_interpreter_line(tmp_path):
    """The shell runs it, as shells and env do."""
    (tmp_path / "tool").write_text("exit $1\n", encoding="utf-8")
    (tmp_path / "tool").chmod(0o755)
    assert run(str(tmp_path / "tool"), "7").code == 7


def test_descriptors_are_closed(output):
    """After a command nothing that was opened for it is open."""
    before = sorted(Path("/dev/fd").iterdir())
    run("true", on_output=output.feed)
    run("true", on_output=output.feed, terminal=True)
    with pytest.raises(child.CommandError):
        run("no-such-command", on_output=output.feed, terminal=True)
    assert sorted(Path("/dev/fd").iterdir()) == before


def timers():
    """Return the timers that still run after a while."""
    found = [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]
    for thread in found:
        thread.join(10)
    return [thread for thread in found if thread.is_alive()]


@pytest.fixture
def _no_terminal(monkeypatch):
    """Hide the terminal that the tests may run on."""
    monkeypatch.setattr(child, "foreground_group", lambda: None)


@pytest.mark.usefixtures("_no_terminal")
def test_a_signal_during_the_start_is_not_lost(monkeypatch, output):
    """It is forwarded as soon as there is a process."""
    spawn = os.posix_spawn

    def slow(*args, **more):
        os.kill(os.getpid(), signal.SIGTERM)
        return spawn(*args, **more)

    monkeypatch.setattr(os, "posix_spawn", slow)
    assert run("sh", "-c", WAIT, on_output=output.feed) == ExitStatus(signal=signal.SIGTERM, stopped=True)


@pytest.mark.usefixtures("_no_terminal")
def test_a_command_that_ends_in_time_is_not_killed(output):
    """It has the grace period to clean up."""
    sender = later(lambda: output.until(1, b"ready"), lambda: os.kill(os.getpid(), signal.SIGTERM))
    script = f"trap 'sleep 0.1; exit 6' TERM; echo ready; {WAIT}"
    one = child.Child(["sh", "-c", script], ENVIRONMENT, child.ChildOptions(output.feed, grace=30))
    assert one.wait() == ExitStatus(code=6, stopped=True)
    sender.join()
    assert not timers()


@pytest.mark.usefixtures("_no_terminal")
def test_only_term_starts_the_grace_period(monkeypatch, output, tmp_path):
    """The command may handle any other signal, as Ctrl-C, and run on."""
    go = tmp_path / "go"
    script = f"trap '' HUP INT QUIT USR1 USR2; echo ready; until [ -e {go} ]; do sleep 0.02; done"
    one = child.Child(["sh", "-c", script], ENVIRONMENT, child.ChildOptions(output.feed, grace=0.0))
    monkeypatch.setattr(threading, "Timer", None)  # an error if it is used
    output.until(1, b"ready")
    for number in set(child.FORWARDED) - {signal.SIGTERM}:
        signal.raise_signal(number)
    go.touch()
    assert one.wait() == ExitStatus(stopped=True)


@pytest.mark.usefixtures("_no_terminal")
def test_a_handler_for_the_time_after_the_command():
    """It gets every signal from the end of the command on."""
    received = []
    before = {number: signal.getsignal(number) for number in child.FORWARDED}
    try:
        run("true", signal_handler=lambda number, _: received.append(number))
        os.kill(os.getpid(), signal.SIGUSR1)
        assert received == [signal.SIGUSR1]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.mark.usefixtures("_no_terminal")
def test_no_signal_is_sent_after_the_end(monkeypatch):
    """Another process may soon have the number of the command."""
    sent, late, waitpid = [], [signal.SIGTERM], os.waitpid

    def end_before_signal(*words):
        pid, status = waitpid(*words)
        if pid and late:
            signal.raise_signal(late.pop())
        return pid, status

    monkeypatch.setattr(os, "waitpid", end_before_signal)
    monkeypatch.setattr(os, "kill", lambda *words: sent.append(words))
    assert run("true", grace=0.0) == ExitStatus(stopped=True)
    assert not timers()  # that of the grace period, which is over this very moment
    assert sent == []


@pytest.mark.usefixtures("_no_terminal")
@pytest.mark.parametrize("error", [ProcessLookupError, PermissionError])
def test_a_signal_that_cannot_be_sent_is_no_error(monkeypatch, error):
    """The command may just have ended, or run as another user (sudo)."""

    def refuse(*_):
        raise error

    one = child.Child(["true"], ENVIRONMENT)
    monkeypatch.setattr(os, "kill", refuse)
    signal.raise_signal(signal.SIGUSR1)
    assert one.wait() == ExitStatus()


# A start that takes until a file appears: before or after the command exists.
SLOW_HOST = """
import os, sys, time
from pathlib import Path
from nemo_jobs_cli.run import _program, child

place, go, *words = sys.argv[1:]
spawn, find = os.posix_spawn, _program.find

def wait():
    print("waiting", flush=True)
    while not Path(go).exists():
        time.sleep(0.01)

def slow_spawn(*args, **more):
    pid = spawn(*args, **more)
    if place == "after" and list(args[1]) == words:  # not the guard
        wait()
    return pid

def slow_find(*args):
    if place == "before":
        wait()
    return find(*args)

os.posix_spawn, _program.find = slow_spawn, slow_find
one = child.Child(words, {"PATH": "/usr/bin:/bin"})
print("started", flush=True)
sys.exit(one.wait().exit_code)
"""


@pytest.mark.parametrize(("key", "name"), [(b"\x03", "INT"), (b"\x1c", "QUIT")])
def test_a_key_during_the_start_arrives_once(tmp_path, key, name):
    """The terminal sends it to the whole group: from the fork on, to the command too."""
    go = tmp_path / "go"
    words = [sys.executable, "-c", SLOW_HOST, "after", str(go), *await_signal(name, 0)]
    with Terminal(words, CHILD_ENVIRONMENT) as screen:
        screen.until(b"waiting")
        screen.until(b"ready")
        screen.type(key)
        screen.until(b"hit")
        go.touch()
        screen.until(b"started")
        screen.type(b"\r")
        assert screen.end() == 0
        assert screen.seen.count(b"hit") == 1


def test_a_key_before_the_start_is_not_lost(tmp_path):
    """The command gets it as soon as it exists."""
    go = tmp_path / "go"
    words = [sys.executable, "-c", SLOW_HOST, "before", str(go), "sleep", "60"]
    with Terminal(words, CHILD_ENVIRONMENT) as screen:
        screen.until(b"waiting")
        screen.type(b"\x03")
        screen.until(b"^C")
        go.touch()
        assert screen.end() == 128 + signal.SIGINT


def test_pipes_replace_a_terminal_that_cannot_be_opened(monkeypatch, output, capfdbinary):
    """Running without a terminal is better than not running."""

    def refuse():
        raise OSError(28, "out of pty devices")

    monkeypatch.setattr(terminal.pty, "openpty", refuse)
    assert run("sh", "-c", "echo out; exit 3", on_output=output.feed, terminal=True) == ExitStatus(code=3)
    assert (output.data[1], capfdbinary.readouterr().out) == (b"out\n", b"out\n")


@pytest.mark.parametrize("terminal_wanted", [False, True])
@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), OSError(24, "Too many open files")])
def test_a_command_whose_output_cannot_be_copied_runs(monkeypatch, output, capfdbinary, error, terminal_wanted):
    """Its output goes where it would go without us."""

    def refuse(_):
        raise error

    monkeypatch.setattr(terminal.OutputCopier, "start", refuse)
    options = {"on_output": output.feed, "terminal": terminal_wanted}
    assert run("sh", "-c", "echo out; exit 3", **options) == ExitStatus(code=3)
    assert (output.data[1], capfdbinary.readouterr().out) == (b"", b"out\n")


def test_a_terminal_of_its_own_is_the_controlling_one(output, capfdbinary):
    """The command leads its session, /dev/tty is what it has as stdout, and its output is copied unchanged."""
    leads = "os.getsid(0) == os.getpid(), os.tcgetpgrp(os.open('/dev/tty', 0)) == os.getpgrp()"
    run(sys.executable, "-c", f"import os; print({leads}, os.isatty(1))", on_output=output.feed, terminal=True)
    assert output.data[1] == capfdbinary.readouterr().out == b"True True True\n"


@pytest.mark.parametrize("dismissed", [False, True])
def test_the_guard_removes_the_channel_of_a_run_that_is_killed(tmp_path, dismissed):
    """It does so even in the moment between the start of the command and the message about it."""
    fifo = tmp_path / "folder" / "channel"
    fifo.parent.mkdir()
    os.mkfifo(fifo)
    guard = Guard(watches_group=False, fifo=str(fifo))
    guard.wait_until_ready()
    if dismissed:
        guard.dismiss()
    guard.close()
    assert fifo.exists() == dismissed


def test_a_guard_that_is_ready_misses_nothing(tmp_path):
    """The process that it watches is in our group, and no signal ends it."""
    fifo = tmp_path / "folder" / "channel"
    fifo.parent.mkdir()
    os.mkfifo(fifo)
    guard = Guard(watches_group=True, fifo=str(fifo))
    guard.wait_until_ready()
    (pid,) = (pid for pid in children(os.getpid()) if b"\0-I\0-S\0" in Path(f"/proc/{pid}/cmdline").read_bytes())
    (canary,) = children(pid)
    assert os.getpgid(canary) == (os.getpgrp() or canary)  # 0: that of a process outside this container
    os.kill(pid, signal.SIGTERM)
    guard.close()
    assert not fifo.exists()


def children(pid):
    """Return the numbers of the processes that a process has started on its main thread."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()]


def test_the_guard_follows_no_link_in_place_of_the_channel(tmp_path):
    """Another user's, in a folder that is created again: nothing behind it is opened, and nothing removed."""
    fifo, victim = tmp_path / "folder" / "channel", tmp_path / "victim"
    fifo.parent.mkdir()
    os.mkfifo(victim)
    fifo.symlink_to(victim)
    guard = Guard(watches_group=False, fifo=str(fifo))
    guard.wait_until_ready()
    guard.close()
    assert fifo.is_symlink()


def test_a_signal_while_the_terminal_is_opened(monkeypatch, output):
    """It is for the command, too: if it ended us, our terminal would stay in raw mode."""
    open_terminal = terminal.Terminal
    monkeypatch.setattr(
        terminal, "Terminal", lambda *given: (signal.raise_signal(signal.SIGTERM), open_terminal(*given))[1]
    )
    before = signal.signal(signal.SIGTERM, lambda *_: pytest.fail("it ended us"))
    try:
        status = run("sh", "-c", WAIT, on_output=output.feed, terminal=True)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (status.signal, status.stopped) == (signal.SIGTERM, True)
