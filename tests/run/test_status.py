"""The life of a wrapped command, as status fields."""

from __future__ import annotations

import re
import signal
import time
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_jobs_cli.run import status
from nemo_jobs_cli.run.status import ExitStatus, StatusFields

KILLED_BY = "the command was killed by "
EXITED = {"code": 3, "end": {"exitCode": 3}, "error": "the command exited with code 3"}


def killed(number):
    """Return what is reported of a command that a signal has ended."""
    return {"code": 128 + number, "end": {"signal": number.name}, "error": KILLED_BY + number.name}


def ended(fields, status=ExitStatus(), tail=""):  # noqa: B008 - frozen
    """Return the last fields of a command that ends now."""
    fields.end(status)
    return fields.ended(tail)


def test_running_and_completed(monkeypatch):
    """The end repeats the whole record: the server replaces the value of a key."""
    seconds = iter([100.0, 101.23456])
    monkeypatch.setattr(status, "time", SimpleNamespace(time=time.time, monotonic=lambda: next(seconds)))
    fields = StatusFields({})
    running, completed = fields.running(), ended(fields, tail="output")
    assert (running["status"], completed["status"]) == ("running", "completed")
    assert running["run"].keys() == {"host", "startedAt"}
    end = {key: completed["run"][key] for key in completed["run"].keys() - running["run"].keys()}
    assert completed == {"status": "completed", "run": running["run"] | end}
    assert end.keys() == {"finishedAt", "durationSeconds", "exitCode"}
    assert end["exitCode"] == 0
    assert end["durationSeconds"] == 1.235
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", end["finishedAt"])


@pytest.mark.parametrize(
    ("status", "word", "expected"),
    [
        (ExitStatus(code=3), "failed", EXITED),
        (ExitStatus(code=3, stopped=True), "cancelled", EXITED),
        (ExitStatus(signal=9), "failed", killed(signal.SIGKILL)),
        (ExitStatus(signal=9, stopped=True), "cancelled", killed(signal.SIGKILL)),
        (ExitStatus(signal=15), "cancelled", killed(signal.SIGTERM)),
        (ExitStatus(signal=2), "cancelled", killed(signal.SIGINT)),
        (ExitStatus(signal=1), "cancelled", killed(signal.SIGHUP)),
        (ExitStatus(signal=11), "failed", killed(signal.SIGSEGV)),
        (
            ExitStatus(signal=63),
            "failed",
            {"code": 191, "end": {"signal": "signal 63"}, "error": KILLED_BY + "signal 63"},
        ),
        (
            ExitStatus(code=127, start_error="command\nnot found", stopped=True),
            "failed",
            {"code": 127, "end": {"exitCode": 127}, "error": "command\\nnot found"},
        ),
    ],
)
def test_other_ends_have_a_reason(status, word, expected):
    """A command that was stopped is cancelled, any other failed; the exit code is that of a shell.

    Real-time signals have no name.
    """
    fields = ended(StatusFields({}), status)
    assert (fields["status"], status.exit_code, fields["error"]) == (word, expected["code"], expected["error"])
    assert {key: fields["run"].get(key) for key in expected["end"]} == expected["end"]
    assert ended(StatusFields({}), status, "Traceback:\nboom")["error"] == expected["error"] + "\nTraceback:\nboom"


def test_a_report_under_way_does_not_change():
    """A signal that arrives before it is sent is in the next one."""
    fields = StatusFields({})
    running = fields.running()
    fields.received(15)
    assert "receivedSignal" not in running["run"]


def test_a_status_of_the_command_counts_after_a_signal():
    """What it says in its normal life is over when it ends; the key may have another name."""
    fields = StatusFields({"status": "state"})
    fields.note({"state": "training"})
    assert ended(fields)["state"] == "completed"
    assert fields.received(signal.SIGTERM)["state"] == "cancelling"
    assert ended(fields)["state"] == "completed"
    fields.note({"state": "preempted"})
    fields.note({"status": "x", "step": 1})
    assert ended(fields)["state"] == "preempted"
    assert ended(fields, ExitStatus(code=1))["state"] == "failed"
    assert fields.received(signal.SIGUSR1).keys() == {"run"}
    assert ended(fields)["state"] == "preempted"


def test_keys_can_be_renamed_and_dropped():
    """`[profiles.NAME.run.keys]` holds a name, or false."""
    fields = StatusFields({"status": "state", "run": False, "lastUpdated": "seen"})
    assert fields.running() == {"state": "running", "error": None}
    assert ended(fields, ExitStatus(code=1)) == {"state": "failed", "error": "the command exited with code 1"}
    assert fields.stamp().keys() == {"seen"}
    assert StatusFields({"lastUpdated": False}).stamp() == {}
    assert StatusFields({}).stamp().keys() == {"lastUpdated"}


def test_progress_of_an_older_run_is_reset():
    """But not that of another writer; a run that was killed has no end."""
    older = StatusFields({})
    older.note({"progress": 80, "step": 8})
    assert older.running()["run"].keys() == {"host", "startedAt", "progress"}
    last = ended(older)["run"]
    killed = {"host": "h", "startedAt": "..."}
    fields = StatusFields({})
    for run, progress, expected in (
        (last, 80, {"progress": 0}),
        (killed, 80, {"progress": 0}),
        (last, 50, {}),
        (last, 90, {}),
        (ended(StatusFields({}))["run"], 80, {}),
        ("mine", 80, {}),
        (None, 80, {}),
        (killed, None, {}),
    ):
        assert fields.reset({"run": run, "progress": progress}) == expected
    assert fields.reset({}) == {}
    assert StatusFields({"run": "launch"}).reset({"launch": last, "progress": 80}) == {"progress": 0}


@given(
    st.builds(ExitStatus, st.integers(0, 255), st.integers(0, 64), st.sampled_from(["", "not found"]), st.booleans())
)
def test_completed_means_exit_code_0(status):
    """The details say what the shell sees; a stopped command may have saved its last checkpoint and exit with 0."""
    fields = ended(StatusFields({}), status)
    assert (fields["status"] == "completed") == (status.exit_code == 0) == ("error" not in fields)
    assert fields["status"] in {"completed", "cancelled", "failed"}


def test_a_prefix_keeps_the_keys_of_several_runs_apart():
    """Each key but the time has it, also a renamed one; an older run is looked for under it."""
    fields = StatusFields({"status": "state"}, "shard_3_")
    assert fields.running().keys() == {"shard_3_state", "shard_3_run", "shard_3_error"}
    assert fields.stamp().keys() == {"lastUpdated"}
    assert fields.add_prefix({"progress": 5, "lastUpdated": "now"}) == {"shard_3_progress": 5, "lastUpdated": "now"}
    older = {"finishedAt": "then", "progress": 80}
    assert fields.reset({"run": older, "progress": 80}) == {}
    assert fields.reset({"shard_3_run": older, "shard_3_progress": 80}) == {"shard_3_progress": 0}
    fields.received(signal.SIGTERM)
    fields.note({"state": "preempted", "progress": 90})
    assert ended(fields)["shard_3_state"] == "preempted"
    assert ended(fields)["shard_3_run"]["progress"] == 90
