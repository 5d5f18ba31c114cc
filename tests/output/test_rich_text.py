"""Terminal output: colors only if allowed, and no markup or controls from other text."""

from __future__ import annotations

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_jobs_cli.core.errors import Pointer, RejectedError
from nemo_jobs_cli.core.outcome import Delivered, Update
from nemo_jobs_cli.output import render, rich_text
from nemo_jobs_cli.settings.model import Screen

PLAIN = Screen(terminal=True, width=60)
COLOR = Screen(terminal=True, color=True, width=60)

EVIL = "[bold]x[/] :smile: \x1b[31mred\x1b[0m\x9b31m\nnext\rback \u202eabc"


def delivered(fields, attempts=1):
    """Return a delivered update."""
    return Delivered(Update("ws", "train-llama", fields), "http://h", attempts, attempts - 1, 0.1, "t")


@pytest.mark.parametrize(
    ("percent", "bar"),
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
def test_a_bar_is_full_only_at_100(percent, bar):
    """The finest step is half a cell."""
    assert rich_text.bar(percent, 10, rich_text.console(PLAIN)).plain == bar


@given(st.floats() | st.integers() | st.just(10**4200), st.integers(min_value=0, max_value=200))
def test_a_bar_of_any_number_has_its_width(percent, width):
    """With and without color."""
    for screen in (PLAIN, COLOR):
        assert len(rich_text.bar(percent, width, rich_text.console(screen)).plain) == width


def test_an_ascii_locale_gets_an_ascii_bar(monkeypatch):
    """Also for the mark and the separator."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", out)
    rich_text.delivered(PLAIN, delivered({"progress": 45, "status": "running"}))
    out.seek(0)
    assert out.read().rstrip() == "ok train-llama  progress 45 % ####       - status running"


def test_a_delivered_update_is_one_line(capsys):
    """The job and its fields: progress with a bar, the message without its key."""
    rich_text.delivered(PLAIN, delivered({"status": "running", "progress": 45, "message": "batch 3"}))
    assert capsys.readouterr().out == "✓ train-llama  status running · progress 45 % ━━━━╸      · …\n"
    rich_text.delivered(Screen(terminal=True, width=100), delivered({"message": "m", "tags": ["a", 1]}, attempts=3))
    assert capsys.readouterr().out == '✓ train-llama  m · tags ["a",1] · 3 attempts\n'


@pytest.mark.parametrize("variable", ["NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "COLUMNS", "GITHUB_ACTIONS"])
def test_the_screen_decides_about_colors(capsys, monkeypatch, variable):
    """Not the variables that rich reads by itself; only the sixteen colors of the user's theme are used."""
    monkeypatch.setenv(variable, "1")
    monkeypatch.setenv("TERM", "dumb")
    rich_text.delivered(COLOR, delivered({"progress": 45}))
    rich_text.delivered(PLAIN, delivered({"progress": 45}))
    colored, plain = capsys.readouterr().out.splitlines()
    assert "\x1b[36m━━━━╸\x1b[0m\x1b[90m━━━━━\x1b[0m" in colored
    assert "38;" not in colored
    assert plain == "✓ train-llama  progress 45 % ━━━━╸     "


@pytest.mark.parametrize("screen", [PLAIN, COLOR], ids=["plain", "color"])
def test_other_text_is_neither_markup_nor_control(capsys, screen):
    """Names, keys, values, cells and errors are printed as they are written."""
    screen = screen._replace(width=400)
    rich_text.delivered(screen, Delivered(Update("ws", EVIL, {EVIL: EVIL, "message": EVIL}), "h", 1, 0, 0.1, "t"))
    rich_text.table(screen, [EVIL], [[EVIL]])
    facts = {"problems": [{"wrote": EVIL, "where": EVIL, "says": EVIL}], "trace_id": EVIL}
    render.error(RejectedError(EVIL, EVIL, pointer=Pointer(EVIL, EVIL, 3), facts=facts), "update", screen)
    output = "".join(capsys.readouterr())
    assert output.count("[bold]x[/] :smile:") == 14
    assert "\x1b[31mred" not in output
    for control in ("\x9b", "\r", "\u202e"):
        assert control not in output
    assert ("\x1b" in output) is screen.color


def test_a_table_folds_wide_cells(capsys):
    """Nothing is lost, and no line is wider than the screen."""
    rich_text.table(PLAIN, ("key", "value"), [("a", "x" * 100), ("bb", "y")])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["key", "value"]
    assert max(map(len, lines)) <= 60
    assert sum(line.count("x") for line in lines) == 100


def test_the_bar_of_apply_has_room_for_the_echo_of_ctrl_c(capsys):
    """Else the terminal wraps, and a part of the bar stays."""
    with rich_text.progress(Screen(terminal=True, color=True, width=40), 6):
        pass
    frames = re.sub(r"\x1b\[[^a-zA-Z]*[a-zA-Z]", "", capsys.readouterr().err)
    assert "sending" in frames
    assert max(map(len, re.split(r"[\r\n]+", frames))) <= 40 - len("^C")
