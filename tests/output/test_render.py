"""The output in a pipe: plain text with controls as escapes, or JSON."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from nemo_jobs_cli.core.errors import Pointer, RejectedError, UsageError
from nemo_jobs_cli.output import render
from nemo_jobs_cli.settings.model import Screen
from nemo_jobs_cli.transport.messages import Failure, Response

PLAIN = Screen()
JSON = Screen(output="json")


def test_an_error_has_a_message_a_location_and_a_hint(capsys):
    """The `^` is under the character, even after escaped controls."""
    render.error(UsageError("it is wrong", "mend it", pointer=Pointer("m.json:1:3", "a\x1bb", 2)), "update", PLAIN)
    assert capsys.readouterr().err == (
        "error: it is wrong\n  m.json:1:3: a\\x1bb\n" + " " * (2 + len("m.json:1:3: ") + 5) + "^\nnext: mend it\n"
    )


def test_an_error_on_a_terminal_has_two_colors(capsys):
    """Its long lines are wrapped by the terminal, so that they can be copied whole."""
    render.error(UsageError("no", "do: this " * 20), "update", Screen(terminal=True, color=True, width=60))
    assert capsys.readouterr().err == f"\x1b[1;31merror:\x1b[0m no\n\x1b[1;36mnext:\x1b[0m {'do: this ' * 20}\n"


@given(st.text(max_size=300), st.integers(min_value=0, max_value=300), st.integers(min_value=40, max_value=200))
def test_the_mark_is_under_the_character(line, column, width):
    """On a terminal of any width, after wide letters, controls, or a long line."""
    column = min(column, len(line))
    failure = UsageError("no", "mend", pointer=Pointer("argument 1", line, column))
    _, shown, mark, _ = render.error_lines(failure, width)
    assert cell_len(shown) < width
    place = cell_len(mark) - 1
    if place >= cell_len(shown):
        return  # the mark is after the end of the line, where something is missing
    before = ""
    for character in shown:
        if cell_len(before) >= place:
            break
        before += character
    assert cell_len(before) == place


def test_a_pointer_without_a_column_is_the_whole_line():
    """For an error of a whole line."""
    assert render.error_lines(UsageError("no", "mend", pointer=Pointer("a.json:1", "{x")))[1] == "  a.json:1: {x"


def test_the_problems_of_an_error_are_rows(capsys):
    """The argument, its location, the message of the server; then the trace id."""
    problem = {"wrote": "progress=45", "where": "argument 2", "says": "too\x1b much", "loc": ["body"]}
    render.error(RejectedError("no", "mend", facts={"problems": [problem], "trace_id": "abc"}), "update", PLAIN)
    assert "  progress=45 | argument 2 | too\\x1b much\n  trace id: abc\n" in capsys.readouterr().err


def rejected(count, **facts):
    """Return an error with `count` problems."""
    problems = [{"wrote": f"a{n}", "where": "b", "says": "c", "loc": []} for n in range(count)]
    return RejectedError("no", "mend", facts={"problems": problems, **facts})


@pytest.mark.parametrize(
    ("failure", "lines"),
    [
        (rejected(10), []),
        (rejected(10, problems_total=10), []),
        (rejected(11), ["  +1 more (-o json shows them)"]),
        (rejected(100, problems_total=100_000), ["  +99990 more (-o json shows the first 100)"]),
    ],
)
def test_only_the_first_ten_problems_are_printed(capsys, failure, lines):
    """JSON has all of them."""
    render.error(failure, "update", PLAIN)
    printed = capsys.readouterr().err.splitlines()
    assert printed[1:-1] == [f"  a{n} | b | c" for n in range(10)] + lines
    render.error(failure, "update", JSON)
    assert json.loads(capsys.readouterr().out)["error"]["problems"] == failure.facts["problems"]


def test_an_error_as_json_is_one_object_on_stdout(capsys):
    """Nothing goes to stderr."""
    render.error(UsageError("wrong", "mend", pointer=Pointer("a", "b", 0), facts={"x": 1}), "update", JSON)
    out, err = capsys.readouterr()
    assert json.loads(out) == {
        "schema": 1,
        "command": "update",
        "outcome": "failed",
        "exit_code": 2,
        "error": {"message": "wrong", "hint": "mend", "x": 1, "pointer": {"where": "a", "line": "b", "column": 0}},
    }
    assert err == ""


@given(st.text())
def test_json_is_one_line_of_ascii(text):
    """Text can neither break the line nor control a terminal."""
    import contextlib
    import io

    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        render.document("x", "y", value=text)
    line = out.getvalue()
    assert line.isascii()
    assert line.count("\n") == 1
    assert all(char >= " " for char in line[:-1])
    assert json.loads(line)["value"] == text


def refuse(constant):
    """Fail for a constant that is not JSON."""
    raise AssertionError(constant)


def test_nan_is_null_in_json(capsys):
    """And infinities; all other values are unchanged."""
    values = {"a": float("nan"), "b": [float("-inf"), {"c": float("inf"), "d": 0.5}], "e": "NaN", "f": 10**4000}
    render.document("x", "y", result=values)
    document = json.loads(capsys.readouterr().out, parse_constant=refuse)
    assert document["result"] == {"a": None, "b": [None, {"c": None, "d": 0.5}], "e": "NaN", "f": 10**4000}


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({}, "{}"),
        ({"progress": 45, "status": "running"}, "progress=45 status=running"),
        ({"message": "batch 3 of 10", "a": [1, {"b": None}]}, 'message="batch 3 of 10" a=[1, {"b": null}]'),
        ({"né": "🚀"}, "né=🚀"),
        ({"a\x1b": "\x1b"}, 'a\\x1b="\\u001b"'),
        ({str(n): n for n in range(10)}, "0=0 1=1 2=2 3=3 4=4 5=5 6=6 7=7 (+2 more)"),
    ],
)
def test_fields_are_formatted_as_arguments(fields, line):
    """At most eight of them."""
    assert render.format_fields(fields) == line


def test_a_long_value_is_cut():
    """To 60 characters."""
    assert len(render.format_fields({"a": "x" * 1000})) < 80


def test_a_table_in_a_pipe_is_tab_separated(capsys):
    """A tab or newline in a cell is escaped."""
    render.table(PLAIN, ("a", "b"), [("1", "x\ty\nz")])
    assert capsys.readouterr().out == "1\tx\\ty\\nz\n"


@pytest.mark.parametrize(
    ("screen", "first"),
    [
        (PLAIN, 4),
        (Screen(verbose=True), 0),
        (Screen(verbose=True, terminal=True), 0),
        (Screen(terminal=True), 2),
        (Screen(terminal=True, quiet=True), 4),
    ],
)
def test_long_retries_are_printed_on_a_terminal_and_all_with_verbose(capsys, screen, first):
    """A pipe without -v gets none."""
    render.retry(Failure("reset", "gone"), 0.25, screen)
    render.retry(Failure("refused", "connection refused"), 0.99, screen)
    render.retry(Response(503), 1, screen)
    render.retry(Response(404, b'{"detail": "Job \'x1\' has no current attempt."}'), 2, screen)
    rows = ["0.2 s (reset: gone)", "1.0 s (connection refused)", "1.0 s (HTTP 503)", "2.0 s (no attempt yet)"]
    assert capsys.readouterr().err.splitlines() == [f"retrying in {row}" for row in rows[first:]]


def test_quiet_hides_warnings_and_notes(capsys):
    """Errors are still printed."""
    render.warnings(["w"], Screen(quiet=True))
    render.notes(["n"], Screen(quiet=True))
    assert capsys.readouterr().err == ""
    render.warnings(["w"], PLAIN)
    render.notes(["n"], PLAIN)
    assert capsys.readouterr().err == "warning: w\nnote: n\n"


def test_a_token_in_a_warning_is_hidden(capsys):
    """Such as a value in the wrong place, which a warning quotes."""
    render.warnings([f"unknown key eyJ{'a' * 30}"], PLAIN)
    assert capsys.readouterr().err == "warning: unknown key [token]\n"


def test_raw_text_is_unchanged(capsys):
    """For one value in a script."""
    render.raw("a\x1b\n")
    assert capsys.readouterr().out == "a\x1b\n"
