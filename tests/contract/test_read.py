"""Responses of the routes that read jobs, and of the one that creates them."""

from __future__ import annotations

import json
import re

import pytest
from contract.conftest import STEP, new_job

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
    """It has an id, an attempt, and its steps with all fields."""
    created = make()
    assert types(created) == JOB_FIELDS
    assert re.fullmatch(r"platform-job-[1-9A-HJ-NP-Za-km-z]{20,24}", created["id"])
    assert re.fullmatch(r"platform-job-attempt-[1-9A-HJ-NP-Za-km-z]{20,24}", created["attempt_id"])
    assert (created["status"], created["fileset"]) == ("created", f"job-fileset-{created['name']}")
    assert TIME.fullmatch(created["created_at"])
    step = {"name": "train", "executor": STEP, "environment": None, "config": {}}
    assert created["platform_spec"] == {
        "secrets": None,
        "steps": [{**step, "lifecycle": {"staleness_timeout_seconds": 0}}],
    }


def test_reading_a_job_returns_the_created_one(api, jobs, make):
    """With the same fields."""
    created = make()
    assert api.get(f"{jobs}/{created['name']}").json() == created


def test_the_status(api, jobs, make):
    """It has the steps, and the times of the job."""
    created = make()
    status = api.get(f"{jobs}/{created['name']}/status").json()
    assert types(status) == STATUS_FIELDS
    assert {name: status[name] for name in ("id", "created_at", "updated_at")} == {
        name: created[name] for name in ("id", "created_at", "updated_at")
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
    """The message differs from that of a PATCH: Job for Entity, and a period."""
    response = api.get(f"/apis/jobs/v2/workspaces/{workspace}/jobs/{name}{tail}")
    detail = f"Job '{shown}' not found in workspace '{workspace}'."
    assert (response.status_code, response.json()) == (404, {"detail": detail})


@pytest.mark.parametrize(
    "path", ["/nope", "/apis/nope", "//apis/auth/discovery", "/apis/jobs/v2/workspaces/default/jobs/a%2Fb/status"]
)
def test_unknown_routes(api, path):
    """A 404 with another message; an encoded slash ends a job's name."""
    response = api.get(str(api.base_url).rstrip("/") + path)
    assert (response.status_code, response.json()) == (404, {"detail": "Not Found"})


def test_a_name_is_unique(api, jobs, job):
    """A second job with it is a 409."""
    response = api.post(jobs, json=new_job(name=job))
    assert (response.status_code, response.headers["x-should-retry"]) == (409, "false")
    assert response.json()["detail"].startswith(f"Job '{job}' already exists in workspace 'default'.")


def test_an_invalid_name_is_refused(api, jobs, server):
    """By Platform with a 409, by Helix with a 422."""
    response = api.post(jobs, json=new_job(name="Bad Name"))
    if server.kind == "helix":
        assert (response.status_code, response.json()["detail"][0]["loc"]) == (422, ["body", "name"])
    else:
        assert response.status_code == 409
        assert response.json()["detail"].startswith("Unable to create job because the request conflicts")


def test_an_unnamed_job_gets_a_name(api, jobs):
    """The platform generates it."""
    created = api.post(jobs, json=new_job())
    assert created.status_code == 201
    assert api.get(f"{jobs}/{created.json()['name']}/status").status_code == 200


def test_a_job_needs_its_workspace(api):
    """Otherwise a 422."""
    response = api.post("/apis/jobs/v2/workspaces/nope/jobs", json=new_job())
    detail = "Workspace 'nope' does not exist. Please create the workspace first."
    assert (response.status_code, response.json()) == (422, {"detail": detail})


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
def test_invalid_jobs_are_refused(api, jobs, body, problem):
    """With a 422."""
    response = api.post(jobs, content=body, headers={"content-type": "application/json"})
    assert (response.status_code, response.json()) == (422, {"detail": [problem]})


def test_workspaces(api):
    """A new platform has the workspaces system and default."""
    response = api.get("/apis/entities/v2/workspaces").json()
    workspaces = {workspace["name"]: workspace for workspace in response.pop("data")}
    assert {"system", "default"} <= workspaces.keys()
    assert types(workspaces["default"]) == WORKSPACE_FIELDS
    assert workspaces["default"]["description"] == "General-purpose workspace (all users have write access)"
    count = response["pagination"]["total_results"]
    pages = {"page": 1, "page_size": 100, "current_page_size": count, "total_pages": 1, "total_results": count}
    assert response == {"pagination": pages, "sort": "-created_at", "filter": None}


def test_openapi_has_the_routes(api, jobs):
    """All that are used here."""
    paths = api.get("/openapi.json").json()["paths"]
    route = "/apis/jobs/v2/workspaces/{workspace}/jobs"
    assert paths.keys() >= {route, f"{route}/{{name}}", f"{route}/{{name}}/status", f"{route}/{{name}}/status-details"}


def test_text_is_returned_unescaped(api, jobs, job):
    """As UTF-8."""
    api.patch(f"{jobs}/{job}/status-details", json={"é": "☃"})
    text = api.get(f"{jobs}/{job}/status").text
    assert '"é":"☃"' in text
    assert json.loads(text)["status_details"] == {"é": "☃"}
