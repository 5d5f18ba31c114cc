"""Test the output of updates that were kept, dropped, or delivered from the outbox."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nemo_jobs_cli.core.outcome import Delivered, DeliveryResult, Dropped, Kept, StoredResult, Update
from nemo_jobs_cli.delivery.entry import Entry
from nemo_jobs_cli.delivery.listing import Listing, StoredFile
from nemo_jobs_cli.output import outbox_view
from nemo_jobs_cli.output.outbox_view import EntryRow, FlushedJob
from nemo_jobs_cli.settings.model import Screen

UPDATE = Update("ws", "train-x", {"progress": 45})
KEPT = Kept(UPDATE, "http://h", "/o/1.json", "nothing listens\non http://h")
DROPPED = Dropped(UPDATE._replace(fields={"m": "50%"}), "http://h", "no\r\nanswer \x1b[31m")
DONE = Delivered(UPDATE, "http://h", 1, 0, 0.1, "t")
TEXT, JSON, NDJSON, QUIET = Screen(), Screen("json"), Screen("ndjson"), Screen(quiet=True)


def printed(capsys, function, *arguments):
    """Return what a function prints, on stdout and stderr."""
    function(*arguments)
    return tuple(capsys.readouterr())


@pytest.mark.parametrize(
    ("screen", "result", "out", "err"),
    [
        (
            TEXT,
            DeliveryResult(KEPT),
            "",
            (
                "kept train-x: progress=45, because nothing listens\\non http://h; "
                "the next update of the job delivers it, or: nemo-jobs outbox flush\n"
            ),
        ),
        (QUIET, DeliveryResult(KEPT), "", ""),
        (TEXT, DeliveryResult(DROPPED), "", "dropped train-x: m=50%, because no\\r\\nanswer \\x1b[31m\n"),
        (QUIET, DeliveryResult(DROPPED), "", "dropped train-x: m=50%, because no\\r\\nanswer \\x1b[31m\n"),
        (
            Screen(annotate=True),
            DeliveryResult(DROPPED),
            "",
            "::warning::dropped train-x: m=50%25, because no\\r\\nanswer \\x1b[31m\n",
        ),
        (TEXT, DeliveryResult(DONE), "train-x: progress=45\n", ""),
        (
            TEXT,
            DeliveryResult(DONE, StoredResult(1, 2, 3), 4),
            "train-x: progress=45\n",
            (
                "1 update delivered from the outbox, "
                "2 updates set aside, in part or whole: the job has newer values or a newer attempt, or has ended, "
                "3 updates rejected by the platform\n4 earlier updates dropped (best effort)\n"
            ),
        ),
        (QUIET, DeliveryResult(DONE, StoredResult(1), 1), "", ""),
    ],
)
def test_each_result_is_a_line_or_two(capsys, screen, result, out, err):
    """Quiet still prints dropped updates; text of a server cannot control a terminal or a CI system."""
    assert printed(capsys, outbox_view.delivery_result, screen, result) == (out, err)


@pytest.mark.parametrize("screen", [JSON, NDJSON])
@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (
            DeliveryResult(KEPT),
            {"outcome": "kept", "path": "/o/1.json", "status_details": {"progress": 45}, "job": "train-x"},
        ),
        (DeliveryResult(DROPPED), {"outcome": "dropped", "status_details": {"m": "50%"}, "host": "http://h"}),
        (
            DeliveryResult(DONE, StoredResult(aside=2), 1),
            {"outcome": "delivered", "older": {"aside": 2}, "dropped_before": 1},
        ),
    ],
)
def test_a_result_as_json_is_one_object(capsys, screen, result, expected):
    """Nothing goes to stderr."""
    out, err = printed(capsys, outbox_view.delivery_result, screen, result)
    document = json.loads(out)
    assert {key: document[key] for key in expected} == expected
    assert (document["command"], document["exit_code"], err) == ("update", 0, "")


ROWS = [
    FlushedJob(UPDATE, StoredResult(delivered=2)),
    FlushedJob(UPDATE._replace(job="train-y"), StoredResult(1, 0, 1), code=6),
    FlushedJob(UPDATE._replace(job="train-z"), error="no\nanswer", hint="wait", code=7),
    FlushedJob(UPDATE._replace(job="train-0")),
]


def test_a_flush_is_a_line_per_job(capsys):
    """With the outcome of its entries, or that another process has taken them."""
    out, err = printed(capsys, outbox_view.flushed, TEXT, ROWS, 6)
    assert out.splitlines() == [
        "train-x: 2 updates delivered from the outbox",
        "train-y: 1 update delivered from the outbox, 1 update rejected by the platform",
        "train-z: no\\nanswer",
        "train-0: another process has taken its updates",
    ]
    assert err == "next: wait\n"
    assert printed(capsys, outbox_view.flushed, QUIET, ROWS, 6) == ("train-z: no\\nanswer\n", "next: wait\n")
    assert printed(capsys, outbox_view.flushed, TEXT, [], 0) == ("", "nothing to deliver\n")
    assert printed(capsys, outbox_view.flushed, QUIET, [], 0) == ("", "")
    outbox_view.flushed(TEXT, [], 7, unreadable=1)
    assert capsys.readouterr().err == "1 update left that cannot be read: nemo-jobs outbox list\n"


@pytest.mark.parametrize(
    ("rows", "code", "outcome"),
    [(ROWS, 6, "rejected"), (ROWS[2:], 7, "failed"), (ROWS[:1], 0, "delivered"), ([], 0, "delivered")],
)
def test_a_flush_as_json_has_the_exit_code_of_the_process(capsys, rows, code, outcome):
    """A script may read either."""
    document = json.loads(printed(capsys, outbox_view.flushed, JSON, rows, code)[0])
    assert (document["outcome"], document["exit_code"]) == (outcome, code)
    assert [job["job"] for job in document["result"]] == [row.update.job for row in rows]


def test_a_flush_as_ndjson_is_a_line_per_job(capsys):
    """Each with its own outcome."""
    rows = [json.loads(line) for line in printed(capsys, outbox_view.flushed, NDJSON, ROWS, 6)[0].splitlines()]
    assert [(row["outcome"], row["exit_code"], row["delivered"]) for row in rows] == [
        ("delivered", 0, 2),
        ("rejected", 6, 1),
        ("failed", 7, 0),
        ("delivered", 0, 0),
    ]
    assert [row["error"] for row in rows] == [None, None, {"message": "no\nanswer"}, None]


ENTRY = Entry("http://h", "ws", "train-x", {"a": "\x1b"}, 1000.0)


def stored(kind, name="n"):
    """Return a file of a kind."""
    return StoredFile(name, kind, Path("/o") / kind / name)


ROW = EntryRow(stored("pending"), ENTRY)
ID = ROW.file.id
ENTRY_ROWS = [
    (ROW, f'{ID}\tpending\t1970-01-01T00:16:40.000Z\thttp://h\tws/train-x\ta="\\u001b"\t'),
    (EntryRow(stored("claimed"), ENTRY), "another process is delivering it"),
    (EntryRow(stored("rejected"), ENTRY._replace(why="422 no\x1b")), "422 no\\x1b"),
    (EntryRow(stored("broken"), None, "not an entry"), f"{ID}\tbroken\t\t\t\t\tnot an entry"),
]


@pytest.mark.parametrize(("row", "end"), ENTRY_ROWS)
def test_the_list_has_a_line_per_entry_with_its_state(capsys, row, end):
    """And why it is not delivered; a pipe gets absolute times, which stay true."""
    out, err = printed(capsys, outbox_view.entries, TEXT, [row], 1060.0)
    assert out.startswith(f"{ID}\t{row.file.kind}\t")
    assert (out.endswith(f"{end}\n"), err) == (True, "")


def test_a_claim_names_its_process(capsys, tmp_path):
    """And its host; both are in the name of the file."""
    (tmp_path / "claimed").mkdir()
    (tmp_path / "claimed" / "n~1060~node7~boot~7~1~").touch()
    rows = [EntryRow(file, ENTRY) for file in Listing(tmp_path, lambda: 1000.0).claimed()]
    assert printed(capsys, outbox_view.entries, TEXT, rows, 1060.0)[0].endswith("process 7 on node7 is delivering it\n")
    document = json.loads(printed(capsys, outbox_view.entries, JSON, rows, 0.0)[0])
    assert document["result"][0]["claimed_by"] == {"host": "node7", "pid": 7}


def test_a_terminal_shows_ages(capsys):
    """People do not subtract timestamps."""
    outbox_view.entries(Screen(terminal=True, width=120), [ROW], 1060.0)
    assert "60 s ago" in capsys.readouterr().out.replace("1 min", "60 s")


@pytest.mark.parametrize(
    ("width", "why", "titles"),
    [
        (40, None, "ENTRY STATE JOB"),
        (40, "no such key", "ENTRY STATE JOB"),
        (60, None, "ENTRY STATE STORED JOB"),
        (80, None, "ENTRY STATE STORED JOB FIELDS"),
        (80, "no such key", "ENTRY STATE STORED JOB REASON"),
        (200, None, "ENTRY STATE STORED HOST JOB FIELDS"),
        (200, "no such key", "ENTRY STATE STORED HOST JOB FIELDS REASON"),
    ],
)
def test_a_narrow_terminal_gets_fewer_columns(capsys, width, why, titles):
    """Ids and states stay in one piece; an empty column is left out."""
    fields = {"lastUpdated": "2026-11-27T23:32:57.302Z", "message": "batch 3 of 10"}
    entry = ENTRY._replace(host="http://127.0.0.1:8080", job="eval-mistral-7b-instruct", fields=fields, why=why)
    row = EntryRow(ROW.file._replace(kind="set-aside"), entry)
    outbox_view.entries(Screen(terminal=True, width=width), [row, ROW], 1060.0)
    head, first, *_ = lines = capsys.readouterr().out.splitlines()
    assert head.split() == titles.split()
    assert first.split()[:2] == [ID, "set-aside"]
    assert max(map(len, lines)) <= width


def test_an_empty_list_says_so(capsys):
    """Unless quiet."""
    assert printed(capsys, outbox_view.entries, TEXT, [], 0.0) == ("", "no entries\n")
    assert printed(capsys, outbox_view.entries, QUIET, [], 0.0) == ("", "")


def test_the_list_as_json(capsys):
    """One object, or with ndjson one per line; with id, state and who delivers it."""
    rows = [row for row, _ in ENTRY_ROWS]
    document = json.loads(printed(capsys, outbox_view.entries, JSON, rows, 0.0)[0])
    assert [(row["id"], row["entry"], row["state"]) for row in document["result"]] == [
        (ID, "n", row.file.kind) for row in rows
    ]
    assert [row["why"] for row in document["result"]] == [None, None, "422 no\x1b", "not an entry"]
    assert [document[kind] for kind in ("claimed", "rejected", "set-aside", "broken")] == [1, 1, 0, 1]
    document = json.loads(printed(capsys, outbox_view.entries, NDJSON, [ROW], 0.0)[0])
    assert document["result"]["fields"] == {"a": "\x1b"}
