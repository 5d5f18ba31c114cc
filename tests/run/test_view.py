"""What `run` says of its reports: seldom, on stderr, and as a file."""

from __future__ import annotations

import json

import pytest

from nemo_jobs_cli.core.errors import NotDeliveredError
from nemo_jobs_cli.core.outcome import Delivered, FlowResult, Update
from nemo_jobs_cli.run.status import ExitStatus
from nemo_jobs_cli.run.view import RunView
from nemo_jobs_cli.settings.model import Screen

AWAY = NotDeliveredError("the server can't be reached", "is it up?", facts={"failure": "refused"})
HERE = Delivered(Update("ws", "x1", {"progress": 45}), "http://h", 1, 0, 0.1, "trace")


def view(*, later=False, **screen):
    """Return a view on a screen."""
    return RunView(Screen(**screen), hold=later)


def test_an_outage_and_its_end_are_told(capsys):
    """Each with whose words these are; what is delivered is no news."""
    one = view()
    for event in (HERE, AWAY, HERE, HERE):
        one.on_event(event)
    out, err = capsys.readouterr()
    assert (out, err.splitlines()) == (
        "",
        ["nemo-jobs: the server can't be reached; is it up?", "nemo-jobs: reports are delivered again"],
    )


def test_verbose_tells_what_was_delivered(capsys):
    """In the grammar's own words."""
    view(verbose=True).on_event(HERE)
    assert capsys.readouterr().err == "nemo-jobs: reported progress=45\n"


def test_quiet_tells_nothing(capsys, tmp_path):
    """Not of outages, not of the end, not of a report that can't be written."""
    one = view(quiet=True, later=True)
    one.on_event(AWAY)
    one.finish(FlowResult(error=AWAY))
    one.write_report(str(tmp_path), "x1", ExitStatus(), {}, FlowResult())
    assert capsys.readouterr().err == ""


def test_on_a_terminal_of_the_commands_own_prose_waits(capsys):
    """It comes in its order, when the command is over; from then on it comes at once."""
    one = view(later=True)
    one.on_event(AWAY)
    one.say("second")
    assert capsys.readouterr().err == ""
    one.finish(FlowResult(error=AWAY))
    assert capsys.readouterr().err.splitlines() == [
        "nemo-jobs: the server can't be reached; is it up?",
        "nemo-jobs: second",
        "nemo-jobs: not everything was reported: the server can't be reached",
    ]
    one.say("third")
    assert capsys.readouterr().err == "nemo-jobs: third\n"


@pytest.mark.parametrize("flow", [FlowResult(), None])
def test_an_end_that_is_known_needs_no_words(capsys, flow):
    """Nor does one that another process reports."""
    view().finish(flow)
    assert capsys.readouterr().err == ""


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
    """One JSON object in one line: what was to be known in the end, and what became of it."""
    path = tmp_path / "report.json"
    view().write_report(str(path), "x1", ExitStatus(signal=9), {"status": "failed"}, flow)
    text = path.read_text()
    assert text.endswith("}\n")
    assert json.loads(text) == {
        "schema": 1,
        "command": "run",
        "outcome": outcome,
        "exit_code": 137,
        "job": "x1",
        "status_details": {"status": "failed"},
        **dict(zip(("updates", "requests", "retries", "errors"), counts, strict=True)),
        "error": error,
    }


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/dev/full", "/dev/full: No space left on device"),
        ("/no/such/folder/x", "/no/such/folder/x: No such file or directory"),
        ("a\0b", "a\\x00b: embedded null byte"),
        ("\x1b[31m/x", "\\x1b[31m/x: No such file or directory"),
    ],
)
def test_a_report_that_can_not_be_written(capsys, path, says):
    """It is told; nothing more comes of it."""
    view().write_report(path, "x1", ExitStatus(), {}, FlowResult())
    assert capsys.readouterr().err == f"nemo-jobs: cannot write the report to {says}\n"
