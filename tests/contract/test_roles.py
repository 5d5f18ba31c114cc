"""What a member of a workspace may do, by role and scope, and how nemo-jobs explains a refusal."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

import httpx
import pytest
import real_platform
from contract.conftest import REAL, jwt, new_job

pytestmark = pytest.mark.parametrize("server_kind", REAL, indirect=True)

SERVICE = "service:jobs"  # a service of the platform itself


@pytest.fixture(scope="module")
def seeded(guarded):
    """Return a server with its initial role bindings."""
    prefix = guarded.product.prefix
    python = Path(real_platform.command(guarded.product)).with_name("python")
    env = {"PATH": os.defpath, "HOME": "/dev/null", f"{prefix}_BASE_URL": guarded.url}
    env |= {f"{prefix}_AUTH_{name}": "true" for name in ("ENABLED", "ALLOW_UNSIGNED_JWT")}
    env |= {f"{prefix}_AUTH_POLICY_DECISION_POINT_BASE_URL": guarded.url}
    off = ("GUARDRAILS_ENABLED", "MODEL_PROVIDER_ENABLED", "WAIT_FOR_READY_ENABLED")
    env |= {f"{prefix}_PLATFORM_SEED_{name}": "false" for name in off}
    words = [str(python), "-m", f"{prefix.lower()}.platform_seed"]
    subprocess.run(words, env=env, check=True, capture_output=True, timeout=120)
    return guarded


@pytest.fixture(scope="module")
def workspace(seeded):
    """Return a workspace with a job and two members: `editor` and `viewer`, with the suffix of its name."""
    name = f"roles-{uuid.uuid4().hex[:8]}"
    with httpx.Client(base_url=seeded.url, timeout=60, trust_env=False, headers=seeded.as_principal(SERVICE)) as api:
        requests = [
            ("/apis/entities/v2/workspaces", {"name": name}),
            (f"/apis/jobs/v2/workspaces/{name}/jobs", new_job(name="train-x")),
            *(
                (f"/apis/entities/v2/workspaces/{name}/members", {"principal": user(role, name), "roles": [role]})
                for role in ("Editor", "Viewer")
            ),
        ]
        for path, body in requests:
            response = api.post(path, json=body)
            assert response.status_code == 201, response.text
    return name


def user(role, workspace):
    """Return the name of the member with a role."""
    return f"{role.lower()}-{workspace}@example.com"


def token(role, workspace, **claims):
    """Return a member's token, with more claims; the role `nobody` is no member."""
    header, payload, signature = jwt(user(role, workspace)).split(".")
    values = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))) | claims
    return ".".join([header, base64.urlsafe_b64encode(json.dumps(values).encode()).rstrip(b"=").decode(), signature])


@pytest.fixture
def run(seeded, tmp_path):
    """Return a function that runs nemo-jobs with a token; it returns the exit code and stderr."""

    def start(secret, *words):
        env = {"PATH": os.defpath, "HOME": str(tmp_path), "NEMO_JOBS_HOST": seeded.url, "NEMO_JOBS_TOKEN": secret}
        env |= {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
        words = [sys.executable, "-m", "nemo_jobs_cli", *words, "--deadline", "60"]
        result = subprocess.run(
            words, env=env, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", timeout=120
        )
        assert secret not in result.stdout + result.stderr
        return result.returncode, result.stderr

    return start


UPDATE, SHOW, LIST = ("update", "train-x", "progress=5"), ("show", "train-x"), ("list",)
ROLE_OF = {"update": "jobs.update (role Editor)", "show": "jobs.read (role Viewer)", "list": "jobs.list (role Viewer)"}


@pytest.mark.parametrize(("role", "codes"), [("Editor", (0, 0, 0)), ("Viewer", (4, 0, 0)), ("nobody", (4, 4, 4))])
def test_a_role_decides_what_a_member_may_do(run, workspace, role, codes):
    """A refusal names the permission and the role."""
    for words, code in zip((UPDATE, SHOW, LIST), codes, strict=True):
        returned, error = run(token(role, workspace), *words, "-w", workspace)
        assert returned == code, error
        assert not code or f"for the permission {ROLE_OF[words[0]]}" in error


def test_an_unknown_route_is_forbidden_so_a_wrong_memory_is_corrected(run, seeded, workspace, tmp_path):
    """With authentication the route of attempts is a 403 there, also for those who may write."""
    memory = tmp_path / ".cache/nemo-jobs/routes"
    memory.parent.mkdir(parents=True)
    memory.write_text(f"nemo-jobs routes 1\n{seeded.url}\n", encoding="utf-8")
    secret = token("Editor", workspace)
    path = f"/apis/jobs/v2/workspaces/{workspace}/jobs/train-x/attempts/current/status-details"
    response = httpx.patch(
        seeded.url + path, json={}, headers={"authorization": f"Bearer {secret}"}, timeout=60, trust_env=False
    )
    assert (response.status_code, response.json()) == (403, {"detail": "Forbidden"})
    assert run(secret, *UPDATE, "-w", workspace) == (0, "")
    assert memory.read_text(encoding="utf-8") == "nemo-jobs routes 1\n"


@pytest.mark.parametrize(
    ("scope", "missing"),
    [
        ("jobs:read", ("jobs:write", None, None)),
        ("files:read files:write", ("jobs:write", "jobs:read", "jobs:read")),
        ("jobs:read platform:write", (None, None, None)),
        ("openid email", (None, None, None)),
    ],
)
def test_a_scope_limits_an_editor(run, workspace, scope, missing):
    """Scopes of the identity provider do not."""
    for words, lacking in zip((UPDATE, SHOW, LIST), missing, strict=True):
        returned, error = run(token("Editor", workspace, scope=scope), *words, "-w", workspace)
        assert returned == (4 if lacking else 0), error
        assert not lacking or f"lacks the scope {lacking} (it has only {scope})" in error


@pytest.mark.parametrize("words", [UPDATE, SHOW, LIST, ("doctor",)], ids=["update", "show", "list", "doctor"])
def test_a_misspelled_workspace_comes_with_a_similar_one(run, workspace, words):
    """It is forbidden (403) for all but admins; one that a member cannot see is not suggested."""
    returned, error = run(token("Editor", workspace), *words, "-w", workspace.replace("roles", "rolse"))
    assert returned == 4
    assert words == ("doctor",) or f"did you mean -w {workspace}?" in error
    assert workspace not in run(token("nobody", workspace), *words, "-w", workspace.replace("roles", "rolse"))[1]


def test_init_warns_if_jobs_can_only_be_read(run, workspace):
    """The profile is written: reading is enough for some."""
    returned, error = run(token("Viewer", workspace), "init", "-y", "-w", workspace)
    assert (returned, "jobs can be read but not updated" in error) == (0, True), error
    returned, error = run(token("Editor", workspace), "init", "-y", "-w", workspace)
    assert (returned, "jobs can be read but not updated" in error) == (0, False), error
