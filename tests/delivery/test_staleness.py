"""Nothing old overwrites anything new, and nothing that the server lacks is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_jobs_cli.core import times
from nemo_jobs_cli.delivery import entry as entries
from nemo_jobs_cli.delivery import flush
from nemo_jobs_cli.delivery.entry import Entry

NOW = 1_800_000_000.0  # 2027-01-15T08:00:00Z
DAY = 86400.0
FIELDS = st.dictionaries(st.sampled_from(["status", "progress", "val_loss", "message"]), st.integers(0, 3))


def entry(fields, age=60.0):
    """Return an entry that was made `age` seconds ago."""
    return Entry("h", "ws", "j", fields, NOW - age)


@pytest.mark.parametrize(
    ("age", "status", "details", "sent", "aside"),
    [
        (60, "active", {}, {"status": "running", "a": 1}, [{}]),
        (60, "active", {"status": "x"}, {"status": "running", "a": 1}, [{}]),
        (2 * DAY, "active", {"status": "x"}, {"a": 1}, [{"status": "running"}]),
        (2 * DAY, "active", {"status": "running"}, {"a": 1}, [{}]),
        (60, "completed", {"status": "completed"}, {"a": 1}, [{"status": "running"}]),
        (60, "error", {"status": "failed"}, {"a": 1}, [{"status": "running"}]),
        (60, "cancelled", {}, {"status": "running", "a": 1}, [{}]),
        (
            60,
            "active",
            {"status": "x", "lastUpdated": "2027-01-15T08:00:00.000Z"},
            {"a": 1},
            [{"status": "running"}],
        ),
        (60, "active", {"status": "x", "lastUpdated": "2027-01-15T07:00:00Z"}, {"status": "running", "a": 1}, [{}]),
        (60, "active", {"status": "x", "lastUpdated": "yesterday"}, {"status": "running", "a": 1}, [{}]),
        (60, "brand-new", {"status": "x", "lastUpdated": 7}, {"status": "running", "a": 1}, [{}]),
    ],
)
def test_a_stale_entry_only_adds(age, status, details, sent, aside):
    """Old by its age, by the server's lastUpdated, or by the job's end: then only keys that the server lacks."""
    fields_sent, stale = flush.select_fields([entry({"status": "running", "a": 1}, age)], status, details, NOW, DAY)
    assert (fields_sent, stale) == (sent, aside)


@given(st.lists(st.tuples(FIELDS, st.floats(0, 3 * DAY))), FIELDS, st.sampled_from(["active", "completed", "error"]))
def test_no_value_of_the_server_is_overwritten_by_a_stale_one(made, details, status):
    """And what is not sent is set aside, unless it is there already."""
    kept = [entry(fields, age) for fields, age in made]
    fields_sent, stale = flush.select_fields(kept, status, details, NOW, DAY)
    fresh = {} if status != "active" else {k: v for fields, age in made if age <= DAY for k, v in fields.items()}
    for key, value in fields_sent.items():
        assert key not in details or fresh.get(key) == value
    for place, one in enumerate(kept):
        for key, value in one.fields.items():
            assert key in fields_sent or details[key] == value or stale[place][key] == value


def test_an_old_stamp_is_no_loss():
    """`lastUpdated` of a stale entry always differs; on its own it is nothing to report."""
    details = {"lastUpdated": "2027-01-15T08:00:00Z", "a": 1}
    fields_sent, stale = flush.select_fields(
        [entry({"lastUpdated": "2027-01-15T07:59:00Z", "a": 1, "val_loss": 2})], "active", details, NOW, DAY
    )
    assert (fields_sent, stale) == ({"val_loss": 2}, [{}])


def test_what_was_folded_is_as_old_as_it_is():
    """A fresh heartbeat must not carry yesterday's `status=running` past the guard."""
    folded = entry({"status": "running", "step": 9})._replace(times={"status": NOW - 3600})
    details = {"status": "completed", "step": 1, "lastUpdated": "2027-01-15T07:30:00Z"}
    fields_sent, stale = flush.select_fields([folded], "active", details, NOW, DAY)
    assert (fields_sent, stale) == ({"step": 9}, [{"status": "running"}])


MADE = st.tuples(FIELDS, st.floats(0, 2 * DAY))
STATUS = st.sampled_from(["active", "completed", "error", "cancelled"])


@given(st.lists(MADE, min_size=1), FIELDS, STATUS, st.none() | st.floats(0, 2 * DAY))
def test_folding_first_changes_no_judgement(made, details, status, reported):
    """A full outbox folds the entries of a job: that must not make old values young."""
    made.sort(key=lambda one: -one[1])
    kept = [entry(fields, age) for fields, age in made]
    if reported is not None:
        details = {**details, "lastUpdated": times.format_timestamp(NOW - reported)}
    assert (
        flush.select_fields([entries.coalesce(kept)], status, details, NOW, DAY)[0]
        == flush.select_fields(kept, status, details, NOW, DAY)[0]
    )
