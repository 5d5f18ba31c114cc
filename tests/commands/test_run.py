"""`nemo-jobs run` on real processes: what the command does, and what is reported."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest
from raw import CHILD_ENVIRONMENT, read_request, response
from terminals import LIMIT, Terminal

from nemo_jobs_cli.commands.run import Options
from nemo_jobs_cli.run import _guard, status
from nemo_jobs_cli.sandbox import faults as sandbox_faults
from nemo_jobs_cli.sandbox import server as sandbox

TOOL = [sys.executable, "-m", "nemo_jobs_cli", "run"]
OK = response(200)

# Ends by itself: a test that fails leaves nothing running.
WAIT = "n=0; while [ $n -lt 400 ]; do sleep 0.05; n=$((n+1)); done"

STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


@pytest.fixture
def env(tmp_path):
    """Return a minimal environment, with a folder for temporary files that the test can see."""
    (tmp_path / "tmp").mkdir()
    (tmp_path / "home").mkdir(exist_ok=True)
    own = str(Path(sys.executable).parent)
    return {
        **CHILD_ENVIRONMENT,
        "PATH": f"{own}:{CHILD_ENVIRONMENT['PATH']}",
        "HOME": str(tmp_path / "home"),
        "TMPDIR": str(tmp_path / "tmp"),
        "NEMO_JOBS_HOST": "http://127.0.0.1:1",
        "NEMO_JOBS_DEADLINE": "10",
    }


@pytest.fixture(autouse=True)
def _no_folder_is_left(tmp_path):
    """Check that no temporary folder remains."""
    yield
    for process in STARTED:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()
    STARTED.clear()
    assert not list(tmp_path.glob("tmp/nemo-jobs-run-*"))


STARTED = []


def start(env, *words, tool=TOOL, **streams):
    """Start `nemo-jobs run` in a session of its own, without a terminal."""
    given = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams
    STARTED.append(subprocess.Popen([*tool, *words], env=env, start_new_session=True, **given))
    return STARTED[-1]


def run(env, *words, input=None, **streams):  # noqa: A002 - as subprocess calls it
    """Run it to its end."""
    if input is not None:
        streams["stdin"] = subprocess.PIPE
    process = start(env, *words, **streams)
    out, err = process.communicate(input, LIMIT)
    return subprocess.CompletedProcess(words, process.returncode, out, err)


def bodies(server):
    """Return the updates that a raw server has received."""
    return [json.loads(one.partition(b"\r\n\r\n")[2]) for one in server.seen if one.startswith(b"PATCH")]


def without_stamp(fields):
    """Return fields without the time at which they were sent."""
    return {key: value for key, value in fields.items() if key != "lastUpdated"}


@pytest.fixture
def platform(raw_server, env):
    """Return a server that accepts every update; `env` points at it."""
    server = raw_server([OK])
    env["NEMO_JOBS_HOST"] = server.url
    return server


@pytest.fixture
def box(env):
    """Return a function that starts a sandbox and points `env` at it."""
    servers = []

    def start(*faults, **options):
        log = []
        server = sandbox.start(sandbox.Options(faults=sandbox_faults.parse(faults), **options), log.append)
        server.rows = log
        servers.append(server)
        env["NEMO_JOBS_HOST"] = server.url
        return server

    yield start
    for server in servers:
        sandbox.stop(server)


def details(server, job="x1", workspace="default"):
    """Return what was reported of a job, without the time of the last report, and as `show` does without nulls."""
    reported = without_stamp(server.jobs[workspace, job].details)
    return {key: value for key, value in reported.items() if value is not None}


# --- exit code and output -----------------------------------------------------------------------------------

EXITED, KILLED = "the command exited with code {}", "the command was killed by {}"


@pytest.mark.parametrize(
    ("script", "code", "status", "end", "error"),
    [
        ("exit 0", 0, "completed", {"exitCode": 0}, None),
        ("exit 3", 3, "failed", {"exitCode": 3}, EXITED.format(3)),
        ("exit 255", 255, "failed", {"exitCode": 255}, EXITED.format(255)),
        ("kill -9 $$", 137, "failed", {"signal": "SIGKILL"}, KILLED.format("SIGKILL")),
        ("kill -11 $$", 139, "failed", {"signal": "SIGSEGV"}, KILLED.format("SIGSEGV")),
        ("kill -TERM $$", 143, "cancelled", {"signal": "SIGTERM"}, KILLED.format("SIGTERM")),
    ],
)
def test_the_exit_code_is_that_of_the_command(env, box, script, code, status, end, error):
    """After signal N it is 128+N; the report has the exit code or the signal, and none of the output."""
    server = box()
    ran = run(env, "x1", "--", "sh", "-c", f"ulimit -c 0; echo secret; {script}")
    assert (ran.returncode, ran.stdout, ran.stderr) == (code, b"secret\n", b"")
    reported = details(server)
    assert (reported["status"], reported.get("error")) == (status, error)
    assert {key: reported["run"][key] for key in reported["run"] if key in {"exitCode", "signal"}} == end


@pytest.mark.parametrize(("word", "code"), [("no-such-command", 127), ("/etc/passwd", 126)])
def test_a_command_that_cannot_start(env, box, word, code):
    """The reason and a hint are on stderr, and the reason is on the platform."""
    server = box()
    ran = run(env, "x1", "--", word)
    assert (ran.returncode, ran.stdout) == (code, b"")
    assert re.fullmatch(rb"error: .*\nnext: .*\n", ran.stderr)
    reported = details(server)
    assert (reported["status"], reported["run"]["exitCode"]) == ("failed", code)
    assert f"error: {reported['error']}\n" in ran.stderr.decode()


def hang(connection, seen, stop):
    """Accept a request and never respond."""
    seen.append(read_request(connection))
    stop.wait()


def die(connection, seen, stop):
    """Close the connection within a response."""
    seen.append(read_request(connection))
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nnul")


TROUBLES = {
    "hangs": hang,
    "dies": die,
    "unavailable": [response(503, "{}", "Retry-After: 60")],
    "unauthorised": [response(401, '{"detail": "Invalid or expired token"}')],
    "rejects": [response(422, '{"detail": []}')],
    "no job": [response(404, '{"detail": "Job not found"}')],
    "a web page": [response(200, "<html>", kind="text/html")],
    "redirects": [response(302, "", "Location: https://login.example.com")],
}


@pytest.mark.parametrize("code", [0, 3])
@pytest.mark.parametrize("trouble", [*TROUBLES, "refuses", "no such name", "disk full"])
def test_trouble_with_reports_does_not_affect_the_command(env, raw_server, trouble, code):
    """Its exit code and output are right, and stderr says what is wrong."""
    env["NEMO_JOBS_DEADLINE"] = "500ms"
    words = []
    if trouble in TROUBLES:
        env["NEMO_JOBS_HOST"] = raw_server(TROUBLES[trouble]).url
    elif trouble == "no such name":
        env["NEMO_JOBS_HOST"] = "http://no-such-host.invalid"
    elif trouble == "disk full":
        env["NEMO_JOBS_HOST"] = raw_server([OK]).url
        words = ["--report", "/dev/full"]
    ran = run(env, "x1", *words, "--", "sh", "-c", f"printf 'a\\377\\0b'; exit {code}")
    assert (ran.returncode, ran.stdout) == (code, b"a\xff\0b")
    assert ran.stderr.startswith(b"nemo-jobs: ")
    expected = b"No space left" if trouble == "disk full" else b"not everything was reported"
    assert expected in ran.stderr


def test_the_command_does_not_wait_for_the_network(env, raw_server):
    """Its output comes while the first request hangs."""
    server = raw_server(hang)
    env |= {"NEMO_JOBS_HOST": server.url, "NEMO_JOBS_DEADLINE": "500ms"}
    process = start(env, "x1", "--", "sh", "-c", "echo first; read line; echo $line", stdin=subprocess.PIPE)
    assert process.stdout.readline() == b"first\n"
    out, _ = process.communicate(b"second\n", LIMIT)
    assert (process.returncode, out) == (0, b"second\n")


LISTENING = [(), ("-q", "--match", "(?P<step>[0-9]+) of"), ("--tail", "5")]


@pytest.mark.parametrize("words", LISTENING)
def test_output_is_unchanged(env, platform, words):
    """It may be binary and end without a line break; stderr stays apart from stdout."""
    script = r"printf 'a\377\0\r\r\n\33[31mz'; printf 'err\0\376' >&2; exit 5"
    ran = run(env, "x1", *words, "--", "sh", "-c", script)
    assert (ran.returncode, ran.stdout, ran.stderr) == (5, b"a\xff\0\r\r\n\x1b[31mz", b"err\0\xfe")


@pytest.mark.slow
@pytest.mark.parametrize("words", LISTENING)
def test_a_hundred_megabytes_of_output(env, platform, words):
    """No byte is lost."""
    script = "head -c 100000000 /dev/zero | tr '\\0' '\\n'"
    process = start(env, "x1", *words, "--", "sh", "-c", script)
    count = 0
    while piece := process.stdout.read(1 << 20):
        count += piece.count(b"\n")
    assert (process.wait(LIMIT), count) == (0, 100_000_000)
    warning = b"nemo-jobs: output comes faster than --match can read it: some of it is skipped\n"
    assert process.stderr.read() in ({b"", warning} if "--match" in words else {b""})


@pytest.mark.parametrize("words", LISTENING)
def test_output_is_not_buffered(env, platform, words):
    """Half a line comes at once too."""
    process = start(env, "x1", *words, "--", "sh", "-c", "printf half; read line", stdin=subprocess.PIPE)
    assert process.stdout.read(4) == b"half"
    process.communicate(b"\n", LIMIT)


@pytest.mark.parametrize("words", LISTENING)
def test_a_closed_output_ends_the_command(env, platform, words):
    """`| head -1`: the command gets SIGPIPE as it would without us."""
    process = start(env, "x1", *words, "--", "yes")
    assert process.stdout.readline() == b"y\n"
    process.stdout.close()
    assert process.wait(LIMIT) == 128 + signal.SIGPIPE
    assert bodies(platform)[-1]["run"]["signal"] == "SIGPIPE"


@pytest.mark.parametrize("words", LISTENING)
def test_input_reaches_the_command(env, platform, words):
    """All bytes and the end do."""
    data = bytes(range(256)) * 4000
    assert run(env, "x1", *words, "--", "cat", input=data).stdout == data


@pytest.mark.parametrize("closed", [0, 1, 2])
@pytest.mark.parametrize("words", LISTENING)
def test_a_closed_stream(env, platform, words, closed):
    """With `<&-`, `>&-` and `2>&-` the command runs and is reported."""
    shell = ["sh", "-c", f'exec "$@" {closed}{"<" if closed == 0 else ">"}&-', "sh"]
    process = start(env, "x1", *words, "--", "sh", "-c", "exit 4", tool=[*shell, *TOOL])
    process.communicate(timeout=LIMIT)
    assert process.returncode == 4
    assert bodies(platform)[-1]["run"]["exitCode"] == 4


def test_output_on_a_full_disk(env, platform):
    """The command gets SIGPIPE, and its end is reported."""
    with open("/dev/full", "wb") as full:
        ran = run(env, "x1", "--match", "(?P<a>x)", "--", "yes", stdout=full)
    assert ran.returncode == 128 + signal.SIGPIPE
    assert bodies(platform)[-1]["status"] == "failed"


# --- what is reported -----------------------------------------------------------------------------------------------


def test_the_life_of_a_command(env, platform):
    """Its start is reported as running, and its end with times, duration and exit code."""
    process = start(env, "x1", "-w", "ws", "--", "sh", "-c", "sleep 0.2; read line", stdin=-1)
    until(lambda: bodies(platform))
    process.communicate(b"\n", LIMIT)
    first, *_, last = map(without_stamp, bodies(platform))
    ended = last["run"]
    began = {"host": socket.gethostname(), "startedAt": ended["startedAt"]}
    assert first == {"status": "running", "run": began, "error": None}
    assert STAMP.fullmatch(ended["startedAt"])
    assert ended["finishedAt"] > ended["startedAt"]
    assert 0.2 <= ended["durationSeconds"] < LIMIT
    assert last == {"status": "completed", "run": ended}
    assert all(b"/workspaces/ws/jobs/x1/" in one for one in platform.seen)


def test_the_tail_of_the_output(env, box):
    """--tail N adds the last lines of both streams if the command fails, without colours."""
    server = box()
    script = "echo first; echo second; printf 'x\\r\\33[31mthird\\33[0m\\n'; echo last >&2; exit 1"
    run(env, "x1", "--tail", "3", "--", "sh", "-c", f"exec 2>&1; {script}")
    assert details(server)["error"] == "the command exited with code 1\nsecond\nthird\nlast"
    run(env, "x2", "--tail", "3", "--", "sh", "-c", "echo fine")
    assert "error" not in details(server, "x2")


def test_heartbeats(env, platform):
    """A silent command still runs."""
    process = start(env, "x1", "--heartbeat", "100ms", "--interval", "10ms", "--", "sh", "-c", "read line", stdin=-1)
    until(lambda: len(bodies(platform)) >= 3)
    process.communicate(b"\n", LIMIT)
    _, *beats, last = bodies(platform)
    assert last["status"] == "completed"
    assert len(beats) >= 2
    assert all(beat.keys() == {"lastUpdated"} and STAMP.fullmatch(beat["lastUpdated"]) for beat in beats)
    assert all(one["lastUpdated"] < two["lastUpdated"] for one, two in pairwise(beats))


def test_no_heartbeat_with_0(env, platform):
    """--heartbeat 0 turns it off."""
    process = start(env, "x1", "--heartbeat", "0", "--interval", "1ms", "--", "sh", "-c", "read line", stdin=-1)
    until(lambda: bodies(platform))
    time.sleep(0.3)
    process.communicate(b"\n", LIMIT)
    assert [one["status"] for one in bodies(platform)] == ["running", "completed"]


def test_every_request_has_the_time_unless_it_is_turned_off(env, platform):
    """A kept update of another machine is then never taken for a newer one."""
    run(env, "x1", "--", "true")
    assert all(STAMP.fullmatch(body["lastUpdated"]) for body in bodies(platform))
    platform.seen.clear()
    run(env, "x1", "--no-stamp", "--", "true")
    assert not any("lastUpdated" in body for body in bodies(platform))


def test_a_setting_turns_the_time_off(env, platform):
    """A flag overrides it."""
    env["NEMO_JOBS_STAMP"] = "0"
    run(env, "x1", "--", "true")
    assert not any("lastUpdated" in body for body in bodies(platform))
    platform.seen.clear()
    run(env, "x1", "--stamp", "--", "true")
    assert all("lastUpdated" in body for body in bodies(platform))


@pytest.mark.parametrize("word", ["NEMO_JOBS_OUTBOX", "NEMO_JOBS_STAMP", "--stamp"])
def test_the_time_of_a_nested_update_does_not_replace_that_of_the_end(env, platform, word):
    """The last request says when the command ended, even if each nested update has a time of its own."""
    if word.isupper():
        env[word] = "1"
    script = f'nemo-jobs update -q progress=5 {word if word.islower() else ""}; until grep -q progress "$SEEN"; do sleep 0.02; done'
    seen = Path(env["HOME"], "seen")
    seen.touch()
    process = start(env | {"SEEN": str(seen)}, "x1", "--interval", "10ms", "--", "sh", "-c", script)
    until(lambda: any("progress" in body for body in bodies(platform)))
    seen.write_text("progress")
    process.communicate(timeout=LIMIT)
    *_, reported, last = bodies(platform)
    assert (last["status"], reported["progress"]) == ("completed", 5)
    assert reported["lastUpdated"] < last["lastUpdated"]


def test_keys_may_be_renamed_and_dropped(env, box, tmp_path):
    """The profile has a name for each key, or false."""
    server = box()
    file = tmp_path / "config.toml"
    file.write_text(
        'default_profile = "lab"\n[profiles.lab.run.keys]\nstatus = "phase"\nrun = false\nerror = "why"\nlastUpdated = "beat"\n'
    )
    env["NEMO_JOBS_CONFIG"] = str(file)
    run(env, "x1", "--heartbeat", "50ms", "--interval", "1ms", "--", "sh", "-c", "sleep 0.5; exit 2")
    reported = details(server)
    assert STAMP.fullmatch(reported.pop("beat"))
    assert reported == {"phase": "failed", "why": "the command exited with code 2"}


def test_progress_from_output(env, box):
    """Named groups become fields of both streams, typed like the grammar, with --number."""
    server = box()
    words = ("--match", r"epoch (?P<epoch>\d+)/.*loss=(?P<train_loss>[\d.]+)", "--match", r"bleu (?P<bleu>\S+)")
    script = r"printf 'epoch 1/3 loss=0.5\repoch 2/3 loss=0.25\r'; echo 'bleu 31.5' >&2"
    ran = run(env, "x1", *words, "--number", "bleu", "--", "sh", "-c", script)
    assert (ran.stdout, ran.stderr) == (b"epoch 1/3 loss=0.5\repoch 2/3 loss=0.25\r", b"bleu 31.5\n")
    reported = details(server)
    assert {key: reported[key] for key in ("epoch", "train_loss", "bleu", "status")} == {
        "epoch": 2,
        "train_loss": 0.25,
        "bleu": 31.5,
        "status": "completed",
    }


STEPS = ("x1", "--match", r"step (?P<step>\d+)", "--interval", "10ms", "--no-pty", "--", sys.executable, "-c")


def test_python_does_not_buffer_what_is_matched(env, platform):
    """Its progress is reported while it runs."""
    process = start(env, *STEPS, "import sys; print('step 1'); sys.stdin.readline()", stdin=subprocess.PIPE)
    until(lambda: any(body.get("step") == 1 for body in bodies(platform)))
    process.communicate(b"\n", LIMIT)
    assert process.returncode == 0


@pytest.mark.parametrize("given", ["", "x"])
def test_a_choice_of_buffering_is_kept(env, platform, given):
    """PYTHONUNBUFFERED is set only where it is unset, and only if output is matched."""
    show = "import os; print(repr(os.environ.get('PYTHONUNBUFFERED')))"
    assert run(env | {"PYTHONUNBUFFERED": given}, *STEPS, show).stdout == f"{given!r}\n".encode()
    assert run(env, "x1", "--tail", "1", "--", sys.executable, "-c", show).stdout == b"None\n"


def test_ten_thousand_updates_are_a_few_requests(env, box):
    """They are coalesced and sent once per --interval; the last value arrives."""
    server = box()
    ran = run(env, "x1", "--match", r"step (?P<step>\d+)", "--interval", "10s", "--", "seq", "-f", "step %.0f", "10000")
    assert ran.returncode == 0
    assert details(server)["step"] == 10000
    assert len([row for row in server.rows if row.startswith("PATCH")]) <= 2


def test_a_long_interval(env, platform):
    """The start is sent at once and the end always; nothing else is sent before --interval."""
    run(
        env,
        "x1",
        "--match",
        r"step (?P<step>\d+)",
        "--interval",
        "1h",
        "--",
        "sh",
        "-c",
        "sleep 0.5; echo step 1; sleep 2",
    )
    assert [body.get("status") for body in bodies(platform)] == ["running", "completed"]


def test_the_report(env, box, tmp_path):
    """--report FILE has what other commands print with -o json."""
    server = box()
    file = tmp_path / "report.json"
    run(env, "x1", "--report", str(file), "--", "sh", "-c", "exit 3")
    reported = json.loads(file.read_text())
    assert reported["requests"] in {1, 2}
    assert reported | {"requests": 0, "slowed": 0} == {
        "schema": 1,
        "command": "run",
        "outcome": "delivered",
        "exit_code": 3,
        "job": "x1",
        "status_details": server.jobs["default", "x1"].details,
        "unmatched": [],
        "updates": 2,
        "requests": 0,
        "retries": 0,
        "errors": 0,
        "slowed": 0,
        "error": None,
    }


def test_the_report_holds_everything_that_was_reported(env, box, tmp_path):
    """Also what earlier requests sent."""
    server = box()
    script = 'nemo-jobs update -q progress=5 a=1; echo a=2 > "$NEMO_JOBS_CHANNEL"; echo step 7; sleep 0.3; echo step 9'
    report = tmp_path / "report.json"
    run(
        env,
        "x1",
        "--interval",
        "10ms",
        "--match",
        r"step (?P<step>\d+)",
        "--report",
        str(report),
        "--",
        "sh",
        "-c",
        script,
    )
    written = json.loads(report.read_text())
    assert written["requests"] > 1
    assert written["status_details"] == server.jobs["default", "x1"].details
    assert {key: written["status_details"][key] for key in ("progress", "a", "step")} == {
        "progress": 5,
        "a": "2",
        "step": 9,
    }


@pytest.mark.parametrize("command", [("seq", "3"), ("no-such-command",)])
def test_patterns_that_never_match(env, platform, tmp_path, command):
    """One line at the end names them, unless the command could not start."""
    report = tmp_path / "report.json"
    patterns = (r"step (?P<step>\d+)", "(?P<message>3)", r"\x1b(?P<b>x)")
    words = [word for pattern in patterns for word in ("--match", pattern)]
    ran = run(env, "x1", *words, "--report", str(report), "--", *command)
    if command[0] == "seq":
        assert ran.stderr.decode() == "nemo-jobs: --match never matched: 'step (?P<step>\\d+)', '\\x1b(?P<b>x)'\n"
        assert json.loads(report.read_text())["unmatched"] == [patterns[0], patterns[2]]
    else:
        assert b"never matched" not in ran.stderr


def test_an_outage_in_the_middle(env, raw_server):
    """The end is on the platform; stderr has one line for the outage and one for its end."""
    answers = iter([OK, response(401, '{"detail": "Invalid or expired token"}'), *[response(503, "{}")] * 3])
    lock, refused = threading.Lock(), threading.Event()

    def serve(connection, seen, stop):
        data = read_request(connection)
        with lock:
            answer = next(answers, OK)
        connection.sendall(answer)
        if answer == OK:
            seen.append(data)
        else:
            refused.set()

    server = raw_server(serve)
    env["NEMO_JOBS_HOST"] = server.url
    script = "echo 1%; read line; echo 2%; exit 3"
    words = ("--match", r"(?P<progress>\d+)%", "--interval", "50ms", "--", "sh", "-c", script)
    process = start(env, "x1", *words, stdin=subprocess.PIPE)
    assert refused.wait(LIMIT)
    out, err = process.communicate(b"\n", LIMIT)
    assert (process.returncode, out) == (3, b"1%\n2%\n")
    final = {}
    for one in bodies(server):
        final |= one
    assert (final["status"], final["progress"]) == ("failed", 2)
    assert err.count(b"nemo-jobs: ") == 2
    assert err.endswith(b"nemo-jobs: reports are delivered again\n")


# --- signals --------------------------------------------------------------------------------------------------------

ALL = ["INT", "TERM", "HUP", "QUIT", "USR1", "USR2", "WINCH"]


@pytest.mark.parametrize("words", [(), ("--match", "(?P<a>x)")])
@pytest.mark.parametrize("name", ALL)
def test_signals_reach_the_whole_group(env, platform, name, words):
    """The command and its children get them; it decides on the exit code."""
    inner = f"trap 'echo inner; exit' {name}; echo ready; {WAIT}"
    outer = f"trap 'echo outer; exit 42' {name}; sh -c \"$INNER\"; exit 1"
    process = start(env | {"INNER": inner}, "x1", *words, "--", "sh", "-c", outer)
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(getattr(signal, f"SIG{name}"))
    out, _ = process.communicate(timeout=LIMIT)
    assert (process.returncode, out) == (42, b"inner\nouter\n")
    expected = "cancelled" if name in {"INT", "TERM", "HUP"} else "failed"
    assert bodies(platform)[-1]["status"] == expected


@pytest.mark.parametrize(
    ("name", "handler", "code", "status"),
    [
        ("TERM", "exit 0", 0, "completed"),
        ("USR1", "exit 0", 0, "completed"),
        ("USR2", "nemo-jobs update status=preempted; exit 0", 0, "preempted"),
        ("TERM", 'echo status=preempted > "$NEMO_JOBS_CHANNEL"; exit 0', 0, "preempted"),
        ("TERM", "nemo-jobs update status=preempted; exit 3", 3, "cancelled"),
    ],
)
def test_a_command_that_handles_a_signal(env, box, name, handler, code, status):
    """The signal is reported; a status of the command's own since then counts if it ends with 0."""
    server = box()
    script = f"nemo-jobs update -q status=training; trap '{handler}' {name}; echo ready; {WAIT}"
    process = start(env, "x1", "--interval", "10ms", "--", "sh", "-c", script)
    assert process.stdout.readline() == b"ready\n"
    until(lambda: ("default", "x1") in server.jobs and details(server).get("status") == "training")
    process.send_signal(getattr(signal, f"SIG{name}"))
    assert process.wait(LIMIT) == code
    reported = details(server)
    assert (reported["status"], reported["run"]["exitCode"]) == (status, code)
    assert reported["run"]["receivedSignal"] == f"SIG{name}"


@pytest.mark.parametrize(("name", "status"), [("TERM", "cancelling"), ("USR1", "running")])
def test_a_signal_is_reported_at_once(env, platform, name, status):
    """A command may need minutes to stop; a signal to stop is reported as such."""
    script = f"trap 'echo hit' {name}; echo ready; read line; read line; read line"
    process = start(env, "x1", "--interval", "10ms", "--", "bash", "-c", script, stdin=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(getattr(signal, f"SIG{name}"))
    until(lambda: any(body.get("run", {}).get("receivedSignal") == f"SIG{name}" for body in bodies(platform)))
    assert [body["status"] for body in bodies(platform) if "status" in body][-1] == status
    process.communicate(b"\n\n\n", LIMIT)


def test_a_second_interrupt_reaches_the_command(env, platform):
    """Some programs only end at the second one."""
    script = f"trap 'trap \"exit 9\" INT; echo one' INT; echo ready; {WAIT}"
    process = start(env, "x1", "--", "sh", "-c", script)
    for line in (b"ready\n", b"one\n"):
        assert process.stdout.readline() == line
        process.send_signal(signal.SIGINT)
    assert process.wait(LIMIT) == 9


def test_a_command_that_ignores_term_is_killed_after_grace(env, platform):
    """KILL goes to the whole group."""
    script = "trap '' TERM; sh -c 'echo ready; sleep 8; echo alive' & wait; sleep 8"
    process = start(env, "x1", "--grace", "200ms", "--", "sh", "-c", script)
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.stdout.read() == b""  # nobody holds the pipe any more
    assert process.wait(LIMIT) == 137
    last = bodies(platform)[-1]
    assert (last["status"], last["run"]["signal"]) == ("cancelled", "SIGKILL")


def test_without_grace_a_command_has_all_the_time_to_stop(env, platform):
    """It may save a checkpoint for minutes; whoever sent TERM decides when to send KILL."""
    assert Options().grace == 0
    process = start(
        env,
        "x1",
        "--grace",
        "0",
        "--",
        "sh",
        "-c",
        "trap 'echo saving' TERM; echo ready; read a; read a; exit 7",
        stdin=-1,
    )
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == b"saving\n"
    process.communicate(b"\n\n", LIMIT)
    assert process.returncode == 7


def test_nohup(env, platform):
    """A signal that we ignore is ignored by the command too."""
    tool = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *TOOL]
    process = start(env, "x1", "--", "sh", "-c", "echo ready; read line; kill -HUP $$; exit 6", stdin=-1, tool=tool)
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGHUP)
    process.communicate(b"\n", LIMIT)
    assert process.returncode == 6


@pytest.mark.parametrize("name", ["TERM", "HUP", "USR1", "USR2"])
def test_a_signal_after_the_end_changes_nothing(env, raw_server, name):
    """The exit code is that of the command, and its end is still reported."""
    received, answer = threading.Event(), threading.Event()

    def serve(connection, seen, stop):
        seen.append(read_request(connection))
        if b"finishedAt" in seen[-1]:
            received.set()
            answer.wait(LIMIT)
        connection.sendall(OK)

    server = raw_server(serve)
    process = start(env | {"NEMO_JOBS_HOST": server.url}, "x1", "--", "sh", "-c", "exit 5")
    assert received.wait(LIMIT)
    process.send_signal(getattr(signal, f"SIG{name}"))
    answer.set()
    out, err = process.communicate(timeout=LIMIT)
    assert (process.returncode, out, err) == (5, b"", b"")


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
    assert json.loads(file.read_text())["outcome"] == "failed"


# --- what the command inherits from the caller ----------------------------------------------------------------------


@pytest.mark.parametrize("words", LISTENING)
def test_inherited_descriptors_stay_open(env, platform, tmp_path, words):
    """`<(...)`, `3>file` and make's job server work; none of our own descriptors is among them."""
    script = '"$@" sh -c \'cat "$1"; echo three >&3; ls /proc/self/fd /dev/fd >&2\' sh <(echo hello) 3>out'
    tool = ["bash", "-c", f"cd {tmp_path} && {script}", "sh", *TOOL]
    alone = ["bash", "-c", f"cd {tmp_path} && {script}", "sh", "env"]
    ran, expected = (run(env, *more, tool=one) for more, one in ((("x1", *words, "--"), tool), ((), alone)))
    assert (ran.returncode, ran.stdout) == (0, b"hello\n"), ran.stderr
    assert (tmp_path / "out").read_text() == "three\n"
    assert ran.stderr == expected.stderr


@pytest.mark.parametrize("words", LISTENING)
def test_more_than_a_thousand_inherited_descriptors(env, platform, words):
    """Our own have numbers that select() does not take."""
    code = """
import os, resource, sys
limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
for _ in range(1100):
    os.set_inheritable(os.dup(0), True)
os.execv(sys.argv[1], sys.argv[1:])
"""
    ran = run(
        env, "x1", *words, "--", "sh", "-c", "sleep 0.5; echo 1 of 2; exit 3", tool=[sys.executable, "-c", code, *TOOL]
    )
    assert (ran.returncode, ran.stderr) == (3, b"")


@pytest.mark.parametrize("words", [*LISTENING, ("--tail", "5", "--pty")])
@pytest.mark.parametrize("limit", [8, 10, 12])
def test_few_descriptors_do_not_stop_the_command(env, words, limit):
    """Without pipes its output is not read, but it runs."""
    tool = ["sh", "-c", f'ulimit -n {limit}; exec "$@"', "sh", *TOOL]
    env["NEMO_JOBS_DEADLINE"] = "10ms"
    ran = run(env, "x1", *words, "--", "sh", "-c", "echo RAN; exit 3", tool=tool)
    assert (ran.returncode, ran.stdout) == (3, b"RAN\n")


def test_the_job_server_of_make(env, platform, tmp_path):
    """A recipe's nested make takes part in it."""
    (tmp_path / "Makefile").write_text(
        'all:\n\t+@"$$TOOL" -m nemo_jobs_cli run x1 -- $(MAKE) -s inner\ninner:\n\t@true\n'
    )
    ran = subprocess.run(
        ["make", "-s", "-j2"], cwd=tmp_path, env=env | {"TOOL": sys.executable}, capture_output=True, timeout=LIMIT
    )
    assert (ran.returncode, ran.stderr) == (0, b"")


BLOCKED = "import os, signal, sys; signal.pthread_sigmask(signal.SIG_BLOCK, {}); os.execvp(sys.argv[1], sys.argv[1:])"


def blocking(*names):
    """Return a command that blocks signals and starts the tool."""
    numbers = ", ".join(f"signal.{name}" for name in names)
    return [sys.executable, "-Sc", BLOCKED.format("{" + numbers + "}"), *TOOL]


@pytest.mark.parametrize("words", LISTENING)
def test_signals_that_the_caller_blocks(env, platform, words):
    """Neither the end of the command nor a signal is missed; the command has the caller's mask."""
    tool = blocking("SIGCHLD", "SIGTERM")
    code = """
import signal
print(sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])), flush=True)
signal.signal(signal.SIGTERM, lambda *_: exit(5))
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
signal.pause()
"""
    process = start(env, "x1", *words, "--", sys.executable, "-c", code, tool=tool)
    assert process.stdout.readline().decode() == f"{sorted([signal.SIGCHLD, signal.SIGTERM])}\n"
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=LIMIT)
    assert process.returncode == 5


# --- the fate of `run` is that of the command -----------------------------------------------------------------------


def until(condition):
    """Wait for a condition."""
    ends = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.01)


def state(pid):
    """Return a letter for the state of a process, as ps does."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.mark.parametrize("words", [*LISTENING, ("--match", "(?P<a>x)", "--pty")])
def test_kill_of_the_group_reaches_the_command(env, platform, tmp_path, words):
    """It reaches its children too; nothing is left."""
    process = start(env, "x1", *words, "--", "sh", "-c", f"(echo ready; {WAIT}); true")
    assert process.stdout.readline().strip() == b"ready"
    until(lambda: bodies(platform))
    os.killpg(process.pid, signal.SIGKILL)
    assert process.stdout.read() == b""  # nobody holds the pipe any more
    assert process.wait() == -signal.SIGKILL
    until(lambda: not list(tmp_path.glob("tmp/nemo-jobs-run-*")))


@pytest.mark.parametrize("words", LISTENING)
def test_stop_of_the_group_reaches_the_command(env, platform, words):
    """So does CONT; then everything goes on."""
    process = start(env, "x1", *words, "--", "sh", "-c", "echo $$; read line; exit 3", stdin=subprocess.PIPE)
    command = int(process.stdout.readline())
    until(lambda: bodies(platform))
    for number, states in ((signal.SIGSTOP, "T"), (signal.SIGCONT, "RS")) * 2:
        os.killpg(process.pid, number)
        until(lambda states=states: state(process.pid) in states and state(command) in states)
    process.communicate(b"\n", LIMIT)
    assert process.returncode == 3


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


@pytest.mark.parametrize("words", [*LISTENING, ("--match", "(?P<a>x)", "--pty")])
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


def test_kill_of_run_on_a_terminal_kills_the_command(env, platform, tmp_path):
    """The command shares our group and our terminal."""
    with Terminal([*TOOL, "x1", "--", "sh", "-c", f"echo $$.; {WAIT}"], env) as screen:
        screen.until(b".\r\n")
        command = int(screen.seen.partition(b".")[0])
        until(lambda: bodies(platform))
        screen.process.kill()
        until(lambda: not Path(f"/proc/{command}").exists())
    until(lambda: not list(tmp_path.glob("tmp/nemo-jobs-run-*")))


def test_the_guard_may_be_killed(env, platform):
    """The command runs on and is reported."""
    process = start(env, "x1", "--", "sh", "-c", "echo ready; read line; exit 3", stdin=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for pid in map(int, children):
        if b"_guard" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGKILL)
    process.communicate(b"\n", LIMIT)
    assert process.returncode == 3


def test_the_guard_holds_no_descriptor(env, platform):
    """The end of a pipe is that of the command, and the guard has no variable: no token."""
    env["NEMO_JOBS_TOKEN"] = "secret"
    tool = ["bash", "-c", '"$@" 3> >(cat >&2)', "sh", *TOOL]
    code = """
import os, sys, time
def guards():
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline") as file:
                if file.read().split("\\0")[1:4] == ["-I", "-S", sys.argv[1]] and os.getsid(int(pid)) == os.getsid(0):
                    yield pid
        except OSError:
            pass
while len(list(guards())) < 2:
    time.sleep(0.01)
for pid in guards():
    print(sorted(map(int, os.listdir(f"/proc/{pid}/fd"))), open(f"/proc/{pid}/environ").read())
    print([os.readlink(f"/proc/{pid}/fd/{number}") == os.readlink(f"/proc/self/fd/{number}") for number in (0, 1, 2)])
"""
    ran = run(env, "x1", "--", sys.executable, "-c", code, _guard.__file__, tool=tool)
    assert ran.stdout.decode() == "[0, 1, 2] \n[False, False, False]\n" * 2, ran.stderr


# --- as PID 1 of a container ----------------------------------------------------------------------------------------


@pytest.fixture
def container():
    """Return the words that make a command PID 1 of a namespace of its own; skip where that is not allowed."""
    words = ["unshare", "--pid", "--fork", "--mount-proc"]
    if shutil.which("unshare") is None or subprocess.run([*words, "true"], capture_output=True).returncode:
        pytest.skip("cannot create a PID namespace (unshare --pid)")
    return words


def test_pid_1_reaps_orphans(env, box, container):
    """No zombie is left while the command runs; the exit code is that of the command."""
    server = box()
    script = """
        for n in 1 2 3; do (sleep 0.1 & echo $!); done > orphans
        for pid in $(cat orphans); do while [ -e /proc/$pid ]; do sleep 0.02; done; done
        exit 7
    """
    ran = run(env, "x1", "--", "sh", "-c", script, tool=[*container, *TOOL], cwd=env["HOME"])
    assert (ran.returncode, ran.stderr) == (7, b"")
    assert details(server)["run"]["exitCode"] == 7


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "USR1"])
def test_pid_1_passes_signals_on(env, box, container, name):
    """`docker stop` signals PID 1 only."""
    server = box()
    script = f"trap 'exit 42' {name}; kill -{name} 1; {WAIT}"
    ran = run(env, "x1", "--", "sh", "-c", script, tool=[*container, *TOOL])
    assert (ran.returncode, details(server)["run"]["receivedSignal"]) == (42, f"SIG{name}")


@pytest.mark.parametrize("is_pid_1", [False, True])
def test_an_ignored_sigchld_hides_no_end(env, box, request, is_pid_1):
    """As after `trap '' CHLD` in an entrypoint: the kernel would reap the command, and its exit code would be lost."""
    server = box()
    code = "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    tool = [*(request.getfixturevalue("container") if is_pid_1 else []), sys.executable, "-c", code, *TOOL]
    ran = run(env, "x1", "--", "sh", "-c", "exit 6", tool=tool)
    assert (ran.returncode, ran.stderr) == (6, b"")
    assert details(server)["run"]["exitCode"] == 6


def test_pid_1_ends_with_its_child(env, platform, container):
    """The exit code says what killed the reporting process, which is the parent of the command."""
    assert run(env, "x1", "--", "sh", "-c", f"kill -9 $PPID; {WAIT}", tool=[*container, *TOOL]).returncode == 137
    for folder in Path(env["TMPDIR"]).iterdir():  # nobody was left to remove it; a container's goes with it
        shutil.rmtree(folder)


# --- what a command leaves behind -----------------------------------------------------------------------------------


@pytest.mark.parametrize("words", LISTENING)
def test_a_daemon_with_the_pipe_does_not_delay_the_end(env, platform, words):
    """A command in the background lives on."""
    script = "setsid sleep 100 & echo $!; exit 3"
    with open(os.devnull) as nothing:
        process = start(env, "x1", *words, "--", "sh", "-c", script, stdin=nothing)
        daemon = int(process.stdout.readline())
        try:
            assert process.wait(LIMIT) == 3
            os.kill(daemon, 0)
        finally:
            os.kill(daemon, signal.SIGKILL)
    process.communicate()


@pytest.mark.parametrize("words", LISTENING)
def test_a_command_that_closes_its_output(env, platform, words):
    """It runs on, and its exit code counts."""
    ran = run(env, "x1", *words, "--", "sh", "-c", "echo output; exec >&- 2>&-; sleep 0.3; exit 7")
    assert (ran.returncode, ran.stdout) == (7, b"output\n")


def test_no_process_is_left(env, platform):
    """Everything that we have started has ended."""
    process = start(env, "x1", "--match", "(?P<a>x)", "--", "sh", "-c", "true")
    process.communicate(timeout=LIMIT)
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


# --- the channel ----------------------------------------------------------------------------------------------------


def test_a_script_writes_to_the_channel(env, box):
    """Field lines, JSON and `nemo-jobs update` for the job keep their order."""
    server = box()
    script = """
        echo 'progress=10 message="batch 1"' > "$NEMO_JOBS_CHANNEL"
        echo '{"metrics": {"a": 1}}' > "$NEMO_JOBS_CHANNEL"
        nemo-jobs update progress=20
        nemo-jobs update "$NEMO_JOBS_JOB" step=7 -q
        echo progress=30 > "$NEMO_JOBS_CHANNEL"
    """
    ran = run(env, "x1", "--interval", "100s", "--", "sh", "-ec", script)
    assert (ran.returncode, ran.stderr) == (0, b"")
    reported = details(server)
    assert {key: reported[key] for key in ("progress", "message", "metrics", "step")} == {
        "progress": 30,
        "message": "batch 1",
        "metrics": {"a": 1},
        "step": 7,
    }
    assert len([row for row in server.rows if row.startswith("PATCH")]) == 2  # one writer: its first and its last


def test_large_updates_keep_their_order(env, box, tmp_path):
    """Older values do not overwrite them."""
    server = box()
    (tmp_path / "log").write_text("x" * 6000)
    script = f"""
        nemo-jobs update -q phase=start
        nemo-jobs update -q phase=mid progress=50
        nemo-jobs update -q phase=done progress=100 log@={tmp_path}/log
    """
    run(env, "x1", "--interval", "100s", "--", "sh", "-ec", script)
    reported = details(server)
    assert (reported["phase"], reported["progress"], len(reported["log"])) == ("done", 100, 6000)


@pytest.mark.parametrize("words", [(), ("--outbox",)])
def test_what_an_update_wants_to_be_stored_is_stored(env, tmp_path, words):
    """`run` stores it if the platform is away, even if nothing else of it was to be stored."""
    env["NEMO_JOBS_DEADLINE"] = "0"
    script = f"cd '{tmp_path}' && nemo-jobs update -q progress=45 {' '.join(words)} --outbox-dir box"
    ran = run(env, "x1", "--", "sh", "-c", script)
    assert ran.returncode == 0
    entries = [json.loads(file.read_text()) for file in (tmp_path / "box/pending").glob("*.json")]
    assert [entry["fields"]["progress"] for entry in entries] == ([45] if words else [])
    assert (b"nemo-jobs: kept x1: " in ran.stderr) is bool(words)


def test_another_job_is_updated_directly(env, box):
    """The channel is for the job of `run`."""
    server = box()
    run(env, "x1", "--", "sh", "-ec", "nemo-jobs update other progress=5; nemo-jobs update -w ws progress=6")
    assert details(server, "other") == {"progress": 5}
    assert details(server, "x1", "ws") == {"progress": 6}
    assert "progress" not in details(server)


def test_bad_lines_of_the_channel(env, box):
    """They are skipped; a thousand of them do not fill the screen."""
    server = box()
    script = (
        'echo "progress=1\nnonsense\nprogress=2" > "$NEMO_JOBS_CHANNEL"; seq 1000 | sed s/^/x/ > "$NEMO_JOBS_CHANNEL"'
    )
    ran = run(env, "x1", "--", "sh", "-c", script)
    assert (ran.returncode, details(server)["progress"]) == (0, 2)
    warnings = ran.stderr.decode().splitlines()
    assert warnings[0].startswith("nemo-jobs: skipped channel:2")
    assert len(warnings) == 21
    assert warnings[-1] == "nemo-jobs: further bad lines of the channel are skipped without a message"


def environment_of_the_command(env, *words):
    """Return the variables of a command that begin with NEMO_JOBS_ or were given, but for its channel."""
    code = "import json, os; print(json.dumps(dict(os.environ)))"
    ran = run(env, "x1", *words, "--", sys.executable, "-c", code)
    reported = json.loads(ran.stdout)
    assert reported.pop("NEMO_JOBS_CHANNEL") != "/outer"
    return {name: value for name, value in reported.items() if name.startswith("NEMO_JOBS_") or name == "MINE"}


def test_what_the_command_inherits(env, box, tmp_path):
    """It gets the whole environment and, as variables, the connection of the flags: whole paths, and no token."""
    server = box()
    env |= {"NEMO_JOBS_TOKEN": "sandbox", "MINE": "stays", "NEMO_JOBS_CHANNEL": "/outer", "NEMO_JOBS_NUMBERS": "a"}
    common = {
        "NEMO_JOBS_HOST": server.url,
        "NEMO_JOBS_WORKSPACE": "default",
        "NEMO_JOBS_JOB": "x1",
        "NEMO_JOBS_DEADLINE": "10",
        "NEMO_JOBS_NUMBERS": "a",
        "MINE": "stays",
    }
    assert environment_of_the_command(env) == common | {"NEMO_JOBS_TOKEN": "sandbox"}
    file = Path(os.path.relpath(tmp_path / "token"))
    file.write_text("sandbox")
    words = ("-w", "ws", "--host", server.url, "--token-file", str(file), "--ca-file", str(file), "--number", "b")
    words += ("--deadline", "1", "--outbox", "--number", "c")
    assert environment_of_the_command(env, *words) == common | {
        "NEMO_JOBS_WORKSPACE": "ws",
        "NEMO_JOBS_TOKEN_FILE": str(file.absolute()),
        "NEMO_JOBS_CA_FILE": str(file.absolute()),
        "NEMO_JOBS_NUMBERS": "a,b,c",
    }
    assert environment_of_the_command(env, "--anonymous") == common
    home = {"HOME": str(tmp_path)}
    assert environment_of_the_command(env | home, "--token-file", "~/token") == common | {
        "NEMO_JOBS_TOKEN_FILE": str(tmp_path / "token")
    }
    pipe = Path(f"/dev/fd/{os.open(os.devnull, os.O_RDONLY)}")
    for path in (str(pipe), "x" * 5000):
        assert environment_of_the_command(env, "--token-file", path) == common


PROFILES = """
default_profile = "a"
[profiles.a]
host = "http://127.0.0.1:1"
token = "of a"
[profiles.b]
host = "{url}"
token = "sandbox"
api = "jobs"
best_effort = true
"""


@pytest.mark.parametrize("variables", [{}, {"NEMO_JOBS_TOKEN": "of a", "NEMO_JOBS_API": "attempts"}])
def test_a_profile_reaches_the_command(env, box, tmp_path, variables):
    """Weaker variables do not come in between; the profile's token stays in its file."""
    server = box(auth=True)
    (tmp_path / "config.toml").write_text(PROFILES.format(url=server.url))
    env |= {"NEMO_JOBS_CONFIG": str(tmp_path / "config.toml")} | variables
    env.pop("NEMO_JOBS_HOST")
    assert environment_of_the_command(env, "--profile", "b") == {
        "NEMO_JOBS_CONFIG": env["NEMO_JOBS_CONFIG"],
        "NEMO_JOBS_DEADLINE": "10",
        "NEMO_JOBS_HOST": server.url,
        "NEMO_JOBS_WORKSPACE": "default",
        "NEMO_JOBS_JOB": "x1",
        "NEMO_JOBS_PROFILE": "b",
    }
    script = "nemo-jobs update -q progress=5; nemo-jobs update -q other a=6; nemo-jobs show other --field a"
    ran = run(env, "x1", "--profile", "b", "--", "sh", "-ec", script)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"6\n", b"")
    assert details(server)["progress"] == 5


def test_commands_in_the_command_have_the_token_of_the_variable(env, box):
    """Those for other jobs need it."""
    server = box(auth=True)
    env["NEMO_JOBS_TOKEN"] = "sandbox"
    ran = run(env, "x1", "--", "sh", "-ec", "nemo-jobs update -q other a=6; nemo-jobs show other --field a")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"6\n", b"")
    assert details(server)["status"] == "completed"


def test_a_failure_of_the_reporter_does_not_end_the_command(env, box):
    """No thread may be left on a busy node; the command goes on to its end all the same."""
    box()
    code = (
        "import sys; sys.argv[0] = 'nemo-jobs'; from nemo_jobs_cli.reporting.reporter import Reporter\n"
        "def start(self): raise RuntimeError('cannot start a thread')\n"
        "Reporter.start = start; from nemo_jobs_cli.__main__ import main; main()"
    )
    script = "sleep 0.5; echo RAN; exit 3"
    process = start(env, "run", "x1", "--", "sh", "-c", script, tool=[sys.executable, "-c", code])
    out, err = process.communicate(timeout=LIMIT)
    assert (process.returncode, out) == (3, b"RAN\n")
    assert err.startswith(b"error: nemo-jobs has a bug: RuntimeError at ")


def test_no_room_for_a_channel(env, box, tmp_path):
    """Without a folder for temporary files the command runs all the same."""
    server = box()
    env["NEMO_JOBS_CHANNEL"] = "/outer"
    # All that could hold a temporary file is gone: no folder of its names can be written to, by root neither.
    code = (
        "import sys, tempfile; tempfile.tempdir = '/proc/nowhere'; "
        "sys.argv[0] = 'nemo-jobs'; from nemo_jobs_cli.__main__ import main; main()"
    )
    process = start(
        env, "run", "x1", "--", "sh", "-c", 'echo "<$NEMO_JOBS_CHANNEL>"', tool=[sys.executable, "-c", code]
    )
    out, err = process.communicate(timeout=LIMIT)
    assert (process.returncode, out) == (0, b"<>\n")
    assert err == b"nemo-jobs: cannot create NEMO_JOBS_CHANNEL: No such file or directory\n"
    assert details(server)["status"] == "completed"


def test_inside_a_job_no_settings_are_needed(env, box):
    """Host, workspace and job are those of the job, even without HOME."""
    server = box()
    for name in ("HOME", "TMPDIR", "NEMO_JOBS_HOST"):
        env.pop(name)
    env |= {"NMP_JOBS_URL": server.url, "NEMO_JOB_ID": "train-x", "NEMO_JOB_WORKSPACE": "ws"}
    ran = run(env, "--", "sh", "-c", "nemo-jobs update progress=45; exit 3")
    assert (ran.returncode, ran.stderr) == (3, b"")
    reported = details(server, "train-x", "ws")
    assert (reported["progress"], reported["status"]) == (45, "failed")


# --- ranks -----------------------------------------------------------------------------------------------------

RANK_1 = {"RANK": "1", "WORLD_SIZE": "4"}


def test_only_rank_0_reports(env, platform, tmp_path):
    """Another rank runs its command and prints one notice; its own updates are not sent either."""
    file = tmp_path / "report.json"
    script = "nemo-jobs update progress=1 -q; echo done; exit 3"
    ran = run(env | RANK_1, "x1", "--report", str(file), "--", "sh", "-c", script)
    assert (ran.returncode, ran.stdout) == (3, b"done\n")
    assert ran.stderr == b"nemo-jobs: rank 1 of 4 (RANK): rank 0 reports; --all-ranks reports from each rank\n"
    assert not platform.seen
    assert json.loads(file.read_text())["outcome"] == "dropped"


@pytest.mark.parametrize(("words", "more"), [((), {"RANK": "0", "WORLD_SIZE": "4"}), (("--all-ranks",), RANK_1)])
def test_rank_0_and_all_ranks_report(env, platform, words, more):
    """There is no notice."""
    assert run(env | more, "x1", *words, "--", "true").stderr == b""
    assert bodies(platform)[-1]["status"] == "completed"


def test_quiet_prints_nothing(env):
    """Not about ranks, and not about failed reports."""
    env["NEMO_JOBS_DEADLINE"] = "100ms"
    assert run(env, "x1", "-q", "--", "sh", "-c", "exit 3").stderr == b""
    assert run(env | RANK_1, "x1", "-q", "--", "true").stderr == b""


def test_verbose_shows_reports(env, platform):
    """-v prints each."""
    err = run(env, "x1", "-v", "--", "true").stderr.decode()
    assert all(
        line.startswith(("nemo-jobs: reported lastUpdated=", "nemo-jobs: the server ")) for line in err.splitlines()
    )
    assert "status=completed" in err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("x1",), "missing -- before the command"),
        (("x1", "true"), "missing -- before the command"),
        (("x1", "true", "--"), "unexpected argument before --: true"),
        (("x1", "x2", "--", "true"), "unexpected argument before --: x2"),
        (("x1", "--"), "missing command after --"),
        (("x1", "--", ""), "missing command after --"),
        (("", "--", "true"), "empty job name in JOB"),
        (("--", "true"), "no job given"),
        (("x1", "-o", "json", "--", "true"), "write what was reported to a file: --report FILE"),
        (("x1", "--output=text", "--", "true"), "write what was reported to a file: --report FILE"),
        (("x1", "-w", "a b", "--", "true"), "workspace"),
        (("x1", "--header", "X", "--", "true"), "--header"),
        (("x1", "--deadline", "abc", "--", "true"), "--deadline"),
        (("x1", "--profile", "", "--", "true"), "--profile is empty"),
        (("x1", "--token-file", "-", "--", "true"), "cannot read the token from stdin (--token-file)"),
        (("x1", "--match", "(", "--", "true"), "invalid --match"),
        (("x1", "--match", "x", "--", "true"), "--match has no named group"),
        (("x1", "--interval", "soon", "--", "true"), "--interval"),
        (("x1", "--heartbeat", "soon", "--", "true"), "--heartbeat"),
        (("x1", "--grace", "soon", "--", "true"), "--grace"),
        (("x1", "--tail", "-1", "--", "true"), "--tail"),
    ],
)
@pytest.mark.parametrize("host", ["http://127.0.0.1:1", "not-a-url"])
def test_usage_errors_come_before_the_command(nemo_jobs, words, text, host, monkeypatch):
    """The exit code is 2, with a hint on stderr, whatever else is wrong."""
    monkeypatch.setenv("NEMO_JOBS_OUTPUT", "json")
    monkeypatch.setenv("NEMO_JOBS_HOST", host)
    if host == "not-a-url" and text == "no job given":
        return  # the unreadable settings may hold it
    ran = nemo_jobs("run", *words)
    assert (ran.code, ran.out) == (2, "")
    assert text in ran.err
    assert "next: " in ran.err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--host", "not-a-url"), "invalid URL in --host"),
        (("--ca-file", "/no/such.pem"), "cannot find the CA file /no/such.pem (--ca-file)"),
        (("--profile", "b"), "no profile 'b'"),
    ],
)
def test_wrong_settings_on_the_command_line(nemo_jobs, tmp_path, monkeypatch, words, text):
    """The exit code is 3."""
    (tmp_path / "config.toml").write_text("[profiles.a]\n")
    monkeypatch.setenv("NEMO_JOBS_CONFIG", str(tmp_path / "config.toml"))
    ran = nemo_jobs("run", "x1", *words, "--", "true")
    assert (ran.code, ran.out) == (3, "")
    assert text in ran.err


WRONG_VARIABLES = {
    "NEMO_JOBS_HOST": ("not-a-url", "invalid URL in NEMO_JOBS_HOST: 'not-a-url'"),
    "NEMO_JOBS_DEADLINE": ("abc", "NEMO_JOBS_DEADLINE"),
    "NEMO_JOBS_CA_FILE": ("/no/such.pem", "cannot find the CA file /no/such.pem"),
    "NEMO_JOBS_PROFILE": ("nope", "no profile 'nope'"),
    "NEMO_JOBS_WORKSPACE": ("a b", "workspace"),
    "NEMO_JOBS_JOB": ("A B", "NEMO_JOBS_JOB"),
    "NEMO_JOBS_OUTBOX": ("maybe", "NEMO_JOBS_OUTBOX"),
    "NEMO_JOBS_CONFIG": ("/no/such.toml", "no such file"),
    "NEMO_JOBS_TOKEN_FILE": ("-", "cannot read the token from stdin (NEMO_JOBS_TOKEN_FILE)"),
    "NMP_CONFIG_FILE": ("/no/such.yaml", "/no/such.yaml"),
}
BROKEN_FILES = {"nemo-jobs/config.toml": "host = [", "nmp/config.yaml": "a: [", "nhx/config.yaml": "\0"}


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        *((problem, ()) for problem in (*WRONG_VARIABLES, *BROKEN_FILES)),
        ("NEMO_JOBS_HOST", ("--match", "(?P<a>x)")),
        ("nemo-jobs/config.toml", ("--profile", "lab")),
    ],
)
def test_other_problems_do_not_stop_the_command(env, tmp_path, problem, words):
    """It runs as it would alone; stderr says what is wrong."""
    if problem in BROKEN_FILES:
        file = tmp_path / "home/.config" / problem
        file.parent.mkdir(parents=True)
        file.write_text(BROKEN_FILES[problem])
        text = str(file).replace(env["HOME"], "~")
    else:
        env[problem], text = WRONG_VARIABLES[problem]
    job = () if problem == "NEMO_JOBS_JOB" else ("x1",)
    report = tmp_path / "report.json"
    script = 'cat; echo progress=1 > "$NEMO_JOBS_CHANNEL"; exit 3'
    ran = run(env, *job, *words, "--report", str(report), "--", "sh", "-c", script, input=b"input")
    assert (ran.returncode, ran.stdout) == (3, b"input")
    lines = ran.stderr.decode().splitlines()
    assert lines[0].startswith("error: ")
    assert text in lines[0]
    assert lines[-1] == "warning: running the command without reports"
    written = json.loads(report.read_text())
    assert (written["outcome"], written["exit_code"], written["updates"]) == ("failed", 3, 0)
    assert "error: " + written["error"]["message"] == lines[0]


def test_the_output_format_of_other_commands_does_not_matter(env, platform):
    """The variable is for those whose stdout is ours."""
    ran = run(env | {"NEMO_JOBS_OUTPUT": "json"}, "x1", "--", "sh", "-c", "echo out; exit 3")
    assert (ran.returncode, ran.stdout, ran.stderr) == (3, b"out\n", b"")
    assert bodies(platform)[-1]["status"] == "failed"


def without(module):
    """Return the tool without a library."""
    code = f"import sys; sys.modules['{module}'] = None; sys.argv[0] = 'nemo-jobs'; import nemo_jobs_cli.__main__ as m; m.main()"
    return [sys.executable, "-c", code, "run"]


def test_a_missing_library_does_not_stop_the_command(env, platform):
    """Patterns need one that is imported late."""
    process = start(env, "x1", "--match", "(?P<a>x)", "--", "sh", "-c", "echo out; exit 3", tool=without("regex"))
    out, err = process.communicate(timeout=LIMIT)
    assert (process.returncode, out) == (3, b"out\n")
    assert b"ModuleNotFoundError" in err
    assert err.endswith(b"warning: running the command without reports\n")


def test_other_systems_than_posix(nemo_jobs, monkeypatch):
    """The error names what works there."""
    from nemo_jobs_cli.commands import run as under_test

    monkeypatch.setattr(under_test, "os", type("Windows", (), {"name": "nt"}))
    ran = nemo_jobs("run", "x1", "--", "true")
    assert ran.code == 2
    assert "cannot run a command: not a POSIX system" in ran.err


# --- terminals ------------------------------------------------------------------------------------------------------


def test_without_match_the_command_shares_the_terminal(env, platform):
    """It has the terminal itself."""
    with Terminal([*TOOL, "x1", "--", "tty"], env) as screen:
        assert screen.end() == 0
        assert screen.seen.split() == [os.ttyname(screen.side).encode()]


@pytest.mark.parametrize(("words", "state"), [((), "True True True"), (("--no-pty",), "True False False")])
def test_the_command_keeps_a_terminal_while_output_is_read(env, box, words, state):
    """It gets one of its own; --no-pty gives it pipes."""
    server = box()
    code = "import os; print(*[os.isatty(n) for n in range(3)])"
    command = ["--match", "(?P<saw>.+)", *words, "--", sys.executable, "-c", code]
    with Terminal([*TOOL, "x1", *command], env) as screen:
        assert screen.end() == 0
        assert screen.seen == f"{state}\r\n".encode()
        assert screen.mode() == screen.before
    assert details(server)["saw"] == state


def test_pty_gives_a_terminal_in_a_pipeline(env, platform):
    """The output is unchanged."""
    words = ("--match", "(?P<a>x)", "--pty", "--", sys.executable, "-c", "import os; print(os.isatty(1))")
    assert run(env, "x1", *words).stdout == b"True\n"


def test_redirected_stderr_stays_redirected(env, platform, tmp_path):
    """2> works for a command on a terminal."""
    with open(tmp_path / "err", "wb") as err:
        script = "echo out; echo err >&2"
        with Terminal([*TOOL, "x1", "-q", "--match", "(?P<a>x)", "--", "sh", "-c", script], env, stderr=err) as screen:
            assert screen.end() == 0
            assert screen.seen == b"out\r\n"
    assert (tmp_path / "err").read_bytes() == b"err\n"


def test_keys_reach_the_command(env, platform):
    """Lines are echoed, Ctrl-D is the end; then the terminal is restored."""
    with Terminal([*TOOL, "x1", "--match", "(?P<a>x)", "--", "sh", "-c", "echo ready; exec cat"], env) as screen:
        screen.until(b"ready")
        screen.type(b"hello\r")
        screen.until(b"hello\r\nhello\r\n")
        screen.type(b"\x04")
        assert screen.end() == 0
        assert screen.mode() == screen.before


@pytest.mark.parametrize("words", [(), ("--match", "(?P<a>x)")])
@pytest.mark.parametrize(("key", "name"), [(b"\x03", "INT"), (b"\x1c", "QUIT")])
def test_ctrl_c_reaches_the_command_once(env, platform, words, key, name):
    """The exit code is that of the command."""
    script = f"trap 'echo hit' {name}; echo ready; read line; read line; exit 4"
    with Terminal([*TOOL, "x1", *words, "--", "bash", "-c", script], env) as screen:
        screen.until(b"ready")
        screen.type(key)
        screen.until(b"hit")
        screen.type(b"\r\r\r")
        assert screen.end() == 4
        assert screen.seen.count(b"hit") == 1
        assert screen.mode() == screen.before


@pytest.mark.parametrize("words", [(), ("--match", "(?P<a>x)")])
def test_a_resize_reaches_the_command(env, platform, words):
    """It gets SIGWINCH and the new size."""
    script = f"trap 'stty size; exit 4' WINCH; stty size; {WAIT}"
    with Terminal([*TOOL, "x1", *words, "--", "sh", "-c", script], env, rows=30, columns=90) as screen:
        screen.until(b"30 90")
        screen.resize(50, 132)
        assert screen.end() == 4
        assert b"\n50 132" in screen.seen


def in_shell(env, script, *words, **more):
    """Run `nemo-jobs run x1` as "$@" of a script, on a terminal."""
    return Terminal(["bash", "-c", script, "sh", *TOOL, "x1", *words], env, **more)


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


def test_ctrl_z_and_bg(env, platform, tmp_path):
    """The command runs to its end, and the shell gets the keys."""
    shell = 'set -m; "$@"; echo stopped; bg; read line; echo shell got $line; wait; echo ended; stty -a'
    inner = """
import sys, time
from pathlib import Path
for word in sys.argv[1:]:
    print(word, flush=True)
    while not Path(word).exists():
        time.sleep(0.01)
"""
    # It does not fork: Ctrl-Z within vfork would leave its parent waiting.
    words = ("--match", "(?P<a>x)", "--", sys.executable, "-c", inner, "ready", "output")
    with in_shell(env, shell, *words, cwd=tmp_path) as screen:
        screen.until(b"ready")
        screen.type(b"\x1a")
        screen.until(b"stopped")
        (tmp_path / "ready").touch()
        screen.until(b"output")
        screen.type(b"hello\r")
        screen.until(b"shell got hello")
        (tmp_path / "output").touch()
        screen.until(b"ended")
        screen.end()
        assert screen.mode() == screen.before


@pytest.mark.parametrize(
    ("reads", "keys"), [("read line; echo shell got $line;", b"hello\r"), ("", b"hello\r"), ("", b"")]
)
def test_stop_and_bg(env, platform, tmp_path, reads, keys):
    """Without Ctrl-Z too the shell gets the keys, and touching the terminal stops no process."""
    shell = f'set -m; "$@"; stty sane; echo stopped; bg; {reads} wait; echo ended'
    inner = f"echo we are $PPID.; while [ ! -e {tmp_path}/go ]; do sleep 0.05; done; exit 4"
    with in_shell(env, shell, "--match", "(?P<a>x)", "--", "sh", "-c", inner) as screen:
        screen.until(b".\r\n")
        os.kill(int(re.search(rb"we are (\d+)", screen.seen)[1]), signal.SIGSTOP)
        screen.until(b"stopped")
        screen.type(keys)
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
        output, _, prose = screen.seen.partition(b"\r\n")
        assert output == b"output"
        first, *others = (line.split()[1] for line in prose.splitlines())
    assert (first in {b"no", b"nothing"}, others) == (True, [b"--match", b"not"])


def test_the_last_output_on_a_terminal_is_not_lost(env, platform):
    """A command may print much and end at once."""
    with Terminal([*TOOL, "x1", "--match", "(?P<message>10)", "--", "seq", "20000"], env) as screen:
        screen.until(b"\n20000\r\n")
        assert screen.end() == 0
        assert screen.seen == "".join(f"{n}\r\n" for n in range(1, 20001)).encode()


def test_the_keys_of_the_profile_are_those_of_run():
    """The profile can rename every key, and no other."""
    from nemo_jobs_cli.settings import profiles

    assert set(profiles.RUN_KEYS) == {status.STATUS, status.RUN, status.ERROR, "lastUpdated"}
