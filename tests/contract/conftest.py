"""One set of cases, three servers: the sandbox always, NeMo Platform and NeMo Helix with `-m "platform or helix"`."""

from __future__ import annotations

import base64
import json
import ssl
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass

import httpx
import pytest
import real_platform
from in_process import run_here
from raw import CHILD_ENVIRONMENT

from nemo_jobs_cli.sandbox import faults
from nemo_jobs_cli.sandbox import server as sandbox

REAL = [pytest.param(name, marks=getattr(pytest.mark, name)) for name in real_platform.PRODUCTS]
SERVERS = ["sandbox", *REAL]
TLS = ssl.create_default_context()  # for all clients: loading the certificates takes 20 ms
STEP = {"provider": "subprocess", "profile": "default", "command": ["sleep", "1"]}


def new_job(**changes) -> dict:
    """Return the body of a request that creates a job."""
    return {
        "spec": {},
        "source": "nemo-jobs",
        "platform_spec": {"steps": [{"name": "train", "executor": STEP}]},
    } | changes


def jwt(subject: str, seconds: float = 3600.0) -> str:
    """Return a token without a signature, which the platform under test accepts."""
    claims = {"sub": subject, "email": subject, "iat": int(time.time()) - 9000, "exp": int(time.time() + seconds)}
    parts = (json.dumps(part).encode() for part in ({"alg": "none", "typ": "JWT"}, claims))
    return ".".join([*(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts), ""])


@dataclass(frozen=True)
class Target:
    """A server under test."""

    kind: str
    url: str

    @property
    def product(self) -> real_platform.Product:
        """The product that runs, or that the sandbox models."""
        return real_platform.PRODUCTS.get(self.kind, real_platform.PLATFORM)

    def as_principal(self, name: str) -> dict[str, str]:
        """Return the headers that authenticate a request of this principal."""
        return {f"x-{self.product.prefix.lower()}-principal-id": name}


def _start(kind, *, auth):
    if kind == "sandbox":
        options = sandbox.Options(strict=True, auth=auth, faults=faults.parse(["conflicts"]))
        server = sandbox.start(options)
        yield Target(kind, server.url)
        sandbox.stop(server)
        return
    product = real_platform.PRODUCTS[kind]
    running = None if auth else product.variable("URL")
    if running:
        yield Target(kind, running.rstrip("/"))
        return
    try:
        with real_platform.running(product, auth=auth) as url:
            yield Target(kind, url)
    except real_platform.MissingError as error:
        pytest.skip(f"no {product.name}: {error}")


@pytest.fixture(scope="session", params=SERVERS)
def server_kind(request):
    """Return which server is under test."""
    return request.param


@pytest.fixture(scope="session")
def server(server_kind):
    """Return a server without authentication; only created jobs exist."""
    yield from _start(server_kind, auth=False)


@pytest.fixture(scope="session")
def guarded(server_kind):
    """Return a server with authentication."""
    yield from _start(server_kind, auth=True)


@pytest.fixture
def api(server):
    """Return an HTTP client of the server."""
    with httpx.Client(base_url=server.url, timeout=60, trust_env=False, verify=TLS) as client:
        yield client


@pytest.fixture
def jobs(server):
    """Return the path of the list of jobs."""
    return "/apis/jobs/v2/workspaces/default/jobs"


@pytest.fixture
def make(api, jobs):
    """Return a function that creates a job and returns the server's record of it."""

    def create(name: str | None = None) -> dict:
        response = api.post(jobs, json=new_job(name=name or f"contract-{uuid.uuid4().hex[:10]}"))
        assert response.status_code == 201, response.text
        return response.json()

    return create


@pytest.fixture
def job(make):
    """Return the name of a new job."""
    return make()["name"]


@pytest.fixture
def environ(server, tmp_path):
    """Return the variables of nemo-jobs, with the server as its host, and time for a busy machine."""
    return CHILD_ENVIRONMENT | {"HOME": str(tmp_path), "NEMO_JOBS_HOST": server.url, "NEMO_JOBS_DEADLINE": "60"}


@pytest.fixture
def start(environ):
    """Return a function that starts nemo-jobs as a child process."""

    def start(*words: str, **more: str) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-m", "nemo_jobs_cli", *words],
            env={**environ, **more},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )

    return start


@pytest.fixture
def run(environ):
    """Return a function that runs nemo-jobs in this process and returns its exit code, stdout and stderr."""

    def run(*words: str, **more: str) -> tuple[int, str, str]:
        ran = run_here({**environ, **more}, *words, encoding="utf-8")
        return ran.returncode, ran.stdout, ran.stderr

    return run
