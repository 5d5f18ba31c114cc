"""Jobs as the platform describes them: what is read, tolerated, and refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import JSON

from nemo_jobs_cli.api import jobs, models
from nemo_jobs_cli.core.errors import NotFoundError, SettingsError

RAW = {
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


def test_a_job_has_its_state_details_steps_and_tasks():
    """The platform's `status` is the state; the reported one is a detail."""
    job = models.parse_job(RAW)
    assert (job.name, job.state, job.details["status"]) == ("train-x", "active", "running")
    assert (job.progress, job.text("message"), job.last_report) == (45, "batch 3", 60.0)
    assert [(step.name, [task.name for task in step.tasks]) for step in job.steps] == [("train", ["worker-0"])]
    assert job.raw is RAW


@pytest.mark.parametrize("raw", [{}, dict.fromkeys(RAW)])
def test_missing_fields_and_null_are_tolerated(raw):
    """The requested name replaces a missing one."""
    job = models.parse_job(raw, "train-x")
    assert (job.name, job.state, job.steps, job.details) == ("train-x", "", (), {})
    assert (job.progress, job.text("message"), job.last_report, job.reason) == (None, "", None, "")


def test_unknown_fields_and_states_are_tolerated():
    """A newer server may have more of them; an unknown state is not terminal."""
    job = models.parse_job({**RAW, "status": "hibernating", "mood": "good"})
    assert job.state == "hibernating"
    assert not job.is_terminal
    assert job.raw["mood"] == "good"


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ({"status": 7}, "status: Input should be a valid string"),
        ({"status_details": [1]}, "status_details: Input should be a valid dictionary"),
        ({"steps": [{}, {"tasks": [{"name": {}}]}]}, "steps.1.tasks.0.name: Input should be a valid string"),
        ({"steps": "\x1b[31m"}, "steps: Input should be a valid list"),
        ({"error_details": 7}, "error_details: Input has the wrong type"),
    ],
)
def test_a_field_of_another_type_is_one_clear_error(raw, reason):
    """The error names the job, the field and the reason."""
    with pytest.raises(SettingsError) as caught:
        models.parse_job({"name": "train-x", **raw})
    assert caught.value.message == f"cannot read job 'train-x': {reason}"


@given(st.dictionaries(st.sampled_from([*sorted(RAW), "_raw", "model_config", "progress", "reason"]), JSON, max_size=5))
def test_any_json_object_is_a_job_or_an_error(raw):
    """No other exception is raised."""
    try:
        job = models.parse_job(raw, "x")
    except SettingsError:
        return
    assert isinstance(job.reason, str)
    assert job.raw is raw


@pytest.mark.parametrize("state", jobs.STATES)
def test_three_states_are_terminal(state):
    """These are completed, error and cancelled."""
    assert models.parse_job({"status": state}).is_terminal is (state in {"completed", "error", "cancelled"})


@pytest.mark.parametrize(("value", "progress"), [(45, 45), (0.5, 0.5), (True, None), ("45", None), (None, None)])
def test_progress_is_a_number_and_a_message_is_text(value, progress):
    """Any other value is ignored, as the platform's own page fails on it."""
    job = models.parse_job({"status_details": {"progress": value, "message": {"a": 1}}})
    assert (job.progress, job.text("message")) == (progress, "")


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ({"error_details": {"code": 1, "message": "out of memory"}}, "out of memory"),
        ({"error_details": {"failed": "image not found"}}, "image not found"),
        ({"error_details": "boom"}, "boom"),
        ({"error_details": {"code": 1}}, ""),
        ({"error_details": {}, "steps": [{"error_details": None}, {"error_details": {"message": "exit 1"}}]}, "exit 1"),
        ({"error_details": None}, ""),
    ],
)
def test_the_reason_is_the_error_of_the_job_or_of_a_step(raw, reason):
    """The job's own error comes first."""
    assert models.parse_job(raw).reason == reason


@pytest.mark.parametrize(
    ("state", "report", "is_silent"),
    [
        ("active", "2027-01-15T07:57:30Z", False),
        ("active", "2027-01-15T07:57:29Z", True),
        ("pending", "2027-01-15T07:00:00Z", True),
        ("hibernating", "2027-01-15T07:00:00Z", True),
        ("active", "2027-01-15T09:00:00Z", False),
        ("active", "soon", False),
        ("active", None, False),
        ("paused", "2027-01-15T07:00:00Z", False),
        ("completed", "2027-01-15T07:00:00Z", False),
    ],
)
def test_a_job_without_reports_for_a_few_heartbeats_is_silent(state, report, is_silent):
    """Unless it has ended, is paused, or has never sent a lastUpdated; at 08:00."""
    job = models.parse_job({"status": state, "status_details": {"lastUpdated": report}})
    assert job.is_silent(1_800_000_000.0) is is_silent


@pytest.mark.parametrize(
    ("details", "age"),
    [
        ({"lastUpdated": "1970-01-01T00:01:00Z", "age": 7}, 40.0),
        ({"lastUpdated": "1970-01-01T00:09:00Z"}, 0.0),
        ({"age": 7}, None),
    ],
)
def test_the_age_of_a_condition_is_that_of_the_last_report(details, age):
    """Never a reported `age`; a clock may be ahead. A job that has ended has none, since it reports no more."""
    assert models.parse_job({"status_details": details}, now=100.0).values.get("age") == age
    assert "age" not in models.parse_job({"status_details": details, "status": "completed"}, now=100.0).values


REPORTED = models.parse_job({"name": "train-x", "status_details": {"progress": 45, "none": None, "train_loss": 0.5}})


@pytest.mark.parametrize(
    ("key", "default", "expected"),
    [("progress", None, 45), ("progress", "0", 45), ("none", "0", "0"), ("epoch", "0", "0"), ("epoch", "", "")],
)
def test_a_field_is_the_reported_value_or_the_default(key, default, expected):
    """A null counts as missing: it is how a key is cleared. An empty default is a value."""
    assert REPORTED.field(key, default) == expected


@pytest.mark.parametrize(
    ("job", "key", "similar"),
    [
        (REPORTED, "progres", ["progress"]),
        (REPORTED, "trainloss", ["train_loss"]),
        (REPORTED, "zzz", []),
        (models.parse_job({"name": "train-x"}), "progres", ["progress"]),  # a key that any job may have
        (models.parse_job({"name": "train-x"}), "progress", []),
        (models.parse_job({"name": "train-x", "status_details": {"error": None}}), "error", []),
    ],
)
def test_a_missing_field_comes_with_similar_keys(job, key, similar):
    """The exit code is 5."""
    with pytest.raises(NotFoundError, match=f"has not reported '{key}'") as caught:
        job.field(key)
    assert caught.value.facts == {"job": "train-x", "field": key, "close": similar}
    assert ("did you mean" in caught.value.hint) == bool(similar)
