"""Commands run as children: exit codes, signals, environments."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import threading
import time

import pytest

from nemo_jobs_cli import child

ENVIRONMENT = {"PATH": os.defpath}


@pytest.mark.parametrize("code", [0, 1, 7, 255])
def test_the_exit_code_is_the_commands(code):
    """What the command ends with is what one gets."""
    assert child.run(["sh", "-c", f"exit {code}"], ENVIRONMENT) == code


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_a_signals_code_is_the_shells(number):
    """A command that signal N ended gives 128+N."""
    assert child.run(["sh", "-c", f"kill -{int(number)} $$"], ENVIRONMENT) == 128 + number


def test_the_environment_is_the_one_given(tmp_path):
    """The command sees the variables it was given, and none of this process's."""
    out = tmp_path / "out"
    child.run(["sh", "-c", f'echo "$A-$HOME" > {out}'], {**ENVIRONMENT, "A": "1"})
    assert out.read_text() == "1-\n"


def test_a_command_is_looked_up_on_its_own_path(tmp_path):
    """PATH of the environment given decides, not this process's."""
    tool = tmp_path / "my-own-tool"
    tool.write_text("#!/bin/sh\nexit 5\n")
    tool.chmod(0o755)
    assert child.run(["my-own-tool"], {"PATH": f"{tmp_path}:{os.defpath}"}) == 5


@pytest.mark.parametrize(
    ("word", "code", "says"),
    [
        ("no-such-command", 127, "there is no command 'no-such-command'"),
        ("/no/such/command", 127, "there is no command"),
        ("/etc/passwd", 126, "Permission denied"),
        ("/", 126, "Permission denied"),
        ("a\0b", 126, "can't be run: a NUL in it"),
        ("\x1b[31m", 127, "'\\x1b[31m'"),
    ],
)
def test_what_can_not_be_run(word, code, says):
    """A command that can't start has the shell's code for it and a next step."""
    with pytest.raises(child.CommandError) as caught:
        child.run([word], ENVIRONMENT)
    assert caught.value.code == code
    assert says in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_signals_are_passed_on(number, tmp_path, monkeypatch):
    """The command gets the signal and decides how it ends; then the old handler is back."""
    monkeypatch.setattr(child, "_in_foreground", lambda: False)
    ready, before = tmp_path / "ready", signal.getsignal(number)
    script = f"trap 'exit 42' {int(number)}; : > {ready}; while :; do sleep 0.05; done"

    def send() -> None:
        while not ready.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    threading.Thread(target=send).start()
    assert child.run(["sh", "-c", script], ENVIRONMENT) == 42
    assert signal.getsignal(number) == before


# The parent leads a session of its own on a terminal; Ctrl-C is typed there. The child counts.
TYPED = """
import sys
from nemo_jobs_cli import child
code = '''
import signal, sys, time
hits = []
signal.signal(signal.SIGINT, lambda *_: hits.append(1))
print("ready", flush=True)
ends = time.monotonic() + 20
while not hits and time.monotonic() < ends:
    time.sleep(0.02)
time.sleep(0.3)
print("hits", len(hits), flush=True)
'''
sys.exit(child.run([sys.executable, "-c", code], {"PATH": "/usr/bin:/bin"}))
"""


def test_ctrl_c_reaches_the_command_once():
    """On a terminal the command hears Ctrl-C from there; it is not passed on a second time."""
    main, side = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", f"import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n{TYPED}"],
        stdin=side,
        stdout=side,
        stderr=side,
        start_new_session=True,
    )
    os.close(side)
    seen = b""
    try:
        while b"ready" not in seen:
            seen += os.read(main, 1000)
        os.write(main, b"\x03")
        while b"hits" not in seen or not seen.endswith(b"\n"):
            seen += os.read(main, 1000)
    finally:
        process.wait(30)
        os.close(main)
    assert b"hits 1" in seen
    assert process.returncode == 0


def test_without_a_terminal_there_is_no_foreground(monkeypatch):
    """Where no terminal is, none passes Ctrl-C to the command."""

    def refuse(*_):
        raise OSError

    monkeypatch.setattr(os, "open", refuse)
    assert child._in_foreground() is False


def test_a_terminal_that_is_not_ours_has_no_foreground(monkeypatch, tmp_path):
    """A terminal that does not answer who is in front counts as none."""
    handle = os.open(tmp_path, os.O_RDONLY)
    monkeypatch.setattr(os, "open", lambda *_: handle)
    assert child._in_foreground() is False
