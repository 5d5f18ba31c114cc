"""One set of cases, two servers: the sandbox always, the real platform with `-m platform`."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from dataclasses import dataclass

import httpx
import pytest
import real_platform

from nemo_jobs_cli.sandbox import faults
from nemo_jobs_cli.sandbox import server as sandbox

BOTH = ["sandbox", pytest.param("platform", marks=pytest.mark.platform)]
STEP = {"provider": "subprocess", "profile": "default", "command": ["sleep", "1"]}


@dataclass(frozen=True)
class Target:
    """A server under test."""

    kind: str
    url: str


def _start(kind, *, auth):
    if kind == "sandbox":
        options = sandbox.Options(strict=True, auth=auth, faults=faults.parse(["conflicts"]))
        server = sandbox.start(options)
        yield Target(kind, server.url)
        sandbox.stop(server)
        return
    running = None if auth else real_platform.ENVIRONMENT.get("NEMO_JOBS_PLATFORM_URL")
    if running:
        yield Target(kind, running.rstrip("/"))
        return
    try:
        with real_platform.running(auth=auth) as url:
            yield Target(kind, url)
    except real_platform.MissingError as error:
        pytest.skip(f"no real platform: {error}")


@pytest.fixture(scope="session", params=BOTH)
def server(request):
    """Give a server that asks for no credentials; only jobs that were created exist."""
    yield from _start(request.param, auth=False)


@pytest.fixture(scope="session", params=BOTH)
def guarded(request):
    """Give a server that asks for credentials."""
    yield from _start(request.param, auth=True)


@pytest.fixture
def api(server):
    """Give an HTTP client of the server."""
    with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture
def jobs(server):
    """Give the path of the list of jobs."""
    return "/apis/jobs/v2/workspaces/default/jobs"


@pytest.fixture
def make(api, jobs):
    """Return a function that creates a job and returns the server's record of it."""

    def create(name: str | None = None) -> dict:
        made = api.post(
            jobs,
            json={
                "name": name or f"contract-{uuid.uuid4().hex[:10]}",
                "spec": {},
                "source": "nemo-jobs",
                "platform_spec": {"steps": [{"name": "train", "executor": STEP}]},
            },
        )
        assert made.status_code == 201, made.text
        return made.json()

    return create


@pytest.fixture
def job(make):
    """Give the name of a new job."""
    return make()["name"]


@pytest.fixture
def tool(server, tmp_path):
    """Return a function that starts nemo-jobs in a process of its own, against the server."""
    env = {
        "PATH": os.defpath,
        "HOME": str(tmp_path),
        "NEMO_JOBS_HOST": server.url,
        **{name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")},
    }

    def start(*words: str, **more: str) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-m", "nemo_jobs_cli", *words],
            env={**env, **more},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


@pytest.fixture
def run(tool):
    """Return a function that runs nemo-jobs and gives its exit code, output and errors."""

    def ran(*words: str) -> tuple[int, str, str]:
        process = tool(*words)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    return ran
