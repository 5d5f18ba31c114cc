"""What was seen of jobs, as text that is never trusted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nemo_jobs_cli import keys, seen
from nemo_jobs_cli.wellformed import is_key, is_name, is_value

NOW = 1_800_000_000.0
DAY = 86400.0
DETAILS = {
    "status": "running",
    "progress": 45,
    "bleu": 31.5,
    "resumed": True,
    "tags": ["a"],
    "note": None,
    "message": "batch 3 of 10",
}
VALUES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=70), st.lists(st.integers()))
NAMES = st.one_of(st.from_regex(r"[a-z][a-z0-9]{1,5}", fullmatch=True), st.text(max_size=70))


def learnt(jobs, name, state, details, now=NOW):
    """Return jobs with what was seen of one more."""
    seen.learn(jobs, name, state, details, numbers=keys.NUMBERS, now=now)
    return jobs


def test_a_detail_is_remembered_as_the_field_that_would_set_it():
    """A number that `key=` would send as text is JSON; words with blanks are no values to offer."""
    (found,) = learnt({}, "train-x", "active", DETAILS).values()
    assert found == (
        int(NOW),
        "active",
        {
            "status=": ("running",), "progress=": (), "bleu:=": (), "resumed:=": ("true", "false"), "tags:=": (),
            "note:=": (), "message=": (),
        },
    )  # fmt: skip


def test_values_come_newest_first_and_older_keys_stay():
    """Five of them; an update that says less forgets nothing."""
    jobs = {}
    for word in "abcdefg":
        learnt(jobs, "train-x", "active", {"phase": word, "tags": []})
    learnt(jobs, "train-x", "", {"phase": "e", "tags": "plain"})
    assert jobs["train-x"][1] == "active"
    assert jobs["train-x"][2] == {"phase=": ("e", "g", "f", "d", "c"), "tags=": ("plain",)}


def test_what_is_old_is_forgotten():
    """And what claims to come from the far future, too."""
    for then, there in (
        (NOW - seen.LONGEST_AGE + 60, True),
        (NOW - seen.LONGEST_AGE, False),
        (NOW + 2 * seen.LONGEST_AGE, False),
    ):
        assert bool(seen.loads(seen.dumps(learnt({}, "train-x", "active", DETAILS, then)), NOW)) is there


@given(st.dictionaries(NAMES, st.tuples(st.text(max_size=70), st.dictionaries(NAMES, VALUES, max_size=9)), max_size=9))
def test_what_was_learnt_is_read_again(found):
    """Whatever a server calls its jobs, states, keys and values."""
    jobs = {}
    for name, (state, details) in found.items():
        learnt(jobs, name, state, details)
    assert seen.loads(seen.dumps(jobs), NOW) == jobs
    assert jobs.keys() == set(filter(is_name, found))


@given(
    st.one_of(
        st.text(),
        st.lists(st.text("train-x\t=,1800000000;$`:\n", max_size=60)).map(lambda rows: "\n".join([seen.HEAD, *rows])),
    )
)
def test_nothing_but_harmless_words_gets_out_of_any_file(text):
    """Somebody else may have written it."""
    for name, (_, state, fields) in seen.loads(text, NOW).items():
        assert is_name(name)
        assert state == "" or is_value(state)
        for field, values in fields.items():
            assert field[-1] == "="
            assert is_key(field[:-1].removesuffix(":"))
            assert all(map(is_value, values))


def test_a_file_has_bounds():
    """Five hundred jobs, sixty-four fields of each, 256 KiB in all; the newest stay."""
    jobs = {}
    for number in range(600):
        learnt(jobs, f"job{number}", "active", {}, NOW + number)
    assert list(seen.loads(seen.dumps(jobs), NOW))[:2] == ["job599", "job598"]
    assert len(seen.loads(seen.dumps(jobs), NOW)) == seen.MOST_JOBS
    large = {f"{'k' * 50}{number}": "v" * 60 for number in range(100)}
    jobs = {}
    for number in range(100):
        learnt(jobs, f"job{number}", "active", large)
    assert len(jobs["job1"][2]) == seen.MOST_FIELDS
    text = seen.dumps(jobs)
    assert len(text) <= seen.LARGEST
    assert 20 < len(seen.loads(text, NOW)) < 100
