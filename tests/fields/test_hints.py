"""Guesses at what a word without `=` was meant to be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_jobs_cli.core.errors import UsageError
from nemo_jobs_cli.fields import parse


def refused(*words):
    """Return the error for words that follow a job, or begin with one."""
    with pytest.raises(UsageError) as caught:
        parse.split_job(words)
    return caught.value


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["running"], "did you mean status=running?"),
        (["Completed"], "did you mean status=completed?"),
        (["45"], "did you mean progress=45?"),
        (["45%"], "did you mean progress=45%?"),
        (["3/10"], "did you mean progress=3/10?"),
        (["status=running", "45"], "did you mean progress=45?"),
        (["progress=45", "running"], "did you mean status=running?"),
        (["loss:0.3"], "did you mean loss=0.3?"),
        (["message: hello you"], "did you mean 'message=hello you'?"),
        (["message", "hello", "world"], "did you mean 'message=hello world'?"),
        (["status", "running", "progress", "45"], "did you mean status=running?"),
        (["progress", "45"], "did you mean progress=45?"),
        (["progress:", "45"], "did you mean progress=45?"),
        (["loss:", "0.3", "a=1"], "did you mean loss=0.3?"),
        (["progress 45"], "did you mean progress=45?"),
        (["message=batch", "3", "of", "10"], "did you mean 'message=batch 3 of 10'?"),
        (["message=batch", "3", "a=1"], "did you mean 'message=batch 3'?"),
        (["note=hello", "world"], "did you mean 'note=hello world'?"),
        (["step=3", "of"], "write key=value, and quote"),
        (["note:=1", "of"], "write key=value, and quote"),
        (["note=", "of"], "write key=value, and quote"),
        (["of"], "write key=value, and quote"),
        (["status"], "write key=value, and quote"),
        ([":", "x"], "write key=value, and quote"),
        (["http://x"], "write key=value, and quote"),
        ([""], "an empty word: is a shell variable unset?"),
        (["--foo"], "flags are not fields: they stand left of a bare --"),
        (['{"a": 1}'], "-f FILE, or -f -"),
        (["m.json"], "did you mean -f m.json?"),
        (["@m.txt"], "did you mean -f m.txt?"),
    ],
)  # fmt: skip
def test_the_next_step_is_named(words, hint):
    """Quotes get lost in shells, flags and `key: value` come from other tools; nothing is sent by guess."""
    assert refused("train", *words).hint.startswith(hint) or hint in refused("train", *words).hint


def test_a_job_behind_its_fields_is_recognised():
    """Inside a job the first word may be a field, and then a later name is a mistake."""
    error = refused("a=1 2", "train")
    assert error.message == "argument 2 is not key=value: 'train'"
    assert error.hint == "JOB stands first: train 'a=1 2'"
    assert refused("progress=4", "No!").hint.startswith("write key=value")


def test_the_word_is_shown_where_there_is_one():
    """An empty word has nothing to point at."""
    assert refused("train", "a=1", "of").pointer == ("argument 3", "of", None)
    assert refused("train", "").pointer is None
    assert len(refused("train", "x" * 100_000).pointer.line) <= 100


@given(st.lists(st.text(), min_size=1))
def test_every_word_without_a_separator_gets_a_hint(words):
    """Whatever a shell hands over."""
    _job, *rest = words
    try:
        parse.split_job(["train", *rest])
    except UsageError as error:
        assert error.hint
        assert error.exit_code == 2
    else:
        assert all("=" in word for word in rest)


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("progress", "=", "45"), "no spaces around =: progress=..."),
        (("progress", "=45"), "no spaces around =: progress=45"),
        (("a=1", "message", "=hi"), "no spaces around =: message=hi"),
    ],
)
def test_spaces_around_the_sign_are_told(words, hint):
    """As in Python or TOML."""
    assert refused("train", *words).hint == hint
