"""The life of a wrapped command, as fields."""

from __future__ import annotations

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_jobs_cli.run import status as run_status
from nemo_jobs_cli.run.status import ExitStatus, Start

START = Start("node1", "2026-11-24T10:00:00Z")
BEGUN = {"host": "node1", "startedAt": "2026-11-24T10:00:00Z"}
DONE = "2026-11-24T10:01:00Z"


def over(ended, names=None, **more):
    """Return the fields of a command that is over after a minute."""
    return run_status.ended_fields(START, ended, DONE, 60.12345, names or {}, **more)


def test_a_command_that_starts_is_running():
    """Where it runs and since when."""
    assert run_status.started_fields(START, {}) == {"status": "running", "run": BEGUN}


def test_a_command_that_succeeds_is_completed():
    """The whole record is sent again: the server replaces a key's value wholesale."""
    assert over(ExitStatus(), tail="said") == {
        "status": "completed",
        "run": {**BEGUN, "finishedAt": DONE, "durationSeconds": 60.123, "exitCode": 0},
    }


@pytest.mark.parametrize(
    ("ended", "code", "status", "how", "error"),
    [
        (ExitStatus(code=3), 3, "failed", {"exitCode": 3}, "the command exited with code 3"),
        (ExitStatus(code=3, stopped=True), 3, "cancelled", {"exitCode": 3}, "the command exited with code 3"),
        (ExitStatus(signal=15), 143, "cancelled", {"signal": "SIGTERM"}, "the command was killed by SIGTERM"),
        (ExitStatus(signal=2), 130, "cancelled", {"signal": "SIGINT"}, "the command was killed by SIGINT"),
        (ExitStatus(signal=1), 129, "cancelled", {"signal": "SIGHUP"}, "the command was killed by SIGHUP"),
        (ExitStatus(signal=11), 139, "failed", {"signal": "SIGSEGV"}, "the command was killed by SIGSEGV"),
        (ExitStatus(signal=9), 137, "failed", {"signal": "SIGKILL"}, "the command was killed by SIGKILL"),
        (
            ExitStatus(signal=9, stopped=True),
            137,
            "cancelled",
            {"signal": "SIGKILL"},
            "the command was killed by SIGKILL",
        ),
        (
            ExitStatus(code=127, start_error="there is no\ncommand"),
            127,
            "failed",
            {"exitCode": 127},
            "there is no\\ncommand",
        ),
        (ExitStatus(code=126, start_error="no", stopped=True), 126, "failed", {"exitCode": 126}, "no"),
    ],
)
def test_every_other_end_says_how(ended, code, status, how, error):
    """Stopped by somebody is cancelled, all else failed; the exit code is the one shells give."""
    found = over(ended)
    assert ended.exit_code == code
    assert found == {
        "status": status,
        "run": {**BEGUN, "finishedAt": DONE, "durationSeconds": 60.123, **how},
        "error": error,
    }


def test_a_command_that_was_asked_to_stop_and_did_well_is_completed():
    """It may have saved its last checkpoint."""
    assert over(ExitStatus(stopped=True))["status"] == "completed"


def test_the_tail_of_the_output_follows_the_sentence():
    """What the command said last says why."""
    assert (
        over(ExitStatus(code=1), tail="Traceback:\nboom")["error"] == "the command exited with code 1\nTraceback:\nboom"
    )


def test_keys_can_be_renamed_and_dropped():
    """`[profiles.NAME.run.keys]`: a name, or false."""
    names = {"status": "state", "run": False, "error": True, "lastUpdated": "seen"}
    assert run_status.started_fields(START, names) == {"state": "running"}
    assert over(ExitStatus(code=1), names) == {"state": "failed", "error": "the command exited with code 1"}
    assert run_status.heartbeat_fields("now", names) == {"seen": "now"}
    assert run_status.heartbeat_fields("now", {"lastUpdated": False}) == {}
    assert run_status.heartbeat_fields("now", {}) == {"lastUpdated": "now"}


def test_a_signal_without_a_name_is_a_number():
    """Real-time signals have none."""
    assert run_status.signal_name(int(signal.SIGRTMIN) + 1) == f"signal {int(signal.SIGRTMIN) + 1}"


@given(
    st.builds(
        ExitStatus, st.integers(0, 255), st.integers(0, 64), st.sampled_from(["", "no such command"]), st.booleans()
    )
)
def test_completed_is_exit_code_0_and_nothing_else(ended):
    """Whoever reads the details sees what the shell saw."""
    found = over(ended)
    assert (found["status"] == "completed") == (ended.exit_code == 0) == ("error" not in found)
    assert found["status"] in {"completed", "cancelled", "failed"}
