"""The sandbox's routes, beyond what the contract suite asks of a strict sandbox."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_jobs_cli.core import identifiers
from nemo_jobs_cli.sandbox import _logs
from nemo_jobs_cli.sandbox._app import App
from nemo_jobs_cli.sandbox._database import Database
from nemo_jobs_cli.sandbox._wire import Request

JOBS = "/apis/jobs/v2/workspaces/default/jobs"
DEMO = f"{JOBS}/demo"
NEW_JOB = {"name": "demo", "spec": {}, "source": "x", "platform_spec": {"steps": [{"name": "train"}]}}
DETAILS = st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=3), st.integers() | st.none(), max_size=5)


def make_app(*, strict=False, seed=1, **options):
    """Return an app without jobs, whose clock stands still."""
    return App(Database(lambda: 1_790_000_000.5, random.Random(seed), strict), **options)


@pytest.fixture
def app():
    """Give an app without jobs."""
    return make_app()


def send(app, method, path, body=None, **headers):
    """Send a request and return the status and the decoded body of the response; bytes are sent as they are."""
    data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    path, _, query = path.partition("?")
    parameters = dict(part.split("=") for part in query.split("&") if part)
    response = app.respond(
        Request(method, path, parameters, {"content-type": "application/json", **headers}, data, path)
    )
    return response.status, json.loads(response.body or "null")


@pytest.mark.parametrize("workspace", ["default", "research"])
def test_a_job_is_created_when_it_is_used(app, workspace):
    """Updating or reading a job creates it, in any workspace."""
    jobs = f"/apis/jobs/v2/workspaces/{workspace}/jobs"
    assert send(app, "PATCH", f"{jobs}/demo/status-details", {"progress": 1}) == (200, None)
    status, job = send(app, "GET", f"{jobs}/demo/status")
    assert (status, job["status_details"], job["status"]) == (200, {"progress": 1}, "created")
    assert job["created_at"] == "2026-09-21T14:13:20.500000"
    assert send(app, "GET", f"{jobs}/other/status")[0] == 200
    assert [job["name"] for job in send(app, "GET", jobs)[1]["data"]] == ["other", "demo"]
    workspaces = [entry["name"] for entry in send(app, "GET", "/apis/entities/v2/workspaces")[1]["data"]]
    assert workspaces == list(dict.fromkeys(["system", "default", workspace]))


@pytest.mark.parametrize("path", ["default/jobs/Demo", "default/jobs/x", "Research/jobs/demo", "default/jobs/a--b"])
def test_an_invalid_name_is_never_created(app, path):
    """The platform does not accept such names."""
    path = f"/apis/jobs/v2/workspaces/{path}"
    assert send(app, "PATCH", f"{path}/status-details", {})[0] == 404
    assert send(app, "GET", f"{path}/status")[0] == 404
    assert not app.database.jobs


def test_listing_creates_nothing(app):
    """An unused workspace is empty, not missing; one with an invalid name is missing."""
    assert send(app, "GET", "/apis/jobs/v2/workspaces/research/jobs")[1]["data"] == []
    assert send(app, "GET", "/apis/jobs/v2/workspaces/Research/jobs")[0] == 404


def test_a_strict_sandbox_has_only_created_jobs():
    """Other jobs and workspaces are a 404."""
    app = make_app(strict=True)
    assert send(app, "GET", f"{DEMO}/status")[0] == 404
    assert send(app, "GET", "/apis/jobs/v2/workspaces/research/jobs")[0] == 404
    assert send(app, "POST", JOBS, NEW_JOB)[0] == 201
    assert send(app, "GET", f"{DEMO}/status")[0] == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [
        *(
            (NEW_JOB | {"platform_spec": spec}, 422)
            for spec in (None, {}, {"steps": None}, {"steps": [1]}, {"steps": [{}]}, {"steps": [{"name": 1}]})
        ),
        (NEW_JOB | {"name": 5}, 409),
        ("text", 422),
        (b"{", 422),
        (b"[" * 1300 + b"]" * 1300, 400),
    ],
)
def test_an_invalid_job_is_refused(app, body, status):
    """Each mistake has the platform's status."""
    assert send(app, "POST", JOBS, body)[0] == status


@pytest.mark.parametrize("seed", range(50))
def test_a_generated_name_is_valid(seed):
    """A job that is created without a name gets one."""
    job = {key: value for key, value in NEW_JOB.items() if key != "name"}
    assert identifiers.is_name(send(make_app(seed=seed), "POST", JOBS, job)[1]["name"])


@given(st.lists(DETAILS, max_size=5))
def test_an_update_merges_like_dict_update(updates):
    """Each key has the last value that was sent."""
    app, expected = make_app(), {}
    for update in updates:
        assert send(app, "PATCH", f"{DEMO}/status-details", update) == (200, None)
        expected |= update
    assert send(app, "GET", f"{DEMO}/status")[1]["status_details"] == expected


def test_an_update_that_lost_to_another_is_refused():
    """The update between another's read and write is stored; the other one is a 409."""
    app = make_app(on_update=lambda: send(App(app.database), "PATCH", f"{DEMO}/status-details", {"b": 2}))
    status, body = send(app, "PATCH", f"{DEMO}/status-details", {"a": 1})
    assert status == 409
    assert body["detail"].endswith("Expected version 1, but current version is 2. Please refetch and retry.")
    assert app.database.jobs["default", "demo"].details == {"b": 2}


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b'{"a":' + b"[" * 400 + b"]" * 400 + b"}", "application/json", 500),
        (b"[" * 1300 + b"]" * 1300, "application/json", 400),
        (b"\xff", "text/plain", 500),
    ],
)
def test_an_update_that_the_platform_cannot_store_is_refused(app, body, content_type, status):
    """Deep nesting is a 500, deeper a 400 on every Python; undecodable text is a 500."""
    assert send(app, "PATCH", f"{DEMO}/status-details", body, **{"content-type": content_type})[0] == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"authorization": "Bearer sandbox"}, 200),
        ({"authorization": "bearer  sandbox "}, 200),
        ({"authorization": "Bearer"}, 401),
        ({}, 401),
    ],
)
def test_the_token(headers, status):
    """With auth the token is the word sandbox; without, no token is checked."""
    assert send(make_app(auth=True), "GET", JOBS, **headers)[0] == status
    assert send(make_app(), "GET", JOBS, **headers)[0] == 200


def test_headers_are_not_in_the_repr():
    """A printed request does not show its token."""
    assert "s3cret" not in repr(Request("GET", "/", headers={"authorization": "Bearer s3cret"}))


def test_workspaces_are_paged(app):
    """With the same parameters as jobs."""
    status, body = send(app, "GET", "/apis/entities/v2/workspaces?page_size=1&page=2")
    assert (status, len(body["data"]), body["pagination"]["total_pages"]) == (200, 1, 2)
    assert send(app, "GET", "/apis/entities/v2/workspaces?page=0")[0] == 422


@given(st.integers(0, 25), st.integers(1, 7))
def test_pages_cover_everything_once(count, size):
    """All pages together are the same as one long page."""
    app = make_app()
    for number in range(count):
        app.database.find("default", f"job-{number}")
    expected = send(app, "GET", f"{JOBS}?page_size=1000")[1]["data"]
    total = send(app, "GET", f"{JOBS}?page_size={size}")[1]["pagination"]["total_pages"]
    pages = [send(app, "GET", f"{JOBS}?page_size={size}&page={page}")[1]["data"] for page in range(1, total + 1)]
    assert [job for page in pages for job in page] == expected
    assert len(expected) == count


def test_a_list_keeps_nulls_in_details(app):
    """Only the record's own nulls are dropped."""
    app.database.find("default", "demo").details["a"] = None
    (job,) = send(app, "GET", JOBS)[1]["data"]
    assert job["status_details"] == {"a": None}
    assert "project" not in job


JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("qtrnv"), inner, max_size=5),
    max_leaves=6,
)


@given(JSON)
def test_any_cursor_of_a_log_gets_a_response(cursor):
    """One that the platform has not written is a 500, as on the platform."""
    app = make_app()
    app.database.add_lines("default", "demo", ["a", "b"], "train")
    assert send(app, "GET", f"{DEMO}/logs?page_cursor={_logs.encode_cursor(cursor)}")[0] in {200, 500}


RECORD = {"timeUnixNano": "1790000000000000000", "body": {"stringValue": "x"}}
SOURCE = {"job": "demo", "job_attempt": "1", "job_step": "train", "job_task": "task-train"}


@pytest.mark.parametrize(
    ("source", "record"),
    [
        *(({key: 7}, {}) for key in SOURCE),
        ({"job": ["demo"]}, {}),
        *(({}, {"timeUnixNano": time}) for time in ("soon", "9" * 30, "9" * 400, None)),
        *(({}, {"body": body}) for body in (None, {}, {"stringValue": 7})),
    ],
)
def test_a_log_takes_only_lines_of_text(app, source, record):
    """A time beyond the year 9999, a number as a name or as the line: nothing is stored."""
    attributes = [{"key": key, "value": {"stringValue": value}} for key, value in {**SOURCE, **source}.items()]
    scope = {"logRecords": [RECORD | record]}
    upload = {"resourceLogs": [{"resource": {"attributes": attributes}, "scopeLogs": [scope]}]}
    path = "/apis/files/v2/workspaces/default/filesets/job-fileset-demo/otlp/v1/logs"
    assert send(app, "POST", path, upload) == (400, {"detail": "Invalid JSON format"})
    assert not app.database.jobs
