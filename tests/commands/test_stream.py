"""`nemo-jobs stream`: from lines to updates; in a process of its own for signals, pipes and memory."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading

import pytest
from in_process import run_here
from raw import CHILD_ENVIRONMENT, read_request, response
from run_command import without_stamp
from waiting import LIMIT, until

from nemo_jobs_cli.commands import stream as command
from nemo_jobs_cli.core import clock
from nemo_jobs_cli.fields.flow import FlowValues
from nemo_jobs_cli.reporting.coalesce import Coalescer
from nemo_jobs_cli.reporting.reporter import Reporter

KEPT_HINT = "the update is in the outbox; the next update of the job delivers it, or: nemo-jobs outbox flush"
AGAIN_HINT = "run it again: that is safe, even if the last update has arrived"
TOOL = [sys.executable, "-m", "nemo_jobs_cli", "stream"]


@pytest.fixture
def platform(start_sandbox):
    """Return a function that starts a sandbox."""
    return start_sandbox


def details(server, job="train-x"):
    """Return the details of a job in a sandbox, without the time of the last report."""
    document = server.jobs.get(("default", job))
    return None if document is None else without_stamp(document.details)


def stream(server, *words, lines=b"", env=None):
    """Run `stream train-x` to the end of its stdin, in this process."""
    return run_here(environment(server) | (env or {}), "stream", "train-x", "--interval", "50ms", *words, input=lines)


def environment(server):
    """Return the environment of a child that reports to a server."""
    return {**CHILD_ENVIRONMENT, "NEMO_JOBS_HOST": server.url, "TMPDIR": tempfile.gettempdir()}


@pytest.fixture
def start():
    """Return a function that starts `stream train-x` with pipes, and ends it after the test."""
    processes = []

    def start(server, *words, env=None, **more):
        process = subprocess.Popen(
            [*TOOL, "train-x", *words],
            stdin=more.pop("stdin", subprocess.PIPE),
            stdout=more.pop("stdout", subprocess.PIPE),
            stderr=more.pop("stderr", subprocess.PIPE),
            env=environment(server) | (env or {}),
            **more,
        )
        guard = threading.Timer(2 * LIMIT, process.kill)  # so that no reading from it waits for ever
        guard.start()
        processes.append((process, guard))
        return process

    yield start
    for process, guard in processes:
        guard.cancel()
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    pass


def write(process, data):
    """Write to a process, unbuffered."""
    process.stdin.write(data)
    process.stdin.flush()


@pytest.mark.parametrize(
    ("words", "variable", "is_sent"),
    [((), "", True), (("--no-stamp",), "", False), ((), "0", False), (("--stamp",), "0", True)],
)
def test_every_request_has_the_time_unless_it_is_turned_off(platform, words, variable, is_sent):
    """By the option, or by the setting, which the option overrides."""
    server = platform()
    assert stream(server, *words, lines=b"step=1\n", env={"NEMO_JOBS_STAMP": variable}).returncode == 0
    stored = server.jobs["default", "train-x"].details
    assert stored["step"] == 1
    assert ("lastUpdated" in stored) is is_sent


# Lines ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (b'{"step": 1, "train_loss": 0.5}\n{"step": 2}\n', {"step": 2, "train_loss": 0.5}),
        (b"progress=45 message='batch 3 of 10'\n", {"progress": 45, "message": "batch 3 of 10"}),
        (b'{"deep": {"a": 1}}\n{"deep": {"b": 2}}\n', {"deep": {"b": 2}}),
        ('{"message": "né ✓"}\n'.encode(), {"message": "né ✓"}),
    ],
)
def test_lines_become_updates(platform, lines, expected):
    """They are JSON objects and fields; the last value of each top-level key stays."""
    server = platform()
    ran = stream(server, lines=lines)
    assert details(server) == expected
    assert (ran.returncode, ran.stderr) == (0, b"")


def test_bad_lines_are_skipped_with_a_warning(platform):
    """The warning has the line number; the summary counts them."""
    server = platform()
    ran = stream(server, lines=b"step=1\nstep=abc\n{nope\n\xff\xfe\nstep=2\n")
    assert details(server) == {"step": 2}
    assert [row.split()[2].rstrip(b":") for row in ran.stderr.splitlines()] == [b"stdin:2", b"stdin:3:2", b"stdin:4"]
    assert ran.returncode == 0
    assert re.match(rb"train-x: 5 lines, 2 updates, [12] requests?, 0 retries, 3 errors\b", ran.stdout)


@pytest.mark.parametrize("form", ["text", "ndjson"])
def test_strict_stops_at_the_first_bad_line(platform, form):
    """The exit code is 2; the lines before it are sent, and none after it."""
    server = platform()
    ran = stream(server, "--strict", "-o", form, lines=b"step=1\nstep=2\n" + b"step=abc\n" + b"step=3\n")
    assert ran.returncode == 2
    assert details(server) == {"step": 2}
    assert b"stdin:3" in (ran.stderr if form == "text" else ran.stdout.splitlines()[-1])
    assert form == "text" or json.loads(ran.stdout.splitlines()[-1])["exit_code"] == 2


def test_nan_is_null_and_a_number_as_text_gets_a_note(platform):
    """A diverged training still moves on; each is said once."""
    server = platform()
    ran = stream(server, lines=b'{"step":1,"train_loss":0.5}\n' + b'{"step":2,"train_loss":NaN}\nbleu=31.5\n' * 3)
    assert details(server) == {"step": 2, "train_loss": None, "bleu": "31.5"}
    assert ran.stderr.splitlines() == [
        b"warning: train_loss contains NaN or Infinity, which JSON does not have: null is sent",
        b"warning: bleu is sent as text, although it looks like a number; --number bleu sends one",
    ]
    assert stream(server, "-q", lines=b"train_loss=nan bleu=31.5 progres=1\n").stderr == b""
    assert stream(server, lines=b"progres=1\n" * 20).stderr.splitlines() == [
        b"warning: progres is not a key that the platform shows; did you mean progress?"
    ]


def test_match_finds_fields_in_any_text(platform):
    """Named groups are typed like the grammar, with --number."""
    server = platform()
    log = b"epoch 3: loss=0.25\nnothing here\nbleu 31.5, epoch 4: loss=0.125\n\x1b[31mepoch 5\x1b[0m"
    patterns = (r"loss=(?P<train_loss>[\d.]+)", r"epoch (?P<epoch>\d+)", r"bleu (?P<bleu>[\d.]+)")
    words = [word for pattern in patterns for word in ("--match", pattern)]
    ran = stream(server, *words, "--number", "bleu", lines=log)
    assert details(server) == {"epoch": 5, "train_loss": 0.125, "bleu": 31.5}
    assert ran.stdout.startswith(b"train-x: 4 lines, 3 updates, ")
    assert ran.stderr == b""


def test_patterns_that_never_match(platform):
    """One line at the end names them."""
    server, words = platform(), ("--match", "(?P<a>x)", "--match", r"step (?P<step>\d+)")
    ran = stream(server, *words, lines=b"steps 1\nx\n")
    assert ran.stderr == b"warning: --match never matched: 'step (?P<step>\\d+)'\n"
    ran = stream(server, *words, "-o", "json", lines=b"steps 1\nx\n")
    assert (json.loads(ran.stdout)["unmatched"], ran.stderr) == ([words[-1]], b"")


# Passing through --------------------------------------------------------------------------------------------------


def test_the_pace_is_that_of_the_options(nemo_jobs, platform, monkeypatch, tmp_path):
    """The coalescer gets --interval and --max-wait in seconds."""
    made = []
    monkeypatch.setattr(command, "Coalescer", lambda *times: made.append(times) or Coalescer(*times))
    (tmp_path / "lines").write_text("step=1\n", encoding="utf-8")
    words = ("--interval", "3s", "--max-wait", "2m", "--input", str(tmp_path / "lines"), "--host", platform().url)
    assert nemo_jobs("stream", "train-x", *words).code == 0
    assert made == [(3.0, 120.0)]


@pytest.mark.parametrize("words", [(), ("--match", "x=(?P<x>.)")])
def test_tee_copies_every_byte(platform, words):
    """The last line break may be missing; prose goes to stderr."""
    data = bytes(range(256)) * 2000 + b"no end"
    ran = stream(platform(), "--tee", *words, lines=data)
    assert ran.stdout == data
    assert b"train-x: " in ran.stderr


def test_a_closed_output_of_tee(platform, start):
    """`| head -1`: what was read is sent, then we end."""
    server = platform()
    process = start(server, "--tee", "--interval", "1h")
    write(process, b"step=1\n")
    assert os.read(process.stdout.fileno(), 100) == b"step=1\n"
    until(lambda: details(server) == {"step": 1})
    write(process, b"step=2\nbad\n")
    assert os.read(process.stdout.fileno(), 100) == b"step=2\nbad\n"
    assert b"stdin:3" in process.stderr.readline()
    write(process, b"bad\n")
    os.read(process.stdout.fileno(), 100)
    assert b"stdin:4" in process.stderr.readline()
    process.stdout.close()
    write(process, b"step=3\n")
    assert process.wait(LIMIT) == 0
    assert details(server) == {"step": 2}


# Sources ----------------------------------------------------------------------------------------------------------


def test_input_reads_a_file(platform, tmp_path):
    """Its name is part of the line numbers of bad lines."""
    file = tmp_path / "metrics.jsonl"
    file.write_text('{"step": 1}\nbad\n', encoding="utf-8")
    server = platform()
    ran = stream(server, "--input", str(file))
    assert details(server) == {"step": 1}
    assert f"{file}:2".encode() in ran.stderr


def test_follow(platform, start, tmp_path):
    """The file may appear later and grow; a signal ends it."""
    file = tmp_path / "log"
    server = platform()
    process = start(server, "--input", str(file), "--follow", "--interval", "10ms", stdin=subprocess.DEVNULL)
    assert process.stderr.readline() == f"waiting for {file} to appear\n".encode()
    file.write_text("a=old\n" * 3, encoding="utf-8")
    until(lambda: details(server) == {"a": "old"})
    with file.open("a") as more:
        more.write("b=more\n")
    until(lambda: details(server).get("b") == "more")
    process.send_signal(signal.SIGTERM)
    assert process.wait(LIMIT) == 143


# The end ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_sends_the_last_update(platform, start, number, code):
    """Then it ends the process."""
    server = platform()
    process = start(server, "--interval", "1h")
    write(process, b"step=1\n")
    until(lambda: details(server) == {"step": 1})
    for line in (b"step=2\nbad\n", b"bad\n"):  # the warning for the second comes after the first was added
        write(process, line)
        process.stderr.readline()
    process.send_signal(number)
    assert process.wait(LIMIT) == code
    assert details(server) == {"step": 2}
    assert re.match(rb"train-x: [34] lines, 2 updates, 2 requests, 0 retries, 2 errors\b", process.stdout.read())


def test_a_signal_after_the_end_of_the_input(raw_server, start):
    """A supervisor stops a whole pipeline: the last update in flight still arrives."""
    going, go_on = threading.Event(), threading.Event()

    def slow(connection, seen, stop):
        seen.append(read_request(connection))
        going.set()
        go_on.wait(LIMIT)
        connection.sendall(response(200))

    process = start(raw_server(slow))
    write(process, b"step=1\n")
    process.stdin.close()
    assert going.wait(LIMIT)
    until(lambda: _has_ended_reading(process))
    process.send_signal(signal.SIGTERM)
    until(lambda: _has_received_a_signal(process))
    go_on.set()
    assert process.wait(LIMIT) == 143
    assert process.stdout.read().startswith(b"train-x: 1 line, 1 update, 1 request, 0 retries, 0 errors")


def test_a_signal_between_the_end_of_the_input_and_the_last_update(nemo_jobs, platform, monkeypatch, tmp_path):
    """The last update arrives all the same."""
    finish = FlowValues.finish
    monkeypatch.setattr(FlowValues, "finish", lambda self: (finish(self), signal.raise_signal(signal.SIGTERM)))
    (tmp_path / "lines").write_text("step=1\nstep=2\n", encoding="utf-8")
    server = platform()
    words = ("--input", str(tmp_path / "lines"), "--interval", "1h", "--host", server.url)
    assert nemo_jobs("stream", "train-x", *words).code == 143
    assert details(server) == {"step": 2}


def test_a_signal_between_reading_and_sending(nemo_jobs, platform, monkeypatch, tmp_path):
    """What was read is sent."""
    monkeypatch.setattr(command.StreamView, "on_bad_line", lambda *_: signal.raise_signal(signal.SIGTERM))
    (tmp_path / "lines").write_text("step=1\nbad\nstep=2\n", encoding="utf-8")
    server = platform()
    words = ("--input", str(tmp_path / "lines"), "--interval", "1h", "--host", server.url)
    assert nemo_jobs("stream", "train-x", *words).code == 143
    assert details(server) == {"step": 2}


def _has_ended_reading(process):
    """Return whether the main thread waits for another one."""
    with open(f"/proc/{process.pid}/syscall") as call:
        return call.read().split()[0] in {"202", "98"}  # futex, on x86-64 and arm64


def _has_received_a_signal(process):
    """Return whether the first signal has come: from then on TERM is ignored."""
    with open(f"/proc/{process.pid}/status") as file:
        ignored = int(re.search(r"SigIgn:\t(\w+)", file.read()).group(1), 16)
    return bool(ignored >> (signal.SIGTERM - 1) & 1)


@pytest.mark.parametrize("options", [("--outbox", "--outbox-dir", "outbox"), ("-o", "ndjson")])
def test_a_second_ctrl_c_ends_it(raw_server, start, tmp_path, options):
    """There is always a way out, with a message or JSON; with an outbox, the last update is stored."""
    came = threading.Event()

    def never(connection, seen, stop):
        read_request(connection)
        came.set()
        stop.wait(LIMIT)

    process = start(raw_server(never), *options, cwd=tmp_path)
    write(process, b"step=1\n")
    assert came.wait(LIMIT)
    process.send_signal(signal.SIGINT)
    until(lambda: _has_received_a_signal(process) and _has_ended_reading(process))
    process.send_signal(signal.SIGINT)
    assert process.wait(LIMIT) == 130
    out, err = process.stdout.read(), process.stderr.read()
    if "--outbox" in options:
        assert (out, err.decode().splitlines()) == (b"", ["error: interrupted", f"next: {KEPT_HINT}"])
        [file] = (tmp_path / "outbox").glob("*/*.json")
        assert json.loads(file.read_text(encoding="utf-8"))["fields"]["step"] == 1
    else:
        [document] = map(json.loads, out.splitlines())
        assert (document["outcome"], document["exit_code"], err) == ("failed", 130, b"")
        assert document["error"] == {"message": "interrupted", "hint": AGAIN_HINT}


def test_a_long_wait_for_the_last_update_is_announced(platform, monkeypatch):
    """With its limit."""
    waits = []
    monkeypatch.setattr(clock, "LONG_WAIT", 0.0)
    monkeypatch.setattr(command.StreamView, "on_wait", lambda self, limit: waits.append(limit))
    assert stream(platform("503:1"), "--deadline", "300ms", lines=b"step=1\n").returncode == 7
    assert waits == [0.3]


@pytest.mark.parametrize(
    ("faults", "options", "code", "form"),
    [((), {"auth": True}, 4, "text"), ((), {"strict": True}, 5, "json"), (("422:1",), {}, 6, "json"), (("503:1",), {}, 7, "text")],
)  # fmt: skip
def test_the_exit_code_is_that_of_the_final_error(platform, faults, options, code, form):
    """After 401, 404, 422 or 503 the text or the JSON gives the error."""
    limit = "300ms" if code == 7 else "20s"
    ran = stream(platform(*faults, **options), "-o", form, "--deadline", limit, lines=b"step=1\n")
    assert ran.returncode == code
    if form == "text":
        assert ran.stderr.splitlines()[-1].startswith(b"next: ") or b"error: " in ran.stderr
        assert ran.stdout.startswith(b"train-x: 1 line, 1 update, ")
    else:
        (line,) = ran.stdout.splitlines()
        document = json.loads(line)
        outcome = "rejected" if code == 6 else "failed"
        assert (document["outcome"], document["exit_code"], document["updates"]) == (outcome, code, 1)
        assert document["requests"] >= 1
        assert document["error"]["message"]


def test_ndjson_has_an_object_per_event(platform, start):
    """Each comes as it happens; the last line is the summary."""
    process = start(platform(), "-o", "ndjson", "--interval", "10ms")
    write(process, b"step=1\n")
    first = json.loads(process.stdout.readline())
    assert (first["outcome"], without_stamp(first["status_details"])) == ("delivered", {"step": 1})
    write(process, b"bad\n")
    second = json.loads(process.stdout.readline())
    assert (second["outcome"], "stdin:2" in second["error"]["message"]) == ("dropped", True)
    process.stdin.close()
    (last,) = map(json.loads, process.stdout.readlines())
    assert (last["outcome"], last["lines"], last["skipped"]) == ("delivered", 2, 1)
    assert process.wait(LIMIT) == 0


def test_a_closed_output_of_ndjson(platform, start):
    """`| head -1`: updates are sent until the input ends."""
    server = platform()
    process = start(server, "-o", "ndjson", "--interval", "10ms")
    write(process, b"step=1\n")
    assert process.stdout.readline()
    process.stdout.close()
    for step in (2, 3):
        write(process, b"step=%d\n" % step)
        until(lambda step=step: details(server) == {"step": step})
    process.stdin.close()
    assert process.wait(LIMIT) == 0


# Ranks ------------------------------------------------------------------------------------------------------------

RANK_1 = {"RANK": "1", "WORLD_SIZE": "2"}


def test_other_ranks_read_everything_and_send_nothing(platform):
    """The training must not meet a closed pipe."""
    server = platform()
    data = b'{"step": 1}\n' * 100_000  # more than any pipe holds
    ran = stream(server, "--tee", lines=data, env=RANK_1)
    assert (ran.returncode, ran.stdout, server.rows) == (0, data, [])
    assert ran.stderr.startswith(b"rank 1 of 2 (RANK): rank 0 reports; --all-ranks")
    assert stream(server, "-q", lines=b"a=1\n", env=RANK_1).stderr == b""
    assert server.rows == []


def test_all_ranks_report(platform):
    """There is no notice."""
    server = platform()
    ran = stream(server, "--all-ranks", lines=b"step=1\n", env=RANK_1)
    assert (details(server), ran.stderr) == ({"step": 1}, b"")


# Mistakes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train-x", "--tee", "-o", "json"], "--tee"),
        (["train-x", "--tee", "-o", "ndjson"], "--tee"),
        (["train-x", "--follow"], "--follow"),
        (["train-x", "--interval", "often"], "often"),
        (["train-x", "--max-wait", "long"], "long"),
        (["train-x", "--match", "("], "--match"),
        (["train-x", "--match", "loss"], "--match"),
        (["train-x", "--token-file", "-"], "stdin"),
        (["Train-X"], "invalid job name"),
        ([], "no job given"),
        (["train-x", "-w", "no/such"], "invalid workspace name"),
    ],
)
def test_usage_errors_come_before_the_first_line(nemo_jobs, monkeypatch, words, message):
    """The exit code is 2."""
    monkeypatch.setattr(Reporter, "start", lambda _: pytest.fail("it began"))
    ran = nemo_jobs("stream", *words)
    assert ran.code == 2
    assert message in ran.out + ran.err


def test_a_token_from_stdin_with_an_input_file(platform, tmp_path):
    """Stdin is then free for it."""
    server = platform(auth=True)
    file = tmp_path / "lines"
    file.write_text("step=1\n", encoding="utf-8")
    ran = stream(server, "--input", str(file), "--token-file", "-", lines=b"sandbox\n")
    assert (ran.returncode, details(server)) == (0, {"step": 1})


@pytest.mark.parametrize("credential", ['token = "sandbox"', 'token_file = "own"', 'token_command = "echo sandbox"'])
def test_another_token_leaves_stdin_to_the_lines(platform, tmp_path, credential):
    """Only one that is read from stdin needs --input."""
    server = platform(auth=True)
    (tmp_path / "own").write_text("sandbox", encoding="utf-8")
    config = tmp_path / "config.toml"
    config.write_text(f'[profiles.default]\nhost = "{server.url}"\n{credential}\n', encoding="utf-8")
    ran = stream(server, lines=b"step=1\n", env={"NEMO_JOBS_CONFIG": str(config)})
    assert (ran.returncode, details(server)) == (0, {"step": 1})


# Days -------------------------------------------------------------------------------------------------------------

MEASURED = """
import os, resource, subprocess, sys
fill = subprocess.Popen([sys.executable, "-c", '''
import sys
lines = "".join('{"step": %d, "train_loss": 0.5, "message": "so far, so good"}' % n + chr(10) for n in range(1000))
for _ in range(2000):
    sys.stdout.write(lines)
'''], stdout=subprocess.PIPE)
pid = os.posix_spawn(sys.executable, [sys.executable, "-m", "nemo_jobs_cli", "stream", "train-x", "--deadline", "1s", "-q"],
    os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, fill.stdout.fileno(), 0)])
fill.stdout.close()
_, status, used = os.wait4(pid, 0)
print(os.waitstatus_to_exitcode(status), used.ru_maxrss)
"""


@pytest.mark.slow
def test_two_million_lines_during_an_outage_take_no_memory(platform):
    """They are coalesced into one state."""
    env = environment(platform("503:1")) | {"PYTHONPATH": os.pathsep.join(sys.path)}
    env = {name: value for name, value in env.items() if not name.startswith("COVERAGE_")}
    ran = subprocess.run([sys.executable, "-c", MEASURED], env=env, capture_output=True, encoding="utf-8", timeout=120)
    code, kilobytes = map(int, ran.stdout.split())
    assert code == 7
    assert kilobytes < 60_000
