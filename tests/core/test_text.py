"""Foreign text on the screen."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_jobs_cli.core.text import one_line, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain né 🚀", "plain né 🚀"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\nb\tc\rd", "a\\nb\\tc\\rd"),
        ("\x9b0m \x7f \x00", "\\x9b0m \\x7f \\x00"),
        ("\u202eevil", "\\u202eevil"),
        ("\u061cevil", "\\u061cevil"),
        ("\udce9", "\\udce9"),
    ],
)
def test_controls_are_shown_as_escapes(text, shown):
    """Nothing a server says moves the cursor or turns the line around."""
    assert one_line(text) == shown


def test_line_breaks_and_tabs_may_stay():
    """In a text of several lines they are layout."""
    assert printable("a\n\tb\x1b") == "a\n\tb\\x1b"


def test_a_long_line_is_cut():
    """Megabytes of echo are of no use to anybody."""
    assert one_line("x" * 100, 10) == "xxxxxxxxx…"


@given(st.text(), st.integers(2, 1000))
def test_what_comes_out_is_one_harmless_line(text, limit):
    """For any text: no control character, and it can be written as UTF-8."""
    shown = one_line(text, limit)
    assert not any(unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} for char in shown)
    shown.encode()
