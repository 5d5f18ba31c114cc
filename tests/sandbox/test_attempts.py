"""The sandbox's routes of attempts, which follow the public API reference of NeMo Helix 0.9 to 0.11."""

from __future__ import annotations

import itertools
import json
import random

import pytest

from nemo_jobs_cli.sandbox._app import App
from nemo_jobs_cli.sandbox._database import Database
from nemo_jobs_cli.sandbox._wire import Request

JOBS = "/apis/jobs/v2/workspaces/default/jobs"
DEMO = f"{JOBS}/demo"
CURRENT = f"{DEMO}/attempts/current"
NEW_JOB = {"name": "demo", "spec": {}, "source": "x", "platform_spec": {"steps": [{"name": "train"}]}}


def make_app(**options):
    """Return an app with one job, whose clock advances by a second with each look."""
    seconds = itertools.count(1_790_000_000)
    database = Database(lambda: float(next(seconds)), random.Random(1), strict=True, **options)
    app = App(database, has_attempts=True)
    assert send(app, "POST", JOBS, NEW_JOB)[0] == 201
    return app


def send(app, method, path, body=None):
    """Send a request and return the status and the decoded body of the response."""
    path, _, query = path.partition("?")
    parameters = dict(part.split("=") for part in query.split("&") if part)
    data = b"" if body is None else json.dumps(body).encode()
    response = app.respond(Request(method, path, parameters, {"content-type": "application/json"}, data, path))
    return response.status, json.loads(response.body or "null")


def attempt_id(app):
    """Return the id of the current attempt."""
    return send(app, "GET", CURRENT)[1]["id"]


@pytest.mark.parametrize("selector", ["current", "id"])
def test_an_update_goes_to_an_attempt(selector):
    """By its id or as the current one; job, status and attempt show the same details."""
    app = make_app()
    attempt = attempt_id(app) if selector == "id" else selector
    assert send(app, "PATCH", f"{DEMO}/attempts/{attempt}/status-details", {"progress": 45}) == (200, None)
    assert send(app, "GET", f"{DEMO}/status")[1]["status_details"] == {"progress": 45}
    assert send(app, "GET", DEMO)[1]["status_details"] == {"progress": 45}
    assert send(app, "GET", CURRENT)[1]["status_details"] == {"progress": 45}
    assert send(app, "GET", DEMO)[1]["attempt_id"] == attempt_id(app)


def test_the_path_of_the_job_takes_no_updates():
    """That route is gone, as in the reference of 0.9."""
    assert send(make_app(), "PATCH", f"{DEMO}/status-details", {}) == (404, {"detail": "Not Found"})


def test_a_superseded_attempt_is_refused():
    """A rerun begins a new attempt; an update of the old one is a 409 and changes nothing."""
    app = make_app()
    old = attempt_id(app)
    assert send(app, "PATCH", f"{CURRENT}/status-details", {"progress": 45})[0] == 200
    assert send(app, "POST", f"{DEMO}/rerun")[0] == 200
    assert attempt_id(app) != old
    assert send(app, "GET", f"{DEMO}/status")[1]["status_details"] == {}
    status, body = send(app, "PATCH", f"{DEMO}/attempts/{old}/status-details", {"progress": 46})
    assert (status, body["detail"]) == (409, f"Attempt '{old}' is not the current attempt of job 'demo'.")
    assert send(app, "GET", f"{DEMO}/attempts/{old}")[1]["status_details"] == {"progress": 45}
    assert send(app, "GET", f"{DEMO}/status")[1]["status_details"] == {}


def test_attempts_are_listed_newest_first():
    """`sort=-seq` is the default; an unknown order is a 422."""
    app = make_app()
    for _ in range(2):
        send(app, "POST", f"{DEMO}/rerun")
    listed = send(app, "GET", f"{DEMO}/attempts")[1]
    assert ([attempt["seq"] for attempt in listed["data"]], listed["sort"]) == ([2, 1, 0], "-seq")
    assert listed["data"][0]["id"] == attempt_id(app)
    oldest = send(app, "GET", f"{DEMO}/attempts?sort=seq&page=2&page_size=1")[1]
    assert ([attempt["seq"] for attempt in oldest["data"]], oldest["pagination"]["total_pages"]) == ([1], 3)
    assert send(app, "GET", f"{DEMO}/attempts?sort=created_at")[0] == 422


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("expected_step_id=STEP", 200),
        ("expected_step_id=STEP&expected_step_status=created", 200),
        ("expected_step_id=STEP&expected_step_status=active", 409),
        ("expected_step_id=other", 409),
    ],
)
def test_an_update_can_be_conditional(query, status):
    """It is stored only while the step is in the attempt, and has the status."""
    app = make_app()
    step = send(app, "GET", f"{DEMO}/status")[1]["steps"][0]["id"]
    path = f"{CURRENT}/status-details?{query.replace('STEP', step)}"
    assert send(app, "PATCH", path, {"progress": 1})[0] == status
    assert send(app, "GET", f"{DEMO}/status")[1]["status_details"] == ({"progress": 1} if status == 200 else {})


def test_the_step_of_another_attempt_is_refused():
    """The step of a superseded attempt is not in the current one."""
    app = make_app()
    step = send(app, "GET", f"{DEMO}/status")[1]["steps"][0]["id"]
    send(app, "POST", f"{DEMO}/rerun")
    assert send(app, "PATCH", f"{CURRENT}/status-details?expected_step_id={step}", {"a": 1})[0] == 409


def test_a_created_job_can_have_no_attempt_yet():
    """Its status is there, its attempt is not; both differ from a missing job."""
    app = make_app(start_delay=5)
    status, body = send(app, "PATCH", f"{CURRENT}/status-details", {"a": 1})
    assert (status, body["detail"]) == (404, "Job 'demo' has no current attempt.")
    assert send(app, "GET", CURRENT)[0] == 404
    assert send(app, "GET", f"{DEMO}/attempts")[1]["data"] == []
    job = send(app, "GET", DEMO)[1]
    assert (job["status"], job["attempt_id"]) == ("created", None)
    missing = send(app, "PATCH", f"{JOBS}/other/attempts/current/status-details", {"a": 1})
    assert missing == (404, {"detail": "Job 'other' not found in workspace 'default'."})
    for _ in range(5):
        status, _ = send(app, "PATCH", f"{CURRENT}/status-details", {"a": 1})
    assert status == 200


def test_an_unknown_attempt_is_not_found():
    """Its text names the attempt and the job."""
    status, body = send(make_app(), "PATCH", f"{DEMO}/attempts/other/status-details", {"a": 1})
    assert (status, body["detail"]) == (404, "Attempt 'other' not found for job 'demo'.")


def test_with_authentication_an_unknown_route_is_forbidden():
    """As measured on NeMo Platform 0.6.0 and NeMo Helix 0.8.1."""
    app = App(make_app().database, auth=True)
    request = Request("PATCH", f"{CURRENT}/status-details", {}, {"authorization": "Bearer sandbox"}, b"{}")
    assert app.respond(request).status == 403
