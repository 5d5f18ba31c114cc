"""Test `nemo-jobs outbox`, and updates that are stored, delivered with the next one, or dropped."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import types

import pytest
from in_process import run_here
from raw import CHILD_ENVIRONMENT, read_request, response

from nemo_jobs_cli.core import clock, times
from nemo_jobs_cli.delivery import listing
from nemo_jobs_cli.delivery.entry import Entry
from nemo_jobs_cli.delivery.outbox import Outbox

JOB = "train-x"


@pytest.fixture
def server(start_sandbox):
    """Return a sandbox."""
    return start_sandbox()


@pytest.fixture
def away(unused_port):
    """Return a host where nothing listens."""
    return f"http://127.0.0.1:{unused_port}"


@pytest.fixture
def box(tmp_path, monkeypatch):
    """Return the outbox of the test's home."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return Outbox(tmp_path / "state/nemo-jobs/outbox")


def details(nemo_jobs, server, job=JOB):
    """Return the details of a job on the server."""
    return nemo_jobs("show", job, "--host", server.url, "-o", "json").json["result"]["status_details"]


def store(box, host, *updates, job=JOB, age=60):
    """Store updates, oldest first."""
    for number, fields in enumerate(updates):
        box.store(Entry(host, "default", job, fields, time.time() - age + number))


def test_an_undelivered_update_is_kept_with_a_notice(nemo_jobs, away, box):
    """Exit code 0; the entry has a time."""
    ran = nemo_jobs("update", JOB, "progress=45", "--outbox", "--host", away, "--deadline", "300ms")
    assert (ran.code, ran.out) == (0, "")
    assert ran.err.startswith(f"kept {JOB}: lastUpdated=")
    assert "nemo-jobs outbox flush" in ran.err
    (name,) = box.names()
    entry = box.read(name)
    assert entry.fields["progress"] == 45
    assert abs(entry.time - time.time()) < 60
    ran = nemo_jobs("update", JOB, "a=1", "--host", away, "--outbox", "--deadline", "300ms", "-o", "json")
    assert (ran.code, ran.json["outcome"], ran.json["status_details"]["a"]) == (0, "kept", "1")
    assert len(box.names()) == 2


@pytest.mark.parametrize(
    ("words", "variable", "code"), [((), "1", 0), (("--no-outbox",), "yes", 7), ((), "off", 7), ((), "", 7)]
)
def test_the_flag_wins_over_the_variable(nemo_jobs, away, box, monkeypatch, words, variable, code):
    """Either turns the outbox on."""
    monkeypatch.setenv("NEMO_JOBS_OUTBOX", variable)
    assert nemo_jobs("update", JOB, "a=1", "--host", away, "--deadline", "200ms", *words).code == code
    assert len(box.names()) == (code == 0)


def test_without_a_folder_the_update_is_not_delivered(nemo_jobs, away, monkeypatch):
    """The error is that of the network; the hint names the option."""
    monkeypatch.delenv("HOME")
    ran = nemo_jobs("update", JOB, "a=1", "--outbox", "--host", away, "--deadline", "200ms")
    assert ran.code == 7
    assert "no home folder for the outbox" in ran.err
    assert "--outbox-dir DIR" in ran.err


def test_the_next_update_delivers_stored_ones(nemo_jobs, server, box):
    """With or without --outbox."""
    store(box, server.url, {"a": 1, "b": 1}, {"b": 2})
    ran = nemo_jobs("update", JOB, "c=new", "--host", server.url)
    assert (ran.code, ran.out, ran.err) == (0, f"{JOB}: c=new\n", "2 updates delivered from the outbox\n")
    assert details(nemo_jobs, server) == {"a": 1, "b": 2, "c": "new"}
    store(box, server.url, {"d": 1})
    assert nemo_jobs("update", JOB, "c=next", "--host", server.url, "-o", "json").json["older"] == {"delivered": 1}


def test_stream_and_run_deliver_stored_updates_and_store_theirs(nemo_jobs, server, away, box):
    """As update does."""
    store(box, server.url, {"a": 1})

    def execute(*words):
        return run_here(os.environ.copy(), *words, input=b"b=2\n", encoding="utf-8")

    assert execute("stream", JOB, "--host", server.url).returncode == 0
    delivered = details(nemo_jobs, server)
    assert delivered == {"a": 1, "b": "2", "lastUpdated": delivered["lastUpdated"]}
    result = execute("stream", JOB, "--host", away, "--outbox", "--deadline", "300ms", "-o", "json")
    assert (result.returncode, json.loads(result.stdout)["outcome"]) == (0, "kept")
    result = execute("run", JOB, "--host", away, "--outbox", "--deadline", "300ms", "--", "sh", "-c", "exit 4")
    assert result.returncode == 4
    assert f"nemo-jobs: kept {JOB}: " in result.stderr
    stored = [box.read(name).fields for name in box.names()]
    assert stored[0]["b"] == "2"
    assert stored[1]["status"] == "failed"
    result = execute("stream", JOB, "--host", away, "--best-effort", "--deadline", "0")
    assert result.returncode == 0
    assert f"dropped {JOB}: b=2, because nothing listens" in result.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_sending_stores_the_update(nemo_jobs, raw_server, box, number):
    """A preempted job loses nothing."""

    def hang(connection, seen, stop):
        read_request(connection)
        os.kill(os.getpid(), number)
        stop.wait()

    ran = nemo_jobs("update", JOB, "a=1", "--outbox", "--host", raw_server(hang).url, "--deadline", "60s")
    assert ran.code == 128 + number
    assert "next: the update is in the outbox; the next update of the job delivers it" in ran.err
    assert box.read(box.names()[0]).fields["a"] == "1"


def test_list_shows_the_entries(nemo_jobs, server, box):
    """Oldest first, in each output format."""
    assert nemo_jobs("outbox", "list").err == "no entries\n"
    store(box, server.url, {"a": 1}, {"b": "x\x1b[31m"})
    rows = [row.split("\t") for row in nemo_jobs("outbox", "list").out.splitlines()]
    assert [tuple(row[3:6]) for row in rows] == [
        (server.url, f"default/{JOB}", "a=1"),
        (server.url, f"default/{JOB}", 'b="x\\u001b[31m"'),
    ]
    ran = nemo_jobs("outbox", "show", box.names()[0], "-o", "json")
    assert (ran.json["command"], ran.json["result"]["fields"]) == ("outbox show", {"a": 1})
    listed = nemo_jobs("outbox", "list", "-o", "json").json
    assert [entry["fields"] for entry in listed["result"]] == [{"a": 1}, {"b": "x\x1b[31m"}]
    assert listed["rejected"] == 0
    lines = nemo_jobs("outbox", "list", "-o", "ndjson").out.splitlines()
    assert len(lines) == 2
    for entry in (rows[0][0], rows[0][0][:6], box.names()[0]):
        assert json.loads(nemo_jobs("outbox", "show", entry).out)["fields"] == {"a": 1}
    assert nemo_jobs("outbox", "show", "../README", "-o", "json").json["exit_code"] == 5
    assert [times.parse_timestamp(row[2]) for row in rows] == pytest.approx([time.time() - 60] * 2, abs=30)


def test_flush_delivers_the_entries_of_the_host(nemo_jobs, server, away, box):
    """One line per job; entries for other hosts stay."""
    store(box, server.url, {"a": 1}, {"a": 2}, job="train-a")
    store(box, server.url, {"b": 1}, job="train-b")
    store(box, away, {"c": 1}, job="train-c")
    ran = nemo_jobs("outbox", "flush", "--host", server.url, "--job", "train-b")
    assert (ran.code, ran.out) == (0, "train-b: 1 update delivered from the outbox\n")
    ran = nemo_jobs("outbox", "flush", "--host", server.url, "-o", "json")
    assert (ran.code, [job["delivered"] for job in ran.json["result"]]) == (0, [2])
    assert details(nemo_jobs, server, "train-a") == {"a": 2}
    message = "nothing to deliver; 1 for other hosts: nemo-jobs outbox list\n"
    assert nemo_jobs("outbox", "flush", "--host", server.url).err == message
    assert nemo_jobs("outbox", "flush", "--host", server.url, "-o", "json").json["elsewhere"] == 1
    ran = nemo_jobs("outbox", "flush", "--host", away, "--deadline", "200ms", "-o", "ndjson")
    assert (ran.code, ran.json["outcome"], len(box.names())) == (7, "failed", 1)


@pytest.mark.parametrize(
    ("answer", "code", "waiting", "rejected"),
    [
        (response(401, '{"detail":"Unauthorized"}'), 4, 1, 0),
        (response(403, '{"detail":"Forbidden"}'), 4, 1, 0),
        (response(422, '{"detail":[]}'), 6, 0, 1),
        (response(500, '{"detail":"Internal Server Error"}'), 7, 1, 0),
        (response(503, "{}"), 7, 1, 0),
        (response(200, "<html>", kind="text/html"), 3, 1, 0),
        (response(404, "{\"detail\":\"Job 'train-x' not found in workspace 'default'.\"}"), 6, 0, 1),
    ],
)
def test_the_exit_code_of_flush_follows_the_server(nemo_jobs, raw_server, box, answer, code, waiting, rejected):
    """401 stops it and keeps everything; a rejected entry is moved away."""
    server = raw_server([answer])
    store(box, server.url, {"a": 1})
    ran = nemo_jobs("outbox", "flush", "--host", server.url, "--deadline", "0", "-o", "json")
    assert (ran.code, ran.json["exit_code"]) == (code, code)
    assert (len(box.names()), box.count(listing.REJECTED)) == (waiting, rejected)


def test_an_error_of_flush_names_the_workspace_of_the_entry(nemo_jobs, raw_server, box):
    """Not the one of the settings, in which nothing was sent."""
    server = raw_server([response(403, '{"detail":"Forbidden"}')])
    box.store(Entry(server.url, "research", JOB, {"a": 1}, time.time()))
    ran = nemo_jobs("outbox", "flush", "--host", server.url, "-w", "mine")
    assert ran.code == 4
    assert ran.err.startswith("error: permission denied in workspace 'research' (403 Forbidden)")
    assert "(the outbox)" in ran.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_flush_watch_without_a_message(nemo_jobs, server, box, monkeypatch, number):
    """Exit code 130 after Ctrl-C, as of `tail -f`."""
    sleep = types.SimpleNamespace(sleep=lambda _: os.kill(os.getpid(), number))
    monkeypatch.setattr("nemo_jobs_cli.commands.outbox.clock", sleep)
    store(box, server.url, {"a": 1})
    ran = nemo_jobs("outbox", "flush", "--watch", "--host", server.url)
    assert (ran.code, ran.out, ran.err) == (128 + number, f"{JOB}: 1 update delivered from the outbox\n", "")


def test_flush_watch_does_not_wait_for_another_process(nemo_jobs, server, box, monkeypatch):
    """It looks again soon, and what another process delivers is no news."""
    sleep = types.SimpleNamespace(sleep=lambda _: os.kill(os.getpid(), signal.SIGTERM))
    monkeypatch.setattr("nemo_jobs_cli.commands.outbox.clock", sleep)
    store(box, server.url, {"a": 1})
    box.claim(box.names()[0])
    ran = nemo_jobs("outbox", "flush", "--watch", "--host", server.url, "--deadline", "1s")
    assert (ran.code, ran.out, ran.err) == (143, "", "")


def test_flush_watch_delivers_new_entries(nemo_jobs, raw_server, box, monkeypatch):
    """It sends no request if there are none."""
    pauses = []

    def sleep(seconds):
        pauses.append(seconds)
        if len(pauses) == 2:
            store(box, server.url, {"a": 1})

    monkeypatch.setattr("nemo_jobs_cli.commands.outbox.clock", types.SimpleNamespace(sleep=sleep))

    def answer(connection, seen, stop):
        request = read_request(connection)
        seen.append(request)
        if request.startswith(b"GET"):
            connection.sendall(response(200, '{"name":"train-x","status":"active","status_details":{}}'))
        elif b'{"b":1}' in request:
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            store(box, server.url, {"b": 1})
            connection.sendall(response(200))

    server = raw_server(answer)
    ran = nemo_jobs("outbox", "flush", "--watch", "--host", server.url)
    assert pauses == [10.0] * 3
    assert (ran.code, ran.out) == (143, f"{JOB}: 1 update delivered from the outbox\n")
    assert len(server.seen) == 4
    assert [box.read(name).fields for name in box.names()] == [{"b": 1}]  # released by the signal


@pytest.mark.parametrize(("limit", "sent"), [("24h", True), ("30s", False)])
def test_max_age_decides_what_is_stale(nemo_jobs, server, box, limit, sent):
    """A stale entry only adds keys."""
    nemo_jobs("update", JOB, "a=0", "--host", server.url)
    store(box, server.url, {"a": 1, "b": 1})
    ran = nemo_jobs("outbox", "flush", "--host", server.url, "--max-age", limit)
    assert details(nemo_jobs, server) == {"a": 1 if sent else "0", "b": 1}
    assert ("set aside" in ran.out) is not sent
    assert nemo_jobs("outbox", "flush", "--max-age", "soon").code == 2


def test_a_broken_file_does_not_stop_a_flush(nemo_jobs, server, box):
    """It is moved away and listed."""
    store(box, server.url, {"a": 1}, {"b": 1})
    (box.folder / "pending" / box.names()[0]).write_text('{"version": 1, "ho', encoding="utf-8")
    assert nemo_jobs("outbox", "flush", "--host", server.url).code == 0
    assert details(nemo_jobs, server) == {"b": 1}
    (row,) = nemo_jobs("outbox", "list").out.splitlines()
    assert row.split("\t")[1] == "broken"
    name = next((box.folder / listing.BROKEN).iterdir()).name
    assert nemo_jobs("outbox", "show", name).out == '{"version": 1, "ho\n'
    assert nemo_jobs("outbox", "show", name, "-o", "json").json["result"] == '{"version": 1, "ho'


def test_drop_checks_all_entries_first(nemo_jobs, server, box):
    """Nothing is dropped if one is unknown; an entry that is given twice counts once."""
    store(box, server.url, {"a": 1}, {"b": 1})
    one, two = box.names()
    ran = nemo_jobs("outbox", "drop", one, "nope", "-o", "json")
    assert (ran.code, ran.json["exit_code"], len(box.names())) == (5, 5, 2)
    ran = nemo_jobs("outbox", "drop", two, box.find(two).id, "-q")
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    assert nemo_jobs("outbox", "drop", one, "-o", "json").json["result"] == [one]
    for words in ((), ("--all", "x")):
        assert nemo_jobs("outbox", "drop", *words).code == 2


def test_no_token_is_written_to_the_disk(nemo_jobs, away, box, monkeypatch):
    """Nor a header of the user."""
    monkeypatch.setenv("NEMO_JOBS_TOKEN", "s3cret-token")
    words = ("--outbox", "--best-effort", "--host", away, "--header", "X-Key: s3cret-header", "--deadline", "0")
    assert nemo_jobs("update", JOB, "a=1", *words).code == 0
    files = [path for path in box.folder.parent.rglob("*") if path.is_file()]
    assert len(files) == 2
    assert not any(b"s3cret" in path.read_bytes() for path in files)


def test_best_effort_drops_with_a_notice(nemo_jobs, server, away, box, monkeypatch):
    """Only if the update was not delivered in time."""
    monkeypatch.setenv("NEMO_JOBS_BEST_EFFORT", "1")
    ran = nemo_jobs("update", JOB, "a=x", "--host", away, "--deadline", "0")
    assert (ran.code, ran.out, ran.err.count("\n")) == (0, "", 1)
    assert ran.err.startswith(f"dropped {JOB}: a=x, because nothing listens on {away}")
    ran = nemo_jobs("update", JOB, "a=1", "--host", away, "--deadline", "0", "-o", "json")
    assert (ran.code, ran.json["outcome"]) == (0, "dropped")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    ran = nemo_jobs("update", JOB, "m=50%", "--host", away, "--deadline", "0")
    assert ran.err.startswith(f"::warning::dropped {JOB}: m=50%25, because ")
    assert nemo_jobs("update", JOB, "oops", "--host", away).code == 2
    # The dropped ones were for another host.
    assert "dropped_before" not in nemo_jobs("update", JOB, "b=1", "-o", "json", "--host", server.url).json


def test_an_unset_host_is_always_an_error(nemo_jobs):
    """It is a mistake in the settings: neither dropped nor stored."""
    try:
        socket.create_server(("127.0.0.1", 8080)).close()
    except OSError:
        pytest.skip("something listens on the default host")
    ran = nemo_jobs("update", JOB, "a=1", "--best-effort", "--outbox", "--deadline", "0")
    assert ran.code == 3
    assert "no host is set" in ran.err


def test_best_effort_drops_if_the_outbox_cannot_be_written(nemo_jobs, away, tmp_path):
    """Both reasons are given; without it that is an error."""
    (tmp_path / "o").write_text("a file", encoding="utf-8")
    words = (
        "update",
        JOB,
        "a=1",
        "--outbox",
        "--outbox-dir",
        str(tmp_path / "o"),
        "--host",
        away,
        "--deadline",
        "200ms",
    )
    ran = nemo_jobs(*words)
    assert (ran.code, "cannot store the update" in ran.err) == (7, True)
    ran = nemo_jobs(*words, "--best-effort")
    assert ran.code == 0
    assert "cannot store the update" in ran.err


def test_the_outbox_has_a_maximum(nemo_jobs, away, box):
    """--max-entries: a full outbox is coalesced first."""
    words = ("--outbox", "--max-entries", "2", "--host", away, "--deadline", "0")
    for number in range(4):
        assert nemo_jobs("update", JOB, f"k{number}=1", *words).code == 0
    assert len(box.names()) <= 2
    assert nemo_jobs("update", "train-y", "a=1", *words).code in {0, 7}
    ran = nemo_jobs("update", "train-z", "a=1", *words)
    assert (ran.code, "full (2 entries)" in ran.err) == (7, True)


CLAIM = """
import sys
from pathlib import Path
from nemo_jobs_cli.delivery.outbox import Outbox
box = Outbox(Path(sys.argv[1]))
claims = [box.claim(name) for name in box.names()[: int(sys.argv[2])]]
print("claimed", flush=True)
if sys.stdin.readline() == "deliver":
    for claim in claims:
        box.remove(claim)
"""


@pytest.fixture
def claimant(box):
    """Return a function that starts a process that claims entries."""
    children = []

    def start(count):
        child = subprocess.Popen(
            [sys.executable, "-c", CLAIM, str(box.folder), str(count)],
            env=CHILD_ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
        children.append(child)
        assert child.stdout.readline() == "claimed\n"
        return child

    yield start
    for child in children:
        child.kill()
        child.communicate()


def test_flush_delivers_what_a_killed_process_has_claimed(nemo_jobs, server, box, claimant):
    """At once: the container of a CI step does not live until a lease ends."""
    store(box, server.url, {"a": 1}, {"a": 2})
    child = claimant(1)
    child.kill()  # not waited for: a zombie
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert nemo_jobs("outbox", "flush", "--host", server.url).out == f"{JOB}: 2 updates delivered from the outbox\n"
    assert details(nemo_jobs, server) == {"a": 2}


def test_flush_reports_what_a_living_process_keeps_from_it(nemo_jobs, server, box, claimant):
    """It waits until the deadline, delivers the other jobs first, and ends with 7; list names the process."""
    store(box, server.url, {"a": 1}, {"a": 2})
    child = claimant(1)
    store(box, server.url, {"b": 1}, job="train-y")
    ran = nemo_jobs("outbox", "flush", "--host", server.url, "--deadline", "300ms")
    reason = f"process {child.pid} on {socket.gethostname()} is delivering"
    assert ran.code == 7
    assert ran.out == f"train-y: 1 update delivered from the outbox\n{JOB}: 2 updates left: {reason} them\n"
    assert ran.err == "next: wait longer: --deadline 60\n"
    ran = nemo_jobs("outbox", "flush", "--host", server.url, "--deadline", "0", "-o", "json")
    (row,) = ran.json["result"]
    assert (ran.code, ran.json["outcome"], row["left"], row["delivered"]) == (7, "failed", 2, 0)
    rows = [row.split("\t") for row in nemo_jobs("outbox", "list").out.splitlines()]
    assert [(row[1], row[6]) for row in rows] == [("claimed", f"{reason} it"), ("pending", "")]
    ran = nemo_jobs("outbox", "drop", rows[0][0])
    assert (ran.code, f"{reason} entry {rows[0][0]}" in ran.err) == (7, True)
    assert nemo_jobs("outbox", "drop", "--all").err == "dropped 1 of 2\n"


@pytest.mark.parametrize(("word", "out"), [("deliver", "has taken its updates"), ("", "1 update delivered from")])
def test_flush_waits_for_a_living_process(nemo_jobs, server, box, claimant, monkeypatch, word, out):
    """Which delivers its entries meanwhile, or gives up."""
    store(box, server.url, {"a": 1})
    child = claimant(1)

    def let_it_end(_):
        if child.poll() is None:
            child.communicate(word, timeout=60)
        time.sleep(0.01)

    monkeypatch.setattr(clock, "time", types.SimpleNamespace(sleep=let_it_end, monotonic=time.monotonic))
    ran = nemo_jobs("outbox", "flush", "--host", server.url)
    assert ran.code == 0
    assert out in ran.out


def test_flush_leaves_an_entry_of_a_newer_version(nemo_jobs, server, box):
    """With exit code 7: the newer version has to deliver it."""
    store(box, server.url, {"a": 1})
    file = box.folder / "pending" / box.names()[0]
    file.write_bytes(file.read_bytes().replace(b'"version": 1', b'"version": 2'))
    ran = nemo_jobs("outbox", "flush", "--host", server.url)
    assert (ran.code, ran.err) == (7, "1 update left that cannot be read: nemo-jobs outbox list\n")
    (row,) = nemo_jobs("outbox", "list").out.splitlines()
    assert row.split("\t")[1::5] == ["pending", "stored by a newer nemo-jobs"]
    assert nemo_jobs("outbox", "flush", "--host", server.url, "--job", JOB).code == 0  # which job it is of is unknown


def test_flush_counts_what_is_for_other_hosts(nemo_jobs, away, box):
    """Not what it could not deliver."""
    store(box, away, {"a": 1}, {"b": 1})
    store(box, "http://other", {"a": 1})
    ran = nemo_jobs("outbox", "flush", "--host", away, "--deadline", "0", "-o", "json")
    assert (ran.code, ran.json["elsewhere"], ran.json["result"][0]["left"]) == (7, 1, 2)


def test_list_show_and_drop_treat_all_kinds_alike(nemo_jobs, raw_server, box):
    """What was rejected is listed with the reason, shown and dropped by its id."""
    server = raw_server([response(422, '{"detail":"no"}')])
    store(box, server.url, {"a": 1})
    ran = nemo_jobs("outbox", "flush", "--host", server.url, "--deadline", "0")
    assert (ran.code, ran.err) == (6, "next: see the reason: nemo-jobs outbox list\n")
    (row,) = (row.split("\t") for row in nemo_jobs("outbox", "list").out.splitlines())
    assert (row[1], row[5], "422" in row[6]) == ("rejected", "a=1", True)
    assert json.loads(nemo_jobs("outbox", "show", row[0][:5]).out)["why"] == row[6]
    assert nemo_jobs("outbox", "drop", row[0][:5]).err == "dropped 1 of 1\n"
    assert nemo_jobs("outbox", "list").err == "no entries\n"


def test_show_does_not_wait_for_a_pipe(nemo_jobs, server, box):
    """That nobody writes, in the place of an entry."""
    store(box, server.url, {"a": 1})
    file = box.folder / "pending" / box.names()[0]
    file.unlink()
    os.mkfifo(file)
    ran = nemo_jobs("outbox", "show", file.name)
    assert (ran.code, "not a regular file" in ran.err) == (3, True)


@pytest.mark.parametrize("output", ["text", "json"])
def test_a_stream_with_a_refused_token_keeps_its_last_state(raw_server, box, output):
    """Exit code 4, as somebody has to log in; nothing is lost."""
    server = raw_server([response(401, '{"detail":"Unauthorized"}')])
    words = ("stream", JOB, "--host", server.url, "--outbox", "-o", output)
    ran = run_here(os.environ.copy(), *words, input=b"a=1\n", encoding="utf-8")
    (name,) = box.names()
    assert (ran.returncode, box.read(name).fields["a"]) == (4, "1")
    if output == "json":
        assert json.loads(ran.stdout)["error"]["kept"] == str(box.folder / "pending" / name)
    else:
        assert f"kept {JOB}: " in ran.stderr
