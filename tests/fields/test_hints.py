"""Hints for arguments without `=`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_jobs_cli.core.errors import UsageError
from nemo_jobs_cli.fields import parse


def error_of(*words):
    """Return the error for the words of an update."""
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
        ([""], "remove it, or write key=value (is a shell variable unset?"),
        (["--foo"], "put flags before --; see --help"),
        (['{"a": 1}'], "send a JSON object from a file or stdin: -f FILE or -f -"),
        (["m.json"], "did you mean -f m.json?"),
        (["@m.txt"], "did you mean -f m.txt?"),
        (["progress=3", "/", "10"], "did you mean progress=3/10?"),
        (["progress=3/", "10", "a=1"], "did you mean progress=3/10?"),
        (["progress", "=", "45"], "remove the spaces around =: progress=..."),
        (["progress", "=45"], "remove the spaces around =: progress=45"),
        (["a=1", "message", "=hi"], "remove the spaces around =: message=hi"),
    ],
)  # fmt: skip
def test_the_hint_names_the_likely_meaning(words, hint):
    """Shells remove quotes, and flags and `key: value` come from other tools; nothing is sent on a guess."""
    assert error_of("train", *words).hint.startswith(hint)


def test_a_job_behind_fields_is_recognized():
    """Inside a job the first word may be a field; then a later name is an error."""
    error = error_of("a=1 2", "train")
    assert error.message == "argument 2: invalid field 'train': not key=value"
    assert error.hint == "put JOB first: train 'a=1 2'"
    assert error_of("progress=4", "No!").hint.startswith("write key=value")


def test_the_error_shows_the_word_unless_it_is_empty():
    """A long one is shortened."""
    assert error_of("train", "a=1", "of").pointer == ("argument 3", "of", None)
    assert error_of("train", "").pointer is None
    assert len(error_of("train", "x" * 100_000).pointer.line) <= 100


@given(st.lists(st.text(), min_size=1))
def test_every_word_without_a_separator_gets_a_hint(words):
    """For any arguments."""
    _job, *rest = words
    try:
        parse.split_job(["train", *rest])
    except UsageError as error:
        assert error.hint
        assert error.exit_code == 2
    else:
        assert all("=" in word for word in rest)
