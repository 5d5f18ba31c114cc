"""Durations and timestamps."""

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
def test_the_usual_forms_are_parsed(text, seconds):
    """A bare number is seconds."""
    assert times.parse_duration(text, "--deadline") == seconds


@pytest.mark.parametrize("text", ["", "soon", "-1", "1e3", "inf", "nan", "10 s", "s", "1h30", "١", "9" * 30])
def test_other_text_is_a_usage_error_that_names_its_source(text):
    """A variable, a profile or a flag."""
    with pytest.raises(UsageError) as caught:
        times.parse_duration(text, "NEMO_JOBS_DEADLINE")
    assert "NEMO_JOBS_DEADLINE" in caught.value.message
    assert "500ms" in caught.value.hint


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"), (-3, "0.0 s"), (0.44, "0.4 s"), (9.94, "9.9 s"), (9.96, "10 s"), (12.4, "12 s"), (59.4, "59 s"), (59.7, "1 min"), (61, "1 min"), (3600, "1 h"),
        (7500, "2 h 5 min"), (47 * 3600, "47 h"), (50 * 3600, "2 d"),
    ],
)  # fmt: skip
def test_durations_have_their_largest_units(seconds, text):
    """7500 s are hard to read."""
    assert times.format_duration(seconds) == text


@given(st.text())
def test_any_text_is_seconds_or_a_usage_error(text):
    """It may be the value of a variable."""
    try:
        assert times.parse_duration(text, "x") >= 0
    except UsageError:
        pass


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:01:00", 60.0),
        ("1970-01-01T00:01:00.500000", 60.5),
        ("1970-01-01T00:01:00Z", 60.0),
        ("1970-01-01 00:01", 60.0),
        ("1970-01-01T02:01:00+02:00", 60.0),
        ("2026-13-01T00:00:00", None),
        ("0001-01-01T00:00:00+14:00", -62135647200.0),
        ("20261124", None),
        ("yesterday", None),
        ("", None),
        (1700000000, None),
        (None, None),
        (["2026-11-24T00:00:00"], None),
    ],
)
def test_a_timestamp_without_a_zone_is_utc(text, expected):
    """Any other value is None."""
    assert times.parse_timestamp(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-24T04:09:02.215988", "2026-11-24T04:09:02.215988Z"),
        ("2026-11-24T04:09:02Z", "2026-11-24T04:09:02Z"),
        ("2026-11-24T04:09:02+01:00", "2026-11-24T04:09:02+01:00"),
        ("soon", "soon"),
        ("", ""),
    ],
)
def test_the_omitted_zone_is_added(text, expected):
    """So that scripts cannot assume another one."""
    assert times.add_zone(text) == expected
