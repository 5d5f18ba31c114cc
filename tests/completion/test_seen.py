"""What was seen of jobs, as text that is never trusted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nemo_jobs_cli.completion import _cache as cache
from nemo_jobs_cli.core import known_keys
from nemo_jobs_cli.core.identifiers import is_key, is_name, is_value

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


def learnt(details, *, state="active", before=None, now=NOW):
    """Return what is known of a job after one more look."""
    return cache.merge(before, state, details, numbers=known_keys.NUMBERS, now=now)


def test_a_detail_is_remembered_as_the_field_that_would_set_it():
    """A number that `key=` would send as text is JSON; words with blanks are no values to offer."""
    job = learnt(DETAILS)
    assert job[:2] == (int(NOW), "active")
    assert cache.job_fields(job) == {
        "status=": ("running",), "progress=": (), "bleu:=": (), "resumed:=": ("true", "false"), "tags:=": (),
        "note:=": (), "message=": (),
    }  # fmt: skip


def test_values_come_newest_first_and_older_keys_stay():
    """Five of them; an update that says less forgets nothing."""
    job = None
    for word in "abcdefg":
        job = learnt({"phase": word, "tags": []}, before=job)
    job = learnt({"phase": "e", "tags": "plain"}, state="", before=job)
    assert job[1] == "active"
    assert cache.job_fields(job) == {"phase=": ("e", "g", "f", "d", "c"), "tags=": ("plain",)}


def test_what_all_jobs_have_is_found_once():
    """Fields and values, the newest job's first; a field is no other one's end or beginning."""
    jobs = {"b": learnt({"my_phase": "x", "phase": "late", "phase2": "y"}), "a": learnt({"phase": "early", "tags": []})}
    assert cache.all_fields(jobs) == ["my_phase=", "phase=", "phase2=", "tags:="]
    assert cache.all_values(jobs, "phase=") == ["late", "early"]
    assert cache.all_values(jobs, "tags=") == []


def test_what_is_old_is_forgotten():
    """And what claims to come from the far future, too."""
    for then, there in (
        (NOW - cache.MAX_AGE + 60, True),
        (NOW - cache.MAX_AGE, False),
        (NOW + 2 * cache.MAX_AGE, False),
    ):
        assert bool(cache.parse_jobs(cache.format_jobs({"train-x": learnt(DETAILS, now=then)}), NOW)) is there


@given(st.dictionaries(NAMES, st.tuples(st.text(max_size=70), st.dictionaries(NAMES, VALUES, max_size=9)), max_size=9))
def test_what_was_learnt_is_read_again(found):
    """Whatever a server calls its jobs, states, keys and values."""
    jobs = {name: learnt(details, state=state) for name, (state, details) in found.items()}
    assert cache.parse_jobs(cache.format_jobs(jobs), NOW) == {name: job for name, job in jobs.items() if is_name(name)}


@given(
    st.one_of(
        st.text(),
        st.lists(st.text("train-x\t=,1800000000;$`:\n", max_size=60)).map(
            lambda rows: "\n".join([cache._JOBS_HEAD, *rows])
        ),
    )
)
def test_nothing_but_harmless_words_gets_out_of_any_file(text):
    """Somebody else may have written it."""
    jobs = cache.parse_jobs(text, NOW)
    for name, job in jobs.items():
        assert is_name(name)
        assert job[1] == "" or is_value(job[1])
        for field, values in [*cache.job_fields(job).items(), *((field, ()) for field in cache.all_fields(jobs))]:
            assert field[-1] == "="
            assert is_key(field[:-1].removesuffix(":"))
            assert all(map(is_value, [*values, *cache.all_values(jobs, field)]))


def test_a_file_has_bounds():
    """Five hundred jobs, sixty-four fields of each, 256 KiB in all; the first, which are the newest, stay."""
    jobs = {f"job{number}": learnt({}) for number in range(600)}
    assert list(cache.parse_jobs(cache.format_jobs(jobs), NOW)) == list(jobs)[: cache.MAX_JOBS]
    large = {f"{'k' * 50}{number}": "v" * 60 for number in range(100)}
    jobs = {f"job{number}": learnt(large) for number in range(100)}
    assert len(cache.job_fields(jobs["job1"])) == cache.MAX_FIELDS
    text = cache.format_jobs(jobs)
    assert len(text) <= cache.MAX_BYTES
    assert 20 < len(cache.parse_jobs(text, NOW)) < 100


def test_a_full_file_is_not_checked_word_by_word(monkeypatch):
    """That would take longer than the start of Python, at each TAB; what is offered is checked."""
    jobs = {f"job{number}": learnt({f"key{key}": f"v{number}" for key in range(60)}) for number in range(500)}
    text = cache.format_jobs(jobs)
    checked = []
    for name in ("is_key", "is_value", "is_name"):
        check = getattr(cache, name)
        monkeypatch.setattr(cache, name, lambda word, check=check: checked.append(word) or check(word))
    found = cache.parse_jobs(text, NOW)
    assert len(cache.job_fields(found["job9"])) == 60
    assert len(cache.all_fields(found)) == 60
    assert len(cache.all_values(found, "key7=")) > 100
    assert len(checked) < 2000
