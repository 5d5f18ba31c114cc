"""Test the files of the outbox: their content and their names."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import JSON

from nemo_jobs_cli.core import times
from nemo_jobs_cli.delivery import entry as entries
from nemo_jobs_cli.delivery.entry import Entry

ENTRY = Entry("https://h", "ws", "train-x", {"progress": 45}, 1_800_000_000.25, "lab")


@given(st.dictionaries(st.text(max_size=9), JSON, max_size=5), st.floats(0, 4e9), st.none() | st.text())
def test_an_entry_survives_the_round_trip(fields, moment, profile):
    """For any fields, time and profile."""
    entry = ENTRY._replace(fields=fields, time=moment, profile=profile)
    assert entries.loads(entries.dumps(entry)) == entry


def test_an_entry_of_the_first_version_is_read():
    """As 1.0 has stored it."""
    stored = (
        b'{"version": 1, "host": "https://h", "workspace": "ws", "job": "train-x", "fields": {"progress": 45, "a": null},'
        b' "time": 1800000000.25, "profile": null, "failures": 1, "times": {"a": 1800000000.0}, "why": null}\n'
    )
    fields = {"progress": 45, "a": None}
    times = {"a": 1_800_000_000.0}
    assert entries.loads(stored) == Entry("https://h", "ws", "train-x", fields, 1_800_000_000.25, None, 1, times, None)


def test_an_entry_of_the_first_version_is_found():
    """A later 1.x names the files of a job in the same way."""
    name = entries.file_name(ENTRY._replace(time=1_800_000_000.5), "u")
    assert name == "01800000000500000000-ecffbe29a2ad-f7eff2167d83-u.json"


def test_a_time_is_in_the_years_that_can_be_shown():
    """Those from 1 to 9999."""
    first, last = -62_135_596_800, 253_402_300_799
    for moment in (first, last):
        assert times.format_timestamp(entries.loads(entries.dumps(ENTRY._replace(time=moment))).time)
    for moment in (first - 1, last + 1):
        with pytest.raises(ValueError, match="invalid time"):
            entries.loads(entries.dumps(ENTRY._replace(time=moment)))


def test_only_a_newer_version_can_read_an_entry_of_it():
    """One of no version, or of a lower one, is broken."""
    for version, error in ((2, entries.NewerVersionError), (0, ValueError), ("1", ValueError), (None, ValueError)):
        with pytest.raises(error) as caught:
            entries.loads(json.dumps({"version": version, **ENTRY._asdict()}).encode())
        assert type(caught.value) is error


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
        json.dumps({"version": 1, **ENTRY._asdict(), "time": 1e20}).encode(),
        json.dumps({"version": 1, **ENTRY._asdict(), "host": None}).encode(),
        json.dumps({"version": 1, **ENTRY._asdict(), "times": {"progress": "now"}}).encode(),
        json.dumps({"version": 1, **ENTRY._asdict(), "fields": {"a": float("nan")}}).encode(),
        json.dumps({"version": 1, **ENTRY._asdict(), "fields": {"a": "\ud800"}}).encode(),
    ],
)
def test_invalid_content_is_a_value_error(data):
    """Such as a half-written file of a broken disk."""
    with pytest.raises(ValueError):  # noqa: PT011 - json has its own words
        entries.loads(data)


def test_names_sort_by_time_and_contain_host_and_job():
    """Thousands of entries need not be opened to find those of one job."""
    earlier, later = (entries.file_name(ENTRY._replace(time=moment), "u") for moment in (9.5, 10.0))
    assert earlier < later
    assert entries.belongs_to(earlier, "https://h")
    assert entries.belongs_to(earlier, "https://h", "ws", "train-x")
    for others in (("http://h",), ("https://h", "ws", "train-y"), ("https://h", "wst", "rain-x")):
        assert not entries.belongs_to(earlier, *others)


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.integers()), min_size=1), st.data())
def test_coalescing_keeps_the_last_value_of_each_key_and_its_time(updates, data):
    """Coalescing coalesced entries gives the same."""
    stored = [ENTRY._replace(fields=fields, time=float(moment)) for moment, fields in enumerate(updates)]
    state, times = {}, {}
    for entry in stored:
        state |= entry.fields
        times |= dict.fromkeys(entry.fields, entry.time)
    coalesced = entries.coalesce(stored)
    assert coalesced.fields == state
    assert {key: coalesced.time_of(key) for key in state} == times
    assert coalesced.time == stored[-1].time
    cut = data.draw(st.integers(1, len(stored)))
    assert entries.coalesce([entries.coalesce(stored[:cut]), *stored[cut:]]) == coalesced


def test_a_time_before_1970_does_not_break_the_name():
    """Go's zero time is the year 1; the parts of the name keep their width."""
    name = entries.file_name(ENTRY._replace(time=-6.2e10), "u")
    assert name.startswith("0" * 20 + "-")
    assert name < entries.file_name(ENTRY, "u")
    old = ENTRY._replace(time=-6.2e10)
    assert entries.loads(entries.dumps(old)) == old
