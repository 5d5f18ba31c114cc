"""What doctor asks a server, and how that answers: nothing is changed by it."""

from __future__ import annotations

import base64
import json
import time
import uuid

import httpx
import pytest

from nemo_jobs_cli.doctor import remote
from nemo_jobs_cli.sandbox.server import TOKEN

PLATFORM = pytest.param("platform", marks=pytest.mark.platform)
NAMED = f"/jobs/{remote.IMPOSSIBLE_JOB}"
SERVICE = {"x-nmp-principal-id": "service:jobs"}  # whom the platform takes for one of its own


def root(workspace):
    """Return the path of a workspace's jobs."""
    return f"/apis/jobs/v2/workspaces/{workspace}/jobs"


def jwt(user, seconds=3600.0):
    """Return a token without a signature, as the platform under test accepts it."""
    claims = {"sub": user, "email": user, "iat": int(time.time()) - 9000, "exp": int(time.time() + seconds)}
    parts = ({"alg": "none", "typ": "JWT"}, claims)
    encoded = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
    return ".".join([*encoded, ""])


@pytest.fixture
def strangers(guarded):
    """Give an HTTP client of the server that asks for credentials."""
    with httpx.Client(base_url=guarded.url, timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture
def member(guarded, strangers):
    """Return a function that makes a user with a role in a workspace of its own; it gives token and workspace."""

    def make(role):
        if guarded.kind == "sandbox":
            return TOKEN, "default"
        workspace, user = f"doctor-{uuid.uuid4().hex[:8]}", f"{uuid.uuid4().hex[:8]}@example.com"
        made = strangers.post("/apis/entities/v2/workspaces", headers=SERVICE, json={"name": workspace})
        assert made.status_code == 201, made.text
        members = f"/apis/entities/v2/workspaces/{workspace}/members"
        made = strangers.post(members, headers=SERVICE, json={"principal": user, "roles": [role]})
        assert made.status_code == 201, made.text
        return jwt(user), workspace

    return make


def ask(client, workspace, **headers):
    """Send both probes; return their statuses and the second one's detail."""
    read = client.get(root(workspace), params={"page": 1, "page_size": 1, "sort": "-created_at"}, headers=headers)
    write = client.patch(f"{root(workspace)}/{remote.IMPOSSIBLE_JOB}/status-details", json={}, headers=headers)
    return read.status_code, write.status_code, write.json()["detail"]


def test_anybody_is_told_the_version(api, strangers):
    """With authentication on or off, and whatever is sent along."""
    for client in (api, strangers):
        for headers in ({}, {"authorization": "Bearer nonsense"}):
            answer = client.get("/cluster-info", headers=headers)
            assert (answer.status_code, answer.json()["platform_version"]) == (200, "0.6.0")
            assert isinstance(answer.json()["revision"], str)
            assert "date" in answer.headers


def test_anybody_is_told_whether_a_token_is_wanted(api, strangers):
    """The same answer in both cases but for one word."""
    found = [client.get("/apis/auth/discovery").json() for client in (api, strangers)]
    assert found == [{"auth_enabled": False, "oidc": None}, {"auth_enabled": True, "oidc": None}]


def test_the_name_that_is_written_to_is_refused_to_jobs(api, jobs, make):
    """No job will ever be called so."""
    said = {"name": remote.IMPOSSIBLE_JOB, "spec": {}, "source": "nemo-jobs", "platform_spec": make()["platform_spec"]}
    assert api.post(jobs, json=said).status_code == 409


def test_without_authentication_everybody_may_write(api):
    """And the job is still not there."""
    missing = f"Entity '{remote.IMPOSSIBLE_JOB}' not found in workspace 'default'"
    for headers in ({}, {"authorization": "Bearer nonsense"}, {"x-nmp-principal-id": "nobody-knows-me"}):
        assert ask(api, "default", **headers) == (200, 404, missing)
    assert api.get(f"{root('default')}/{remote.IMPOSSIBLE_JOB}/status").status_code == 404


def test_a_misspelt_workspace_is_told_by_reading_alone(api):
    """The PATCH does not tell it from a missing job."""
    read, write, detail = ask(api, "nope-x")
    assert (read, write, detail) == (404, 404, f"Entity '{remote.IMPOSSIBLE_JOB}' not found in workspace 'nope-x'")


@pytest.mark.parametrize(
    ("headers", "answer"),
    [
        ({}, (401, 401, "Unauthorized")),
        ({"authorization": "Bearer nonsense"}, (401, 401, "Invalid or expired token")),
        ({"authorization": f"Bearer {jwt('x@example.com', -60)}"}, (401, 401, "Invalid or expired token")),
        ({"x-nmp-principal-id": "nobody-knows-me"}, (403, 403, "Forbidden")),
    ],
    ids=["nobody", "a wrong token", "an expired token", "an unknown user"],
)
@pytest.mark.parametrize("workspace", ["default", "nope-x"])
def test_whoever_may_not_is_told_before_the_job_is_looked_for(strangers, workspace, headers, answer):
    """Also in a workspace that is misspelt."""
    assert ask(strangers, workspace, **headers) == answer


def test_an_editor_may_write(strangers, member):
    """A 404 of the job means that updates are allowed."""
    token, workspace = member("Editor")
    missing = f"Entity '{remote.IMPOSSIBLE_JOB}' not found in workspace '{workspace}'"
    assert ask(strangers, workspace, authorization=f"Bearer {token}") == (200, 404, missing)


@pytest.mark.parametrize("guarded", [PLATFORM], indirect=True)
def test_a_viewer_may_only_read(strangers, member):
    """The sandbox knows no roles."""
    token, workspace = member("Viewer")
    assert ask(strangers, workspace, authorization=f"Bearer {token}") == (200, 403, "Forbidden")
    assert ask(strangers, "nope-x", authorization=f"Bearer {token}") == (403, 403, "Forbidden")


def test_doctor_finds_nothing_wrong(run, api, job):
    """End to end; what it asked has changed nothing."""
    before = [api.get(f"{root('default')}/{job}{part}").json() for part in ("", "/status")]
    code, out, err = run("doctor", "-o", "json", "--deadline", "60")
    told = {one["name"]: one["level"] for one in json.loads(out)["result"]}
    assert (code, err) == (0, "")
    told.pop("tab")  # a time, of a machine that is busy with tests
    assert {name: level for name, level in told.items() if level not in {"ok", "skip"}} == {}
    assert {told[name] for name in ("http", "clock", "auth", "version", "read", "write")} == {"ok"}
    assert [api.get(f"{root('default')}/{job}{part}").json() for part in ("", "/status")] == before


def test_doctor_tells_editors_from_strangers(tool, guarded, member):
    """The exit code is that of an update."""
    token, workspace = member("Editor")
    for said, code in ((token, 0), ("nonsense", 4), ("", 4)):
        words = ("doctor", "-o", "json", "-w", workspace, "--deadline", "60")
        process = tool(*words, NEMO_JOBS_HOST=guarded.url, NEMO_JOBS_TOKEN=said)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, json.loads(out)["exit_code"]) == (code, code), out + err
