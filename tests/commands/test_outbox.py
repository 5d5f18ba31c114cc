"""`nemo-jobs outbox`, and the updates that end up there: kept, delivered with the next, or let go."""

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
from raw import CHILD_ENVIRONMENT, read_request, response

from nemo_jobs_cli.delivery import outbox
from nemo_jobs_cli.delivery.entry import Entry
from nemo_jobs_cli.delivery.outbox import Outbox
from nemo_jobs_cli.sandbox import server as sandbox

JOB = "train-x"


@pytest.fixture
def server():
    """Give a sandbox."""
    started = sandbox.start(sandbox.Options())
    yield started
    sandbox.stop(started)


@pytest.fixture
def away():
    """Give a host where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    return f"http://127.0.0.1:{port}"


@pytest.fixture
def box(tmp_path, monkeypatch):
    """Give the outbox of this test's home."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return Outbox(tmp_path / "state/nemo-jobs/outbox")


def details(nemo_jobs, server, job=JOB):
    """Return what the server has of a job."""
    return nemo_jobs("show", job, "--host", server.url, "-o", "json").json["result"]["status_details"]


def keep(box, host, *updates, job=JOB, age=60):
    """Keep updates, the first the oldest."""
    for number, fields in enumerate(updates):
        box.store(Entry(host, "default", job, fields, time.time() - age + number))


def test_what_is_not_delivered_is_kept_with_a_notice(nemo_jobs, away, box):
    """Exit 0, as asked; the record has a time, and no token."""
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
def test_the_variable_and_the_flag_decide(nemo_jobs, away, box, monkeypatch, words, variable, code):
    """The flag wins."""
    monkeypatch.setenv("NEMO_JOBS_OUTBOX", variable)
    assert nemo_jobs("update", JOB, "a=1", "--host", away, "--deadline", "200ms", *words).code == code
    assert len(box.names()) == (code == 0)


def test_a_switch_is_on_or_off(nemo_jobs, monkeypatch):
    """Anything else is a usage error."""
    monkeypatch.setenv("NEMO_JOBS_OUTBOX", "maybe")
    ran = nemo_jobs("update", JOB, "a=1")
    assert ran.code == 2
    assert "NEMO_JOBS_OUTBOX" in ran.err


def test_without_a_place_it_is_a_settings_error(nemo_jobs, away, monkeypatch):
    """A job without a home has to name a folder."""
    monkeypatch.delenv("HOME")
    ran = nemo_jobs("update", JOB, "a=1", "--outbox", "--host", away, "--deadline", "200ms")
    assert ran.code == 3
    assert "--outbox-dir DIR" in ran.err


def test_a_folder_of_ones_own_is_used(nemo_jobs, away, tmp_path):
    """--outbox-dir."""
    words = ("--outbox", "--outbox-dir", str(tmp_path / "mine"), "--host", away, "--deadline", "200ms")
    assert nemo_jobs("update", JOB, "a=1", *words).code == 0
    assert len(Outbox(tmp_path / "mine").names()) == 1


def test_the_next_update_takes_older_ones_along(nemo_jobs, server, box):
    """Whether it asks for an outbox or not."""
    keep(box, server.url, {"a": 1, "b": 1}, {"b": 2})
    ran = nemo_jobs("update", JOB, "c=3", "--host", server.url)
    assert (ran.code, ran.out, ran.err) == (0, f"{JOB}: c=3\n", "2 updates delivered from the outbox\n")
    assert details(nemo_jobs, server) == {"a": 1, "b": 2, "c": "3"}
    keep(box, server.url, {"d": 1})
    assert nemo_jobs("update", JOB, "c=4", "--host", server.url, "-o", "json").json["older"] == {"delivered": 1}


def test_a_stream_and_a_run_take_older_ones_along_and_keep_the_rest(nemo_jobs, server, away, box):
    """As update does."""
    keep(box, server.url, {"a": 1})
    env = {**CHILD_ENVIRONMENT, "XDG_STATE_HOME": os.environ["XDG_STATE_HOME"], "HOME": os.environ["HOME"]}
    tool = [sys.executable, "-m", "nemo_jobs_cli"]

    def ran(*words):
        return subprocess.run([*tool, *words], env=env, input="b=2\n", capture_output=True, text=True, timeout=30)

    assert ran("stream", JOB, "--host", server.url).returncode == 0
    assert details(nemo_jobs, server) == {"a": 1, "b": "2"}
    found = ran("stream", JOB, "--host", away, "--outbox", "--deadline", "300ms", "-o", "json")
    assert (found.returncode, json.loads(found.stdout)["outcome"]) == (0, "kept")
    found = ran("run", JOB, "--host", away, "--outbox", "--deadline", "300ms", "--", "sh", "-c", "exit 4")
    assert found.returncode == 4
    assert f"nemo-jobs: kept {JOB}: " in found.stderr
    kept = [box.read(name).fields for name in box.names()]
    assert kept[0]["b"] == "2"
    assert kept[1]["status"] == "failed"
    found = ran("stream", JOB, "--host", away, "--best-effort", "--deadline", "0")
    assert found.returncode == 0
    assert f"dropped {JOB}: b=2, because nothing listens" in found.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_sending_keeps_the_update_first(raw_server, box, tmp_path, number):
    """A preempted job loses nothing."""

    def hang(connection, seen, stop):
        seen.append(read_request(connection))
        stop.wait(30)

    server = raw_server(hang)
    child = subprocess.Popen(
        [sys.executable, "-m", "nemo_jobs_cli", "update", JOB, "a=1", "--outbox", "--host", server.url],
        env={**CHILD_ENVIRONMENT, "XDG_STATE_HOME": str(tmp_path / "state")},
        stderr=subprocess.PIPE,
        text=True,
    )
    ends = time.monotonic() + 20
    while not server.seen and time.monotonic() < ends:
        time.sleep(0.01)
    child.send_signal(number)
    _, err = child.communicate(timeout=10)
    assert child.returncode == 128 + number
    assert "next: the update is in the outbox; the next update of the job delivers it" in err
    assert box.read(box.names()[0]).fields["a"] == "1"


def test_the_list_shows_what_waits(nemo_jobs, server, box):
    """Oldest first, in each form; other kinds are counted."""
    assert nemo_jobs("outbox", "list").err == "no pending entries\n"
    keep(box, server.url, {"a": 1}, {"b": "x\x1b[31m"})
    rows = [row.split("\t") for row in nemo_jobs("outbox", "list").out.splitlines()]
    assert [(row[2], row[3], row[4]) for row in rows] == [
        (server.url, f"default/{JOB}", "a=1"),
        (server.url, f"default/{JOB}", 'b="x\\u001b[31m"'),
    ]
    found = nemo_jobs("outbox", "list", "-o", "json").json
    assert [entry["fields"] for entry in found["result"]] == [{"a": 1}, {"b": "x\x1b[31m"}]
    assert found["rejected"] == 0
    lines = nemo_jobs("outbox", "list", "-o", "ndjson").out.splitlines()
    assert len(lines) == 2
    name = rows[0][0]
    assert json.loads(nemo_jobs("outbox", "show", name).out)["fields"] == {"a": 1}
    assert nemo_jobs("outbox", "show", "nope").code == 5


def test_a_flush_delivers_all_of_the_host(nemo_jobs, server, away, box):
    """A line a job; other hosts' entries stay."""
    keep(box, server.url, {"a": 1}, {"a": 2}, job="train-a")
    keep(box, server.url, {"b": 1}, job="train-b")
    keep(box, away, {"c": 1}, job="train-c")
    ran = nemo_jobs("outbox", "flush", "--host", server.url, "--job", "train-b")
    assert (ran.code, ran.out) == (0, "train-b: 1 update delivered from the outbox\n")
    ran = nemo_jobs("outbox", "flush", "--host", server.url, "-o", "json")
    assert (ran.code, [job["delivered"] for job in ran.json["result"]]) == (0, [2])
    assert details(nemo_jobs, server, "train-a") == {"a": 2}
    said = "nothing to deliver; 1 for other hosts: nemo-jobs outbox list\n"
    assert nemo_jobs("outbox", "flush", "--host", server.url).err == said
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
def test_a_flush_says_what_the_platform_says(nemo_jobs, raw_server, box, answer, code, waiting, rejected):
    """401 stops it and keeps everything; a refusal is put away."""
    server = raw_server([answer])
    keep(box, server.url, {"a": 1})
    ran = nemo_jobs("outbox", "flush", "--host", server.url, "--deadline", "0", "-o", "json")
    assert (ran.code, ran.json["exit_code"]) == (code, code)
    assert (len(box.names()), box.count(outbox.REJECTED)) == (waiting, rejected)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_watching_flush_quietly(server, box, tmp_path, number):
    """Ctrl-C is how a user stops it, not an error: no message, exit code 130 as of `tail -f`."""
    keep(box, server.url, {"a": 1})
    child = subprocess.Popen(
        [sys.executable, "-m", "nemo_jobs_cli", "outbox", "flush", "--watch", "--host", server.url],
        env={**CHILD_ENVIRONMENT, "XDG_STATE_HOME": str(tmp_path / "state")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert "1 update delivered" in child.stdout.readline()
    child.send_signal(number)
    assert child.communicate(timeout=10) == ("", "")
    assert child.returncode == 128 + number


def test_a_watching_flush_looks_again(nemo_jobs, raw_server, box, monkeypatch):
    """What is kept meanwhile goes with the next look; nothing is asked where nothing waits."""
    looks = []

    def sleep(seconds):
        looks.append(seconds)
        if len(looks) == 2:
            keep(box, server.url, {"a": 1})

    monkeypatch.setattr("nemo_jobs_cli.commands.outbox.clock", types.SimpleNamespace(sleep=sleep))

    def answer(connection, seen, stop):
        request = read_request(connection)
        seen.append(request)
        if request.startswith(b"GET"):
            connection.sendall(response(200, '{"name":"train-x","status":"active","status_details":{}}'))
        elif b'{"b":1}' in request:
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            keep(box, server.url, {"b": 1})
            connection.sendall(response(200))

    server = raw_server(answer)
    ran = nemo_jobs("outbox", "flush", "--watch", "--host", server.url)
    assert looks == [10.0] * 3
    assert (ran.code, ran.out) == (143, f"{JOB}: 1 update delivered from the outbox\n")
    assert len(server.seen) == 4
    assert [box.read(name).fields for name in box.names()] == [{"b": 1}]  # given back when we were stopped


def test_the_third_500_ends_in_rejected(nemo_jobs, raw_server, box):
    """Three flushes, each a process of its own."""
    server = raw_server([response(500, "{}")])
    keep(box, server.url, {"a": 1})
    words = ("outbox", "flush", "--host", server.url, "--deadline", "0")
    assert [nemo_jobs(*words).code for _ in range(4)] == [7, 7, 6, 0]
    assert box.count(outbox.REJECTED) == 1


@pytest.mark.parametrize(("limit", "sent"), [("24h", True), ("30s", False)])
def test_the_age_from_which_only_new_keys_are_sent_can_be_chosen(nemo_jobs, server, box, limit, sent):
    """A minute is old for some."""
    nemo_jobs("update", JOB, "a=0", "--host", server.url)
    keep(box, server.url, {"a": 1, "b": 1})
    ran = nemo_jobs("outbox", "flush", "--host", server.url, "--max-age", limit)
    assert details(nemo_jobs, server) == {"a": 1 if sent else "0", "b": 1}
    assert ("set aside" in ran.out) is not sent
    assert nemo_jobs("outbox", "flush", "--max-age", "soon").code == 2


def test_a_broken_file_stops_no_flush(nemo_jobs, server, box):
    """It is set aside, and counted in the list."""
    keep(box, server.url, {"a": 1}, {"b": 1})
    (box.folder / "pending" / box.names()[0]).write_text('{"version": 1, "ho')
    assert nemo_jobs("outbox", "flush", "--host", server.url).code == 0
    assert details(nemo_jobs, server) == {"b": 1}
    assert nemo_jobs("outbox", "list").err == "no pending entries; 1 broken\n"
    name = next((box.folder / outbox.BROKEN).iterdir()).name
    assert nemo_jobs("outbox", "show", name).out == '{"version": 1, "ho\n'
    assert nemo_jobs("outbox", "show", name, "-o", "json").json["result"] == '{"version": 1, "ho'


def test_show_is_one_object_in_json(nemo_jobs, server, box):
    """As everywhere."""
    keep(box, server.url, {"a": 1})
    ran = nemo_jobs("outbox", "show", box.names()[0], "-o", "json")
    assert (ran.json["command"], ran.json["result"]["fields"]) == ("outbox show", {"a": 1})
    ran = nemo_jobs("outbox", "show", "../README", "-o", "json")
    assert (ran.code, ran.json["exit_code"]) == (5, 5)


def test_a_drop_that_misses_one_is_one_object_too(nemo_jobs, server, box):
    """With what was dropped before it was missed; a name that is given twice is one."""
    keep(box, server.url, {"a": 1}, {"b": 1})
    one, two = box.names()
    ran = nemo_jobs("outbox", "drop", one, "nope", "-o", "json")
    assert (ran.code, ran.json["error"]["dropped"]) == (5, [one])
    ran = nemo_jobs("outbox", "drop", two, two, "-q")
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    assert nemo_jobs("outbox", "drop", "--all", "x").code == 2


def test_no_token_is_on_the_disk(nemo_jobs, away, box, monkeypatch):
    """Whatever was used to try."""
    monkeypatch.setenv("NEMO_JOBS_TOKEN", "s3cret-token")
    words = ("--outbox", "--best-effort", "--host", away, "--header", "X-Key: s3cret-header", "--deadline", "0")
    assert nemo_jobs("update", JOB, "a=1", *words).code == 0
    files = [path for path in box.folder.parent.rglob("*") if path.is_file()]
    assert len(files) == 2
    assert not any(b"s3cret" in path.read_bytes() for path in files)


def test_a_drop_names_what_it_deletes(nemo_jobs, server, box):
    """Or all of it."""
    keep(box, server.url, {"a": 1}, {"b": 1}, {"c": 1})
    assert nemo_jobs("outbox", "drop").code == 2
    name = box.names()[0]
    assert nemo_jobs("outbox", "drop", name, "-o", "json").json["result"] == [name]
    assert nemo_jobs("outbox", "drop", name).code == 5
    assert nemo_jobs("outbox", "drop", "--all").err == "dropped 2 of 2\n"
    assert box.names() == []


def test_best_effort_lets_go_and_the_next_one_tells(nemo_jobs, server, away, box, monkeypatch):
    """One line each time; only what was not delivered in time is forgiven."""
    monkeypatch.setenv("NEMO_JOBS_BEST_EFFORT", "1")
    for _ in range(2):
        ran = nemo_jobs("update", JOB, "a=1", "--host", away, "--deadline", "0")
        assert (ran.code, ran.out, ran.err.count("\n")) == (0, "", 1)
        assert ran.err.startswith(f"dropped {JOB}: a=1, because nothing listens on {away}")
    ran = nemo_jobs("update", JOB, "a=1", "--host", away, "--deadline", "0", "-o", "json")
    assert (ran.code, ran.json["outcome"]) == (0, "dropped")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    ran = nemo_jobs("update", JOB, "m=50%", "--host", away, "--deadline", "0")
    assert ran.err.startswith(f"::warning::dropped {JOB}: m=50%25, because ")
    assert nemo_jobs("update", JOB, "oops", "--host", away).code == 2
    # They were for another host.
    assert "dropped_before" not in nemo_jobs("update", JOB, "b=1", "-o", "json", "--host", server.url).json


def test_the_count_of_what_was_dropped_is_told_once(nemo_jobs, server, box, monkeypatch, raw_server):
    """By the next delivery to the same host."""
    busy = raw_server([response(503, "{}"), response(200), response(200)])
    words = ("update", JOB, "a=1", "--best-effort", "--host", busy.url, "--deadline", "0")
    assert nemo_jobs(*words).code == 0
    ran = nemo_jobs(*words)
    assert (ran.out, ran.err) == (f"{JOB}: a=1\n", "1 update dropped before (best effort)\n")
    assert nemo_jobs(*words).err == ""


def test_an_unset_host_is_never_forgiven(nemo_jobs):
    """It is a mistake in the settings, not a network that is away; nor is it kept."""
    try:
        socket.create_server(("127.0.0.1", 8080)).close()
    except OSError:
        pytest.skip("something listens on the default host")
    ran = nemo_jobs("update", JOB, "a=1", "--best-effort", "--outbox", "--deadline", "0")
    assert ran.code == 3
    assert "no host is set" in ran.err


def test_a_full_outbox_is_dropped_where_that_is_asked_for(nemo_jobs, away, tmp_path):
    """Both are told; without best effort it is an error."""
    (tmp_path / "o").write_text("a file")
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
    assert (ran.code, "cannot store the update" in ran.err) == (3, True)
    ran = nemo_jobs(*words, "--best-effort")
    assert ran.code == 0
    assert "cannot store the update" in ran.err


def test_the_outbox_is_bounded(nemo_jobs, away, box):
    """--max-entries: those of a job are folded first, then no more is kept."""
    words = ("--outbox", "--max-entries", "2", "--host", away, "--deadline", "0")
    for number in range(4):
        assert nemo_jobs("update", JOB, f"k{number}=1", *words).code == 0
    assert len(box.names()) <= 2
    assert nemo_jobs("update", "train-y", "a=1", *words).code in {0, 3}
    ran = nemo_jobs("update", "train-z", "a=1", *words)
    assert (ran.code, "full (2 entries)" in ran.err) == (3, True)
