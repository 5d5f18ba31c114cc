"""Signals, which `nemo-jobs run` passes on and reports."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from raw import read_request
from run_command import OK, TOOL, WAIT, bodies, details, run, start, stored_updates
from waiting import LIMIT, until

from nemo_jobs_cli.commands.run import Options
from nemo_jobs_cli.core import signals

ALL = ["INT", "TERM", "HUP", "QUIT", "USR1", "USR2", "WINCH"]


@pytest.mark.parametrize("words", [(), ("--match", "(?P<a>x)")])
@pytest.mark.parametrize("name", ALL)
def test_signals_reach_the_whole_group(env, platform, name, words):
    """The command and its children get them; it decides on the exit code."""
    inner = f"trap 'echo inner; exit' {name}; kill -{name} $RUN; {WAIT}"
    outer = f"trap 'echo outer; exit 42' {name}; RUN=$PPID sh -c \"$INNER\"; exit 1"
    ran = run(env | {"INNER": inner}, "x1", *words, "--", "sh", "-c", outer)
    assert (ran.returncode, ran.stdout) == (42, b"inner\nouter\n")
    expected = "cancelled" if name in {"INT", "TERM", "HUP"} else "failed"
    assert bodies(platform)[-1]["status"] == expected


@pytest.mark.parametrize(
    ("name", "handler", "code", "status"),
    [
        ("TERM", "exit 0", 0, "completed"),
        ("USR1", "exit 0", 0, "completed"),
        ("USR2", 'echo status=preempted > "$NEMO_JOBS_CHANNEL"; exit 0', 0, "preempted"),
        ("TERM", 'echo status=preempted > "$NEMO_JOBS_CHANNEL"; exit 0', 0, "preempted"),
        ("TERM", 'echo status=preempted > "$NEMO_JOBS_CHANNEL"; exit 3', 3, "cancelled"),
    ],
)
def test_a_command_that_handles_a_signal(env, box, name, handler, code, status):
    """The signal is reported; a status of the command's own since then counts if it ends with 0."""
    server = box()
    script = (
        f"echo status=training > $NEMO_JOBS_CHANNEL; trap '{handler}' {name}; read line; kill -{name} $PPID; {WAIT}"
    )

    def is_reported():
        return ("default", "x1") in server.jobs and details(server).get("status") == "training"

    assert run(env, "x1", "--interval", "10ms", "--", "sh", "-c", script, when=is_reported).returncode == code
    reported = details(server)
    assert (reported["status"], reported["run"]["exitCode"]) == (status, code)
    assert reported["run"]["receivedSignal"] == f"SIG{name}"


# Signals `run`, waits until `run` has passed the signal on, then for a line of input.
ROUND_TRIP = """
    trap 'echo hit; hit=yes' {0}; kill -{0} $PPID
    n=0; until [ $hit ] || [ $n = 400 ]; do sleep 0.05; n=$((n+1)); done; read line; exit 7
"""


def is_received(server, name):
    """Return whether a signal was reported to a raw server."""
    return any(body.get("run", {}).get("receivedSignal") == f"SIG{name}" for body in bodies(server))


@pytest.mark.parametrize(("name", "status"), [("TERM", "cancelling"), ("USR1", "running")])
def test_a_signal_is_reported_at_once(env, platform, name, status):
    """A command may need minutes to stop; a signal to stop is reported as such."""
    words = ("x1", "--interval", "10ms", "--", "sh", "-c", ROUND_TRIP.format(name))
    assert run(env, *words, when=lambda: is_received(platform, name)).stdout == b"hit\n"
    *early, last = bodies(platform)
    assert [body["status"] for body in early if "status" in body][-1] == status
    assert "finishedAt" in last["run"]


def test_a_second_interrupt_reaches_the_command(env, platform):
    """Some programs only end at the second one."""
    script = f"trap 'trap \"exit 9\" INT; echo one; kill -INT $PPID' INT; kill -INT $PPID; {WAIT}"
    ran = run(env, "x1", "--", "sh", "-c", script)
    assert (ran.returncode, ran.stdout) == (9, b"one\n")


def test_a_command_that_ignores_term_is_killed_after_grace(env, platform):
    """KILL goes to the whole group."""
    script = "trap '' TERM; sh -c 'echo ready; sleep 60; echo alive' & wait; sleep 60"
    process = start(env, "x1", "--grace", "200ms", "--", "sh", "-c", script)
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.stdout.read() == b""  # nobody holds the pipe any more
    assert process.wait(LIMIT) == 137
    last = bodies(platform)[-1]
    assert (last["status"], last["run"]["signal"]) == ("cancelled", "SIGKILL")


def test_without_grace_a_command_has_all_the_time_to_stop(env, platform):
    """It may save a checkpoint for minutes; KILL is left to the sender of TERM."""
    assert Options().grace == 0
    words = ("x1", "--interval", "10ms", "--grace", "0", "--", "sh", "-c", ROUND_TRIP.format("TERM"))
    ran = run(env, *words, when=lambda: is_received(platform, "TERM"))
    assert (ran.returncode, ran.stdout) == (7, b"hit\n")


def test_nohup(env, platform):
    """A signal that we ignore is ignored by the command too."""
    tool = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *TOOL]
    process = start(env, "x1", "--", "sh", "-c", "echo ready; read line; kill -HUP $$; exit 6", stdin=-1, tool=tool)
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGHUP)
    process.communicate(b"\n", LIMIT)
    assert process.returncode == 6


@pytest.mark.parametrize("name", ["TERM", "HUP", "USR1", "USR2"])
def test_a_signal_after_the_end_changes_nothing(env, raw_server, name, monkeypatch):
    """The exit code is that of the command, and its end is still reported."""
    monkeypatch.setattr(signals, "SAME_KEY_SECONDS", 0)

    def serve(connection, seen, stop):
        seen.append(read_request(connection))
        if b"finishedAt" in seen[-1]:
            os.kill(os.getpid(), getattr(signal, f"SIG{name}"))
        connection.sendall(OK)

    ran = run(env | {"NEMO_JOBS_HOST": raw_server(serve).url}, "x1", "--", "sh", "-c", "exit 5")
    assert (ran.returncode, ran.stdout, ran.stderr) == (5, b"", b"")


def test_a_signal_while_the_channel_is_created(env, platform, monkeypatch):
    """The command does not start, and no folder is left."""
    mkfifo = os.mkfifo
    monkeypatch.setattr(os, "mkfifo", lambda *given: (signal.raise_signal(signal.SIGTERM), mkfifo(*given)))
    ran = run(env, "x1", "--", "echo", "started")
    assert (ran.returncode, ran.stdout, bodies(platform)) == (143, b"", [])


@pytest.mark.parametrize("name", ["TERM", "HUP"])
def test_a_signal_while_nobody_reads_the_output(env, platform, name):
    """The end of the command is reported before KILL may follow."""
    script = "echo $$ >&2; head -c 120000 /dev/zero; exit 5"  # more than one pipe holds, less than two
    process = start(env, "x1", "--match", "(?P<a>x)", "--", "sh", "-c", script)
    command = int(process.stderr.readline())
    until(lambda: not Path(f"/proc/{command}").exists())
    process.send_signal(getattr(signal, f"SIG{name}"))
    assert process.wait(LIMIT) == 5
    last = bodies(platform)[-1]
    assert last["run"]["exitCode"] == 5
    assert last["status"] in {"failed", "cancelled"}  # the signal may come before we notice the end


def test_ctrl_c_ends_a_slow_report(env, raw_server, tmp_path):
    """The exit code is that of the command; stderr and --report say what is missing."""
    received = threading.Event()

    def serve(connection, seen, stop):
        if b"finishedAt" in read_request(connection):
            received.set()
            stop.wait()
        connection.sendall(OK)

    file = tmp_path / "report.json"
    process = start(
        env | {"NEMO_JOBS_HOST": raw_server(serve).url, "NEMO_JOBS_DEADLINE": "100"},
        *("x1", "--report", str(file), "--", "sh", "-c", "exit 5"),
    )
    assert received.wait(LIMIT)
    while process.poll() is None:  # the first may come too early to be meant for the report
        process.send_signal(signal.SIGINT)
        time.sleep(0.01)
    assert process.returncode == 5
    assert b"interrupted before the end of the command was reported" in process.communicate()[1]
    assert json.loads(file.read_text(encoding="utf-8"))["outcome"] == "failed"


def test_ctrl_c_while_the_last_lines_are_matched(env, tmp_path):
    """The end of the command is stored, too: a job whose command has ended must not be kept as running."""
    lines, output, folder = tmp_path / "lines", tmp_path / "output", tmp_path / "outbox"
    lines.write_text(("aaaa " * 20 + "!\n") * 30_000, encoding="utf-8")  # this pattern takes a minute for them
    script = f"trap '' INT; echo ready; cat {lines}; exit 5"
    words = ("x1", "--outbox", "--outbox-dir", str(folder), "--match", "(?P<a>.*a.*a.*a.*=x)", "--", "sh", "-c", script)
    with output.open("wb") as stdout:
        process = start(env, *words, stdout=stdout)
    until(lambda: output.stat().st_size)
    while process.poll() is None:  # the first may come before the command has ended
        process.send_signal(signal.SIGINT)
        time.sleep(0.01)
    (fields,) = stored_updates(folder)
    assert (process.returncode, fields["run"]["exitCode"]) == (5, 5)
