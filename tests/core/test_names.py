"""Names of jobs and workspaces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_jobs_cli.core import names
from nemo_jobs_cli.core.errors import UsageError
from nemo_jobs_cli.settings import resolve
from nemo_jobs_cli.settings.model import Sourced


@pytest.mark.parametrize("name", ["ab", "train-llama", "a.b@c+d_e", "a" * 63, "x-1"])
def test_names_of_the_platform_are_accepted(name):
    """The pattern is the server's."""
    assert names.check_job(name, "JOB") == name
    assert names.check_workspace(name, "-w") == name


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("a", None),
        ("a" * 64, None),
        ("Train", 0),
        ("1a", 0),
        ("a--b", 2),
        ("ab-", 2),
        ("a b", 1),
        ("a/b", 1),
        ("aé", 1),
        ("ab\n", 2),
        ("..", 0),
    ],
)
def test_others_are_usage_errors_that_point_at_the_character(name, column):
    """No request is sent that can only end in a 404."""
    for check in (names.check_job, names.check_workspace):
        with pytest.raises(UsageError) as caught:
            check(name, "it")
        assert caught.value.pointer.column == column


def test_an_empty_name_says_that_a_variable_may_be_unset():
    """As in `update "$JOB"`."""
    with pytest.raises(UsageError, match="empty job name in NEMO_JOBS_JOB"):
        names.check_job("", "NEMO_JOBS_JOB")


def test_ids_are_distinguished_from_names():
    """An id is valid for a job, but not for a workspace."""
    job_id = "platform-job-2HzvGHLuPeXwN5kGsE3mLq"
    assert names.is_job_id(job_id)
    assert names.check_job(job_id, "JOB") == job_id
    assert not names.is_job_id("platform-job-1")
    with pytest.raises(UsageError):
        names.check_workspace(job_id, "-w")


@given(st.text() | st.text("ab", max_size=1) | st.text("ab", min_size=60, max_size=70))
def test_an_invalid_name_has_an_invalid_character_or_length(text):
    """For any text."""
    try:
        names.check_workspace(text, "-w")
    except UsageError as error:
        column = error.pointer.column if error.pointer is not None else None
        assert column is None or 0 <= column <= len(text)
        if column is None:
            assert not 2 <= len(text) <= 63


@pytest.mark.parametrize(
    ("word", "inside", "expected"),
    [
        ("train-y", None, "train-y"),
        ("train-y", "train-x", "train-y"),
        (None, "train-x", "train-x"),
        ("platform-job-2HzvGHLuPeXwN5kGsE3mLq", None, "platform-job-2HzvGHLuPeXwN5kGsE3mLq"),
    ],
)
def test_the_job_of_the_command_line_comes_first(word, inside, expected):
    """Then that of the environment."""
    job = None if inside is None else Sourced(inside, "NEMO_JOB_ID")
    assert resolve.require_job(word, job, "nemo-jobs show JOB") == expected


@pytest.mark.parametrize(
    ("word", "inside", "message"),
    [(None, None, "no job given"), ("", "train-x", "empty job name in JOB"), (None, "A B", "NEMO_JOB_ID")],
)
def test_no_job_or_an_empty_one_is_a_usage_error(word, inside, message):
    """An unset $JOB must not mean the running job."""
    job = None if inside is None else Sourced(inside, "NEMO_JOB_ID")
    with pytest.raises(UsageError, match=message):
        resolve.require_job(word, job, "nemo-jobs show JOB")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("Train-Demo", "did you mean train-demo?"),
        (" train demo", "did you mean train-demo?"),
        ("1x", "use 2 to 63"),
        ("", "variable unset"),
    ],
)
def test_an_invalid_name_has_a_hint(text, hint):
    """A suggestion if possible, else the rule."""
    with pytest.raises(UsageError) as caught:
        names.check_job(text, "JOB")
    assert hint in caught.value.hint
    with pytest.raises(UsageError) as caught:
        names.check_workspace(text, "-w")
    assert hint in caught.value.hint
