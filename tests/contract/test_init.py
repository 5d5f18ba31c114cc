"""`init` writes only a token that the platform accepts."""

from __future__ import annotations

import os
import tomllib

import pytest
from contract.conftest import jwt
from in_process import run_here

from nemo_jobs_cli.sandbox.server import TOKEN


@pytest.fixture
def token(guarded):
    """Return a token that the server accepts: the sandbox's, or an unsigned JWT of a service."""
    if guarded.kind == "sandbox":
        return TOKEN
    return jwt("service:jobs")


@pytest.fixture
def init(guarded, tmp_path):
    """Return a function that runs `nemo-jobs` with a token on stdin and a home folder of its own."""
    env = {"PATH": os.defpath, "HOME": str(tmp_path)}
    return lambda token, *words: run_here(env, *words, input=token.encode(), encoding="utf-8")


@pytest.fixture
def config(tmp_path):
    """Return the path of the config file."""
    return tmp_path / ".config" / "nemo-jobs" / "config.toml"


def test_a_valid_token_is_written(init, guarded, token, config):
    """And used by later commands."""
    result = init(token, "init", "--host", guarded.url, "--token-file", "-", "--deadline", "60")
    assert result.returncode == 0, result.stderr
    profile = tomllib.loads(config.read_text(encoding="utf-8"))["profiles"]["default"]
    assert profile == {"host": guarded.url, "workspace": "default", "token_file": "tokens/default"}
    assert (config.parent / "tokens" / "default").read_text(encoding="utf-8") == f"{token}\n"
    assert token not in result.stdout + result.stderr
    assert init("", "list", "--deadline", "60").returncode == 0


@pytest.mark.parametrize("invalid", ["nonsense", None], ids=["invalid token", "no token"])
def test_any_other_token_writes_nothing(init, guarded, config, invalid):
    """Exit code 4."""
    more = ["--token-file", "-"] if invalid else ["--no-token"]
    result = init(invalid or "", "init", "--host", guarded.url, *more, "--deadline", "60")
    assert (result.returncode, result.stdout) == (4, "")
    assert not config.parent.exists()


def test_a_missing_workspace_writes_nothing(init, guarded, token, config):
    """Exit code 5, with a similar one."""
    result = init(token, "init", "--host", guarded.url, "--token-file", "-", "-w", "defaut", "--deadline", "60")
    assert result.returncode == 5
    assert "did you mean -w default?" in result.stderr
    assert not config.parent.exists()
