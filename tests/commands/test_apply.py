"""Test `nemo-jobs apply`: from the file to the server, and the exit code."""

from __future__ import annotations

import io
import json
import os
import signal
import stat
import subprocess
import sys
import threading

import pytest
from raw import CHILD_ENVIRONMENT, read_request, response
from terminals import Terminal
from waiting import LIMIT

from nemo_jobs_cli.delivery import batch, policy

GONE = "http://127.0.0.1:1"  # nothing listens there
MAIN = (sys.executable, "-m", "nemo_jobs_cli")


@pytest.fixture(autouse=True)
def _settings(monkeypatch, tmp_path):
    """Set a workspace and a folder for the outbox."""
    monkeypatch.setenv("NEMO_JOBS_WORKSPACE", "research")
    monkeypatch.setenv("NEMO_JOBS_OUTBOX_DIR", str(tmp_path / "box"))


@pytest.fixture
def server(monkeypatch, start_sandbox):
    """Return the sandbox of the settings."""
    running = start_sandbox()
    monkeypatch.setenv("NEMO_JOBS_HOST", running.url)
    return running


@pytest.fixture
def file(tmp_path):
    """Return a function that writes entries, (job, fields) or texts, and returns its path."""

    def write(*entries, name="updates.ndjson"):
        rows = (
            entry if isinstance(entry, str) else json.dumps({"job": entry[0], "status_details": entry[1]})
            for entry in entries
        )
        path = tmp_path / name
        path.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
        return str(path)

    return write


def details(server, job, workspace="research"):
    """Return the details of a job on the server."""
    return server.jobs[workspace, job].details


def left(path):
    """Return jobs and fields of a `--failed` file."""
    return [
        (item.update.job, dict(item.update.fields))
        for item in batch.parse(path.read_text(encoding="utf-8"), "left", "ws").items
    ]


def test_lines_are_delivered_to_their_jobs(nemo_jobs, server, file):
    """One coalesced request per job; one plain line at the end."""
    ran = nemo_jobs("apply", file(("train-x", {"a": 1, "b": 1}), ("train-y", {"c": 1}), ("train-x", {"b": 2})))
    assert (ran.code, ran.out, ran.err) == (0, "2 delivered, 2 attempts\n", "")
    assert details(server, "train-x") == {"a": 1, "b": 2}
    assert details(server, "train-y") == {"c": 1}


def test_an_array_with_workspaces_is_delivered(nemo_jobs, server, file):
    """The workspace of an entry wins over the settings; a byte order mark is ignored."""
    text = json.dumps(
        [{"job": "j1", "status_details": {"a": 1}}, {"job": "j1", "workspace": "lab", "status_details": {}}]
    )
    assert nemo_jobs("apply", file(f"\ufeff{text}")).code == 0
    assert details(server, "j1") == {"a": 1}
    assert details(server, "j1", "lab") == {}


def test_stdin_is_read(nemo_jobs, server, monkeypatch):
    """`jq ... | nemo-jobs apply -`."""
    text = b'{"job":"j1","status_details":{"a":"\xc3\xa9"}}'
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    assert nemo_jobs("apply", "-").code == 0
    assert details(server, "j1") == {"a": "é"}


def test_no_fold_sends_each_in_order(nemo_jobs, server, file):
    """The server sees every step."""
    ran = nemo_jobs("apply", file(*(("j1", {"step": step}) for step in range(5))), "--no-fold", "-o", "ndjson")
    rows = [json.loads(row) for row in ran.out.splitlines()]
    assert [row["from"].rpartition(":")[2] for row in rows[:-1]] == ["1", "2", "3", "4", "5"]
    assert [row["outcome"] for row in rows] == ["delivered"] * 6
    assert (rows[-1]["updates"], rows[-1]["delivered"], rows[-1]["left"]) == (5, 5, 0)
    assert details(server, "j1") == {"step": 4}


def test_json_is_exactly_one_object(nemo_jobs, server, file):
    """For any number of updates."""
    ran = nemo_jobs("apply", file(("j1", {}), ("j2", {})), "-o", "json")
    assert (ran.json["outcome"], ran.json["delivered"], ran.err) == ("delivered", 2, "")


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("{", ":2:2: "),
        ('{"job":"j1"}', ":2: missing key 'status_details'"),
        ('{"job":"J","status_details":{}}', ":2: 'J'"),
        ('{"job":"j1","status_details":{"a":1,"a":1}}', ":2:"),
    ],
)
def test_an_invalid_entry_is_an_error_before_anything_is_sent(
    nemo_jobs, raw_server, file, tmp_path, bad, message, form
):
    """With its location; no request, no `--failed` file."""
    server = raw_server([response(200)])
    name = file(("j1", {}), bad, ("j2", {}))
    failed = tmp_path / "left"
    ran = nemo_jobs("apply", name, "--host", server.url, "--failed", str(failed), "-o", form)
    assert ran.code == 2
    assert server.seen == []
    assert not failed.exists()
    error = ran.json["error"]["message"] if form == "json" else ran.err
    assert f"{name}{message}" in error
    assert "nothing was sent" in error


def test_a_missing_file_and_an_invalid_workspace_are_usage_errors(nemo_jobs, tmp_path):
    """The message names the file as the user wrote it."""
    ran = nemo_jobs("apply", str(tmp_path / "none"))
    assert ran.code == 2
    assert str(tmp_path / "none") in ran.err
    assert nemo_jobs("apply", "-", "-w", "No").code == 2


@pytest.mark.parametrize(("number", "code"), [(0, 2), (1, 0), (64, 0), (65, 2)])
def test_up_to_64_jobs_are_sent_at_once(nemo_jobs, server, file, number, code):
    """The range is that of the help."""
    assert nemo_jobs("apply", file(), "--concurrency", str(number)).code == code


def test_a_dry_run_sends_and_writes_nothing(nemo_jobs, file, tmp_path):
    """It checks everything and prints the plan; the --failed file of an earlier run stays."""
    failed = tmp_path / "left"
    failed.write_text("precious", encoding="utf-8")
    name = file(("j1", {"a": 1}), ("j1", {"a": 2}))
    ran = nemo_jobs("apply", name, "--dry-run", "--host", GONE, "--failed", str(failed))
    assert (ran.code, ran.out) == (0, f"research/j1\ta=2\t{name}:1 and 1 more\n")
    assert ran.err == "2 updates of 1 job, 1 request; nothing was sent\n"
    assert failed.read_text(encoding="utf-8") == "precious"


def test_an_empty_file_succeeds(nemo_jobs, server, file):
    """`--failed` writes one after a run without failures."""
    ran = nemo_jobs("apply", file())
    assert (ran.code, ran.out) == (0, "nothing to send\n")


def test_warnings_have_a_location_and_are_limited(nemo_jobs, server, file):
    """A progress that is text, and details that slow the job down."""
    ran = nemo_jobs("apply", file(*[("j1", {"progress": "x"})] * 30))
    assert ran.code == 0
    assert len(ran.err.splitlines()) == 10
    assert "updates.ndjson:1" in ran.err
    ran = nemo_jobs("apply", file(("j1", {"note": "x" * 300_000})))
    assert "updates.ndjson:1: the update is 292 KiB" in ran.err


def test_a_too_large_update_needs_allow_large(nemo_jobs, server, file):
    """Its size is that of the body: as sent, not escaped."""
    name = file(("j2", {}), ("j1", {"note": "é" * 2_200_000}))
    ran = nemo_jobs("apply", name)
    assert ran.code == 2
    assert f"{name}:2: the update is 4.2 MiB" in ran.err
    assert not server.jobs
    assert nemo_jobs("apply", name, "--allow-large", "-q").code == 0
    assert nemo_jobs("apply", file(("j3", {"note": "é" * 1_000_000})), "-q").code == 0


@pytest.fixture
def picky(raw_server):
    """Return a server that responds with the status in the name of a job, such as `s401`."""

    def handler(connection, seen, stop):
        request = read_request(connection)
        seen.append(request)
        status = next(
            (int(word) for word in ("401", "403", "404", "422", "503") if b"s" + word.encode() in request), 200
        )
        text = {404: "{\"detail\":\"Entity 'x' not found in workspace 'ws'\"}", 422: '{"detail":[]}', 200: "null"}
        connection.sendall(response(status, text.get(status, "{}")))

    return raw_server(handler)


@pytest.mark.parametrize(
    ("jobs", "code"),
    [
        (["ok"], 0),
        (["ok", "s503"], 7),
        (["s503", "s404", "ok"], 5),
        (["s503", "s422", "s404"], 6),
        (["s401", "s422", "s503", "s404"], 4),
    ],
)
def test_the_exit_code_is_the_worst(nemo_jobs, picky, file, jobs, code):
    """Failures do not stop the rest."""
    ran = nemo_jobs("apply", file(*((job, {}) for job in jobs)), "--host", picky.url, "--deadline", "0", "-o", "json")
    assert ran.code == ran.json["exit_code"] == code
    assert ran.json["delivered"] == jobs.count("ok")
    assert len(ran.json.get("errors", [])) == len(jobs) - jobs.count("ok")


def test_an_unknown_job_suggests_only_similar_names(nemo_jobs, start_sandbox, file):
    """In the errors of the JSON object too."""
    server = start_sandbox(strict=True, jobs=("train-llama", "train-gemma"))
    ran = nemo_jobs(
        "apply", file(("train-lama", {}), ("eval", {})), "-w", "default", "--host", server.url, "-o", "json"
    )
    hints = {error["job"]: error["hint"] for error in ran.json["errors"]}
    assert (ran.code, hints["train-lama"].partition("?")[0]) == (5, "did you mean train-llama")
    assert "did you mean" not in hints["eval"]


def test_failed_contains_exactly_the_undelivered_updates(nemo_jobs, picky, server, file, tmp_path):
    """In order, as input for the next apply, which delivers them."""
    failed = tmp_path / "left.ndjson"
    name = file(
        ("ok", {"a": 1}),
        ("s401", {"a": 1}),
        ("s401", {"a": 2, "b": "é"}),
        ("s422", {"a": 1}),
        ("ok", {"a": 2}),
        ("s422", {"a": 3}),
    )
    ran = nemo_jobs("apply", name, "--no-fold", "--host", picky.url, "--failed", str(failed))
    assert ran.code == 4
    assert left(failed) == [("s401", {"a": 1}), ("s401", {"a": 2, "b": "é"}), ("s422", {"a": 1}), ("s422", {"a": 3})]
    ran = nemo_jobs("apply", str(failed), "--failed", str(failed), "--host", server.url)
    assert ran.code == 0
    assert failed.read_text(encoding="utf-8") == ""
    assert details(server, "s401") == {"a": 2, "b": "é"}
    assert details(server, "s422") == {"a": 3}
    assert [path.name for path in tmp_path.iterdir() if "left" in path.name] == ["left.ndjson"]


def test_failed_contains_everything_if_nothing_was_sent(nemo_jobs, file, tmp_path, monkeypatch):
    """`apply x --failed y || apply y` must not lose updates because of a missing token."""
    failed = tmp_path / "left"
    missing = str(tmp_path / "no-token")
    ran = nemo_jobs(
        "apply", file(("j1", {"a": 1}), ("j2", {})), "--host", GONE, "--token-file", missing, "--failed", str(failed)
    )
    assert ran.code in {2, 3, 4}
    assert left(failed) == [("j1", {"a": 1}), ("j2", {})]


def test_after_a_bug_the_failed_file_is_right(nemo_jobs, server, file, tmp_path, monkeypatch):
    """It lacks what was delivered before."""
    failed = tmp_path / "left"
    deliver = policy.deliver_with_stored

    def broken(update, session):
        if update.job == "j2":
            raise ZeroDivisionError
        return deliver(update, session)

    monkeypatch.setattr(policy, "deliver_with_stored", broken)
    ran = nemo_jobs("apply", file(("j1", {}), ("j2", {"a": 1})), "--failed", str(failed), "--concurrency", "1")
    assert ran.code == 1
    assert left(failed) == [("j2", {"a": 1})]


@pytest.mark.parametrize("place", ["{}/none/left", "{}/updates.ndjson/left", "{}", "", "{}/" + "x" * 300])
def test_an_unwritable_failed_file_is_an_error_before_anything_is_sent(nemo_jobs, raw_server, file, tmp_path, place):
    """Not afterwards."""
    server = raw_server([response(200)])
    ran = nemo_jobs("apply", file(("j1", {})), "--host", server.url, "--failed", place.format(tmp_path))
    assert ran.code == 2
    assert "--failed" in ran.err
    assert server.seen == []
    assert [path.name for path in tmp_path.iterdir()] == ["updates.ndjson"]


def test_failed_into_a_device_a_pipe_or_a_link(nemo_jobs, picky, file, tmp_path):
    """They stay what they are; a pipe gets the undelivered updates once, at the end; a file keeps its mode."""
    words = ("apply", file(("ok", {}), ("s403", {"a": 1})), "--host", picky.url, "--failed")
    device = tmp_path / "nul"  # never the real /dev/null: a failing test run by root would replace it
    try:
        os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    except OSError:
        pytest.skip("cannot create a device")
    assert nemo_jobs(*words, str(device)).code == 4
    assert stat.S_ISCHR(device.stat().st_mode)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert nemo_jobs(*words, str(fifo)).code == 4
        received = os.read(reader, 4096)
    finally:
        os.close(reader)
    real, link = tmp_path / "real", tmp_path / "link"
    real.touch()
    real.chmod(0o600)
    link.symlink_to(real)
    assert nemo_jobs(*words, str(link)).code == 4
    assert (received, link.is_symlink()) == (real.read_bytes(), True)
    assert stat.S_IMODE(real.stat().st_mode) == 0o600
    assert left(real) == [("s403", {"a": 1})]


def test_fail_fast_sends_nothing_more(nemo_jobs, picky, file, tmp_path):
    """One update on both routes, one failure, everything in the file; the error may ask for the workspaces."""
    failed = tmp_path / "left"
    entries = [("s403", {"a": 1}), *((f"ok{number}", {}) for number in range(20))]
    ran = nemo_jobs(
        "apply", file(*entries), "--fail-fast", "--concurrency", "1", "--host", picky.url, "--failed", str(failed)
    )
    assert ran.code == 4
    assert left(failed) == entries
    patches = [request.split(b" ")[1] for request in picky.seen if request.startswith(b"PATCH")]
    assert all(b"/jobs/s403/" in path for path in patches)
    assert len(set(patches)) == len(patches) == 2  # each route once


def test_undelivered_updates_are_kept(nemo_jobs, file, tmp_path):
    """Exit code 0 with a notice; each has a timestamp; nothing is left."""
    failed = tmp_path / "left"
    name = file(("j1", {"a": 1}), ("j1", {"b": 2}), ("j2", {"lastUpdated": "2026-01-01T00:00:00Z"}))
    ran = nemo_jobs("apply", name, "--no-fold", "--outbox", "--host", GONE, "--deadline", "0", "--failed", str(failed))
    assert (ran.code, ran.out) == (0, "3 kept\n")
    assert "3 updates kept in total" in ran.err
    assert left(failed) == []
    entries = [json.loads(path.read_text(encoding="utf-8")) for path in (tmp_path / "box" / "pending").iterdir()]
    fields = {entry["job"]: entry["fields"] for entry in entries}
    assert fields["j1"].pop("lastUpdated")
    assert fields == {"j1": {"a": 1, "b": 2}, "j2": {"lastUpdated": "2026-01-01T00:00:00Z"}}


@pytest.mark.parametrize(
    ("words", "variable", "expected"),
    [
        ([], "", False),
        (["--outbox"], "", True),
        (["--stamp"], "", True),
        ([], "1", True),
        (["--no-stamp"], "1", False),
        (["--outbox", "--no-stamp"], "", False),
    ],
)
def test_updates_have_the_time_if_a_flag_or_a_setting_says_so(
    nemo_jobs, server, file, monkeypatch, words, variable, expected
):
    """The outbox implies it; an update's own time stays."""
    monkeypatch.setenv("NEMO_JOBS_STAMP", variable)
    assert nemo_jobs("apply", file(("j1", {"a": 1}), ("j2", {"lastUpdated": "mine"})), *words).code == 0
    assert ("lastUpdated" in details(server, "j1")) == expected
    assert details(server, "j2") == {"lastUpdated": "mine"}


def test_best_effort_drops_only_undelivered_updates(nemo_jobs, picky, file, tmp_path):
    """A 403 stays an error; the --failed file contains the dropped ones."""
    failed = tmp_path / "left"
    words = ("--best-effort", "--host", picky.url, "--deadline", "0", "--failed", str(failed))
    ran = nemo_jobs("apply", file(("ok", {}), ("s503", {"a": 1})), *words)
    assert (ran.code, ran.out) == (0, "1 delivered, 1 dropped, 1 undelivered, 1 attempt\n")
    assert "dropped s503" in ran.err
    assert left(failed) == [("s503", {"a": 1})]
    assert nemo_jobs("apply", file(("s403", {}), ("s503", {})), *words).code == 4


@pytest.mark.parametrize(
    ("words", "updates", "requests"),
    [((), 5000, 100), pytest.param(("--no-fold",), 1000, 1000, marks=pytest.mark.slow)],
)
def test_many_updates_on_a_failing_server(nemo_jobs, start_sandbox, file, words, updates, requests):
    """All are delivered in order and once, with 10 % 503, 10 % 409, 2 % resets."""
    entries = [(f"job-{number % 100}", {"step": number, f"k{number % 7}": number}) for number in range(updates)]
    seen, wrong = {}, []
    server = start_sandbox("503:0.1", "conflict:0.1", "reset:0.02", seed=1)
    original = server.respond

    def respond(request):
        response = original(request)
        if response is not None and response.status == 200:
            step = json.loads(request.body)["step"]
            if step <= seen.get(request.target, -1):
                wrong.append((request.target, step))
            seen[request.target] = step
        return response

    server.respond = respond
    more = ("--concurrency", "16", "--deadline", "60", "-o", "json", "--host", server.url)
    ran = nemo_jobs("apply", file(*entries), *words, *more)
    assert (ran.code, ran.json["delivered"], ran.json["left"]) == (0, requests, 0)
    assert ran.json["attempts"] > requests * 1.1
    assert ran.json["conflicts"] > requests * 0.04
    for job in range(100):
        expected = {}
        for _, fields in entries[job::100]:
            expected |= fields
        assert details(server, f"job-{job}") == expected
    assert wrong == []


STOPPING = """
from nemo_jobs_cli.__main__ import main
from nemo_jobs_cli.delivery.pool import WorkerPool

stop = WorkerPool.stop
WorkerPool.stop = lambda self: (stop(self), print("stopping", flush=True))
main()
"""


def start(server, home, *words):
    """Start nemo-jobs in a process that prints "stopping" once it sends nothing more."""
    env = CHILD_ENVIRONMENT | {"NEMO_JOBS_HOST": server.url, "NEMO_JOBS_WORKSPACE": "research", "HOME": str(home)}
    words = [sys.executable, "-c", STOPPING, *words]
    return subprocess.Popen(words, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_finishes_requests_in_flight_and_writes_the_rest(raw_server, file, tmp_path, number, code):
    """Two are in flight at Ctrl-C: they are acknowledged, the other four are in the file."""
    begun, go = threading.Semaphore(0), threading.Event()

    def handler(connection, seen, stop):
        seen.append(read_request(connection))
        begun.release()
        go.wait(LIMIT)
        connection.sendall(response(200))

    server = raw_server(handler)
    failed = tmp_path / "left"
    name = file(*((f"job-{job}", {"step": step}) for step in range(2) for job in range(3)))
    words = ["apply", name, "--no-fold", "--concurrency", "2", "--deadline", str(LIMIT), "--failed", str(failed)]
    child = start(server, tmp_path, *words, "-o", "ndjson")
    assert begun.acquire(timeout=LIMIT)
    assert begun.acquire(timeout=LIMIT)
    assert len(left(failed)) == 6  # a crash from now on loses nothing
    child.send_signal(number)
    assert child.stdout.readline() == "stopping\n"
    go.set()
    out, err = child.communicate(timeout=LIMIT)
    assert (child.returncode, err) == (code, "")
    *rows, last = map(json.loads, out.splitlines())
    assert sorted(row["outcome"] for row in rows) == ["delivered", "delivered", "left", "left"]
    assert (last["exit_code"], last["outcome"], last["left"]) == (code, "failed", 4)
    assert left(failed) == [
        ("job-0", {"step": 1}),
        ("job-1", {"step": 1}),
        ("job-2", {"step": 0}),
        ("job-2", {"step": 1}),
    ]


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_second_signal_ends_at_once(raw_server, file, tmp_path, form):
    """With a message or JSON; the file contains everything: sending an update again is safe."""
    begun = threading.Event()

    def handler(connection, seen, stop):
        seen.append(read_request(connection))
        begun.set()
        stop.wait()

    server = raw_server(handler)
    failed = tmp_path / "left"
    name = file(("j1", {"a": 1}), ("j2", {}))
    words = ["apply", name, "--concurrency", "1", "--deadline", str(2 * LIMIT), "--failed", str(failed)]
    child = start(server, tmp_path, *words, "-o", form)
    assert begun.wait(LIMIT)
    child.send_signal(signal.SIGINT)
    assert child.stdout.readline() == "stopping\n"
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=LIMIT)
    assert child.returncode == 130
    hint = "run it again: that is safe, even if the last update has arrived"
    if form == "text":
        assert (out, err) == ("", f"error: interrupted\nnext: {hint}\n")
    else:
        document = json.loads(out)
        assert (document["outcome"], document["exit_code"], err) == ("failed", 130, "")
        assert document["error"] == {"message": "interrupted", "hint": hint}
    assert left(failed) == [("j1", {"a": 1}), ("j2", {})]


def test_a_long_wait_for_requests_in_flight_is_announced(raw_server, file, tmp_path):
    """After Ctrl-C; without it, a slow server would look like a hang."""
    begun, go = threading.Event(), threading.Event()

    def handler(connection, seen, stop):
        read_request(connection)
        begun.set()
        go.wait(LIMIT)
        connection.sendall(response(200))

    env = CHILD_ENVIRONMENT | {"NEMO_JOBS_HOST": raw_server(handler).url, "HOME": str(tmp_path)}
    script = (
        "from nemo_jobs_cli.__main__ import main; from nemo_jobs_cli.core import clock; clock.LONG_WAIT = 0; main()"
    )
    words = [sys.executable, "-c", script, "apply", file(("j1", {})), "--deadline", "2m"]
    with Terminal(words, env, columns=200) as terminal:
        assert begun.wait(LIMIT)
        terminal.type(b"\x03")
        terminal.until(b"delivering the last updates, for up to 2 min; Ctrl-C stops it")
        go.set()
        terminal.until(b"1 delivered")
        assert terminal.end() == 130


def test_a_terminal_shows_a_bar_and_then_the_summary(raw_server, file, tmp_path):
    """The bar disappears at the end."""
    go = threading.Event()

    def handler(connection, seen, stop):
        read_request(connection)
        go.wait(LIMIT)
        connection.sendall(response(200))

    server = raw_server(handler)
    env = CHILD_ENVIRONMENT | {
        "NEMO_JOBS_HOST": server.url, "NEMO_JOBS_WORKSPACE": "research", "HOME": str(tmp_path), "TERM": "xterm-256color",
    }  # fmt: skip
    with Terminal([*MAIN, "apply", file(("j1", {}), ("j2", {}))], env) as terminal:
        terminal.until(b"sending")
        go.set()
        terminal.until(b"delivered")
        assert terminal.end() == 0
        assert b"0:00:" in terminal.seen
        assert terminal.seen.rpartition(b"\x1b[2K")[2] == b"2 delivered, 2 attempts\r\n"
