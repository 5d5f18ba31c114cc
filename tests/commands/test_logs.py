"""`nemo-jobs logs`: its options, the log once, and following it through faults."""

from __future__ import annotations

import json
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

import httpx
import pytest
from raw import CHILD_ENVIRONMENT, read_request, response
from terminals import Terminal
from waiting import LIMIT

from nemo_jobs_cli.commands import logs as under_test
from nemo_jobs_cli.core import times
from nemo_jobs_cli.core.errors import UsageError
from nemo_jobs_cli.output import render

NOW = 1_790_000_000.0
# Ask ten times a second for new lines.
CODE = "from nemo_jobs_cli.api import wait; wait.INTERVAL = 0.1; from nemo_jobs_cli.__main__ import main; main()"
TOOL = [sys.executable, "-c", CODE, "logs"]
JOB = {"name": "train-x", "spec": {}, "source": "x", "platform_spec": {"steps": [{"name": "train"}, {"name": "eval"}]}}


@pytest.fixture
def platform(monkeypatch, start_sandbox):
    """Return a sandbox with the job train-x, which the settings name."""
    server = start_sandbox(strict=True)
    httpx.post(f"{server.url}/apis/jobs/v2/workspaces/default/jobs", json=JOB, trust_env=False).raise_for_status()
    monkeypatch.setenv("NEMO_JOBS_HOST", server.url)
    return server


def end(server, state):
    """Let the job end."""
    server.jobs["default", "train-x"].record["status"] = state


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10m", NOW - 600),
        ("2026-09-21T14:13:20Z", NOW),
        ("2026-09-21 16:13+02:00", NOW - 20),
        ("2026-09-21", NOW - 51200),
        ("999999999d", 0),
    ],
)
def test_since(text, seconds):
    """A time, the beginning of a day (UTC), or as long ago."""
    assert under_test.parse_since(text, NOW) == seconds


def test_since_that_is_no_time():
    """The hint shows both forms."""
    with pytest.raises(UsageError, match="invalid time in --since: 'yesterday'") as caught:
        under_test.parse_since("yesterday", NOW)
    assert times.parse_timestamp(caught.value.hint.split()[-1]) is not None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--step", ""), "--step is empty"),
        (("--timeout", "5s"), "--timeout needs --follow"),
        (("--tail", "-1"), "invalid --tail '-1': must be from 0 to 10000"),
        (("--tail", "10001"), "invalid --tail '10001': must be from 0 to 10000"),
        (("--follow", "-o", "json"), "cannot combine --follow and -o json"),
        (("--since", "x"), "invalid time in --since"),
    ],
)
def test_usage_errors(nemo_jobs, words, message):
    """Before the first request."""
    ran = nemo_jobs("logs", "train-x", "--host", "http://127.0.0.1:9", *words)
    assert ran.code == 2
    assert message in ran.err + ran.out


def test_the_log_once(nemo_jobs, platform):
    """Whole, its end, from a time on, or of one step; an empty one prints nothing."""
    ran = nemo_jobs("logs", "train-x")
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    platform.add_lines("train-x", "one", "two")
    time.sleep(0.002)
    moment = times.format_timestamp(time.time())
    time.sleep(0.002)
    platform.add_lines("train-x", "three", step="eval")
    assert nemo_jobs("logs", "train-x").out == "one\ntwo\nthree\n"
    assert nemo_jobs("logs", "train-x", "-n", "2").out == "two\nthree\n"
    assert nemo_jobs("logs", "train-x", "--since", moment).out == "three\n"
    assert nemo_jobs("logs", "train-x", "--step", "train").out == "one\ntwo\n"
    assert re.fullmatch(r"2\d+-\d\d-\d\dT[\d:.]+Z three\n", nemo_jobs("logs", "train-x", "--timestamps", "-n", "1").out)
    assert [row["message"] for row in nemo_jobs("logs", "train-x", "-o", "json").json["result"]] == [
        "one",
        "two",
        "three",
    ]


def test_inside_a_job_no_name_is_needed(nemo_jobs, platform, monkeypatch):
    """As for `show`."""
    platform.add_lines("train-x", "one")
    monkeypatch.setenv("NEMO_JOBS_JOB", "train-x")
    assert nemo_jobs("logs").out == "one\n"


@pytest.mark.parametrize("words", [(), ("--follow",), ("--step", "train")])
def test_a_missing_job(nemo_jobs, platform, words):
    """Exit code 5, with similar names."""
    ran = nemo_jobs("logs", "train-y", *words)
    assert (ran.code, ran.out) == (5, "")
    assert "did you mean train-x?" in ran.err


def test_a_missing_step(nemo_jobs, platform):
    """Exit code 5; the error object lists the steps."""
    ran = nemo_jobs("logs", "train-x", "--step", "test", "-o", "ndjson")
    assert (ran.code, ran.json["error"]["steps"]) == (5, ["train", "eval"])


def follow(*words, host, **streams):
    """Start `logs --follow` as a child process."""
    return subprocess.Popen(
        [*TOOL, "train-x", "--follow", *words, "--host", host],
        env=CHILD_ENVIRONMENT, encoding="utf-8", **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams},
    )  # fmt: skip


def test_following_to_the_end(platform):
    """Lines come as they are printed; those of the last moment too."""
    platform.add_lines("train-x", "one", "two")
    child = follow("--tail", "1", host=platform.url)
    assert child.stdout.readline() == "two\n"
    platform.add_lines("train-x", "three")
    assert child.stdout.readline() == "three\n"
    platform.add_lines("train-x", "last")
    end(platform, "completed")
    assert (*child.communicate(timeout=LIMIT), child.returncode) == ("last\n", "", 0)


@pytest.mark.parametrize(("state", "how"), [("error", "ended in error"), ("cancelled", "was cancelled")])
def test_following_a_job_that_fails(nemo_jobs, platform, state, how):
    """Exit code 8 after the last line."""
    platform.add_lines("train-x", "last")
    end(platform, state)
    ran = nemo_jobs("logs", "train-x", "--follow")
    assert (ran.code, ran.out) == (8, "last\n")
    assert ran.err.startswith(f"error: job train-x {how}\n")


def test_a_timeout(nemo_jobs, platform):
    """Exit code 9, with the lines up to then."""
    platform.add_lines("train-x", "one")
    ran = nemo_jobs("logs", "train-x", "-f", "--timeout", "0")
    assert (ran.code, ran.out) == (9, "one\n")
    assert "--timeout has passed: job train-x is still in state created" in ran.err


def test_a_request_is_retried_before_the_timeout(nemo_jobs, platform, raw_server):
    """So that a fault is not an outage."""
    platform.add_lines("train-x", "one")
    end(platform, "completed")
    proxy = FaultyProxy(platform.url)
    proxy.faults = iter(["500"])
    ran = nemo_jobs("logs", "train-x", "--host", raw_server(proxy).url, "-f", "--timeout", "60s")
    assert (ran.code, ran.out, ran.err) == (0, "one\n", "")


def test_ctrl_c_ends_following_quietly(platform):
    """That is its normal end."""
    platform.add_lines("train-x", "one")
    child = follow(host=platform.url)
    assert child.stdout.readline() == "one\n"
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=LIMIT)
    assert (child.returncode, err) == (130, "")


def test_following_ends_if_the_reader_leaves(platform):
    """At once; the exit code does not say that the job has completed."""
    platform.add_lines("train-x", "one")
    child = follow(host=platform.url)
    assert child.stdout.readline() == "one\n"
    child.stdout.close()
    assert (child.wait(LIMIT), child.stderr.read()) == (141, "")
    child.stderr.close()


def test_a_reader_may_leave_a_log(platform):
    """`| head -1` is a success, and not all pages are read."""
    platform.add_lines("train-x", *(f"line {n} {'x' * 100}" for n in range(12_000)))
    child = subprocess.Popen(
        [*TOOL, "train-x", "--host", platform.url],
        env=CHILD_ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
    )  # fmt: skip
    assert child.stdout.readline().startswith("line 0 ")
    child.stdout.close()
    assert (child.wait(LIMIT), child.stderr.read()) == (0, "")
    child.stderr.close()


def forward(request, url):
    """Return the response of a server to a request."""
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as upstream:
        upstream.sendall(request.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
        return b"".join(iter(lambda: upstream.recv(65536), b""))


def test_the_last_lines_of_a_job_that_ends_between_two_requests(nemo_jobs, platform, raw_server, monkeypatch):
    """The log is read after the state: that of a job that has ended is complete."""
    monkeypatch.setattr("nemo_jobs_cli.api.wait.INTERVAL", 0.05)
    platform.add_lines("train-x", "one")

    def answer(connection, seen, stop):
        seen.append(read_request(connection))
        connection.sendall(forward(seen[-1], platform.url))
        if b"/logs?" in seen[-1] and platform.jobs["default", "train-x"].record["status"] != "completed":
            platform.add_lines("train-x", "last")
            end(platform, "completed")

    ran = nemo_jobs("logs", "train-x", "--follow", "--host", raw_server(answer).url)
    assert (ran.code, ran.out, ran.err) == (0, "one\nlast\n", "")


class FaultyProxy:
    """A proxy of a server that spoils responses of the log, one kind of fault after the other."""

    FAULTS = ("500", "reset", "cut", "ok", "cut", "hang", "500", "reset", "ok")

    def __init__(self, url):
        self.url = url
        self.faults = iter(self.FAULTS)
        self.seen = []

    def __call__(self, connection, _seen, stop):
        request = read_request(connection)
        fault = "ok"
        if b"/logs?" in request:
            fault = next(self.faults, "ok")
            self.seen.append(fault)
        answer = forward(request, self.url)
        if fault == "500":
            answer = response(500, '{"detail": "Failed to query job logs"}')
        elif fault == "hang":
            stop.wait()
            return
        elif fault in {"reset", "cut"}:
            connection.sendall(answer[: len(answer) // 2] if fault == "cut" else b"")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return
        connection.sendall(answer)


def test_faults_lose_and_repeat_no_line(platform, raw_server):
    """500, a reset, a body that is cut in the middle, and an answer that does not come."""
    proxy = FaultyProxy(platform.url)
    server = raw_server(proxy)
    child = follow("--deadline", "1s", host=server.url)
    numbers = iter(range(10_000))

    def write():
        ends = time.monotonic() + LIMIT
        while len(proxy.seen) < len(FaultyProxy.FAULTS) and time.monotonic() < ends:
            platform.add_lines("train-x", *(f"line {next(numbers)}" for _ in range(7)))
            time.sleep(0.05)
        end(platform, "completed")

    writer = threading.Thread(target=write)
    writer.start()
    out, err = child.communicate(timeout=2 * LIMIT)
    writer.join()
    assert set(proxy.seen) >= {"500", "reset", "cut", "hang", "ok"}
    assert out.splitlines() == [f"line {n}" for n in range(next(numbers))]
    assert child.returncode == 0
    assert "still trying" in err
    assert "the platform responds again" in err


@pytest.mark.parametrize(("words", "count"), [((), 1), (("--follow",), 0), (("--follow", "-v"), 1)])
def test_only_verbose_prints_retries_while_following(nemo_jobs, platform, raw_server, monkeypatch, words, count):
    """On a terminal; without it only an outage is printed."""
    make_screen = under_test.make_screen
    monkeypatch.setattr(under_test, "make_screen", lambda flags: make_screen(flags)._replace(terminal=True))
    monkeypatch.setattr(render, "LONG_PAUSE", 0)
    end(platform, "completed")
    proxy = FaultyProxy(platform.url)
    proxy.faults = iter(["500"])
    ran = nemo_jobs("logs", "train-x", "--host", raw_server(proxy).url, *words)
    assert (ran.code, ran.err.count("retrying in")) == (0, count)


def test_a_terminal(platform):
    """Controls are escaped, colors left out."""
    platform.add_lines("train-x", "\x1b[31mred\x1b[0m\x1b[2J")
    platform.add_lines("train-x", "second", step="eval")
    env = {**CHILD_ENVIRONMENT, "TERM": "xterm-256color"}
    with Terminal([*TOOL, "train-x", "--host", platform.url], env) as terminal:
        seen = terminal.until(b"second")
    assert b"red\\x1b[2J\r\n\x1b[2m--- step eval ---\x1b[0m\r\nsecond" in seen


@pytest.mark.parametrize("terminal", [False, True])
def test_an_empty_log(nemo_jobs, platform, monkeypatch, terminal):
    """On a terminal a note says how to wait for lines."""
    make_screen = under_test.make_screen
    monkeypatch.setattr(under_test, "make_screen", lambda flags: make_screen(flags)._replace(terminal=terminal))
    note = "note: no lines yet; print them as they arrive: nemo-jobs logs train-x --follow\n"
    ran = nemo_jobs("logs", "train-x")
    assert (ran.code, ran.out, ran.err) == (0, "", note if terminal else "")


def test_help_has_the_exit_codes(nemo_jobs):
    """Scripts rely on them."""
    out = nemo_jobs("logs", "--help").out
    for word in ("Exit codes", "8  with --follow", "--tail", "--since", "--step", "141"):
        assert word in out


def test_ndjson_while_following(nemo_jobs, platform):
    """One object a line, and the error at the end."""
    platform.add_lines("train-x", "one")
    end(platform, "error")
    ran = nemo_jobs("logs", "train-x", "--follow", "-o", "ndjson")
    first, last = map(json.loads, ran.out.splitlines())
    assert (first["result"]["message"], last["exit_code"], ran.err) == ("one", 8, "")
