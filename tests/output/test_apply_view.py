"""The output of many updates: the plan, a line for each, the summary."""

from __future__ import annotations

import json

import pytest

from nemo_jobs_cli.core.errors import AuthError, NotDeliveredError, RejectedError
from nemo_jobs_cli.core.outcome import Delivered, Dropped, Kept, Update
from nemo_jobs_cli.delivery import batch
from nemo_jobs_cli.output import apply_view
from nemo_jobs_cli.settings.model import Screen

UPDATE = Update("research", "train-x", {"progress": 45})
ITEM = batch.BatchItem(UPDATE, "f:7")
DONE = Delivered(UPDATE, "http://h", 3, 2, 0.1, "trace")
FAILED = NotDeliveredError("no answer", "try later", facts={"status": 503})
KEPT = Kept(UPDATE, "http://h", "/box/1", "no answer")
DROPPED = Dropped(UPDATE, "http://h", FAILED.message)
REJECTED = RejectedError("no \x1b[31msuch field", "look")


def report_on(screen, *outcomes, code=0, left=0):
    """Report outcomes and print the summary."""
    with apply_view.Report(screen, len(outcomes)) as report:
        for outcome in outcomes:
            report.add(ITEM, outcome)
    report.summary(code, left)


def test_ndjson_is_a_line_per_update_and_a_summary(capsys):
    """Each line has the location, the outcome and the exit code."""
    report_on(Screen(output="ndjson"), DONE, KEPT, DROPPED, REJECTED, FAILED, None, code=6, left=4)
    rows = [json.loads(row) for row in capsys.readouterr().out.splitlines()]
    outcomes = ["delivered", "kept", "dropped", "rejected", "failed", "left"]
    assert [row["outcome"] for row in rows] == [*outcomes, "rejected"]
    assert [row["exit_code"] for row in rows] == [0, 0, 0, 6, 7, 0, 6]
    assert all((row["job"], row["workspace"], row["from"]) == ("train-x", "research", "f:7") for row in rows[:-1])
    assert (rows[0]["attempts"], rows[0]["conflicts"]) == (3, 2)
    assert rows[1]["error"] == rows[2]["error"] == {"message": "no answer"}
    assert rows[4]["error"] == {"message": "no answer", "hint": "try later", "status": 503}
    assert rows[-1] == {
        "schema": 1, "command": "apply", "outcome": "rejected", "exit_code": 6, "updates": 6, "delivered": 1, "kept": 1,
        "dropped": 1, "rejected": 1, "failed": 1, "left": 4, "attempts": 3, "conflicts": 2,
    }  # fmt: skip


def test_a_wait_is_announced_on_a_terminal(capsys):
    """Else the shell's prompt would seem to hang."""
    for screen in (Screen(terminal=True), Screen(), Screen(terminal=True, quiet=True)):
        apply_view.Report(screen, 1).on_wait(10)
    assert capsys.readouterr().err == "delivering the last updates, for up to 10 s; Ctrl-C stops it\n"


def test_json_is_one_object_with_the_first_errors(capsys):
    """They show what to fix."""
    report_on(Screen(output="json"), DONE, *[FAILED] * 30, code=7, left=30)
    document = json.loads(capsys.readouterr().out)
    assert (document["outcome"], document["failed"], document["left"]) == ("failed", 30, 30)
    assert len(document["errors"]) == apply_view.MAX_FAILURES
    assert document["errors"][0] == {
        "job": "train-x", "workspace": "research", "from": "f:7", "message": "no answer", "hint": "try later",
        "status": 503,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("outcomes", "code", "outcome"),
    [
        ([], 0, "delivered"),
        ([DONE], 0, "delivered"),
        ([DONE, KEPT], 0, "kept"),
        ([KEPT, DROPPED], 0, "dropped"),
        ([REJECTED], 6, "rejected"),
        ([REJECTED, AuthError("no", "x")], 4, "failed"),
        ([DONE, None], 130, "failed"),
    ],
)
def test_the_summary_has_the_worst_outcome(capsys, outcomes, code, outcome):
    """In one word."""
    report_on(Screen(output="json"), *outcomes, code=code)
    document = json.loads(capsys.readouterr().out)
    assert (document["outcome"], document["exit_code"]) == (outcome, code)


def test_a_pipe_gets_one_plain_line_and_failures_on_stderr(capsys):
    """Controls of a server are escaped; counts of zero are left out."""
    report_on(Screen(), DONE, REJECTED, code=6, left=1)
    printed = capsys.readouterr()
    assert printed.out == "1 delivered, 1 rejected, 1 undelivered, 3 attempts, 2 conflicts\n"
    failure, *hint = printed.err.splitlines()
    assert failure.startswith("f:7: train-x: no ")
    assert "\x1b" not in failure
    assert hint == [f"next: {REJECTED.hint}"]


def test_one_attempt_is_singular(capsys):
    """The same for conflicts, and for the counts of a plan."""
    report_on(Screen(), DONE._replace(attempts=1, conflicts=1))
    assert capsys.readouterr().out == "1 delivered, 1 attempt, 1 conflict\n"
    apply_view.plan(Screen(), QUEUES[:1], 1)
    assert capsys.readouterr().err == "1 update of 1 job, 1 request; nothing was sent\n"


def test_many_failures_are_only_counted(capsys):
    """After the first twenty; the count is complete."""
    report_on(Screen(), *[FAILED] * 50, code=7, left=50)
    printed = capsys.readouterr()
    *failures, hint = printed.err.splitlines()
    assert len(failures) == apply_view.MAX_FAILURES
    assert failures[-1].endswith("; further failures are only counted")
    assert hint == f"next: {FAILED.hint}"
    assert printed.out == "50 failed, 50 undelivered\n"


def test_kept_and_dropped_updates_are_printed_once_with_their_number(capsys):
    """The first one has its reason."""
    report_on(Screen(), KEPT, KEPT, DROPPED)
    printed = capsys.readouterr()
    assert printed.err.splitlines() == [
        "kept train-x: progress=45, because no answer; the next update of the job delivers it, or: nemo-jobs outbox flush",
        "2 updates kept in total",
        "dropped train-x: progress=45, because no answer",
    ]
    assert printed.out == "2 kept, 1 dropped\n"


def test_github_actions_shows_a_warning(capsys):
    """For dropped updates."""
    report_on(Screen(annotate=True), DROPPED)
    assert capsys.readouterr().err.startswith("::warning::dropped train-x")


def test_quiet_prints_only_failures(capsys):
    """In a pipe and on a terminal."""
    report_on(Screen(quiet=True), DONE, FAILED, code=7)
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "f:7: train-x: no answer\nnext: try later\n")
    report_on(Screen(quiet=True, terminal=True), DONE)
    assert capsys.readouterr() == ("", "")


def test_a_terminal_gets_a_progress_bar_and_a_table(capsys):
    """The bar on stderr while updates are sent, the table for a plan."""
    screen = Screen(terminal=True, color=True, width=80)
    report_on(screen, DONE, DONE)
    printed = capsys.readouterr()
    assert printed.out == "2 delivered, 6 attempts, 4 conflicts\n"
    assert "sending" in printed.err
    apply_view.plan(screen._replace(color=False), QUEUES[:1], 1)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows == [["JOB", "WOULD", "SET", "FROM"], ["research/train-x", "progress=45", "f:7"]]


def test_an_empty_file_prints_nothing_to_send(capsys):
    """It may be a mistake of the user."""
    report_on(Screen())
    assert capsys.readouterr().out == "nothing to send\n"


QUEUES = batch.group_by_job(
    [ITEM, batch.BatchItem(Update("lab", "eval", {"a": "\x1b", "b": [1]}), "f:8")], coalesce=True
)


def test_the_plan_is_a_row_per_request(capsys):
    """The job, the fields, and their location in the file."""
    apply_view.plan(Screen(), QUEUES, 5)
    printed = capsys.readouterr()
    first, second = printed.out.splitlines()
    assert first == "research/train-x\tprogress=45\tf:7"
    assert second.startswith("lab/eval\t")
    assert "\x1b" not in second
    assert printed.err == "5 updates of 2 jobs, 2 requests; nothing was sent\n"
    apply_view.plan(Screen(quiet=True), QUEUES, 5)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("output", ["json", "ndjson"])
def test_the_plan_as_data_is_one_object(capsys, output):
    """So that a program can check it before anything is sent."""
    apply_view.plan(Screen(output=output), QUEUES, 5)
    document = json.loads(capsys.readouterr().out)
    assert (document["outcome"], document["exit_code"], document["updates"]) == ("dry-run", 0, 5)
    assert document["requests"] == [
        {"workspace": "research", "job": "train-x", "status_details": {"progress": 45}, "from": "f:7"},
        {"workspace": "lab", "job": "eval", "status_details": {"a": "\x1b", "b": [1]}, "from": "f:8"},
    ]
