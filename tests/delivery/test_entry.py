"""What the outbox keeps: files that say all of an update, and names that tell whose it is."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_jobs_cli.delivery import entry as entries
from nemo_jobs_cli.delivery.entry import Entry

ENTRY = Entry("https://h", "ws", "train-x", {"progress": 45}, 1_800_000_000.25, "lab")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.dictionaries(st.text(), JSON), st.floats(0, 4e9), st.none() | st.text())
def test_an_entry_makes_the_round_trip(fields, moment, profile):
    """Whatever its fields are."""
    entry = ENTRY._replace(fields=fields, time=moment, profile=profile)
    assert entries.loads(entries.dumps(entry)) == entry
    assert entry.update == ("ws", "train-x", fields)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b'{"version": 2}',
        b"[" * 100_000,
        json.dumps({"version": 1, **ENTRY._asdict(), "fields": []}).encode(),
        json.dumps({"version": 1, **ENTRY._asdict(), "time": "now"}).encode(),
        json.dumps({"version": 1, **ENTRY._asdict(), "host": None}).encode(),
        json.dumps({"version": 1, **ENTRY._asdict(), "times": {"progress": "now"}}).encode(),
        json.dumps({"version": 1, **ENTRY._asdict(), "fields": {"a": float("nan")}}).encode(),
        json.dumps({"version": 1, **ENTRY._asdict(), "fields": {"a": "\ud800"}}).encode(),
    ],
)
def test_anything_else_is_a_value_error(data):
    """A half-written file of a broken disk must not end in a traceback."""
    with pytest.raises(ValueError):  # noqa: PT011 - json has its own words
        entries.loads(data)


def test_names_sort_by_time_and_tell_whose_they_are():
    """So that thousands of entries need not be opened to find those of one job."""
    early, late = (entries.file_name(ENTRY._replace(time=moment), "u") for moment in (9.5, 10.0))
    assert early < late
    assert entries.belongs_to(early, "https://h")
    assert entries.belongs_to(early, "https://h", "ws", "train-x")
    for others in (("http://h",), ("https://h", "ws", "train-y"), ("https://h", "wst", "rain-x")):
        assert not entries.belongs_to(early, *others)


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.integers()), min_size=1), st.data())
def test_a_fold_is_what_each_in_turn_would_leave(updates, data):
    """The last value of each key, which stays as old as it is; and a fold of folds is the same."""
    made = [ENTRY._replace(fields=fields, time=float(moment)) for moment, fields in enumerate(updates)]
    state, times = {}, {}
    for one in made:
        state |= one.fields
        times |= dict.fromkeys(one.fields, one.time)
    folded = entries.coalesce(made)
    assert folded.fields == state
    assert {key: folded.time_of(key) for key in state} == times
    assert folded.time == made[-1].time
    cut = data.draw(st.integers(1, len(made)))
    assert entries.coalesce([entries.coalesce(made[:cut]), *made[cut:]]) == folded


def test_a_time_before_1970_does_not_break_the_name():
    """Go's zero time is the year 1; the parts of a name keep their places."""
    name = entries.file_name(ENTRY._replace(time=-6.2e10), "u")
    assert name.startswith("0" * 20 + "-")
    assert name < entries.file_name(ENTRY, "u")
