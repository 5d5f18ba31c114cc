"""A server, a sandbox and an environment for `nemo-jobs run`."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from raw import CHILD_ENVIRONMENT
from run_command import OK, STARTED


@pytest.fixture
def env(tmp_path):
    """Return a minimal environment, with a folder for temporary files that the test can see."""
    (tmp_path / "tmp").mkdir()
    (tmp_path / "home").mkdir(exist_ok=True)
    own = str(Path(sys.executable).parent)
    return {
        **CHILD_ENVIRONMENT,
        "PATH": f"{own}:{CHILD_ENVIRONMENT['PATH']}",
        "HOME": str(tmp_path / "home"),
        "TMPDIR": str(tmp_path / "tmp"),
        "NEMO_JOBS_HOST": "http://127.0.0.1:1",
        "NEMO_JOBS_DEADLINE": "10",
    }


@pytest.fixture(autouse=True)
def _no_folder_is_left(tmp_path):
    """Check that no temporary folder remains."""
    yield
    for process in STARTED:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()
    STARTED.clear()
    assert not list(tmp_path.glob("tmp/nemo-jobs-run-*"))


@pytest.fixture
def platform(raw_server, env):
    """Return a server that accepts every update; `env` points at it."""
    server = raw_server([OK])
    env["NEMO_JOBS_HOST"] = server.url
    return server


@pytest.fixture
def box(env, start_sandbox):
    """Return a function that starts a sandbox and points `env` at it."""

    def start(*faults, **options):
        server = start_sandbox(*faults, **options)
        env["NEMO_JOBS_HOST"] = server.url
        return server

    return start


@pytest.fixture
def container():
    """Return the words that make a command PID 1 of a namespace of its own; skip where that is not allowed."""
    words = ["unshare", "--pid", "--fork", "--mount-proc"]
    if shutil.which("unshare") is None or subprocess.run([*words, "true"], capture_output=True).returncode:
        pytest.skip("cannot create a PID namespace (unshare --pid)")
    return words
