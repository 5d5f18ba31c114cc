"""What many updates look like: the plan, a line each, the summary."""

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
GONE = NotDeliveredError("no answer", "try later", facts={"status": 503})
KEPT = Kept(UPDATE, "http://h", "/box/1", "no answer")
DROPPED = Dropped(UPDATE, "http://h", GONE)
REFUSED = RejectedError("no \x1b[31msuch field", "look")


def told(screen, *outcomes, code=0, left=0):
    """Let a report hear outcomes and print its summary."""
    with apply_view.Report(screen, len(outcomes)) as report:
        for outcome in outcomes:
            report.add(ITEM, outcome)
    report.summary(code, left)


def test_a_line_an_update_and_a_summary_last(capsys):
    """What a program reads while it runs: each with its place, its outcome and its exit code."""
    told(Screen(output="ndjson"), DONE, KEPT, DROPPED, REFUSED, GONE, None, code=6, left=4)
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


def test_json_is_one_object_with_the_first_errors(capsys):
    """A count alone would not say what to do."""
    told(Screen(output="json"), DONE, *[GONE] * 30, code=7, left=30)
    found = json.loads(capsys.readouterr().out)
    assert (found["outcome"], found["failed"], found["left"]) == ("failed", 30, 30)
    assert len(found["errors"]) == apply_view.MAX_FAILURES
    assert found["errors"][0] == {
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
        ([REFUSED], 6, "rejected"),
        ([REFUSED, AuthError("no", "x")], 4, "failed"),
        ([DONE, None], 130, "failed"),
    ],
)
def test_the_summary_says_the_worst(capsys, outcomes, code, outcome):
    """One word for all."""
    told(Screen(output="json"), *outcomes, code=code)
    found = json.loads(capsys.readouterr().out)
    assert (found["outcome"], found["exit_code"]) == (outcome, code)


def test_a_pipe_gets_one_plain_line_and_failures_on_stderr(capsys):
    """Control characters of a server are not passed on raw; zeros are not told."""
    told(Screen(), DONE, REFUSED, code=6, left=1)
    ran = capsys.readouterr()
    assert ran.out == "1 delivered, 1 rejected, 1 left, 3 attempts, 2 conflicts\n"
    assert ran.err.startswith("f:7: train-x: no ")
    assert "\x1b" not in ran.err


def test_one_attempt_is_singular(capsys):
    """The same for conflicts, and for the counts of a plan."""
    told(Screen(), DONE._replace(attempts=1, conflicts=1))
    assert capsys.readouterr().out == "1 delivered, 1 attempt, 1 conflict\n"
    apply_view.plan(Screen(), QUEUES[:1], 1)
    assert capsys.readouterr().err == "1 update of 1 job, 1 request; nothing was sent\n"


def test_many_failures_are_only_counted(capsys):
    """Nobody reads five thousand lines; the count is complete."""
    told(Screen(), *[GONE] * 50, code=7, left=50)
    ran = capsys.readouterr()
    assert len(ran.err.splitlines()) == apply_view.MAX_FAILURES
    assert ran.err.splitlines()[-1].endswith("; further failures are only counted")
    assert ran.out == "50 failed, 50 left\n"


def test_what_is_kept_or_dropped_is_told_once_with_the_number(capsys):
    """The first with its reason, and how many."""
    told(Screen(), KEPT, KEPT, DROPPED)
    ran = capsys.readouterr()
    assert ran.err.splitlines() == [
        "kept train-x: progress=45, because no answer; the next update of the job delivers it, or: nemo-jobs outbox flush",
        "2 updates kept in total",
        "dropped train-x: progress=45, because no answer",
    ]
    assert ran.out == "2 kept, 1 dropped\n"


def test_github_actions_shows_a_warning(capsys):
    """Where somebody sees it."""
    told(Screen(annotate=True), DROPPED)
    assert capsys.readouterr().err.startswith("::warning::dropped train-x")


def test_quiet_says_failures_only(capsys):
    """The exit code and what went wrong."""
    told(Screen(quiet=True), DONE, GONE, code=7)
    ran = capsys.readouterr()
    assert (ran.out, ran.err) == ("", "f:7: train-x: no answer\n")
    told(Screen(quiet=True, terminal=True), DONE)
    assert capsys.readouterr() == ("", "")


def test_nothing_to_send_is_said(capsys):
    """An empty file is no mistake, but it may be one of the person's."""
    told(Screen())
    assert capsys.readouterr().out == "nothing to send\n"


def test_a_terminal_gets_a_table(capsys):
    """One row a kind."""
    told(Screen(terminal=True, width=80), DONE, None, left=1)
    out = capsys.readouterr().out
    rows = [line.split() for line in out.splitlines()]
    assert rows == [["UPDATES"], ["delivered", "1"], ["left", "1"], ["attempts", "3"], ["conflicts", "2"]]


QUEUES = batch.group_by_job(
    [ITEM, batch.BatchItem(Update("lab", "eval", {"a": "\x1b", "b": [1]}), "f:8")], coalesce=True
)


def test_the_plan_is_a_row_a_request(capsys):
    """Where to, what, and where that stands."""
    apply_view.plan(Screen(), QUEUES, 5)
    ran = capsys.readouterr()
    first, second = ran.out.splitlines()
    assert first == "research/train-x\tprogress=45\tf:7"
    assert second.startswith("lab/eval\t")
    assert "\x1b" not in second
    assert ran.err == "5 updates of 2 jobs, 2 requests; nothing was sent\n"
    apply_view.plan(Screen(quiet=True), QUEUES, 5)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("output", ["json", "ndjson"])
def test_the_plan_as_data_is_one_object(capsys, output):
    """A program checks it before anything happens."""
    apply_view.plan(Screen(output=output), QUEUES, 5)
    found = json.loads(capsys.readouterr().out)
    assert (found["outcome"], found["exit_code"], found["updates"]) == ("dry-run", 0, 5)
    assert found["requests"] == [
        {"workspace": "research", "job": "train-x", "status_details": {"progress": 45}, "from": "f:7"},
        {"workspace": "lab", "job": "eval", "status_details": {"a": "\x1b", "b": [1]}, "from": "f:8"},
    ]
