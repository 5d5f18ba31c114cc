"""Commands on a server that takes updates of attempts, inside a job and outside."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from in_process import run_here
from raw import CHILD_ENVIRONMENT
from waiting import until

from nemo_jobs_cli.sandbox import faults as sandbox_faults
from nemo_jobs_cli.sandbox import server as sandbox

JOB = "default", "train-x"
NAMED = "/apis/jobs/v2/workspaces/default/jobs/train-x"


class Box:
    """A sandbox with the route of attempts, its log, and the environment inside its job."""

    def __init__(self, tmp_path, *faults, auth=False):
        self.log = []
        injected = sandbox_faults.parse(faults)
        options = sandbox.Options(has_attempts=True, jobs=(JOB[1],), faults=injected, auth=auth)
        self.server = sandbox.start(options, self.log.append)
        (tmp_path / "home").mkdir(exist_ok=True)
        (tmp_path / "storage").mkdir(exist_ok=True)
        env = {name: value for name, value in CHILD_ENVIRONMENT.items() if name != "HOME"} | {"TMPDIR": str(tmp_path)}
        self.outside = {**env, "HOME": str(tmp_path / "home"), "NEMO_JOBS_HOST": self.server.url}
        self.inside = {  # a job has no home
            **env,
            "NEMO_JOB_PERSISTENT_JOB_STORAGE_PATH": str(tmp_path / "storage"),
            "NMP_BASE_URL": self.server.url,
            "NEMO_JOB_WORKSPACE": JOB[0],
            "NEMO_JOB_ID": JOB[1],
            "NEMO_JOB_STEP": "train",
            "NEMO_JOB_ATTEMPT_ID": str(self.job.record["attempt_id"]),
        }

    @property
    def job(self):
        return self.server.jobs[JOB]

    @property
    def requests(self):
        """Return method, path and status of each request."""
        rows = [row.split() for row in self.log]
        return [(method, path.removeprefix(NAMED), status) for method, path, _, status in rows]

    def rerun(self):
        """Begin a new attempt."""
        httpx.post(f"{self.server.url}{NAMED}/rerun").raise_for_status()

    def tool(self, *words, env=None, lines=""):
        """Run nemo-jobs, by default inside the job."""
        return run_here(env or self.inside, *words, input=lines.encode(), encoding="utf-8")


@pytest.fixture
def box(tmp_path):
    """Return a function that starts a sandbox."""
    started = []

    def start(*faults, auth=False):
        started.append(Box(tmp_path, *faults, auth=auth))
        return started[-1]

    yield start
    for one in started:
        sandbox.stop(one.server)


def test_inside_a_job_its_own_attempt_is_updated(box):
    """The second process knows the route; another job of the host has its current attempt updated."""
    platform = box()
    exact = f"/attempts/{platform.inside['NEMO_JOB_ATTEMPT_ID']}/status-details"
    for progress in (1, 2):
        ran = platform.tool("update", f"progress={progress}")
        assert (ran.returncode, ran.stderr) == (0, "")
    assert platform.requests == [("PATCH", "/status-details", "404"), ("PATCH", exact, "200"), ("PATCH", exact, "200")]
    assert platform.tool("update", "other", "progress=3").returncode == 0
    assert platform.requests[-1][1].endswith("/jobs/other/attempts/current/status-details")
    assert platform.job.details == {"progress": 2}


@pytest.mark.parametrize("words", [("--curl",), ("--dry-run", "-o", "json")])
def test_the_request_is_shown_with_its_route(box, words):
    """Before and after the host's route is known; nothing is sent."""
    platform = box()
    exact = f"{NAMED}/attempts/{platform.inside['NEMO_JOB_ATTEMPT_ID']}/status-details"
    assert f"{NAMED}/status-details" in platform.tool("update", "progress=1", *words).stdout
    assert (
        exact
        in platform.tool("update", "progress=1", *words, env={**platform.inside, "NEMO_JOBS_API": "attempts"}).stdout
    )
    assert not platform.log
    platform.tool("update", "progress=1")
    assert exact in platform.tool("update", "progress=1", *words).stdout
    platform.tool("update", "train-x", "progress=1", env=platform.outside)
    outside = platform.tool("update", "train-x", "progress=1", *words, env=platform.outside)
    assert f"{NAMED}/attempts/current/status-details" in outside.stdout


def test_an_update_of_a_superseded_attempt_is_rejected(box):
    """Once, with one error, and not stored for later."""
    platform = box()
    platform.rerun()
    ran = platform.tool("update", "progress=99", "--outbox")
    old = platform.inside["NEMO_JOB_ATTEMPT_ID"]
    assert (ran.returncode, ran.stdout) == (6, "")
    error, _, hint = ran.stderr.splitlines()
    assert error.startswith(f"error: {old} is no longer the current attempt of job 'train-x' (409 ")
    assert "unset NEMO_JOB_ATTEMPT_ID" in hint
    assert platform.job.details == {}
    assert sum(status == "409" for _, _, status in platform.requests) == 1
    assert json.loads(platform.tool("outbox", "list", "-o", "json").stdout)["result"] == []


@pytest.mark.parametrize("is_inside", [True, False])
def test_a_stored_update_of_a_superseded_attempt_is_set_aside(box, is_inside):
    """Also its keys that the new attempt has not reported; inside the new attempt, and by a flush from outside."""
    platform = box("503:1")
    kept = platform.tool("update", "progress=90", "error=oom", "--outbox", "--deadline", "0")
    assert kept.returncode == 0, kept.stderr
    platform.server.faults = ()
    platform.rerun()
    new = str(platform.job.record["attempt_id"])
    folder = f"{platform.inside['NEMO_JOB_PERSISTENT_JOB_STORAGE_PATH']}/nemo-jobs/outbox"
    env = {**platform.inside, "NEMO_JOB_ATTEMPT_ID": new} if is_inside else platform.outside
    ran = platform.tool("update", "train-x", "step=1", "--outbox-dir", folder, "--outbox", "--no-stamp", env=env)
    assert (ran.returncode, platform.job.details) == (0, {"step": 1})
    assert (
        "1 update set aside, in part or whole: the job has newer values or a newer attempt, or has ended" in ran.stderr
    )


def test_a_job_without_an_attempt_is_not_a_missing_job(box):
    """7 and not 5; with the outbox the update is kept, and delivered once the job has started."""
    platform = box("no-attempt:3600")
    update = ("update", "train-x", "progress=1", "--deadline", "0")
    ran = platform.tool(*update, env=platform.outside)
    assert (ran.returncode, ran.stderr.partition(" (")[0]) == (7, "error: job 'train-x' has no attempt yet")
    assert platform.tool(*update, "--outbox", env=platform.outside).returncode == 0
    assert platform.tool("outbox", "flush", "--deadline", "0", env=platform.outside).returncode == 7
    platform.rerun()
    assert platform.tool("outbox", "flush", env=platform.outside).returncode == 0
    assert platform.job.details["progress"] == 1


@pytest.mark.parametrize("command", ["stream", "run"])
def test_a_flow_keeps_its_last_state_for_a_job_without_an_attempt(box, command):
    """At its end, if the outbox is on."""
    platform = box("no-attempt:3600")
    words = [command, "train-x", "--outbox", "--deadline", "0", *(["--", "true"] if command == "run" else [])]
    ran = platform.tool(*words, env=platform.outside, lines="progress=1\n")
    assert ran.returncode == 0
    assert "has no attempt yet" in ran.stderr
    (entry,) = json.loads(platform.tool("outbox", "list", "-o", "json", env=platform.outside).stdout)["result"]
    assert entry["job"] == "train-x"


def test_a_stream_of_a_superseded_attempt_reads_on_and_ends_with_6(box):
    """Whatever writes into the pipe is not ended by it."""
    platform = box()
    platform.rerun()
    reader, writer = os.pipe()

    def write():
        with open(writer, "wb", buffering=0) as pipe:
            pipe.write(b"step=1\n")
            until(lambda: any(status == "409" for _, _, status in platform.requests))
            pipe.write(b"step=2\n" * 1000)

    with open(reader, "rb") as stdin, ThreadPoolExecutor(1) as pool:
        written = pool.submit(write)
        ran = run_here(platform.inside, "stream", "--interval", "10ms", "--tee", stdin=stdin)
        written.result()
    assert (ran.returncode, ran.stdout) == (6, b"step=1\n" + b"step=2\n" * 1000)
    assert platform.job.details == {}
    assert sum(status == "409" for _, _, status in platform.requests) == 1


def test_the_command_of_run_goes_on_if_its_attempt_is_superseded(box):
    """The reports end with one line; the exit code is that of the command."""
    platform = box()
    platform.rerun()
    script = 'for n in 1 2 3 4 5; do sleep 0.1; echo step=$n > "$NEMO_JOBS_CHANNEL"; done; echo done; exit 3'
    ran = platform.tool("run", "--interval", "10ms", "--heartbeat", "20ms", "--", "sh", "-c", script)
    assert (ran.returncode, ran.stdout) == (3, "done\n")
    assert ran.stderr.count("is no longer the current attempt") == 1
    assert platform.job.details == {}
    assert sum(status == "409" for _, _, status in platform.requests) == 1


def test_with_authentication_the_route_is_found(box):
    """There an unknown route is a 403, in both generations."""
    platform = box(auth=True)
    env = platform.outside | {"NEMO_JOBS_TOKEN": sandbox.TOKEN}
    ran = platform.tool("update", "train-x", "progress=45", env=env)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "train-x: progress=45\n", "")
    assert [status for _, _, status in platform.requests] == ["403", "200"]
