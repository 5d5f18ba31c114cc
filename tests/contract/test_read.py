"""What the routes that read say, and the one that creates."""

from __future__ import annotations

import json
import re

import pytest
from contract.conftest import STEP

JOB_FIELDS = {
    "id": str, "attempt_id": str, "name": str, "workspace": str, "project": type(None), "description": type(None),
    "source": str, "spec": dict, "platform_spec": dict, "fileset": str, "output_location": type(None), "status": str,
    "status_details": dict, "error_details": type(None), "created_at": str, "updated_at": str,
    "ownership": type(None), "custom_fields": type(None),
}  # fmt: skip
STATUS_FIELDS = {
    "id": str, "name": str, "status": str, "status_details": dict, "error_details": type(None), "steps": list,
    "created_at": str, "updated_at": str,
}  # fmt: skip
STEP_FIELDS = {
    "id": str, "name": str, "status": str, "status_details": dict, "error_details": dict, "tasks": list,
    "created_at": str, "updated_at": str,
}  # fmt: skip
WORKSPACE_FIELDS = {
    "id": str, "name": str, "description": str, "created_at": str, "created_by": type(None), "updated_at": str,
    "updated_by": type(None),
}  # fmt: skip
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}")


def types(record):
    """Return the type of each field."""
    return {name: type(value) for name, value in record.items()}


def test_a_created_job(make):
    """A job that was created has an id, an attempt, and the steps it was given, completed."""
    made = make()
    assert types(made) == JOB_FIELDS
    assert re.fullmatch(r"platform-job-[1-9A-HJ-NP-Za-km-z]{20,24}", made["id"])
    assert re.fullmatch(r"platform-job-attempt-[1-9A-HJ-NP-Za-km-z]{20,24}", made["attempt_id"])
    assert (made["status"], made["fileset"]) == ("created", f"job-fileset-{made['name']}")
    assert TIME.fullmatch(made["created_at"])
    step = {"name": "train", "executor": STEP, "environment": None, "config": {}}
    assert made["platform_spec"] == {
        "secrets": None,
        "steps": [{**step, "lifecycle": {"staleness_timeout_seconds": 0}}],
    }


def test_a_job_is_read_as_it_was_created(api, jobs, make):
    """Reading a job gives what creating it gave."""
    made = make()
    assert api.get(f"{jobs}/{made['name']}").json() == made


def test_the_status(api, jobs, make):
    """The status route adds the steps to what the job says of itself."""
    made = make()
    status = api.get(f"{jobs}/{made['name']}/status").json()
    assert types(status) == STATUS_FIELDS
    assert {name: status[name] for name in ("id", "created_at", "updated_at")} == {
        name: made[name] for name in ("id", "created_at", "updated_at")
    }
    (step,) = status["steps"]
    assert types(step) == STEP_FIELDS
    assert (step["name"], step["status"]) == ("train", "created")


@pytest.mark.parametrize("tail", ["", "/status"])
@pytest.mark.parametrize(
    ("workspace", "name", "shown"),
    [("default", "no-such-job", "no-such-job"), ("default", "Bad%20Name", "Bad Name"), ("nope", "x-1", "x-1")],
)
def test_an_unknown_job_is_a_404(api, tail, workspace, name, shown):
    """A job that isn't there is named, with a full stop this time."""
    answer = api.get(f"/apis/jobs/v2/workspaces/{workspace}/jobs/{name}{tail}")
    assert (answer.status_code, answer.json()) == (
        404,
        {"detail": f"Job '{shown}' not found in workspace '{workspace}'."},
    )


def test_an_encoded_slash_cuts_a_name(api, jobs):
    """%2F is a slash to the routes."""
    answer = api.get(f"{jobs}/a%2Fb/status")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})


@pytest.mark.parametrize("path", ["/nope", "/apis/nope", "//apis/auth/discovery"])
def test_unknown_routes(api, path):
    """What no service has is `Not Found`."""
    answer = api.get(str(api.base_url).rstrip("/") + path)
    assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})


def refused(job):
    """Return the body of a POST that gives this job."""
    return {"spec": {}, "source": "nemo-jobs", "platform_spec": {"steps": [{"name": "train", "executor": STEP}]}, **job}


def test_a_name_is_taken_once(api, jobs, job):
    """A second job of the name is a 409 that says so."""
    answer = api.post(jobs, json=refused({"name": job}))
    assert (answer.status_code, answer.headers["x-should-retry"]) == (409, "false")
    assert answer.json()["detail"].startswith(f"Job '{job}' already exists in workspace 'default'.")


def test_a_wrong_name_is_a_conflict(api, jobs):
    """A name that can't be one is a 409, of all things."""
    answer = api.post(jobs, json=refused({"name": "Bad Name"}))
    assert answer.status_code == 409
    assert answer.json()["detail"].startswith("Unable to create job because the request conflicts")


def test_an_unnamed_job_gets_a_name(api, jobs):
    """The platform makes a name up."""
    made = api.post(jobs, json=refused({}))
    assert made.status_code == 201
    assert api.get(f"{jobs}/{made.json()['name']}/status").status_code == 200


def test_a_job_needs_its_workspace(api):
    """A job can't be created in a workspace that isn't there."""
    answer = api.post("/apis/jobs/v2/workspaces/nope/jobs", json=refused({}))
    detail = "Workspace 'nope' does not exist. Please create the workspace first."
    assert (answer.status_code, answer.json()) == (422, {"detail": detail})


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", {"type": "missing", "loc": ["body"], "msg": "Field required", "input": None}),
        (
            b"[]",
            {
                "type": "model_attributes_type",
                "loc": ["body"],
                "msg": "Input should be a valid dictionary or object to extract fields from",
                "input": [],
            },
        ),
        (
            b'{"spec":{},"source":"x"}',
            {
                "type": "missing",
                "loc": ["body", "platform_spec"],
                "msg": "Field required",
                "input": {"spec": {}, "source": "x"},
            },
        ),
        (
            b'{"spec":{},"source":"x","platform_spec":{"steps":[]}}',
            {
                "type": "value_error",
                "loc": ["body", "platform_spec"],
                "msg": "Value error, At least one step is required in the job specification.",
                "input": {"steps": []},
                "ctx": {"error": {}},
            },
        ),
    ],
    ids=["empty", "a list", "no steps field", "no steps"],
)
def test_wrong_jobs_are_refused(api, jobs, body, problem):
    """What is no job is a 422."""
    answer = api.post(jobs, content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()) == (422, {"detail": [problem]})


def test_workspaces(api):
    """A fresh platform has the workspaces system and default."""
    answer = api.get("/apis/entities/v2/workspaces").json()
    found = {workspace["name"]: workspace for workspace in answer.pop("data")}
    assert {"system", "default"} <= found.keys()
    assert types(found["default"]) == WORKSPACE_FIELDS
    assert found["default"]["description"] == "General-purpose workspace (all users have write access)"
    count = answer["pagination"]["total_results"]
    pages = {"page": 1, "page_size": 100, "current_page_size": count, "total_pages": 1, "total_results": count}
    assert answer == {"pagination": pages, "sort": "-created_at", "filter": None}


def test_discovery(api):
    """Anyone can ask whether credentials are needed."""
    assert api.get("/apis/auth/discovery").json() == {"auth_enabled": False, "oidc": None}


def test_openapi_lists_the_route_of_updates(api, jobs):
    """The server's own description has the routes that are used here, under these names."""
    paths = api.get("/openapi.json").json()["paths"]
    route = "/apis/jobs/v2/workspaces/{workspace}/jobs"
    assert paths.keys() >= {route, f"{route}/{{name}}", f"{route}/{{name}}/status", f"{route}/{{name}}/status-details"}


def test_values_come_back_as_json(api, jobs, job):
    """Text is written as it is, not escaped."""
    api.patch(f"{jobs}/{job}/status-details", json={"é": "☃"})
    text = api.get(f"{jobs}/{job}/status").text
    assert '"é":"☃"' in text
    assert json.loads(text)["status_details"] == {"é": "☃"}
