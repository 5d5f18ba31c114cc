"""The output of `run` about its reports: rare, on stderr, and as a file."""

from __future__ import annotations

import json

import pytest

from nemo_jobs_cli.core.errors import NotDeliveredError
from nemo_jobs_cli.core.outcome import Delivered, Dropped, FlowResult, Slowed, Update
from nemo_jobs_cli.run.status import ExitStatus
from nemo_jobs_cli.run.view import RunView
from nemo_jobs_cli.settings.model import Screen

AWAY = NotDeliveredError("the server can't be reached", "is it up?", facts={"failure": "refused"})
HERE = Delivered(Update("ws", "x1", {"progress": 45}), "http://h", 1, 0, 0.1, "trace")


def view(*, later=False, **screen):
    """Return a view on a screen."""
    return RunView(Screen(**screen), hold=later)


def test_an_outage_and_its_end_are_reported(capsys):
    """Each line names the program; a delivery is no news."""
    one = view()
    for event in (HERE, AWAY, HERE, HERE):
        one.on_event(event)
    out, err = capsys.readouterr()
    assert (out, err.splitlines()) == (
        "",
        ["nemo-jobs: the server can't be reached; is it up?", "nemo-jobs: reports are delivered again"],
    )


def test_a_pause_for_the_server_is_shown_if_asked_for(capsys):
    """With -v."""
    for screen in ({}, {"verbose": True}, {"verbose": True, "quiet": True}):
        view(**screen).on_event(Slowed(12.3))
    assert capsys.readouterr() == ("", "nemo-jobs: the server is busy: the next request follows in 12 s\n")


def test_a_key_that_does_not_last_gets_one_note(capsys, monkeypatch):
    """The platform overwrites it while the job runs."""
    monkeypatch.setenv("NEMO_JOB_ID", "x1")
    one, message = view(), HERE._replace(update=Update("ws", "x1", {"message": "batch 3"}))
    for event in (HERE, message, message):
        one.on_event(event)
    assert capsys.readouterr().err.startswith("nemo-jobs: note: message does not last: ")
    one.on_event(message)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("later", [False, True])
def test_a_wait_is_announced_on_a_terminal(capsys, later):
    """Else the shell's prompt would seem to hang; a log has the error."""
    for screen in ({"terminal": True}, {}, {"terminal": True, "quiet": True}):
        view(later=later, **screen).on_wait(30)
    text = "nemo-jobs: delivering the last report, for up to 30 s; Ctrl-C stops it"
    assert capsys.readouterr().err.splitlines() == [text]


def test_quiet_prints_nothing(capsys, tmp_path):
    """Not even that the report file cannot be written."""
    one = view(quiet=True, later=True)
    one.on_event(AWAY)
    one.finish(FlowResult(error=AWAY))
    one.write_report(str(tmp_path), "x1", ExitStatus(), FlowResult())
    assert capsys.readouterr().err == ""


def test_lines_are_held_while_the_command_has_our_terminal(capsys):
    """They come in order at its end, and at once from then on."""
    one = view(later=True)
    one.on_event(AWAY)
    one.say("second")
    assert capsys.readouterr().err == ""
    one.finish(FlowResult(error=AWAY))
    assert capsys.readouterr().err.splitlines() == [
        "nemo-jobs: the server can't be reached; is it up?",
        "nemo-jobs: second",
        "nemo-jobs: not everything was reported",
    ]
    one.say("third")
    assert capsys.readouterr().err == "nemo-jobs: third\n"


@pytest.mark.parametrize(
    ("flow", "expected"),
    [
        (
            FlowResult(kept=Dropped(HERE.update, "http://h", AWAY.message)),
            "nemo-jobs: dropped x1: progress=45, because ",
        ),
        (FlowResult(), ""),
        (None, ""),
    ],
)
def test_only_an_end_that_is_not_reported_is_mentioned(capsys, flow, expected):
    """`--best-effort` drops it, `--outbox` stores it; without a flow, another process reports."""
    view().finish(flow)
    err = capsys.readouterr().err
    assert err.startswith(expected)
    assert bool(err) is bool(expected)


@pytest.mark.parametrize("message", ["a new reason", "zz: a new reason"])
def test_a_reason_that_nobody_has_seen_is_mentioned(capsys, message):
    """The last failure may be another one than that of an outage before it."""
    one = view()
    one.on_event(AWAY)
    one.finish(FlowResult(error=NotDeliveredError(message, "", facts={})))
    assert capsys.readouterr().err.splitlines()[1:] == [f"nemo-jobs: not everything was reported: {message}"]


@pytest.mark.parametrize(
    ("flow", "outcome", "counts", "error"),
    [
        (FlowResult(9, 4, 2, 0), "delivered", (9, 4, 2, 0), None),
        (
            FlowResult(9, 4, 2, 1, AWAY),
            "failed",
            (9, 4, 2, 1),
            {"message": "the server can't be reached", "hint": "is it up?", "failure": "refused"},
        ),
        (None, "dropped", (0, 0, 0, 0), None),
    ],
)
def test_the_report(tmp_path, flow, outcome, counts, error):
    """One JSON object in one line: the last fields, and what happened to them."""
    path = tmp_path / "report.json"
    view().write_report(str(path), "x1", ExitStatus(signal=9), flow, status_details={"status": "failed"})
    text = path.read_text(encoding="utf-8")
    assert text.endswith("}\n")
    assert json.loads(text) == {
        "schema": 1,
        "command": "run",
        "outcome": outcome,
        "exit_code": 137,
        "job": "x1",
        "status_details": {"status": "failed"},
        **dict(zip(("updates", "requests", "retries", "errors"), counts, strict=True)),
        "slowed": 0,
        "error": error,
    }


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/dev/full", "/dev/full: No space left on device"),
        ("/no/such/folder/x", "/no/such/folder/x: No such file or directory"),
        ("a\0b", "a\\x00b: invalid path"),
        ("\x1b[31m/x", "\\x1b[31m/x: No such file or directory"),
    ],
)
def test_a_report_file_that_cannot_be_written(capsys, path, reason):
    """There is a warning, and nothing else happens."""
    view().write_report(path, "x1", ExitStatus(), FlowResult())
    assert capsys.readouterr().err == f"nemo-jobs: cannot write the report to {reason}\n"
