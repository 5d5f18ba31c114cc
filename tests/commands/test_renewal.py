"""A login that is renewed while a command runs."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from raw import CHILD_ENVIRONMENT, read_request, response

REFUSED = response(401, '{"detail": "Invalid or expired token"}')
JOB = response(200, json.dumps({"name": "train-x", "status": "completed", "status_details": {}}))


@pytest.fixture
def run(raw_server, tmp_path):
    """Return a function that runs nemo-jobs with a profile whose token is renewed as soon as it was refused."""
    config = tmp_path / "c.toml"
    tokens = []

    def write(token):
        config.write_text(
            f'[profiles.default]\nhost = "{server.url}"\nworkspace = "ws"\ntoken = "{token}"\n', encoding="utf-8"
        )

    def answer(connection, _seen, _stop):
        request = read_request(connection)
        tokens.append(request.partition(b"Authorization: Bearer ")[2].partition(b"\r\n")[0].decode())
        if tokens[-1] == "old":
            write("new")
        connection.sendall(REFUSED if tokens[-1] == "old" else JOB if request.startswith(b"GET") else response(200))

    server = raw_server(answer)
    write("old")
    (tmp_path / "updates").write_text('{"job": "train-x", "status_details": {"a": 1}}\n', encoding="utf-8")

    def start(*words):
        env = {**CHILD_ENVIRONMENT, "HOME": str(tmp_path), "NEMO_JOBS_CONFIG": str(config)}
        words = [sys.executable, "-m", "nemo_jobs_cli", *words]
        result = subprocess.run(
            words, env=env, cwd=tmp_path, input="a=1\n", capture_output=True, encoding="utf-8", timeout=60
        )
        return result.returncode, tokens, result.stderr

    return start


@pytest.mark.parametrize(
    "words",
    [
        ("run", "train-x", "--heartbeat", "0", "--", "true"),
        ("stream", "train-x"),
        ("apply", "updates"),
        ("show", "train-x", "--wait"),
    ],
    ids=lambda words: words[0],
)
def test_a_command_that_runs_for_long_uses_a_renewed_login(run, words):
    """Nothing is lost, and there is no message."""
    code, tokens, errors = run(*words)
    assert (code, tokens[0], set(tokens[1:])) == (0, "old", {"new"}), errors
    assert "401" not in errors


@pytest.mark.parametrize(
    "words", [("update", "train-x", "a=1"), ("show", "train-x"), ("list",)], ids=lambda words: words[0]
)
def test_a_short_command_does_not_read_the_login_again(run, words):
    """A token command may take a second."""
    code, tokens, errors = run(*words)
    assert (code, tokens) == (4, ["old"]), errors
