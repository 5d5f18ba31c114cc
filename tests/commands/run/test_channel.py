"""Updates that the command itself reports, through the channel."""

from __future__ import annotations

import json

import pytest
from run_command import details, run

from nemo_jobs_cli.run.channel import Channel


def test_a_script_writes_to_the_channel(env, box, tmp_path):
    """Field lines, JSON and `nemo-jobs update` for the job keep their order, also if an update is large."""
    server = box()
    (tmp_path / "log").write_text("x" * 6000, encoding="utf-8")
    script = f"""
        echo 'progress=10 message="batch 1"' > "$NEMO_JOBS_CHANNEL"
        echo '{{"metrics": {{"a": 1}}}}' > "$NEMO_JOBS_CHANNEL"
        nemo-jobs update progress=20 phase=start
        nemo-jobs update "$NEMO_JOBS_JOB" step=7 phase=end log@={tmp_path}/log -q
        echo progress=30 > "$NEMO_JOBS_CHANNEL"
    """
    ran = run(env, "x1", "--interval", "100s", "--", "sh", "-ec", script)
    assert (ran.returncode, ran.stderr) == (0, b"")
    reported = details(server)
    assert len(reported.pop("log")) == 6000
    assert {key: reported[key] for key in ("progress", "message", "metrics", "step", "phase")} == {
        "progress": 30,
        "message": "batch 1",
        "metrics": {"a": 1},
        "step": 7,
        "phase": "end",
    }
    assert len([row for row in server.rows if row.startswith("PATCH")]) == 2  # one writer: its first and its last


def test_what_is_read_after_the_end_of_the_command_is_its_own(env, box, monkeypatch):
    """Else the next run would take its progress for that of another writer, and leave it."""
    server = box()
    start, finish = Channel.start, Channel.finish
    with monkeypatch.context() as late:
        late.setattr(Channel, "start", lambda _: None)
        late.setattr(Channel, "finish", lambda channel: (start(channel), finish(channel)))
        run(env, "x1", "--", "sh", "-c", 'echo progress=80 > "$NEMO_JOBS_CHANNEL"')
    assert details(server)["run"]["progress"] == details(server)["progress"] == 80
    run(env, "x1", "--", "true")
    assert details(server)["progress"] == 0


@pytest.mark.parametrize("words", [(), ("--outbox",)])
def test_what_an_update_wants_to_be_stored_is_stored(env, tmp_path, words):
    """`run` stores it if the platform is away, even if nothing else of it was to be stored."""
    env["NEMO_JOBS_DEADLINE"] = "0"
    script = f"cd '{tmp_path}' && nemo-jobs update -q progress=45 {' '.join(words)} --outbox-dir box"
    ran = run(env, "x1", "--", "sh", "-c", script)
    assert ran.returncode == 0
    entries = [json.loads(file.read_text(encoding="utf-8")) for file in (tmp_path / "box/pending").glob("*.json")]
    assert [entry["fields"]["progress"] for entry in entries] == ([45] if words else [])
    assert (b"nemo-jobs: kept x1: " in ran.stderr) is bool(words)


def test_another_job_is_updated_directly(env, box):
    """The channel is for the job of `run`."""
    server = box()
    run(env, "x1", "--", "sh", "-ec", "nemo-jobs update other progress=5; nemo-jobs update -w ws progress=6")
    assert details(server, "other") == {"progress": 5}
    assert details(server, "x1", "ws") == {"progress": 6}
    assert "progress" not in details(server)


def test_another_spelling_of_the_host_is_the_same_job(env, box):
    """Its order would be lost if it were sent directly."""
    server = box()
    spelled = server.url.replace("http", "HTTP") + "//"
    ran = run(env, "x1", "--", "nemo-jobs", "update", "x1", "a=1", "--host", spelled)
    assert (ran.returncode, ran.stdout) == (0, b"x1: a=1 (through nemo-jobs run)\n")
    assert details(server)["a"] == "1"


@pytest.mark.parametrize("job", ["x1", "other"])
def test_a_misspelled_key_is_warned_of_once(env, box, job):
    """By `run`, which sees all updates of its job; by `update` for another job."""
    box()
    ran = run(env, "x1", "--", "sh", "-ec", f"nemo-jobs update {job} progres=1 step=1 step=2")
    typo = "progres is not a key that the platform shows; did you mean progress?"
    assert sorted(ran.stderr.decode().splitlines()) == [
        f"nemo-jobs: {typo}" if job == "x1" else f"warning: {typo}",
        "warning: step is given twice: using the last value",
    ]


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


def test_lines_of_the_channel_are_numbered_from_its_beginning(env, box):
    """Also those that come later."""
    server = box()
    script = 'echo progress=1 > "$NEMO_JOBS_CHANNEL"; read line; echo nonsense > "$NEMO_JOBS_CHANNEL"'

    def is_read():
        return ("default", "x1") in server.jobs and details(server).get("progress") == 1

    ran = run(env, "x1", "--interval", "10ms", "--", "sh", "-c", script, when=is_read)
    assert ran.stderr.startswith(b"nemo-jobs: skipped channel:2")


def test_text_in_another_encoding_is_sent(env, box):
    """With a sign in the place of each byte that is not UTF-8: it costs no other field."""
    server = box()
    run(env, "x1", "--", "sh", "-c", r"""printf 'message="caf\351" step=1\n' > "$NEMO_JOBS_CHANNEL" """)
    assert {key: details(server)[key] for key in ("message", "step")} == {"message": "caf\ufffd", "step": 1}


def test_a_number_that_is_sent_as_text_gets_a_note(env, box):
    """At the end: until then another value may show that the key is for text."""
    box()
    ran = run(env, "x1", "--", "sh", "-c", 'echo bleu=31.5 > "$NEMO_JOBS_CHANNEL"')
    note = b"nemo-jobs: bleu is sent as text, although it looks like a number; --number bleu sends one\n"
    assert ran.stderr == note
