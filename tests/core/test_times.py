"""Spans of time as people write and read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_jobs_cli.core import times
from nemo_jobs_cli.core.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10", 10),
        ("10s", 10),
        ("500ms", 0.5),
        ("2m", 120),
        ("2min", 120),
        ("1h30m", 5400),
        ("1d", 86400),
        ("0", 0),
        ("1.5", 1.5),
    ],
)
def test_the_usual_forms_are_understood(text, seconds):
    """A bare number is seconds."""
    assert times.parse(text, "--deadline") == seconds


@pytest.mark.parametrize("text", ["", "soon", "-1", "1e3", "inf", "nan", "10 s", "s", "1h30", "١", "9" * 30])
def test_anything_else_is_a_usage_error_that_names_its_origin(text):
    """Where the value came from matters: a variable, a profile, a flag."""
    with pytest.raises(UsageError) as caught:
        times.parse(text, "NEMO_JOBS_DEADLINE")
    assert "NEMO_JOBS_DEADLINE" in caught.value.message
    assert "500ms" in caught.value.hint


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"), (-3, "0.0 s"), (0.44, "0.4 s"), (9.94, "9.9 s"), (9.96, "10 s"), (12.4, "12 s"), (59.4, "59 s"), (59.7, "1 min"), (61, "1 min"), (3600, "1 h"),
        (7500, "2 h 5 min"), (47 * 3600, "47 h"), (50 * 3600, "2 d"),
    ],
)  # fmt: skip
def test_spans_are_written_in_their_largest_units(seconds, text):
    """Nobody reads 7500 s."""
    assert times.human(seconds) == text


@given(st.text())
def test_no_text_ends_in_anything_but_seconds_or_a_usage_error(text):
    """Whatever stands in a variable."""
    try:
        assert times.parse(text, "x") >= 0
    except UsageError:
        pass
