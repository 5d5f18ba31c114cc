"""Many updates from one file: what is read, what is refused, and in which order they go."""

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
    """Return updates as items with places."""
    return [batch.BatchItem(update, f"f:{number}") for number, update in enumerate(updates, 1)]


def applied(updates):
    """Return what the server holds after updates in this order: keys are replaced as a whole."""
    state = {}
    for update in updates:
        state.setdefault((update.workspace, update.job), {}).update(update.fields)
    return state


@given(st.lists(UPDATES, max_size=12))
def test_what_is_written_is_read_again(updates):
    """`--failed` holds what the next apply takes, line by line, whatever the values are."""
    read = batch.parse(batch.dumps(updates).decode(), "f", "elsewhere")
    assert [item.update for item in read.items] == updates
    assert [item.location for item in read.items] == [f"f:{number}" for number in range(1, len(updates) + 1)]


@given(st.lists(UPDATES, max_size=12))
def test_an_array_holds_the_same_as_lines(updates):
    """Both forms, with any white space around."""
    rows = [json.loads(row) for row in batch.dumps(updates).splitlines()]
    read = batch.parse(f"\n  {json.dumps(rows, indent=1)}\n", "f", "elsewhere")
    assert [item.update for item in read.items] == updates
    assert [item.location for item in read.items] == [f"f: entry {number}" for number in range(1, len(updates) + 1)]


@given(st.lists(UPDATES, max_size=12))
def test_lanes_keep_the_order_within_a_job(updates):
    """Each queue is one job's updates as they stood; nothing is lost, and jobs stand as they first appear."""
    mine = items(updates)
    queues = batch.group_by_job(mine, coalesce=False)
    for queue in queues:
        assert queue.items == tuple(one for one in mine if one.update[:2] == (queue.workspace, queue.job))
    assert [(queue.workspace, queue.job) for queue in queues] == list(dict.fromkeys(one.update[:2] for one in mine))


@given(st.lists(UPDATES, max_size=12))
def test_folded_is_what_applying_in_order_leaves(updates):
    """One request a job, and the server can't tell afterwards."""
    queues = batch.group_by_job(items(updates), coalesce=True)
    assert all(len(queue.items) == 1 for queue in queues)
    assert applied(queue.items[0].update for queue in queues) == applied(updates)
    assert applied(updates) == applied(
        one.update for queue in batch.group_by_job(items(updates), coalesce=False) for one in queue.items
    )


def test_a_folded_update_says_where_it_came_from():
    """The first place, and how many more."""
    (queue,) = batch.group_by_job(items([Update("ws", "j", {"a": 1}), Update("ws", "j", {"b": 2})]), coalesce=True)
    assert queue.items[0].location == "f:1 and 1 more"
    (queue,) = batch.group_by_job(items([Update("ws", "j", {"a": 1})]), coalesce=True)
    assert queue.items[0].location == "f:1"


def test_a_workspace_is_that_of_the_settings_unless_an_entry_says_one():
    """Lines of several workspaces may stand in one file; blank lines and CRLF don't matter."""
    text = '{"job":"j1","status_details":{}}\r\n\n \t\n{"workspace":"lab","job":"j1","status_details":{"a":[1]}}'
    read = batch.parse(text, "f", "research")
    assert [item.update for item in read.items] == [Update("research", "j1", {}), Update("lab", "j1", {"a": [1]})]
    assert [item.location for item in read.items] == ["f:1", "f:4"]


@pytest.mark.parametrize("text", ["", "\n\n", " ", "[]", "\n [ ]\n"])
def test_nothing_is_no_mistake(text):
    """The rest of a run without failures is an empty file, and it may be applied."""
    assert batch.parse(text, "f", "ws") == batch.Batch([], [])


GOOD = '{"job":"j1","status_details":{"a":1}}'


@pytest.mark.parametrize(
    ("entry", "message"),
    [
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
        ('{"job":"","status_details":{}}', "f:2: job is empty"),
        ('{"job":"No Such","status_details":{}}', "f:2: job is not a job name"),
        ('{"job":"j1"}', "f:2: missing key 'status_details'"),
        ('{"job":"j1","status_details":[]}', "f:2: status_details must be an object"),
        ('{"job":"j1","status_details":{},"workspace":null}', "f:2: workspace must be a string"),
        ('{"job":"j1","status_details":{},"workspace":"A b"}', "f:2: workspace is not a workspace name"),
        ('{"job":"j1","status_details":{},"progress":5}', "f:2: unknown key 'progress'"),
    ],
)
def test_a_bad_line_is_named_by_its_place(entry, message):
    """File and line, and the column where the JSON itself is wrong."""
    with pytest.raises(UsageError) as caught:
        batch.parse(f"{GOOD}\n{entry}\n{GOOD}\n", "f", "ws")
    assert caught.value.message.startswith(message)
    assert caught.value.message.endswith("; nothing was sent")
    assert caught.value.hint
    assert caught.value.facts["errors_total"] == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"[{GOOD}, 7]", "f: entry 2: invalid update: a JSON number, not an object"),
        (f'[{GOOD}, {{"job":"j1"}}]', "f: entry 2: missing key 'status_details'"),
        (f"[{GOOD},\n {GOOD}", "f:2:"),
        (f"[{GOOD}] {GOOD}", "f:1:"),
    ],
)
def test_a_bad_array_is_named_by_entry_or_by_character(text, message):
    """An entry has a number; broken JSON has a line."""
    with pytest.raises(UsageError) as caught:
        batch.parse(text, "f", "ws")
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize(
    ("key", "hint"),
    [("status_detail", "did you mean status_details? write "), ("jobs", "did you mean job? "), ("progress", "write ")],
)
def test_an_unknown_key_suggests_only_a_near_one(key, hint):
    """`status_detail` is a slip, `progress` belongs into status_details."""
    with pytest.raises(UsageError, match=f"f:1: unknown key '{key}'") as caught:
        batch.parse(json.dumps({"job": "j1", "status_details": {}, key: 1}), "f", "ws")
    assert caught.value.hint.startswith(hint)


def test_mistakes_are_told_together_and_bounded():
    """A generated file with a wrong key has it on every line."""
    with pytest.raises(UsageError) as caught:
        batch.parse("{}\n" * 100, "f", "ws")
    error = caught.value
    assert (
        error.message
        == "f:1: missing key 'job' (99 more: f:2: missing key 'job'; f:3: missing key 'job'; f:4: missing key 'job' ...); nothing was sent"
    )
    assert error.facts["errors"] == [f"f:{number}: missing key 'job'" for number in range(1, batch.MAX_ERRORS + 1)]
    assert error.facts["errors_total"] == 100
    with pytest.raises(
        UsageError, match=r"f:1: missing key 'job' \(1 more: f:2: missing key 'job'\); nothing was sent"
    ):
        batch.parse("{}\n{}", "f", "ws")


def test_values_that_the_platform_shows_badly_are_warned_of_with_their_place():
    """A progress that is text breaks the platform's page: that is as in `update -f`."""
    read = batch.parse(f'{GOOD}\n{{"job":"j1","status_details":{{"progress":"45"}}}}', "f", "ws")
    assert len(read.items) == 2
    assert len(read.warnings) == 1
    assert "f:2" in read.warnings[0]
    assert "progress" in read.warnings[0]


def test_a_misspelt_key_is_warned_of_once():
    """However many entries have it: nobody will see what it says."""
    entry = '{"job": "x1", "status_details": {"progres": 45, "loss_of_mine": 1}}\n'
    assert batch.parse(entry * 3, "f", "ws").warnings == [
        "progres is not a key that the platform shows; did you mean progress?"
    ]
