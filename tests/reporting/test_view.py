"""The output of `stream`: for people, in a pipe, as JSON."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time

import pytest
from raw import CHILD_ENVIRONMENT
from run_command import without_stamp
from terminals import Terminal
from waiting import LIMIT, until

from nemo_jobs_cli.core.errors import NotDeliveredError, UsageError
from nemo_jobs_cli.core.outcome import Delivered, FlowResult, Slowed, Update
from nemo_jobs_cli.reporting import view as stream_view
from nemo_jobs_cli.reporting.view import StreamView
from nemo_jobs_cli.settings.model import Screen

BAD = UsageError("stdin:3: no \x1b[31mkey", "write key=text")
AWAY = NotDeliveredError("nothing listens", "is it running?", facts={"failure": "refused"})
DONE = Delivered(Update("ws", "train-x", {"step": 1, "message": "a b"}), "http://h", 1, 0, 0.1, "t")


def view(*, stdout_taken=False, now=time.monotonic, **screen):
    """Return the view of a stream on a screen."""
    return StreamView(Screen(**screen), "train-x", stdout_taken=stdout_taken, now=now)


def test_a_key_that_does_not_last_gets_one_note(capsys, monkeypatch):
    """The platform overwrites the message of the job that this runs in."""
    monkeypatch.setenv("NEMO_JOB_ID", "train-x")
    one = view()
    for _ in range(2):
        one.on_event(DONE)
    assert re.fullmatch("note: message does not last: .*\n", capsys.readouterr().err)
    view(output="ndjson").on_event(DONE)
    assert capsys.readouterr().err == ""


def test_a_wait_is_announced_on_a_terminal(capsys):
    """Else the shell's prompt would seem to hang; a log has the error."""
    for screen in ({"terminal": True}, {}, {"terminal": True, "quiet": True}):
        view(**screen).on_wait(30)
    assert capsys.readouterr().err == "delivering the last update, for up to 30 s; Ctrl-C stops it\n"


@pytest.mark.parametrize(
    ("flow", "skipped", "text"),
    [
        (FlowResult(), 0, "0 lines, 0 updates, 0 requests, 0 retries, 0 errors"),
        (FlowResult(1, 1, 1, 1), 0, "1 line, 1 update, 1 request, 1 retry, 1 error"),
        (
            FlowResult(slowed=2),
            0,
            "0 lines, 0 updates, 0 requests, 0 retries, 0 errors, slowed down by the server 2 times",
        ),
        (FlowResult(1_234_567, 12, 2, 3), 5, "1,234,567 lines, 1,234,567 updates, 12 requests, 2 retries, 8 errors"),
    ],
)
def test_the_summary_is_a_line_of_counts(capsys, flow, skipped, text):
    """Bad lines count as errors."""
    one = view()
    one.skipped = skipped
    one.print_summary(flow.updates, flow, 0)
    assert capsys.readouterr() == (f"train-x: {text}\n", "")


def test_the_summary_goes_to_stderr_with_tee(capsys):
    """The input is on stdout."""
    view(stdout_taken=True).print_summary(1, FlowResult(), 0)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("train-x: 1 line, ")


@pytest.mark.parametrize("error", [None, AWAY])
def test_the_summary_is_one_object(capsys, error):
    """It has every count, and why the last state is not on the server."""
    one = view(output="ndjson", quiet=True)
    one.skipped = 1
    one.print_summary(9, FlowResult(3, 2, 1, 1, error), 0 if error is None else 7)
    document = json.loads(capsys.readouterr().out)
    expected = {"message": "nothing listens", "hint": "is it running?", "failure": "refused"}
    assert document == {
        "schema": 1,
        "command": "stream",
        "outcome": "failed" if error else "delivered",
        "exit_code": 7 if error else 0,
        "lines": 9,
        "updates": 3,
        "requests": 2,
        "retries": 1,
        "slowed": 0,
        "errors": 2,
        "skipped": 1,
        "unmatched": [],
        "error": expected if error else None,
    }


@pytest.mark.parametrize("output", ["text", "json"])
def test_events_are_prose_on_stderr(capsys, output):
    """Escape sequences of an input line are escaped; deliveries appear only with -v."""
    one = view(output=output)
    one.on_bad_line(BAD)
    one.on_event(AWAY)
    one.on_event(DONE)
    view(verbose=True, output=output).on_event(DONE)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "warning: skipped stdin:3: no \\x1b[31mkey; write key=text",
        "warning: nothing listens; is it running?",
        'train-x: step=1 message="a b"',
    ]


def test_a_pause_for_the_server_is_shown_if_asked_for(capsys):
    """With -v, and not among the objects of -o ndjson."""
    for screen in ({}, {"verbose": True}, {"verbose": True, "output": "ndjson"}, {"verbose": True, "quiet": True}):
        view(**screen).on_event(Slowed(12.3))
    assert capsys.readouterr() == ("", "warning: the server is busy: the next request follows in 12 s\n")


def test_ten_bad_lines_are_shown(capsys):
    """In a log without updates, every line is bad."""
    one = view()
    for _ in range(50):
        one.on_bad_line(BAD)
    rows = capsys.readouterr().err.splitlines()
    assert len(rows) == stream_view.MAX_WARNINGS
    assert [row.endswith("; further bad lines are only counted") for row in rows] == [False] * 9 + [True]
    assert one.skipped == 50


def test_quiet_prints_nothing(capsys):
    """The exit code is enough."""
    one = view(quiet=True)
    with one:
        one.on_bad_line(BAD)
        one.on_event(AWAY)
        one.on_event(DONE)
        one.refresh(1, FlowResult())
        one.print_summary(1, FlowResult(), 0)
    assert capsys.readouterr() == ("", "")


def test_the_live_line_changes_ten_times_a_second(capsys, monkeypatch, fake_time):
    """Each change costs more than reading a line."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with view(color=True, now=lambda: fake_time.now) as one:
        for lines in range(2, 9):
            fake_time.now += 0.04
            one.refresh(lines, FlowResult())
        assert re.findall(r"train-x: (\d) lines", capsys.readouterr().err) == ["4", "7"]


def test_ndjson_has_a_line_per_event(capsys):
    """However many there are, each is printed at once."""
    one = view(output="ndjson")
    for _ in range(11):
        one.on_bad_line(BAD)
    one.on_event(AWAY)
    one.on_event(DONE)
    out, err = capsys.readouterr()
    document = [json.loads(row) for row in out.splitlines()]
    assert [entry["outcome"] for entry in document] == ["dropped"] * 11 + ["failed", "delivered"]
    assert document[0]["error"] == {"message": BAD.message, "hint": BAD.hint}
    assert document[11]["exit_code"] == 7
    assert document[12]["status_details"] == {"step": 1, "message": "a b"}
    assert err == ""


# On a terminal ----------------------------------------------------------------------------------------------------


@pytest.fixture
def server(start_sandbox):
    """Return a sandbox."""
    return start_sandbox()


def on_terminal(server, *words, typed=False, **streams):
    """Start `stream train-x` on a terminal, with a pipe as stdin unless the input is typed."""
    if not typed:
        streams["stdin"] = subprocess.PIPE
    settings = {**CHILD_ENVIRONMENT, "NEMO_JOBS_HOST": server.url, "TERM": "xterm-256color"}
    return Terminal([sys.executable, "-m", "nemo_jobs_cli", "stream", "train-x", *words], settings, **streams)


def write(terminal, lines):
    """Write lines into the pipe."""
    terminal.process.stdin.write(lines)
    terminal.process.stdin.flush()


def end(terminal):
    """End the input and return everything that was shown."""
    terminal.process.stdin.close()
    assert terminal.end() == 0
    return terminal.seen


def until_drawn(terminal, line, text):
    """Write a line until the live line shows a text: it is not redrawn for each line."""
    ends = time.monotonic() + LIMIT
    while text not in terminal.seen:
        assert time.monotonic() < ends, terminal.seen
        write(terminal, line)
        terminal.read(0.05)


def test_the_live_line_changes_in_place(server):
    """In the end it is removed; the summary stays."""
    with on_terminal(server) as terminal:
        until_drawn(terminal, b"step=1\n", b"train-x: ")
        shown = end(terminal)
    last = shown.rstrip().rpartition(b"\x1b[2K")[2]  # after the live line has been wiped out
    assert re.fullmatch(rb"train-x: [\d,]+ lines?, [\d,]+ updates?, \d+ requests?, 0 retries, 0 errors.*", last)
    assert shown.count(b"\x1b[?25l") == shown.count(b"\x1b[?25h") == 1


@pytest.mark.parametrize("word", ["-q", "--no-color", "--tee"])
def test_no_live_line(server, word):
    """Not with -q, without escape sequences, or with --tee."""
    with on_terminal(server, word) as terminal:
        write(terminal, b"step=1\n")
        assert b"\x1b" not in end(terminal)


def test_no_live_line_where_the_input_is_typed(server):
    """It would be mixed with what is typed."""

    def arrived():
        job = server.jobs.get(("default", "train-x"))
        return {} if job is None else without_stamp(job.details)

    with on_terminal(server, "--interval", "10ms", typed=True) as terminal:
        terminal.until(b"Ctrl-D")
        for step in (1, 2):
            terminal.type(b"step=%d\n" % step)
            until(lambda step=step: arrived() == {"step": step})
        terminal.type(b"\x04")
        assert terminal.end() == 0
        assert b"step=1\r\nstep=2\r\ntrain-x: 2 lines" in terminal.seen


def test_a_log_of_stderr_gets_no_escape_sequences(server, tmp_path):
    """`2>err.log` on a terminal makes one."""
    log = tmp_path / "err.log"
    with log.open("wb") as file, on_terminal(server, stderr=file) as terminal:
        write(terminal, b"step=1\nbad\n" * 20)
        end(terminal)
    assert b"warning: skipped" in log.read_bytes()
    assert b"\x1b" not in log.read_bytes()
