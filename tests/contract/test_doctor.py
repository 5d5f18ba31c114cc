"""The requests of doctor and the responses, which change nothing."""

from __future__ import annotations

import json
import uuid

import httpx
import pytest
from contract.conftest import REAL, TLS, jwt, new_job

from nemo_jobs_cli.delivery import deliver
from nemo_jobs_cli.sandbox.server import TOKEN

SERVICE = "service:jobs"  # a service of the platform itself


def root(workspace):
    """Return the path of a workspace's jobs."""
    return f"/apis/jobs/v2/workspaces/{workspace}/jobs"


@pytest.fixture
def guarded_api(guarded):
    """Return an HTTP client of the server with authentication."""
    with httpx.Client(base_url=guarded.url, timeout=60, trust_env=False, verify=TLS) as client:
        yield client


@pytest.fixture
def member(guarded, guarded_api):
    """Return a function that creates a workspace and a member with a role; it returns token and workspace."""

    def create(role):
        if guarded.kind == "sandbox":
            return TOKEN, "default"
        headers = guarded.as_principal(SERVICE)
        workspace, user = f"doctor-{uuid.uuid4().hex[:8]}", f"{uuid.uuid4().hex[:8]}@example.com"
        response = guarded_api.post("/apis/entities/v2/workspaces", headers=headers, json={"name": workspace})
        assert response.status_code == 201, response.text
        members = f"/apis/entities/v2/workspaces/{workspace}/members"
        response = guarded_api.post(members, headers=headers, json={"principal": user, "roles": [role]})
        assert response.status_code == 201, response.text
        return jwt(user), workspace

    return create


def send_both(client, workspace, **headers):
    """Send the read and the write of doctor; return their statuses and the detail of the write."""
    read = client.get(root(workspace), params={"page": 1, "page_size": 1, "sort": "-created_at"}, headers=headers)
    write = client.patch(f"{root(workspace)}/{deliver.IMPOSSIBLE_JOB}/status-details", json={}, headers=headers)
    return read.status_code, write.status_code, write.json()["detail"]


def test_anyone_may_read_the_version(api, guarded_api, server):
    """With authentication on or off, even with an invalid token."""
    for client in (api, guarded_api):
        for headers in ({}, {"authorization": "Bearer nonsense"}):
            response = client.get("/cluster-info", headers=headers)
            assert (response.status_code, response.json()["platform_version"]) == (200, server.product.version)
            assert isinstance(response.json()["revision"], str)
            assert "date" in response.headers


def test_anyone_may_read_whether_a_token_is_required(api, guarded_api):
    """From the discovery of authentication."""
    discovery = [client.get("/apis/auth/discovery").json() for client in (api, guarded_api)]
    assert discovery == [{"auth_enabled": False, "oidc": None}, {"auth_enabled": True, "oidc": None}]


def test_no_job_can_have_the_name_that_doctor_writes_to(api, jobs):
    """The platform refuses to create it."""
    assert api.post(jobs, json=new_job(name=deliver.IMPOSSIBLE_JOB)).status_code in {409, 422}


def test_without_authentication_anyone_may_write(api):
    """The job is not created."""
    missing = f"Entity '{deliver.IMPOSSIBLE_JOB}' not found in workspace 'default'"
    for headers in ({}, {"authorization": "Bearer nonsense"}, {"x-nmp-principal-id": "nobody-knows-me"}):
        assert send_both(api, "default", **headers) == (200, 404, missing)
    assert api.get(f"{root('default')}/{deliver.IMPOSSIBLE_JOB}/status").status_code == 404


def test_only_reading_reports_a_missing_workspace(api):
    """For a PATCH, the job is missing."""
    read, write, detail = send_both(api, "nope-x")
    assert (read, write, detail) == (404, 404, f"Entity '{deliver.IMPOSSIBLE_JOB}' not found in workspace 'nope-x'")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, (401, 401, "Unauthorized")),
        ({"authorization": "Bearer nonsense"}, (401, 401, "Invalid or expired token")),
        ({"authorization": f"Bearer {jwt('x@example.com', -60)}"}, (401, 401, "Invalid or expired token")),
    ],
    ids=["no token", "invalid token", "expired token"],
)
@pytest.mark.parametrize("workspace", ["default", "nope-x"])
def test_permissions_are_checked_before_the_job(guarded_api, workspace, headers, expected):
    """Also in a missing workspace."""
    assert send_both(guarded_api, workspace, **headers) == expected


def test_an_unknown_user_may_do_nothing(guarded, guarded_api, member):
    """Also in a missing workspace, but not in `default`, which a seeded platform opens to everybody."""
    for workspace in (member("Editor")[1], "nope-x"):
        assert send_both(guarded_api, workspace, **guarded.as_principal("nobody-knows-me")) == (403, 403, "Forbidden")


def test_an_editor_may_write(guarded_api, member):
    """A missing job means that updates are allowed."""
    token, workspace = member("Editor")
    missing = f"Entity '{deliver.IMPOSSIBLE_JOB}' not found in workspace '{workspace}'"
    assert send_both(guarded_api, workspace, authorization=f"Bearer {token}") == (200, 404, missing)


@pytest.mark.parametrize("server_kind", REAL, indirect=True)
def test_a_viewer_may_only_read(guarded_api, member):
    """The sandbox has no roles."""
    token, workspace = member("Viewer")
    assert send_both(guarded_api, workspace, authorization=f"Bearer {token}") == (200, 403, "Forbidden")
    assert send_both(guarded_api, "nope-x", authorization=f"Bearer {token}") == (403, 403, "Forbidden")


def test_doctor_finds_no_problems(run, api, job):
    """And changes nothing."""
    before = [api.get(f"{root('default')}/{job}{part}").json() for part in ("", "/status")]
    code, out, err = run("doctor", "-o", "json")
    levels = {check["name"]: check["level"] for check in json.loads(out)["result"]}
    assert (code, err) == (0, "")
    for name in ("tab", "pace"):  # they depend on how busy the machine is
        levels.pop(name)
    assert {name: level for name, level in levels.items() if level not in {"ok", "skip"}} == {}
    assert {levels[name] for name in ("http", "clock", "auth", "version", "read", "write")} == {"ok"}
    assert [api.get(f"{root('default')}/{job}{part}").json() for part in ("", "/status")] == before


def test_doctor_checks_the_token(run, guarded, member):
    """The exit code is that of an update."""
    token, workspace = member("Editor")
    for sent, code in ((token, 0), ("nonsense", 4), ("", 4)):
        words = ("doctor", "-o", "json", "-w", workspace)
        ran, out, err = run(*words, NEMO_JOBS_HOST=guarded.url, NEMO_JOBS_TOKEN=sent)
        assert (ran, json.loads(out)["exit_code"]) == (code, code), out + err
