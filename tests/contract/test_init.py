"""Setting up: a token that the platform accepts is written, any other is not."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
import tomllib

import pytest

from nemo_jobs_cli.sandbox.server import TOKEN


@pytest.fixture
def token(guarded):
    """Return a token that the server accepts: the sandbox's word, or an unsigned JWT of a service (measured)."""
    if guarded.kind == "sandbox":
        return TOKEN
    now = int(time.time())
    parts = ({"alg": "none", "typ": "JWT"}, {"sub": "service:jobs", "iat": now - 5, "exp": now + 600})
    return "".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") + "." for part in parts)


@pytest.fixture
def init(guarded, tmp_path):
    """Return a function that runs `nemo-jobs` with a token on stdin, in a home of its own, against the server."""
    env = {"PATH": os.defpath, "HOME": str(tmp_path)}
    env |= {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}

    def run(token, *words):
        words = [sys.executable, "-m", "nemo_jobs_cli", *words]
        return subprocess.run(words, env=env, input=token, capture_output=True, text=True, timeout=60)

    return run


@pytest.fixture
def config(tmp_path):
    """Return the path of the configuration file; it isn't there yet."""
    return tmp_path / ".config" / "nemo-jobs" / "config.toml"


def test_a_good_token_is_written(init, guarded, token, config):
    """And used from then on."""
    ran = init(token, "init", "--host", guarded.url, "--token-file", "-", "--deadline", "60")
    assert ran.returncode == 0, ran.stderr
    profile = tomllib.loads(config.read_text())["profiles"]["default"]
    assert profile == {"host": guarded.url, "workspace": "default", "token_file": "tokens/default"}
    assert (config.parent / "tokens" / "default").read_text() == f"{token}\n"
    assert token not in ran.stdout + ran.stderr
    assert init("", "list", "--deadline", "60").returncode == 0


@pytest.mark.parametrize(("wrong", "code"), [("nonsense", 4), (None, 4)], ids=["a wrong token", "no token"])
def test_any_other_token_writes_nothing(init, guarded, config, wrong, code):
    """Exit code 4."""
    more = ["--token-file", "-"] if wrong else ["--no-token"]
    ran = init(wrong or "", "init", "--host", guarded.url, *more, "--deadline", "60")
    assert (ran.returncode, ran.stdout) == (code, "")
    assert not config.parent.exists()


def test_a_workspace_that_is_not_there_writes_nothing(init, guarded, token, config):
    """Exit code 5, and a close one is named."""
    ran = init(token, "init", "--host", guarded.url, "--token-file", "-", "-w", "defaut", "--deadline", "60")
    assert ran.returncode == 5
    assert "did you mean -w default?" in ran.stderr
    assert not config.parent.exists()
