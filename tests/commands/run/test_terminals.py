"""The command on a terminal: keys, size, job control."""

from __future__ import annotations

import os
import re
import signal
import sys
import termios

import pytest
from run_command import LISTENING, TOOL, WAIT, await_signal, bodies, details, run
from terminals import Terminal
from waiting import until


def tool_with(module, **limits):
    """Return the words of the tool with other limits in a module."""
    change = f"import nemo_jobs_cli.{module} as module; vars(module).update({limits})"
    return [sys.executable, "-c", f"from nemo_jobs_cli.__main__ import main; {change}; main()", "run"]


@pytest.mark.parametrize(("words", "terminals"), [((), "fd:0:1:2"), (("--no-pty",), "fd:0")])
def test_the_command_keeps_a_terminal_while_output_is_read(env, box, words, terminals):
    """It gets one of its own; --no-pty gives it pipes."""
    server = box()
    script = "all=fd; for n in 0 1 2; do [ -t $n ] && all=$all:$n; done; echo $all"
    with Terminal([*TOOL, "x1", "--match", "(?P<saw>.+)", *words, "--", "sh", "-c", script], env) as screen:
        assert screen.end() == 0
        assert screen.seen == f"{terminals}\r\n".encode()
        assert screen.mode() == screen.before
    assert details(server)["saw"] == terminals


def test_pty_gives_a_terminal_in_a_pipeline(env, platform):
    """The output is unchanged."""
    words = ("--match", "(?P<a>x)", "--pty", "--", "sh", "-c", "[ -t 1 ] && echo yes")
    assert run(env, "x1", *words).stdout == b"yes\n"


def test_redirected_stderr_stays_redirected(env, platform, tmp_path):
    """2> works for a command on a terminal."""
    with open(tmp_path / "err", "wb") as err:
        script = "echo out; echo err >&2"
        with Terminal([*TOOL, "x1", "-q", "--match", "(?P<a>x)", "--", "sh", "-c", script], env, stderr=err) as screen:
            assert screen.end() == 0
            assert screen.seen == b"out\r\n"
    assert (tmp_path / "err").read_bytes() == b"err\n"


def test_keys_reach_the_command(env, platform):
    """Lines are echoed, Ctrl-D is the end; then the terminal is restored, and nothing waits for another key."""
    tool = tool_with("run.terminal", PAUSE=0.001, KEYS_TIMEOUT=600)
    with Terminal([*tool, "x1", "--match", "(?P<a>x)", "--", "sh", "-c", "echo ready; exec cat"], env) as screen:
        screen.until(b"ready")
        screen.type(b"hello\r")
        screen.until(b"hello\r\nhello\r\n")
        screen.type(b"\x04")
        assert screen.end() == 0
        assert screen.mode() == screen.before


@pytest.mark.parametrize("words", [(), ("--match", "(?P<a>x)")])
@pytest.mark.parametrize(("key", "name", "status"), [(b"\x03", "INT", "cancelled"), (b"\x1c", "QUIT", "failed")])
def test_ctrl_c_reaches_the_command_once_and_is_reported(env, box, words, key, name, status):
    """Whether the terminal is shared or the command's own, and whatever the command exits with."""
    server = box()
    with Terminal([*TOOL, "x1", "--interval", "10ms", *words, "--", *await_signal(name, 4)], env) as screen:
        screen.until(b"ready")
        screen.type(key)
        screen.until(b"hit")
        until(lambda: ("default", "x1") in server.jobs and "receivedSignal" in details(server).get("run", {}))
        screen.type(b"\r")
        assert screen.end() == 4
        assert screen.seen.count(b"hit") == 1
        assert screen.mode() == screen.before
    reported = details(server)
    assert (reported["status"], reported["run"]["receivedSignal"]) == (status, f"SIG{name}")


# Reads three keys as an editor does.
READ_KEYS = """
import os, tty
tty.setraw(0)
os.write(1, b"ready")
keys = b""
while len(keys) < 3:
    keys += os.read(0, 3)
os.write(1, b"read " + keys.hex().encode())
"""


@pytest.mark.parametrize("words", LISTENING)
def test_keys_are_no_signals_for_a_command_that_reads_them(env, platform, words):
    """As for an editor: Ctrl-C is a key like any other."""
    with Terminal([*TOOL, "x1", *words, "--", sys.executable, "-c", READ_KEYS], env) as screen:
        screen.until(b"ready")
        screen.type(b"\x03\x1a\x1c")
        screen.until(b"read 031a1c")
        assert screen.end() == 0
    assert "receivedSignal" not in bodies(platform)[-1]["run"]


@pytest.mark.parametrize("words", LISTENING)
def test_ctrl_c_for_a_job_of_a_shell_is_not_for_the_shell(env, platform, words):
    """A shell as the command gives its terminal to its jobs."""
    shell = ["bash", "-c", 'set -m; "$@"; exit 3', "sh", *await_signal("INT", 0)]
    with Terminal([*TOOL, "x1", *words, "--", *shell], env) as screen:
        screen.until(b"ready")
        screen.type(b"\x03")
        screen.until(b"hit")
        screen.type(b"\r")
        assert screen.end() == 3
    assert "receivedSignal" not in bodies(platform)[-1]["run"]


@pytest.mark.parametrize("words", [(), ("--match", "(?P<a>x)")])
def test_a_resize_reaches_the_command(env, platform, words):
    """It gets SIGWINCH and the new size; without --match it has the terminal itself."""
    script = f"trap 'stty size; exit 4' WINCH; tty; stty size; {WAIT}"
    with Terminal([*TOOL, "x1", *words, "--", "sh", "-c", script], env, rows=30, columns=90) as screen:
        screen.until(b"30 90")
        assert (os.ttyname(screen.side).encode() in screen.seen) == (words == ())
        screen.resize(50, 132)
        assert screen.end() == 4
        assert b"\n50 132" in screen.seen


def in_shell(env, script, *words, tool=TOOL, **more):
    """Run `nemo-jobs run x1` as "$@" of a script, on a terminal."""
    return Terminal(["bash", "-c", script, "sh", *tool, "x1", *words], env, **more)


@pytest.mark.parametrize("words", [(), ("--match", "(?P<a>x)")])
def test_ctrl_z_and_fg(env, platform, words):
    """Ctrl-Z returns to the shell with its terminal mode; fg continues the command."""
    inner = "echo ready; while read line; do echo got $line; [ $line = end ] && exit 4; done"
    shell = 'set -m; "$@"; echo stopped $?; stty -a; echo mode; fg; echo ended $?'
    with in_shell(env, shell, *words, "--", "sh", "-c", inner) as screen:
        screen.until(b"ready")
        screen.type(b"\x1a")
        screen.until(b"mode")
        # 128 + SIGTSTP, or SIGSTOP
        assert re.search(rb"stopped 1(48|47)\r\n", screen.seen)
        assert b" icanon " in screen.seen
        assert b"-icanon" not in screen.seen
        screen.type(b"one\r")
        screen.until(b"got one")
        screen.type(b"end\r")
        screen.until(b"ended 4")
        screen.end()
        assert screen.mode() == screen.before


def test_the_background(env, platform):
    """With `&` the command runs to its end, and the shell gets the keys."""
    shell = 'set -m; "$@" & read line; echo shell got $line; wait $!; echo ended $?'
    with in_shell(env, shell, "--match", "(?P<a>x)", "--", "sh", "-c", "echo output; exit 4") as screen:
        screen.until(b"output")
        screen.type(b"hello\r")
        screen.until(b"shell got hello")
        screen.until(b"ended 4")
        screen.end()
        assert screen.mode() == screen.before


@pytest.mark.parametrize("foreground", ["> go", "sh -c '> go; read line'"])
def test_an_interrupt_of_a_background_job_reaches_the_command(env, platform, tmp_path, foreground):
    """The terminal sends it only to the job in the foreground, be that older or newer."""
    inner = f"trap 'echo hit; exit 6' INT; until [ -e go ]; do sleep 0.02; done; kill -INT $PPID; {WAIT}"
    with in_shell(
        env, f'set -m; "$@" & {foreground}; wait %1; echo ended $?', "--", "sh", "-c", inner, cwd=tmp_path
    ) as screen:
        screen.until(b"hit")
        screen.type(b"\r")
        screen.until(b"ended 6")
        screen.end()


def test_ctrl_z_and_bg(env, platform, tmp_path):
    """The command runs on and the shell gets the keys, until fg after another stop."""
    shell = 'set -m; "$@"; echo stopped; bg; read line; echo shell got $line; wait %1; echo again; fg; echo ended $?'
    # It does not fork: Ctrl-Z within vfork would leave its parent waiting.
    inner = "for word in ready output; do echo $word; read line < $word; done; kill -STOP $$; read line; echo got $line"
    words = ("--match", "(?P<a>x)", "--", "sh", "-c", inner)
    for word in ("ready", "output"):
        os.mkfifo(tmp_path / word)
    with (
        open(tmp_path / "ready", "r+b", buffering=0) as ready,
        open(tmp_path / "output", "r+b", buffering=0) as output,
        in_shell(env, shell, *words, tool=tool_with("run.terminal", PAUSE=0.001), cwd=tmp_path) as screen,
    ):
        screen.until(b"ready")
        screen.type(b"\x1a")
        screen.until(b"stopped")
        ready.write(b"\n")
        screen.until(b"output")
        screen.type(b"hello\r")
        screen.until(b"shell got hello")
        output.write(b"\n")
        screen.until(b"again")
        screen.type(b"keys\r")
        screen.until(b"\ngot keys")
        screen.until(b"ended 0")
        screen.end()
        assert screen.mode() == screen.before


@pytest.mark.parametrize("reads", ["read line; echo shell got $line;", ""])
def test_stop_and_bg(env, platform, tmp_path, reads):
    """Without Ctrl-Z too the shell gets the keys, and touching the terminal stops no process."""
    shell = f'set -m; "$@"; stty sane; echo stopped; bg; {reads} wait; echo ended'
    inner = f"echo we are $PPID.; while [ ! -e {tmp_path}/go ]; do sleep 0.05; done; exit 4"
    with in_shell(env, shell, "--match", "(?P<a>x)", "--", "sh", "-c", inner) as screen:
        screen.until(b".\r\n")
        os.kill(int(re.search(rb"we are (\d+)", screen.seen)[1]), signal.SIGSTOP)
        screen.until(b"stopped")
        screen.type(b"hello\r")
        if reads:
            screen.until(b"shell got hello")
        (tmp_path / "go").touch()
        screen.until(b"ended")
        screen.end()
        assert screen.mode()[3] & termios.ICANON
    assert bodies(platform)[-1]["run"]["exitCode"] == 4


def test_our_lines_wait_for_the_end_of_a_command_on_our_terminal(env):
    """They do not appear within what it draws."""
    env["NEMO_JOBS_DEADLINE"] = "100ms"
    with Terminal([*TOOL, "x1", "--match", "(?P<a>x)", "--", "sh", "-c", "sleep 0.5; echo output"], env) as screen:
        assert screen.end() == 0
        output, *prose = screen.seen.splitlines()
        assert output == b"output"
        assert {line.split()[1] for line in prose} - {b"no", b"nothing"} == {b"--match", b"not"}


def test_a_long_last_report_is_announced(env):
    """After the output of the command; without it, the shell would seem to hang."""
    tool = tool_with("core.clock", LONG_WAIT=0)
    env["NEMO_JOBS_DEADLINE"] = "1s"
    with Terminal([*tool, "x1", "--match", "(?P<a>x)", "--", "echo", "output"], env, columns=200) as screen:
        assert screen.end() == 0
        assert screen.seen.splitlines()[:2] == [
            b"output", b"nemo-jobs: delivering the last report, for up to 1.0 s; Ctrl-C stops it",
        ]  # fmt: skip


def test_the_last_output_on_a_terminal_is_not_lost(env, platform):
    """A command may print much and end at once."""
    with Terminal([*TOOL, "x1", "--match", "(?P<message>10)", "--", "seq", "20000"], env) as screen:
        screen.until(b"\n20000\r\n")
        assert screen.end() == 0
        assert screen.seen == "".join(f"{n}\r\n" for n in range(1, 20001)).encode()
