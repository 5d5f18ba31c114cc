"""The command and `nemo-jobs run` end together; as PID 1 too."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from run_command import LISTENING, TOOL, WAIT, bodies, details, run, run_process, start, state
from terminals import Terminal
from waiting import LIMIT, until


@pytest.mark.parametrize("words", [*LISTENING, (*LISTENING[1], "--pty")])
def test_signals_to_the_group_that_cannot_be_handled(env, platform, tmp_path, words):
    """STOP, CONT and KILL reach the command and its children; then everything goes on, or nothing is left."""
    script = f"sleep 100 & echo $$ $!; read line; (echo on; {WAIT}); true"
    process = start(env, "x1", *words, "--", "sh", "-c", script, stdin=subprocess.PIPE)
    processes = [process.pid, *map(int, process.stdout.readline().split())]
    until(lambda: bodies(platform))
    for number, states in ((signal.SIGSTOP, "T"), (signal.SIGCONT, "RS")) * 2:
        os.killpg(process.pid, number)
        until(lambda states=states: all(state(pid) in states for pid in processes))
    process.stdin.write(b"\n")
    process.stdin.close()
    assert process.stdout.readline().strip() == b"on"
    os.killpg(process.pid, signal.SIGKILL)
    assert process.stdout.read() == b""  # nobody holds the pipe any more
    assert process.wait() == -signal.SIGKILL
    until(lambda: not list(tmp_path.glob("tmp/nemo-jobs-run-*")))


@pytest.mark.parametrize("words", [(), ("--match", "(?P<a>x)", "--pty")])
def test_stop_of_the_command_stops_nothing_else(env, platform, words):
    """Only a shell that has given its terminal to `run` gets it back."""
    process = start(env, "x1", *words, "--", "sh", "-c", "echo $$; kill -STOP $$; echo go; exit 3")
    command = int(process.stdout.readline())
    until(lambda: state(command) == "T")
    process.send_signal(signal.SIGUSR1)
    until(lambda: any("receivedSignal" in body.get("run", {}) for body in bodies(platform)))
    assert state(command) == "T"
    os.kill(command, signal.SIGCONT)
    assert process.wait(LIMIT) == 128 + signal.SIGUSR1


@pytest.mark.parametrize("words", [*LISTENING, (*LISTENING[1], "--pty")])
def test_kill_of_run_alone_kills_the_command_alone(env, platform, tmp_path, words):
    """Its children live on, as they would without us, and those that write to the channel do not hang."""
    writer = 'trap "" HUP PIPE; while echo progress=1 > "$NEMO_JOBS_CHANNEL"; do :; done; echo gone > "$OUT"'
    script = 'for n in 1 2 3; do OUT=out$n sh -c "$WRITER" & done; echo $$; wait'
    process = start(env | {"WRITER": writer}, "x1", *words, "--", "sh", "-c", script, cwd=tmp_path)
    command = int(process.stdout.readline())
    until(lambda: bodies(platform))
    process.kill()
    until(lambda: not Path(f"/proc/{command}").exists())
    until(lambda: all((tmp_path / f"out{n}").exists() for n in (1, 2, 3)))
    until(lambda: not list(tmp_path.glob("tmp/nemo-jobs-run-*")))


@pytest.mark.parametrize("words", LISTENING)
def test_kill_of_run_on_a_terminal_kills_the_command(env, platform, tmp_path, words):
    """The command shares our group and our terminal, or has a terminal of its own, whose end it ignores."""
    with Terminal([*TOOL, "x1", *words, "--", "sh", "-c", f"trap '' HUP; echo $$.; {WAIT}"], env) as screen:
        screen.until(b".\r\n")
        command = int(screen.seen.partition(b".")[0])
        until(lambda: bodies(platform))
        screen.process.kill()
        until(lambda: not Path(f"/proc/{command}").exists())
        until(lambda: not list(tmp_path.glob("tmp/nemo-jobs-run-*")))  # here: closing the terminal kills the guard


def test_the_guard_may_be_killed(env, platform):
    """The command runs on and is reported."""
    process = start(env, "x1", "--", "sh", "-c", "echo ready; read line; exit 3", stdin=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="utf-8").split()
    (guard,) = (int(pid) for pid in children if b"\0-I\0-S\0" in Path(f"/proc/{pid}/cmdline").read_bytes())
    os.kill(guard, signal.SIGKILL)
    process.communicate(b"\n", LIMIT)
    assert process.returncode == 3


def test_the_guard_holds_no_descriptor(env, platform):
    """The end of a pipe is that of the command, and the guard has no variable: no token."""
    env["NEMO_JOBS_TOKEN"] = "secret"
    tool = ["bash", "-c", '"$@" 3> >(cat >&2)', "sh", *TOOL]
    code = """
import os
def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return file.read().split()
def is_guard(pid):
    with open(f"/proc/{pid}/cmdline") as file:
        return file.read().split("\\0")[1:3] == ["-I", "-S"]
(guard,) = filter(is_guard, children(os.getppid()))
(canary,) = children(guard)
for pid in (guard, canary):
    print(sorted(map(int, os.listdir(f"/proc/{pid}/fd"))), open(f"/proc/{pid}/environ").read())
    print([os.readlink(f"/proc/{pid}/fd/{number}") == os.readlink(f"/proc/self/fd/{number}") for number in (0, 1, 2)])
"""
    ran = run_process(env, "x1", "--", sys.executable, "-c", code, tool=tool)
    assert ran.stdout.decode() == "[0, 1, 2] \n[False, False, False]\n" * 2, ran.stderr


def test_pid_1_reaps_orphans(env, box, container):
    """No zombie is left while the command runs; the exit code is that of the command."""
    server = box()
    script = """
        for n in 1 2 3; do (setsid sleep 0.1 & echo $!); done > orphans
        for pid in $(cat orphans); do while [ -e /proc/$pid ]; do sleep 0.02; done; done
        exit 7
    """
    ran = run_process(env, "x1", "--", "sh", "-c", script, tool=[*container, *TOOL], cwd=env["HOME"])
    assert (ran.returncode, ran.stderr) == (7, b"")
    assert details(server)["run"]["exitCode"] == 7


def test_pid_1_passes_signals_on(env, box, container):
    """`docker stop` signals PID 1 only."""
    server = box()
    script = """
        for name in USR1 WINCH HUP INT TERM; do
            trap "received=$name" $name; kill -$name 1; until [ "$received" = $name ]; do sleep 0.02; done
        done
        exit 42
    """
    ran = run_process(env, "x1", "--", "sh", "-c", script, tool=[*container, *TOOL])
    assert (ran.returncode, details(server)["run"]["receivedSignal"]) == (42, "SIGTERM")


def test_pid_1_passes_on_what_a_program_has_queued(env, box, container):
    """An INT of the terminal reaches the command directly; one that a program has sent does not."""
    server = box()
    queue = f"{sys.executable} -c 'import ctypes; ctypes.CDLL(None).sigqueue(1, {signal.SIGINT:d}, None)'"
    script = f'trap "received=INT" INT; {queue}; until [ "$received" = INT ]; do sleep 0.02; done; exit 0'
    ran = run_process(env, "x1", "--", "sh", "-c", script, tool=[*container, *TOOL])
    assert (ran.returncode, details(server)["run"]["receivedSignal"]) == (0, "SIGINT")


@pytest.mark.parametrize("is_pid_1", [False, True])
def test_an_ignored_sigchld_hides_no_end(env, box, request, is_pid_1):
    """As after `trap '' CHLD` in an entrypoint: the kernel would reap the command, and its exit code would be lost."""
    server = box()
    code = "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    tool = [*(request.getfixturevalue("container") if is_pid_1 else []), sys.executable, "-c", code, *TOOL]
    ran = run_process(env, "x1", "--", "sh", "-c", "exit 6", tool=tool)
    assert (ran.returncode, ran.stderr) == (6, b"")
    assert details(server)["run"]["exitCode"] == 6


def test_pid_1_ends_with_its_child(env, platform, container):
    """The exit code says what killed the reporting process, which is the parent of the command."""
    ran = run_process(env, "x1", "--", "sh", "-c", f"kill -9 $PPID; {WAIT}", tool=[*container, *TOOL])
    assert ran.returncode == 137
    for folder in Path(env["TMPDIR"]).iterdir():  # nobody was left to remove it; a container's goes with it
        shutil.rmtree(folder)


@pytest.mark.parametrize("words", LISTENING)
def test_a_daemon_with_the_pipe_does_not_delay_the_end(env, platform, words):
    """A command in the background lives on."""
    ran = run(env, "x1", *words, "--", "sh", "-c", "setsid sleep 100 & echo $!; exit 3")
    os.kill(int(ran.stdout), signal.SIGKILL)
    assert ran.returncode == 3


@pytest.mark.parametrize("words", LISTENING)
def test_a_command_that_closes_its_output(env, platform, words):
    """It runs on, and its exit code counts."""
    ran = run(env, "x1", *words, "--", "sh", "-c", "echo output; exec >&- 2>&-; sleep 0.2; exit 7")
    assert (ran.returncode, ran.stdout) == (7, b"output\n")


def test_no_process_is_left(env, platform):
    """Everything that we have started has ended."""
    process = start(env, "x1", "--match", "(?P<a>x)", "--", "sh", "-c", "true")
    process.communicate(timeout=LIMIT)
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
