"""What reaches the screen in a pipe: plain, harmless, and complete as JSON."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_jobs_cli.core.errors import Pointer, RejectedError, UsageError
from nemo_jobs_cli.output import render
from nemo_jobs_cli.settings.model import Screen
from nemo_jobs_cli.transport.messages import Failure, Response

PLAIN = Screen()
JSON = Screen(output="json")


def test_an_error_is_a_sentence_a_place_and_a_next_step(capsys):
    """The mark stands under the character, also where controls are shown as escapes."""
    render.error(UsageError("it is wrong", "mend it", pointer=Pointer("m.json:1:3", "a\x1bb", 2)), "update", PLAIN)
    assert capsys.readouterr().err == (
        "error: it is wrong\n  m.json:1:3: a\\x1bb\n" + " " * (2 + len("m.json:1:3: ") + 5) + "^\nnext: mend it\n"
    )


def test_an_errors_complaints_are_rows(capsys):
    """What you wrote, where, what the server says; then the trace id."""
    problem = {"wrote": "progress=45", "where": "argument 2", "says": "too\x1b much", "loc": ["body"]}
    render.error(RejectedError("no", "mend", facts={"problems": [problem], "trace_id": "abc"}), "update", PLAIN)
    assert "  progress=45 | argument 2 | too\\x1b much\n  trace id: abc\n" in capsys.readouterr().err


def flood(shown, **more):
    """Return an error with so many complaints."""
    problems = [{"wrote": f"a{n}", "where": "b", "says": "c", "loc": []} for n in range(shown)]
    return RejectedError("no", "mend", facts={"problems": problems, **more})


@pytest.mark.parametrize(
    ("failure", "lines"),
    [
        (flood(10), []),
        (flood(10, problems_total=10), []),
        (flood(11), ["  +1 more (-o json shows them)"]),
        (flood(100, problems_total=100_000), ["  +99990 more (-o json shows the first 100)"]),
    ],
)
def test_a_flood_of_complaints_is_cut(capsys, failure, lines):
    """Ten tell what is wrong; JSON has what was kept."""
    render.error(failure, "update", PLAIN)
    said = capsys.readouterr().err.splitlines()
    assert said[1:-1] == [f"  a{n} | b | c" for n in range(10)] + lines
    render.error(failure, "update", JSON)
    assert json.loads(capsys.readouterr().out)["error"]["problems"] == failure.facts["problems"]


def test_an_error_as_json_is_one_object_on_stdout(capsys):
    """The same facts, for a program; nothing on stderr."""
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
    """No text can break the line or reach a terminal as a control."""
    import contextlib
    import io

    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        render.document("x", "y", value=text)
    shown = out.getvalue()
    assert shown.isascii()
    assert shown.count("\n") == 1
    assert all(char >= " " for char in shown[:-1])
    assert json.loads(shown)["value"] == text


def refuse(word):
    """Fail for what JSON does not have."""
    raise AssertionError(word)


def test_json_has_null_for_what_it_has_no_number_for(capsys):
    """A server's NaN is no reason to print what no parser reads; all else stays as it is."""
    said = {"a": float("nan"), "b": [float("-inf"), {"c": float("inf"), "d": 0.5}], "e": "NaN", "f": 10**4000}
    render.document("x", "y", result=said)
    found = json.loads(capsys.readouterr().out, parse_constant=refuse)
    assert found["result"] == {"a": None, "b": [None, {"c": None, "d": 0.5}], "e": "NaN", "f": 10**4000}


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
def test_fields_are_written_as_one_would_type_them(fields, line):
    """Short, and cut where there are many."""
    assert render.format_fields(fields) == line


def test_a_long_value_is_cut():
    """One line is one line."""
    assert len(render.format_fields({"a": "x" * 1000})) < 80


def test_a_table_in_a_pipe_is_tab_separated(capsys):
    """A tab or a newline inside a cell can't add one."""
    render.table(PLAIN, ("a", "b"), [("1", "x\ty\nz")])
    assert capsys.readouterr().out == "1\tx\\ty\\nz\n"


@pytest.mark.parametrize(
    ("screen", "said"),
    [
        (PLAIN, False),
        (Screen(verbose=True), True),
        (Screen(terminal=True), True),
        (Screen(terminal=True, quiet=True), False),
    ],
)
def test_retries_are_told_to_people_and_to_who_asks(capsys, screen, said):
    """A pipe stays silent unless -v."""
    render.retry(Failure("reset", "gone"), 0.25, screen)
    render.retry(Response(503), 1, screen)
    err = capsys.readouterr().err
    assert (err == "retrying in 0.2 s (reset: gone)\nretrying in 1.0 s (HTTP 503)\n") is said


def test_quiet_silences_warnings_and_notes(capsys):
    """Errors remain."""
    render.warnings(["w"], Screen(quiet=True))
    render.notes(["n"], Screen(quiet=True))
    assert capsys.readouterr().err == ""
    render.warnings(["w"], PLAIN)
    render.notes(["n"], PLAIN)
    assert capsys.readouterr().err == "warning: w\nnote: n\n"


def test_raw_text_is_exact(capsys):
    """A script that asked for one value gets it."""
    render.raw("a\x1b\n")
    assert capsys.readouterr().out == "a\x1b\n"
