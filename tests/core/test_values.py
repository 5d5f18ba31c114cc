"""Values of details as text."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_jobs_cli.core import values

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_a_bare_value_is_the_text_itself_or_its_json(value):
    """A script gets back exactly what was reported."""
    shown = values.bare(value)
    assert shown == value if isinstance(value, str) else json.loads(shown) == value


@given(st.text(), JSON, st.integers(min_value=1, max_value=100))
def test_a_short_value_is_one_line(key, value, limit):
    """Whatever was reported can't break a table or steer a terminal."""
    shown = values.short(key, value, limit)
    assert not any(character in shown for character in "\n\r\x1b\x9b\u202e")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (45, "45 %"),
        (45.0, "45 %"),
        (33.333333, "33.33 %"),
        (0.5, "0.5 %"),
        (100, "100 %"),
        (0, "0 %"),
        (120, "120 %"),
        (float("nan"), "NaN"),
        (float("inf"), "Infinity"),
        (float("-inf"), "-Infinity"),
        (1e308, "1000000000000000010… %"),
        (-1e308, "-100000000000000001… %"),
        pytest.param(int("9" * 4200), "9999999999999999999… %", id="digits"),
    ],
)
def test_progress_reads_as_percent(value, expected):
    """At most two decimals, like the platform's own page, and none for nothing."""
    assert values.percent(value) == values.short("progress", value, 60) == expected


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("progress", "45", "45"),
        ("progress", True, "true"),
        ("step", 45, "45"),
        ("m", {"a": [1, 2]}, '{"a":[1,2]}'),
    ],
)
def test_what_is_no_progress_reads_as_it_is(key, value, expected):
    """Only a number under `progress` is a share."""
    assert values.short(key, value, 60) == expected


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (float("nan"), "NaN"),
        (float("inf"), "Infinity"),
        (float("-inf"), "-Infinity"),
        ([float("nan"), {"a": float("inf")}, 0.5], '[null,{"a":null},0.5]'),
    ],
)
def test_what_json_has_no_number_for(value, shown):
    """Alone it is readable; inside a list or an object the whole stays JSON."""
    assert values.bare(value) == shown


@pytest.mark.parametrize(
    ("value", "share"),
    [
        (45, 45.0),
        (0.5, 0.5),
        (-1e308, -1e308),
        (float("nan"), None),
        (float("inf"), None),
        pytest.param(int("9" * 4200), None, id="digits"),
        (True, None),
        ("45", None),
        (None, None),
    ],
)
def test_a_share_is_a_finite_number(value, share):
    """Only that can be drawn; a server stores integers of 4,000 digits."""
    assert values.share(value) == share


def test_true_is_no_number():
    """Python's bool is an int; JSON's is not a number."""
    assert [values.is_number(value) for value in (1, 1.5, True, "1", None)] == [
        True,
        True,
        False,
        False,
        False,
    ]
