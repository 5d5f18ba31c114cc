"""What a flow of updates looks like: to people, in a pipe, as JSON."""

from __future__ import annotations

import json
import re
import sys

import pytest
from raw import CHILD_ENVIRONMENT
from terminals import Terminal

from nemo_jobs_cli.core.errors import NotDeliveredError, UsageError
from nemo_jobs_cli.core.outcome import Delivered, FlowResult, Update
from nemo_jobs_cli.reporting import view as stream_view
from nemo_jobs_cli.reporting.view import StreamView
from nemo_jobs_cli.sandbox import server as sandbox
from nemo_jobs_cli.settings.model import Screen

BAD = UsageError("stdin:3: no \x1b[31mkey", "write key=text")
AWAY = NotDeliveredError("nothing listens", "is it running?", facts={"failure": "refused"})
DONE = Delivered(Update("ws", "train-x", {"step": 1, "message": "a b"}), "http://h", 1, 0, 0.1, "t")


def view(*, stdout_taken=False, **screen):
    """Return what a stream of a job says on a screen."""
    return StreamView(Screen(**screen), "train-x", stdout_taken=stdout_taken)


@pytest.mark.parametrize(
    ("flow", "skipped", "says"),
    [
        (FlowResult(), 0, "0 lines, 0 updates, 0 requests, 0 retries, 0 errors"),
        (FlowResult(1, 1, 1, 1), 0, "1 line, 1 update, 1 request, 1 retry, 1 error"),
        (FlowResult(1_234_567, 12, 2, 3), 4, "1,234,567 lines, 1,234,567 updates, 12 requests, 2 retries, 7 errors"),
    ],
)
def test_the_end_is_a_line_of_counts(capsys, flow, skipped, says):
    """Bad lines are among the errors."""
    one = view()
    one.skipped = skipped
    one.print_summary(flow.updates, flow, 0)
    assert capsys.readouterr() == (f"train-x: {says}\n", "")


def test_the_end_stands_aside_of_what_passes_through(capsys):
    """--tee: stdout is the input's."""
    view(stdout_taken=True).print_summary(1, FlowResult(), 0)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("train-x: 1 line, ")


@pytest.mark.parametrize("output", ["json", "ndjson"])
@pytest.mark.parametrize("error", [None, AWAY])
def test_the_end_is_one_object(capsys, output, error):
    """With every count, and why the last state is not on the server."""
    one = view(output=output, quiet=True)
    one.skipped = 1
    one.print_summary(9, FlowResult(3, 2, 1, 1, error), 0 if error is None else 7)
    found = json.loads(capsys.readouterr().out)
    said = {"message": "nothing listens", "hint": "is it running?", "failure": "refused"}
    assert found == {
        "schema": 1,
        "command": "stream",
        "outcome": "failed" if error else "delivered",
        "exit_code": 7 if error else 0,
        "lines": 9,
        "updates": 3,
        "requests": 2,
        "retries": 1,
        "errors": 2,
        "skipped": 1,
        "error": said if error else None,
    }


def test_events_are_prose_on_stderr(capsys):
    """Escapes of whoever wrote the line stay text; a delivery is told of with -v alone."""
    one = view()
    one.on_bad_line(BAD)
    one.on_event(AWAY)
    one.on_event(DONE)
    view(verbose=True).on_event(DONE)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "warning: skipped stdin:3: no \\x1b[31mkey; write key=text",
        "warning: nothing listens; is it running?",
        'train-x: step=1 message="a b"',
    ]


def test_mistakes_are_told_ten_times(capsys):
    """A log that isn't meant for us has one a line."""
    one = view()
    for _ in range(50):
        one.on_bad_line(BAD)
    rows = capsys.readouterr().err.splitlines()
    assert len(rows) == stream_view.MAX_WARNINGS
    assert [row.endswith("; further bad lines are only counted") for row in rows] == [False] * 9 + [True]
    assert one.skipped == 50


def test_quiet_says_nothing(capsys):
    """The exit code does."""
    one = view(quiet=True)
    with one:
        one.on_bad_line(BAD)
        one.on_event(AWAY)
        one.on_event(DONE)
        one.refresh(1, FlowResult())
        one.print_summary(1, FlowResult(), 0)
    assert capsys.readouterr() == ("", "")


def test_json_has_no_events_but_prose(capsys):
    """One object alone on stdout."""
    one = view(output="json")
    one.on_bad_line(BAD)
    one.on_event(AWAY)
    one.on_event(DONE)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("warning: ") == 2


def test_ndjson_has_a_line_an_event(capsys):
    """However many there are, each at once."""
    one = view(output="ndjson")
    for _ in range(11):
        one.on_bad_line(BAD)
    one.on_event(AWAY)
    one.on_event(DONE)
    out, err = capsys.readouterr()
    found = [json.loads(row) for row in out.splitlines()]
    assert [entry["outcome"] for entry in found] == ["dropped"] * 11 + ["failed", "delivered"]
    assert found[0]["error"] == {"message": BAD.message, "hint": BAD.hint}
    assert found[11]["exit_code"] == 7
    assert found[12]["status_details"] == {"step": 1, "message": "a b"}
    assert err == ""


# On a terminal ----------------------------------------------------------------------------------------------------


@pytest.fixture
def server():
    """Return a sandbox."""
    made = sandbox.start(sandbox.Options())
    yield made
    sandbox.stop(made)


def on_terminal(server, *words, env=None, **streams):
    """Begin `stream train-x` on a terminal."""
    settings = {**CHILD_ENVIRONMENT, "NEMO_JOBS_HOST": server.url, "TERM": "xterm-256color"} | (env or {})
    return Terminal([sys.executable, "-m", "nemo_jobs_cli", "stream", "train-x", *words], settings, **streams)


def end(terminal):
    """Type the end of the input and return all that was shown."""
    terminal.type(b"\x04")
    assert terminal.end() == 0
    return terminal.seen


def until_drawn(terminal, line, text):
    """Type a line again and again until the live line says something: it isn't drawn too often."""
    while text not in terminal.seen:
        terminal.type(line)
        terminal.read(0.05)


def test_people_see_the_counts_change_in_place(server):
    """The live line goes away in the end; what stays is the summary."""
    with on_terminal(server) as terminal:
        until_drawn(terminal, b"step=1\n", b"train-x: ")
        shown = end(terminal)
    last = shown.rstrip().rpartition(b"\x1b[2K")[2]  # after the live line has been wiped out
    assert re.fullmatch(rb"train-x: [\d,]+ lines?, [\d,]+ updates?, \d+ requests?, 0 retries, 0 errors", last)
    assert shown.count(b"\x1b[?25l") == shown.count(b"\x1b[?25h") == 1


@pytest.mark.parametrize(
    ("words", "env"), [(("-q",), {}), (("--no-color",), {}), ((), {"TERM": "dumb"}), (("--tee",), {})]
)
def test_where_it_is_not_wanted_nothing_moves(server, words, env):
    """Quiet, without escapes, or with lines passing through."""
    with on_terminal(server, *words, env=env) as terminal:
        terminal.type(b"step=1\n")
        assert b"\x1b" not in end(terminal)


def test_a_log_of_stderr_gets_no_escapes(server, tmp_path):
    """`2>err.log`, at a terminal."""
    log = tmp_path / "err.log"
    with log.open("wb") as file, on_terminal(server, stderr=file) as terminal:
        terminal.type(b"step=1\nbad\n" * 20)
        end(terminal)
    assert b"warning: skipped" in log.read_bytes()
    assert b"\x1b" not in log.read_bytes()


def test_a_misspelt_key_is_warned_of_once(capsys):
    """It is sent, line after line, but said to be strange only where it comes first; programs are not talked to."""
    shown = view()
    for fields in ({"progres": 1}, {"progres": 2, "step": 3}, {"mesage": "x", "bleu": 1}):
        shown.check_keys(fields, frozenset({"bleu"}))
    assert capsys.readouterr().err.splitlines() == [
        "warning: progres is not a key that the platform shows; did you mean progress?",
        "warning: mesage is not a key that the platform shows; did you mean message?",
    ]
    view(output="ndjson").check_keys({"progres": 1}, frozenset())
    view(quiet=True).check_keys({"progres": 1}, frozenset())
    assert capsys.readouterr() == ("", "")


def test_who_invents_keys_is_not_kept_count_of(capsys):
    """Memory stays bounded."""
    shown = view()
    for n in range(3 * stream_view.MAX_KEYS):
        shown.check_keys({f"key{n}": n}, frozenset())
    assert len(shown._keys) == stream_view.MAX_KEYS
