"""What a terminal gets to see: colours only where wanted, and never what others smuggle in."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from nemo_jobs_cli.core.errors import Pointer, RejectedError, UsageError
from nemo_jobs_cli.core.outcome import Delivered, Update
from nemo_jobs_cli.output import rich_text
from nemo_jobs_cli.settings.model import Screen

PLAIN = Screen(terminal=True, width=60)
COLOUR = Screen(terminal=True, color=True, width=60)

EVIL = "[bold]x[/] :smile: \x1b[31mred\x1b[0m\x9b31m\nnext\rback \u202eabc"


def drawn(found, width=200):
    """Return what a renderable looks like without colour."""
    target = rich_text.console(Screen(terminal=True, width=width))
    target.file = io.StringIO()
    target.print(found, end="")
    return target.file.getvalue()


def delivered(fields, attempts=1):
    """Return an acknowledged update."""
    return Delivered(Update("ws", "train-llama", fields), "http://h", attempts, attempts - 1, 0.1, "t")


@pytest.mark.parametrize(
    ("percent", "shown"),
    [
        (0, "          "),
        (4, "          "),
        (5, "╸         "),
        (45, "━━━━╸     "),
        (50, "━━━━━     "),
        (99.9, "━━━━━━━━━╸"),
        (100, "━━━━━━━━━━"),
        (250, "━━━━━━━━━━"),
        (-1, "          "),
        (float("nan"), "          "),
        (float("inf"), "          "),
        (1e308, "━━━━━━━━━━"),
        (-1e308, "          "),
        pytest.param(10**4200, "          ", id="digits"),
    ],
)
def test_a_bar_is_full_only_at_the_end(percent, shown):
    """Half a cell is the finest step, and 99.9 % isn't 100 %."""
    assert rich_text.bar(percent, 10, rich_text.console(PLAIN)).plain == shown


@given(st.floats() | st.integers() | st.just(10**4200), st.integers(min_value=0, max_value=200))
def test_a_bar_has_its_width_whatever_the_number(percent, width):
    """A wild number never breaks the layout."""
    for screen in (PLAIN, COLOUR):
        assert len(rich_text.bar(percent, width, rich_text.console(screen)).plain) == width


def test_a_terminal_that_knows_no_lines_gets_hashes(monkeypatch):
    """An ASCII locale prints a bar, a mark and a separator that it has."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", out)
    rich_text.delivered(PLAIN, delivered({"progress": 45, "status": "running"}))
    out.seek(0)
    assert out.read().rstrip() == "ok train-llama  progress 45 % ####       - status running"


def test_a_delivered_update_is_one_line(capsys):
    """The job, then what was set: progress with a bar, the message bare."""
    rich_text.delivered(PLAIN, delivered({"status": "running", "progress": 45, "message": "batch 3"}))
    shown = capsys.readouterr().out
    assert shown == "✓ train-llama  status running · progress 45 % ━━━━╸      · …\n"
    rich_text.delivered(Screen(terminal=True, width=100), delivered({"message": "m", "tags": ["a", 1]}, attempts=3))
    assert capsys.readouterr().out == '✓ train-llama  m · tags ["a",1] · 3 attempts\n'


def test_colours_are_the_sixteen_of_the_users_theme(capsys):
    """With colour there are escape codes, without there is none at all."""
    rich_text.delivered(COLOUR, delivered({"progress": 45}))
    shown = capsys.readouterr().out
    assert "\x1b[36m━━━━╸\x1b[0m\x1b[90m━━━━━\x1b[0m" in shown
    assert "38;" not in shown
    rich_text.delivered(PLAIN, delivered({"progress": 45}))
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize("variable", ["NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "COLUMNS", "GITHUB_ACTIONS"])
def test_the_screen_decides_and_no_variable(capsys, monkeypatch, variable):
    """Rich reads a dozen variables by itself; settings have one way in."""
    monkeypatch.setenv(variable, "1")
    monkeypatch.setenv("TERM", "dumb")
    rich_text.delivered(COLOUR, delivered({"progress": 45}))
    rich_text.delivered(PLAIN, delivered({"progress": 45}))
    coloured, plain = capsys.readouterr().out.splitlines()
    assert "\x1b[36m" in coloured
    assert plain == "✓ train-llama  progress 45 % ━━━━╸     "


@pytest.mark.parametrize("screen", [PLAIN, COLOUR], ids=["plain", "colour"])
def test_nothing_foreign_is_markup_or_control(capsys, screen):
    """A job's name, a key, a value, a cell, an error: all are shown as they are written."""
    screen = Screen(terminal=True, color=screen.color, width=400)
    rich_text.delivered(screen, Delivered(Update("ws", EVIL, {EVIL: EVIL, "message": EVIL}), "h", 1, 0, 0.1, "t"))
    rich_text.table(screen, [EVIL], [[EVIL]])
    facts = {"problems": [{"wrote": EVIL, "where": EVIL, "says": EVIL}], "trace_id": EVIL}
    rich_text.error(RejectedError(EVIL, EVIL, pointer=Pointer(EVIL, EVIL, 3), facts=facts), screen)
    shown = "".join(capsys.readouterr())
    assert shown.count("[bold]x[/] :smile:") == 14
    assert "\x1b[31mred" not in shown
    for control in ("\x9b", "\r", "\u202e"):
        assert control not in shown
    assert ("\x1b" in shown) is screen.color


def test_a_table_has_a_heading_and_folds_what_is_too_wide(capsys):
    """Nothing is lost on a narrow screen, and no line is wider than it."""
    rich_text.table(PLAIN, ("key", "value"), [("a", "x" * 100), ("bb", "y")])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["key", "value"]
    assert max(map(len, lines)) <= 60
    assert sum(line.count("x") for line in lines) == 100


def test_an_error_says_what_where_and_what_next(capsys):
    """On stderr; long sentences are left to the terminal to wrap, so that they can be copied whole."""
    hint = "do this " * 20
    problems = [{"wrote": "progress=high", "where": "argument 2", "says": "Input should be a number"}]
    failure = RejectedError(
        "no", hint, pointer=Pointer("argument 2", "progress=high", 9), facts={"problems": problems, "trace_id": "abc"}
    )
    rich_text.error(failure, PLAIN)
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.rstrip() for line in err.splitlines()] == [
        "error: no",
        "  argument 2: progress=high",
        "                       ^",
        "  you wrote      where       the server says",
        "  progress=high  argument 2  Input should be a number",
        "  trace id: abc",
        f"next: {hint.rstrip()}",
    ]


def test_a_flood_of_complaints_is_cut(capsys):
    """The same ten as in a pipe."""
    problems = [{"wrote": f"a{n}", "where": "b", "says": "c"} for n in range(100)]
    rich_text.error(RejectedError("no", "do this", facts={"problems": problems, "problems_total": 1000}), PLAIN)
    lines = [line.rstrip() for line in capsys.readouterr().err.splitlines()]
    assert lines[11:] == ["  a9         b      c", "  +990 more (-o json shows the first 100)", "next: do this"]


def test_an_error_may_be_short(capsys):
    """Without place, problems and trace id there are two lines."""
    rich_text.error(UsageError("no", "do this"), COLOUR)
    assert capsys.readouterr().err == "\x1b[1;31merror: \x1b[0mno\n\x1b[1;36mnext: \x1b[0mdo this\n"


def test_a_pointer_without_a_column_is_one_line():
    """The whole line is meant."""
    assert [line.plain for line in rich_text.pointer_lines(Pointer("a.json:1", "{x"), 60)] == ["  a.json:1: {x"]


@given(st.text(max_size=300), st.integers(min_value=0, max_value=300), st.integers(min_value=40, max_value=200))
def test_the_mark_stands_under_the_character(line, column, width):
    """Whatever stands before it: wide letters, controls, or more than fits."""
    column = min(column, len(line))
    shown, mark = rich_text.pointer_lines(Pointer("argument 1", line, column), width)
    assert cell_len(shown.plain) < width
    place = cell_len(mark.plain) - 1
    if place >= cell_len(shown.plain):
        return  # the mark stands behind the end of the line, where something is missing
    before = ""
    for character in shown.plain:
        if cell_len(before) >= place:
            break
        before += character
    assert cell_len(before) == place
