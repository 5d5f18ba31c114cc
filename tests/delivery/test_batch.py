"""Test parsing a file of many updates and grouping them by job."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_jobs_cli.core.errors import UsageError
from nemo_jobs_cli.core.outcome import Update
from nemo_jobs_cli.delivery import batch

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=4,
)  # fmt: skip
UPDATES = st.builds(
    Update,
    st.sampled_from(["research", "lab"]),
    st.sampled_from(["train-x", "train-y", "eval"]),
    st.dictionaries(st.sampled_from(["status", "step", "loss", "näm\u2028e"]), VALUES, max_size=3),
)


def items(updates):
    """Return updates as items with locations."""
    return [batch.BatchItem(update, f"f:{number}") for number, update in enumerate(updates, 1)]


def final_details(updates):
    """Return the details of each job after updates in this order."""
    state = {}
    for update in updates:
        state.setdefault((update.workspace, update.job), {}).update(update.fields)
    return state


@given(st.lists(UPDATES, max_size=12))
def test_written_updates_parse_to_the_same_updates(updates):
    """`--failed` contains valid input for the next apply: as lines, and as an array with white space around."""
    read = batch.parse(batch.dumps(updates).decode(), "f", "elsewhere")
    assert [item.update for item in read.items] == updates
    assert [item.location for item in read.items] == [f"f:{number}" for number in range(1, len(updates) + 1)]
    rows = [json.loads(row) for row in batch.dumps(updates).splitlines()]
    read = batch.parse(f"\n  {json.dumps(rows, indent=1)}\n", "f", "elsewhere")
    assert [item.update for item in read.items] == updates
    assert [item.location for item in read.items] == [f"f: entry {number}" for number in range(1, len(updates) + 1)]


@given(st.lists(UPDATES, max_size=12))
def test_queues_keep_the_order_within_a_job(updates):
    """A queue holds all updates of one job; queues are ordered by the first update of each job."""
    jobs = dict.fromkeys(update[:2] for update in updates)
    queues = [[item for item in items(updates) if item.update[:2] == job] for job in jobs]
    assert batch.group_by_job(items(updates), coalesce=False) == queues


@given(st.lists(UPDATES, max_size=12))
def test_a_coalesced_update_has_the_effect_of_the_sequence(updates):
    """One request per job leaves the same state as one request per update."""
    queues = batch.group_by_job(items(updates), coalesce=True)
    assert final_details(item.update for (item,) in queues) == final_details(updates)


def test_a_coalesced_update_names_its_first_location():
    """And the number of the others."""
    updates = [Update("ws", "j", {"a": 1}), Update("ws", "j", {"b": 2}), Update("ws", "k", {})]
    ((first,), (second,)) = batch.group_by_job(items(updates), coalesce=True)
    assert (first.location, second.location) == ("f:1 and 1 more", "f:3")


def test_an_entry_overrides_the_workspace_of_the_settings():
    """Blank lines and CRLF are accepted."""
    text = '{"job":"j1","status_details":{}}\r\n\n \t\n{"workspace":"lab","job":"j1","status_details":{"a":[1]}}'
    read = batch.parse(text, "f", "research")
    assert [item.update for item in read.items] == [Update("research", "j1", {}), Update("lab", "j1", {"a": [1]})]
    assert [item.location for item in read.items] == ["f:1", "f:4"]


@pytest.mark.parametrize("text", ["", "\n\n", " ", "[]", "\n [ ]\n"])
def test_an_empty_file_is_valid(text):
    """`--failed` writes one after a run without failures."""
    assert batch.parse(text, "f", "ws") == batch.Batch([], [])


GOOD = '{"job":"j1","status_details":{"a":1}}'


BAD_LINES = [
    ("{", "f:2:2"),
    ("nonsense", "f:2:1"),
    ('{"job":"j1","status_details":{"a":1,"a":2}}', "f:2:"),
    ('{"job":"j1","status_details":{"a":NaN}}', "f:2:"),
    ('{"job":"j1","status_details":{"a":"\\ud800"}}', "f:2"),
    ("[1]", "f:2"),
    ("7", "f:2"),
    ("null", "f:2"),
    ('{"status_details":{}}', "f:2: missing key 'job'"),
    ('{"job":7,"status_details":{}}', "f:2: job must be a string"),
    ('{"job":"","status_details":{}}', "empty job name in f:2"),
    ('{"job":"No Such","status_details":{}}', "invalid job name in f:2"),
    ('{"job":"j1"}', "f:2: missing key 'status_details'"),
    ('{"job":"j1","status_details":[]}', "f:2: status_details must be an object"),
    ('{"job":"j1","status_details":{},"workspace":null}', "f:2: workspace must be a string"),
    ('{"job":"j1","status_details":{},"workspace":"A b"}', "invalid workspace name in f:2"),
    ('{"job":"j1","status_details":{},"progress":5}', "f:2: unknown key 'progress'"),
]
BAD_ARRAYS = [
    (f"[{GOOD}, 7]", "f: entry 2: expected a JSON object, got number"),
    (f'[{GOOD}, {{"job":"j1"}}]', "f: entry 2: missing key 'status_details'"),
    (f"[{GOOD},\n {GOOD}", "f:2:"),
    (f"[{GOOD}] {GOOD}", "f:1:"),
]


@pytest.mark.parametrize(
    ("text", "message"),
    [*((f"{GOOD}\n{line}\n{GOOD}\n", message) for line, message in BAD_LINES), *BAD_ARRAYS],
)
def test_an_invalid_entry_is_an_error_with_its_location(text, message):
    """File and line, and the column for invalid JSON; in an array the number of the entry."""
    with pytest.raises(UsageError) as caught:
        batch.parse(text, "f", "ws")
    assert caught.value.message.startswith(message)
    assert caught.value.message.endswith("; nothing was sent")
    assert caught.value.facts["errors_total"] == 1


@pytest.mark.parametrize(
    ("key", "hint"),
    [("status_detail", "did you mean status_details? write "), ("jobs", "did you mean job? "), ("progress", "write ")],
)
def test_an_unknown_key_suggests_only_a_similar_one(key, hint):
    """`status_detail` is a typo; `progress` belongs in status_details."""
    with pytest.raises(UsageError, match=f"f:1: unknown key '{key}'") as caught:
        batch.parse(json.dumps({"job": "j1", "status_details": {}, key: 1}), "f", "ws")
    assert caught.value.hint.startswith(hint)


def test_errors_are_reported_together_and_limited():
    """A generated file may have the same error on every line."""
    with pytest.raises(UsageError) as caught:
        batch.parse("{}\n" * 100, "f", "ws")
    error = caught.value
    assert (
        error.message
        == "f:1: missing key 'job' (99 more: f:2: missing key 'job'; f:3: missing key 'job'; f:4: missing key 'job' ...); nothing was sent"
    )
    assert error.facts["errors"] == [f"f:{number}: missing key 'job'" for number in range(1, batch.MAX_ERRORS + 1)]
    assert error.facts["errors_total"] == 100
    for number, others in (
        (2, "f:2: missing key 'job'"),
        (4, "; ".join(f"f:{n}: missing key 'job'" for n in (2, 3, 4))),
    ):
        with pytest.raises(UsageError) as caught:
            batch.parse("{}\n" * number, "f", "ws")
        assert caught.value.message == f"f:1: missing key 'job' ({number - 1} more: {others}); nothing was sent"


def test_a_value_that_breaks_the_web_page_gives_a_warning_with_its_location():
    """A `progress` that is text, as with `update -f`."""
    read = batch.parse(f'{GOOD}\n{{"job":"j1","status_details":{{"progress":"45"}}}}', "f", "ws")
    assert len(read.items) == 2
    assert len(read.warnings) == 1
    assert "f:2" in read.warnings[0]
    assert "progress" in read.warnings[0]


def test_a_misspelled_key_gives_one_warning():
    """Not one per entry."""
    entry = '{"job": "x1", "status_details": {"progres": 45, "loss_of_mine": 1}}\n'
    assert batch.parse(entry * 3, "f", "ws").warnings == [
        "progres is not a key that the platform shows; did you mean progress?"
    ]
