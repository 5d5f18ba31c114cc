"""update, show, list and run on both servers."""

from __future__ import annotations

import json
import time

import pytest

WRITERS = 32


def test_an_update_is_shown(run, job):
    """`show --field` prints only the value."""
    code, out, err = run("update", job, "status=running", "progress=45", "message=batch 3 of 10")
    assert (code, out, err) == (0, f'{job}: status=running progress=45 message="batch 3 of 10"\n', "")
    assert run("show", job, "--field", "progress") == (0, "45\n", "")
    assert run("show", job, "--field", "message") == (0, "batch 3 of 10\n", "")
    assert run("show", job, "--state") == (0, "created\n", "")


def test_the_envelope(run, server, job):
    """With -o json, both commands print one object with the server's data in `result`."""
    code, out, _ = run("update", job, "progress=3/10", 'metrics:={"loss":[1,2]}', "-o", "json")
    document = json.loads(out)
    assert (code, document["outcome"], document["result"], document["host"]) == (0, "delivered", None, server.url)
    assert document["status_details"] == {"progress": 30, "metrics": {"loss": [1, 2]}}
    code, out, _ = run("show", job, "-o", "json")
    shown = json.loads(out)
    assert (code, shown["exit_code"], shown["result"]["name"]) == (0, 0, job)
    assert shown["result"]["status_details"] == document["status_details"]


@pytest.mark.parametrize("words", [("update", "{}", "progress=1"), ("show", "{}")], ids=["update", "show"])
def test_an_unknown_job_comes_with_similar_names(run, job, words):
    """Exit code 5."""
    code, out, err = run(*(word.format(job + "x") for word in words))
    assert (code, out) == (5, "")
    assert job in err.replace(job + "x", "")


def test_an_unknown_workspace_is_named(run, job):
    """Exit code 5; the message does not blame the job."""
    code, _, err = run("update", job, "progress=1", "-w", "nope-x")
    assert code == 5
    assert "Workspace 'nope-x' not found" in err or "workspace 'nope-x'" in err.lower()


def test_an_id_works_like_a_name(run, make):
    """For update and show."""
    created = make()
    assert run("update", created["id"], "progress=7")[0] == 0
    assert run("show", created["id"], "--field", "progress")[:2] == (0, "7\n")


def test_new_jobs_are_listed_first(run, make):
    """`list` shows the newest jobs with their progress."""
    older, newer = make()["name"], make()["name"]
    run("update", older, "progress=12")
    code, out, _ = run("list", "--limit", "2")
    rows = [row.split("\t") for row in out.splitlines()]
    assert code == 0
    assert [row[:3] for row in rows] == [[newer, "created", rows[0][2]], [older, "created", "12"]]


def test_a_stored_update_does_not_overwrite_what_a_run_has_reported_since(run, job, tmp_path):
    """One machine stores an update, a run on another reports more and ends, and then the first is online again."""
    code, _, err = run("update", job, "status=loading", "progress=10", "--outbox", "--deadline", "1ms")
    assert (code, "kept" in err) == (0, True), err
    script = 'echo progress=90 > "$NEMO_JOBS_CHANNEL"'
    code, _, err = run("run", job, "--", "sh", "-c", script, HOME=str(tmp_path / "other"))
    assert code == 0, err
    code, out, err = run("outbox", "flush")
    assert (code, "1" in out + err) == (0, True), out + err
    assert run("show", job, "--field", "progress")[1] == "90\n"
    assert run("show", job, "--field", "status")[1] == "completed\n"


def test_a_new_run_clears_what_the_last_one_left(run, job):
    """Its error, and its progress, but not that of anybody else."""

    def run_command(script):
        assert run("run", job, "--", "sh", "-c", script)[0] in {0, 3}
        return json.loads(run("show", job, "-o", "json")[1])["result"]["status_details"]

    failed = run_command('echo progress=80 > "$NEMO_JOBS_CHANNEL"; exit 3')
    assert (failed["progress"], failed["error"]) == (80, "the command exited with code 3")
    again = run_command("true")
    assert (again["status"], again["progress"], again["error"]) == ("completed", 0, None)
    run("update", job, "progress=50", "error=of-another")
    assert run_command("true")["progress"] == 50


@pytest.mark.slow
@pytest.mark.parametrize("apart", [False, True], ids=["one machine", "32 machines"])
def test_the_conflict_storm(start, run, server, job, tmp_path, apart, capsys):
    """32 processes update one job at once with different keys, and no key is lost.

    On one machine a lock per job orders them. With a temporary folder each, as on 32 machines, conflicts
    are retried.
    """
    folders = [tmp_path / (f"machine{number}" if apart else "machine") for number in range(WRITERS)]
    began = time.monotonic()
    writers = []
    for number, folder in enumerate(folders):
        folder.mkdir(exist_ok=True)
        words = ("update", job, f"key{number:02}={number}", "-o", "json")
        writers.append(start(*words, TMPDIR=str(folder)))
    documents = []
    for writer in writers:
        out, err = writer.communicate(timeout=120)
        assert writer.returncode == 0, out + err
        documents.append(json.loads(out))
    seconds = time.monotonic() - began
    conflicts, slowest = (
        sum(document["conflicts"] for document in documents),
        max(document["seconds"] for document in documents),
    )
    machines = "32 machines" if apart else "one machine"
    facts = f"{WRITERS} writers on {machines} in {seconds:.1f} s, slowest {slowest:.1f} s, {conflicts} conflicts"
    with capsys.disabled():
        print(f"\nconflict storm on the {server.kind}: {facts}")
    details = json.loads(run("show", job, "-o", "json")[1])["result"]["status_details"]
    assert details == {f"key{number:02}": str(number) for number in range(WRITERS)}
    assert not apart or conflicts > 0
