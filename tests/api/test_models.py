"""What the platform says of a job, as it is, with what is odd in it tolerated."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_jobs_cli.api import models, states

ANSWER = {
    "id": "platform-job-2HzvGHLuPeXwN5kGsE3mLq",
    "name": "train-x",
    "status": "active",
    "status_details": {
        "status": "running",
        "progress": 45,
        "message": "batch 3",
        "lastUpdated": "1970-01-01T00:01:00Z",
    },
    "error_details": None,
    "steps": [
        {
            "id": "s1",
            "name": "train",
            "status": "active",
            "status_details": {},
            "error_details": {},
            "tasks": [{"id": "t1", "name": "worker-0", "status": "pending", "error_stack": None}],
        }
    ],
    "created_at": "2026-11-24T04:09:02.215988",
    "updated_at": "2026-11-24T04:09:02.262314",
}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def test_a_job_reads_as_the_server_sends_it():
    """Platform status, details, steps and tasks are where they belong."""
    job = models.read(ANSWER)
    assert (job.name, job.status, job.status_details["status"]) == ("train-x", "active", "running")
    assert (job.progress, job.message, job.last_report) == (45, "batch 3", 60.0)
    assert [(step.name, [task.name for task in step.tasks]) for step in job.steps] == [("train", ["worker-0"])]
    assert job.answer is ANSWER


def test_an_empty_answer_is_a_job_too():
    """Missing fields are tolerated; the asked name stands in for a missing one."""
    job = models.read({}, "train-x")
    assert (job.name, job.status, job.steps, job.status_details) == ("train-x", "", (), {})
    assert (job.progress, job.message, job.last_report, job.reason) == (None, "", None, "")


def test_unknown_fields_and_values_are_kept():
    """A newer server has more to say, and it isn't lost."""
    job = models.read({**ANSWER, "status": "hibernating", "mood": "good"})
    assert job.status == "hibernating"
    assert not job.is_terminal
    assert job.model_extra["mood"] == "good"


@given(st.dictionaries(st.sampled_from([*sorted(ANSWER), "_answer", "model_config", "progress", "reason"]), JSON))
def test_no_answer_is_too_odd_to_read(answer):
    """Wrong types count as missing: a view of a job never fails for one bad field."""
    job = models.read(answer, "x")
    assert isinstance(job.name, str)
    assert isinstance(job.status_details, dict)
    assert isinstance(job.reason, str)


@pytest.mark.parametrize("status", states.KNOWN)
def test_three_states_are_the_end(status):
    """completed, error and cancelled; all others go on."""
    assert models.read({"status": status}).is_terminal is (status in {"completed", "error", "cancelled"})


@pytest.mark.parametrize(("value", "progress"), [(45, 45), (0.5, 0.5), (True, None), ("45", None), (None, None)])
def test_progress_is_a_number_or_nothing(value, progress):
    """Text under `progress` is no progress: the platform's page breaks on it."""
    assert models.read({"status_details": {"progress": value}}).progress == progress


def test_a_message_that_is_no_text_is_no_message():
    """Lists show a message beside the progress; an object isn't one."""
    assert models.read({"status_details": {"message": {"a": 1}}}).message == ""


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"error_details": {"code": 1, "message": "out of memory"}}, "out of memory"),
        ({"error_details": {"failed": "image not found"}}, "image not found"),
        ({"error_details": "boom"}, "boom"),
        ({"error_details": {"code": 1}}, ""),
        (
            {
                "error_details": {},
                "steps": [{"error_details": None}, {"error_details": {"message": "exit 1"}}],
            },
            "exit 1",
        ),
        ({"error_details": None}, ""),
    ],
)
def test_the_reason_is_what_the_platform_says(answer, reason):
    """The job's own error details come first, then its steps'."""
    assert models.read(answer).reason == reason
