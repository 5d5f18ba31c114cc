"""The text that turns one frame into the next."""

from __future__ import annotations

import pytest
from emulated import Emulated
from hypothesis import given
from hypothesis import strategies as st

from nemo_jobs_cli.output import _live

ROWS, COLUMNS = 6, 20
LINE = st.text("ab ", max_size=COLUMNS - 1)
FRAME = st.lists(LINE, max_size=ROWS)
TITLED = st.builds(
    lambda title, rest: [title, *rest], st.text("ab", min_size=1, max_size=9), st.lists(LINE, max_size=ROWS - 1)
)


def rows(lines):
    """Return lines as a screen shows them."""
    return "\n".join(line.rstrip() for line in lines).rstrip("\n")


@given(st.integers(0, 2 * ROWS), st.lists(FRAME, min_size=1, max_size=8))
def test_the_screen_shows_the_last_frame_and_the_text_above(above, frames):
    """From any line on; nothing of older frames is left, and nothing above is lost."""
    screen = Emulated(ROWS, COLUMNS)
    words = [f"line {n}" for n in range(above)]
    screen.feed("".join(f"{word}\n" for word in words))
    before = []
    for frame in frames:
        screen.feed(_live.patch(before, frame))
        assert rows([*screen.past, *screen.lines]) == rows([*words, *frame])
        assert (screen.column, screen.wraps) == (0, True)
        before = frame


@given(FRAME, FRAME)
def test_only_changed_lines_are_written(before, after):
    """An equal frame is not written at all."""
    text = _live.patch(before, after)
    assert (text == "") == (before == after)
    after = after or [""]
    changed = [line for number, line in enumerate(after) if before[number : number + 1] != [line]]
    changed = changed if text else []
    assert text.count("\x1b[K") == len(changed)
    written = [piece.rpartition("\r")[2] for piece in text.split("\x1b[K")[:-1]]
    assert [piece.rpartition("\x1b[?7l")[2] for piece in written] == changed


@given(FRAME, TITLED, st.booleans())
def test_after_a_resize_nothing_is_left_of_the_old_lines(before, after, narrower):
    """Also in the scrollback, whether the terminal wraps or cuts them."""
    old = Emulated(ROWS, COLUMNS).feed(_live.patch([], before))
    new = Emulated(2 * ROWS, COLUMNS // 2 if narrower else COLUMNS * 2)
    if narrower:  # each line has become two
        new.lines[: 2 * ROWS] = [part for line in old.lines for part in (line[: COLUMNS // 2], line[COLUMNS // 2 :])]
    else:
        new.lines[:ROWS] = old.lines
    after = [line[: new.columns - 1] for line in after]
    assert new.feed(_live.redraw(after)).shown() == rows(after)
    assert (new.past, new.row, new.column, new.wraps) == ([], 0, 0, True)
    # Otherwise tmux takes a line for the start of the next one, and joins them at the next resize.
    assert all(f"\r\x1b[K{line}" in _live.redraw(after) for line in after)


@given(FRAME, TITLED, st.lists(LINE, max_size=2 * ROWS))
def test_a_last_frame_scrolls_if_needed(before, title, rest):
    """It is left as any output: all of it, with the cursor below, and nothing of the frame before."""
    after = title + rest
    screen = Emulated(ROWS, COLUMNS).feed(_live.patch([], before)).feed(_live.leave(after))
    assert rows([*screen.past, *screen.lines]) == rows(after)
    assert screen.row == min(len(after), ROWS - 1)


@pytest.mark.parametrize(
    ("lines", "footer", "rows", "shown"),
    [
        ("abcd", "", 4, ["a", "b", "c", "d"]),
        ("abcd", "", None, ["a", "b", "c", "d"]),
        ("abcd", "", 3, ["a", "b", "+2 lines: a taller window shows more"]),
        ("abcd", "z", 4, ["a", "b", "+2 lines: a taller window shows more", "z"]),
        ("abcd", "z", 1, ["a"]),
        ("", "z", 1, ["z"]),
        ("abcd", "xyz", 4, ["a", "+3 lines: a taller window shows more", "y", "z"]),
        ("", "xyz", 2, ["y", "z"]),
    ],
)
def test_a_frame_that_is_too_high_is_cut_with_a_note(lines, footer, rows, shown):
    """The end of the footer stays: it may report an outage, or have the newest line of a log."""
    fitted = _live.fit(_live.Frame(list(lines), list(footer)), rows)
    assert [line.removeprefix("\x1b[2m  ").removesuffix("\x1b[0m") for line in fitted] == shown


@given(FRAME, FRAME, st.integers(1, 20))
def test_no_frame_is_higher_than_the_screen(lines, footer, rows):
    """Its top could not be redrawn."""
    assert len(_live.fit(_live.Frame(lines, footer), rows)) <= rows
