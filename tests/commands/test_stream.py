"""`nemo-jobs stream`: lines in, updates out, in a process of its own wherever signals, pipes or memory matter."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import pytest
from raw import CHILD_ENVIRONMENT, read_request, response

from nemo_jobs_cli.reporting import reporter
from nemo_jobs_cli.sandbox import faults as sandbox_faults
from nemo_jobs_cli.sandbox import server as sandbox

TOOL = [sys.executable, "-m", "nemo_jobs_cli", "stream"]
WHILE = 20  # seconds that anything may take before a test fails


@pytest.fixture
def platform():
    """Return a function that starts a sandbox; `details` and `bodies` say what it was told."""
    servers = []

    def start(*faults, **options):
        log = []
        server = sandbox.start(sandbox.Options(faults=sandbox_faults.parse(faults), **options), log.append)
        server.rows = log
        servers.append(server)
        return server

    yield start
    for server in servers:
        sandbox.stop(server)


def details(server, job="train-x"):
    """Return what a sandbox knows of a job."""
    found = server.jobs.get(("default", job))
    return None if found is None else found.details


def until(true, what="it"):
    """Wait until something is true."""
    ends = time.monotonic() + WHILE
    while not true():
        assert time.monotonic() < ends, f"{what} did not happen"
        time.sleep(0.01)


def stream(server, *words, lines=b"", env=None):
    """Run `stream train-x` to the end of its stdin."""
    return subprocess.run(
        [*TOOL, "train-x", "--interval", "50ms", *words],
        input=lines,
        env=environment(server) | (env or {}),
        capture_output=True,
        timeout=60,
    )


def environment(server):
    """Return the environment of a child that reports to a server."""
    return {**CHILD_ENVIRONMENT, "NEMO_JOBS_HOST": server.url, "TMPDIR": tempfile.gettempdir()}


@pytest.fixture
def begin():
    """Return a function that begins `stream train-x` with pipes; whatever is left of it ends with the test."""
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
        guard = threading.Timer(2 * WHILE, process.kill)  # so that no reading from it waits for ever
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
    """Write to a process at once."""
    process.stdin.write(data)
    process.stdin.flush()


# Lines ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (b'{"step": 1, "train_loss": 0.5}\n{"step": 2}\n', {"step": 2, "train_loss": 0.5}),
        (b"progress=45 message='batch 3 of 10'\n", {"progress": 45, "message": "batch 3 of 10"}),
        (b'progress=3/10\n{"progress": 40}\nstage=eval\n', {"progress": 40, "stage": "eval"}),
        (b"# a remark\n\n  \r\nstep=7\r\n", {"step": 7}),
        (b"step=1\nstep=2", {"step": 2}),
        (b'{"deep": {"a": 1}}\n{"deep": {"b": 2}}\n', {"deep": {"b": 2}}),
        ('{"message": "né ✓"}\n'.encode(), {"message": "né ✓"}),
    ],
)
def test_lines_become_updates(platform, lines, expected):
    """JSON objects and field lines; the last value of each top-level key is what stays."""
    server = platform()
    ran = stream(server, lines=lines)
    assert details(server) == expected
    assert (ran.returncode, ran.stderr) == (0, b"")


def test_the_end_is_one_line(platform):
    """Lines, updates, requests, retries, errors."""
    ran = stream(platform(), "--interval", "1h", lines=b"step=1\n# no\nstep=2\n")
    assert re.fullmatch(rb"train-x: 3 lines, 2 updates, [12] requests?, 0 retries, 0 errors\n", ran.stdout)
    assert stream(platform(), "-q", lines=b"step=1\n").stdout == b""


def test_nothing_in_is_nothing_sent(platform):
    """An empty input is no failure."""
    server = platform()
    assert stream(server).stdout == b"train-x: 0 lines, 0 updates, 0 requests, 0 retries, 0 errors\n"
    assert server.rows == []


def test_a_line_reads_no_file(platform, tmp_path):
    """Output of somebody else's program must not choose what is sent."""
    secret = tmp_path / "secret"
    secret.write_text("s3cret")
    server = platform()
    ran = stream(server, lines=f"message@={secret}\nmessage:@={secret}\nstep=1\n".encode())
    assert details(server) == {"step": 1}
    assert ran.stderr.count(b"can't read a file") == 2


def test_bad_lines_are_told_by_their_number_and_skipped(platform):
    """What follows is reported; more than ten are only counted."""
    server = platform()
    ran = stream(server, lines=b"step=1\nstep=abc\n{nope\n\xff\xfe\nstep=2\n" + b"x\n" * 20)
    assert details(server) == {"step": 2}
    assert ran.returncode == 0
    assert all(f"stdin:{number}".encode() in ran.stderr for number in (2, 3, 4, 6))
    assert ran.stderr.count(b"warning: skipped") == 10
    assert ran.stderr.endswith(b"further bad lines are only counted\n")
    assert b"25 lines, 2 updates" in ran.stdout
    assert b"23 errors" in ran.stdout


def test_the_hint_for_a_bad_line_fits_a_stream(platform):
    """There is no -f here."""
    assert stream(platform(), lines=b"[1]\n").stderr == (
        b"warning: skipped stdin:1 is not key=value: '[1]'; "
        b'write key=value or {"key": value}; to find fields in other text: --match\n'
    )


@pytest.mark.parametrize("form", ["text", "json", "ndjson"])
def test_strict_stops_at_the_first_bad_line(platform, form):
    """Exit code 2, naming the line; what stands before it is sent, and nothing behind it."""
    server = platform()
    ran = stream(server, "--strict", "-o", form, lines=b"step=1\nstep=2\n" + b"step=abc\n" + b"step=3\n")
    assert ran.returncode == 2
    assert details(server) == {"step": 2}
    assert b"stdin:3" in (ran.stderr if form == "text" else ran.stdout.splitlines()[-1])
    assert form == "text" or json.loads(ran.stdout.splitlines()[-1])["exit_code"] == 2


def test_strict_sends_the_lines_of_earlier_pieces(platform, begin):
    """What was read before the bad line came."""
    server = platform()
    process = begin(server, "--strict", "--interval", "1h", "--tee")
    for line in (b"step=1\n", b"step=2\n", b"oops\n"):  # each is read when the one before has been taken in
        write(process, line)
        assert os.read(process.stdout.fileno(), 100) == line
    assert process.wait(WHILE) == 2
    assert details(server) == {"step": 2}


def test_fields_are_found_in_any_text(platform):
    """`--match`: named groups, typed as the grammar types them."""
    server = platform()
    log = b"epoch 3: loss=0.25\nnothing here\nepoch 4: loss=0.125\n\x1b[31mepoch 5\x1b[0m"
    ran = stream(server, "--match", r"loss=(?P<train_loss>[\d.]+)", "--match", r"epoch (?P<epoch>\d+)", lines=log)
    assert details(server) == {"epoch": 5, "train_loss": 0.125}
    assert ran.stdout.startswith(b"train-x: 4 lines, 3 updates, ")


def test_bars_are_read(platform):
    """`--match tqdm`."""
    server = platform()
    stream(server, "--match", "tqdm", lines=b" 45%|####      | 45/100 [00:01<00:01, 41.2it/s]\r")
    assert details(server) == {"progress": 45, "step": 45, "max_steps": 100}


def test_numbers_can_be_declared(platform):
    """--number makes a key a number for this call."""
    server = platform()
    stream(server, "--number", "bleu", lines=b"bleu=31.5\n")
    assert details(server) == {"bleu": 31.5}


def test_an_id_is_enough(platform):
    """It is looked up once."""
    server = platform(jobs=("train-x",))
    found = server.jobs["default", "train-x"].record["id"]
    ran = subprocess.run([*TOOL, found, "--interval", "0"], input=b"a=1\n", env=environment(server), timeout=60)
    assert ran.returncode == 0
    assert details(server) == {"a": "1"}


# Passing through --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [(), ("--match", "x=(?P<x>.)")])
def test_tee_passes_every_byte(platform, words):
    """Whatever they are, also without a last line break; prose stays on stderr."""
    data = bytes(range(256)) * 2000 + b"no end"
    ran = stream(platform(), "--tee", *words, lines=data)
    assert ran.stdout == data
    assert b"train-x: " in ran.stderr


def test_tee_passes_lines_on_as_they_come(platform, begin):
    """Before the end, whatever becomes of the reports."""
    process = begin(platform("503:1"), "--tee")
    write(process, b"step=1\n")
    assert os.read(process.stdout.fileno(), 100) == b"step=1\n"


def test_a_reader_that_goes_away_does_not_cost_the_last_update(platform, begin):
    """`| head -1`: what was read is sent, then we end."""
    server = platform()
    process = begin(server, "--tee", "--interval", "1h")
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
    assert process.wait(WHILE) == 0
    assert details(server) == {"step": 2}


# Sources ----------------------------------------------------------------------------------------------------------


def test_a_file_is_read(platform, tmp_path):
    """`--input FILE`; its name stands before the numbers of bad lines."""
    file = tmp_path / "metrics.jsonl"
    file.write_text('{"step": 1}\nbad\n')
    server = platform()
    ran = stream(server, "--input", str(file))
    assert details(server) == {"step": 1}
    assert f"{file}:2".encode() in ran.stderr


def test_a_file_that_can_not_be_read_is_bad_usage(platform, tmp_path):
    """Exit code 2, naming it."""
    server = platform()
    for path in (tmp_path / "none", tmp_path):
        ran = stream(server, "--input", str(path))
        assert ran.returncode == 2
        assert str(path).encode() in ran.stderr
    assert server.rows == []


def test_a_fifo_is_read_until_its_writers_have_gone(platform, begin, tmp_path):
    """A program that only knows a file to write to."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    server = platform()
    process = begin(server, "--input", str(fifo), stdin=subprocess.DEVNULL)
    with fifo.open("w") as target:
        target.write("step=1\n")
    assert process.wait(WHILE) == 0
    assert details(server) == {"step": 1}


def test_a_followed_file_goes_on(platform, begin, tmp_path):
    """Growing, cut, replaced under its name; until a signal ends us."""
    file = tmp_path / "log"
    file.write_text("a=grown\n" * 3)
    server = platform()
    process = begin(server, "--input", str(file), "--follow", "--interval", "10ms", stdin=subprocess.DEVNULL)
    until(lambda: details(server) == {"a": "grown"}, "reading")
    with file.open("a") as more:
        more.write("b=more\n")
    until(lambda: details(server).get("b") == "more", "growing")
    file.write_text("c=cut\n")
    until(lambda: details(server).get("c") == "cut", "cutting")
    other = tmp_path / "other"
    other.write_text("d=new\n")
    other.replace(file)
    until(lambda: details(server).get("d") == "new", "replacing")
    process.send_signal(signal.SIGTERM)
    assert process.wait(WHILE) == 143


# The end ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_flushes_the_last_and_ends_us(platform, begin, number, code):
    """What came until then is on the server."""
    server = platform()
    process = begin(server, "--interval", "1h")
    write(process, b"step=1\n")
    until(lambda: details(server) == {"step": 1})
    for line in (b"step=2\nbad\n", b"bad\n"):  # the second is told of when the first is taken in
        write(process, line)
        process.stderr.readline()
    process.send_signal(number)
    assert process.wait(WHILE) == code
    assert details(server) == {"step": 2}
    assert re.fullmatch(rb"train-x: [34] lines, 2 updates, 2 requests, 0 retries, 2 errors\n", process.stdout.read())


def test_a_signal_after_the_end_of_the_input_costs_nothing(raw_server, begin):
    """A supervisor stops a whole pipeline: the last update is on its way and gets there."""
    going, go_on = threading.Event(), threading.Event()

    def slow(connection, seen, stop):
        seen.append(read_request(connection))
        going.set()
        go_on.wait(WHILE)
        connection.sendall(response(200))

    process = begin(raw_server(slow))
    write(process, b"step=1\n")
    process.stdin.close()
    assert going.wait(WHILE)
    until(lambda: _has_ended_reading(process))
    process.send_signal(signal.SIGTERM)
    until(lambda: _has_heard(process))
    go_on.set()
    assert process.wait(WHILE) == 143
    assert process.stdout.read() == b"train-x: 1 line, 1 update, 1 request, 0 retries, 0 errors\n"


def _has_ended_reading(process):
    """Tell whether the main thread waits for another one."""
    with open(f"/proc/{process.pid}/syscall") as call:
        return call.read().split()[0] in {"202", "98"}  # futex, on x86-64 and arm64


def _has_heard(process):
    """Tell whether the first signal has come: from then on TERM is ignored."""
    with open(f"/proc/{process.pid}/status") as file:
        ignored = int(re.search(r"SigIgn:\t(\w+)", file.read()).group(1), 16)
    return bool(ignored >> (signal.SIGTERM - 1) & 1)


def test_a_second_ctrl_c_cuts_it_off(raw_server, begin):
    """People can always leave."""
    came = threading.Event()

    def never(connection, seen, stop):
        read_request(connection)
        came.set()
        stop.wait(WHILE)

    process = begin(raw_server(never))
    write(process, b"step=1\n")
    assert came.wait(WHILE)
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    until(lambda: _has_heard(process))
    process.send_signal(signal.SIGINT)
    assert process.wait(WHILE) == 130
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("faults", "options", "code"),
    [
        ((), {"auth": True}, 4),
        ((), {"strict": True}, 5),
        (("422:1",), {}, 6),
        (("503:1",), {}, 7),
    ],
)
@pytest.mark.parametrize("form", ["text", "json"])
def test_the_exit_code_says_what_is_not_on_the_server(platform, faults, options, code, form):
    """401, 404, 422, 503 to the end: both forms say it, and count."""
    limit = "300ms" if code == 7 else "20s"
    ran = stream(platform(*faults, **options), "-o", form, "--deadline", limit, lines=b"step=1\n")
    assert ran.returncode == code
    if form == "text":
        assert ran.stderr.splitlines()[-1].startswith(b"next: ") or b"error: " in ran.stderr
        assert ran.stdout.startswith(b"train-x: 1 line, 1 update, ")
    else:
        (line,) = ran.stdout.splitlines()
        found = json.loads(line)
        outcome = "rejected" if code == 6 else "failed"
        assert (found["outcome"], found["exit_code"], found["updates"]) == (outcome, code, 1)
        assert found["requests"] >= 1
        assert found["error"]["message"]


def test_a_host_that_refuses_is_exit_code_7():
    """Nothing listens there."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    class Nobody:
        url = f"http://127.0.0.1:{port}"

    ran = stream(Nobody, "--deadline", "0", lines=b"step=1\n")
    assert ran.returncode == 7
    assert b"nothing listens" in ran.stderr


def test_json_is_one_object(platform):
    """`-o json`: the summary, after everything."""
    server = platform()
    ran = stream(server, "-o", "json", lines=b"step=1\nbad\nstep=2\n")
    found = json.loads(ran.stdout)
    assert found | {"requests": 0} == {
        "schema": 1,
        "command": "stream",
        "outcome": "delivered",
        "exit_code": 0,
        "lines": 3,
        "updates": 2,
        "requests": 0,
        "retries": 0,
        "errors": 1,
        "skipped": 1,
        "error": None,
    }


def test_ndjson_is_an_object_an_event_as_it_happens(platform, begin):
    """Deliveries and bad lines before the end; the last line is the summary."""
    process = begin(platform(), "-o", "ndjson", "--interval", "10ms")
    write(process, b"step=1\n")
    first = json.loads(process.stdout.readline())
    assert (first["outcome"], first["status_details"]) == ("delivered", {"step": 1})
    write(process, b"bad\n")
    second = json.loads(process.stdout.readline())
    assert (second["outcome"], "stdin:2" in second["error"]["message"]) == ("dropped", True)
    process.stdin.close()
    (last,) = map(json.loads, process.stdout.readlines())
    assert (last["outcome"], last["lines"], last["skipped"]) == ("delivered", 2, 1)
    assert process.wait(WHILE) == 0


def test_ndjson_that_nobody_reads_any_more_is_no_reason_to_stop(platform, begin):
    """`| head -1`: reports go on until the input ends."""
    server = platform()
    process = begin(server, "-o", "ndjson", "--interval", "10ms")
    write(process, b"step=1\n")
    assert process.stdout.readline()
    process.stdout.close()
    for step in (2, 3):
        write(process, b"step=%d\n" % step)
        until(lambda step=step: details(server) == {"step": step})
    process.stdin.close()
    assert process.wait(WHILE) == 0


# Ranks ------------------------------------------------------------------------------------------------------------

RANK_1 = {"RANK": "1", "WORLD_SIZE": "2"}


def test_another_rank_is_silent_but_reads_all(platform):
    """The training must not meet a closed pipe; rank 0 reports."""
    server = platform()
    data = b'{"step": 1}\n' * 100_000  # more than any pipe holds
    ran = stream(server, "--tee", lines=data, env=RANK_1)
    assert (ran.returncode, ran.stdout, server.rows) == (0, data, [])
    assert ran.stderr.startswith(b"rank 1 of 2 (RANK): rank 0 reports; --all-ranks")
    assert stream(server, "-q", lines=b"a=1\n", env=RANK_1).stderr == b""
    assert server.rows == []


@pytest.mark.parametrize(("words", "env"), [(("--all-ranks",), RANK_1), ((), {"RANK": "0", "WORLD_SIZE": "2"})])
def test_rank_0_and_all_ranks_report(platform, words, env):
    """Without a word about it."""
    server = platform()
    ran = stream(server, *words, lines=b"step=1\n", env=env)
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
        (["Train-X"], "not a job name"),
        ([], "which job?"),
        (["train-x", "-w", "no/such"], "not a workspace name"),
    ],
)
def test_bad_usage_reads_nothing(nemo_jobs, monkeypatch, words, message):
    """Code 2, a sentence and a next step, before anything is read or sent."""
    monkeypatch.setattr(reporter.Reporter, "start", lambda _: pytest.fail("it began"))
    ran = nemo_jobs("stream", *words)
    assert ran.code == 2
    assert message in ran.out + ran.err


def test_a_token_from_stdin_goes_with_a_file(platform, tmp_path):
    """Then stdin is free for it."""
    server = platform(auth=True)
    file = tmp_path / "lines"
    file.write_text("step=1\n")
    ran = stream(server, "--input", str(file), "--token-file", "-", lines=b"sandbox\n")
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


def test_two_million_lines_and_a_server_that_refuses_take_no_memory(platform):
    """They fold: what waits is one state, however long the outage is."""
    env = environment(platform("503:1")) | {"PYTHONPATH": os.pathsep.join(sys.path)}
    env = {name: value for name, value in env.items() if not name.startswith("COVERAGE_")}
    ran = subprocess.run([sys.executable, "-c", MEASURED], env=env, capture_output=True, text=True, timeout=120)
    code, kilobytes = map(int, ran.stdout.split())
    assert code == 7
    assert kilobytes < 60_000
