"""`nemo-jobs run` as the step of a real job: no arguments, no HOME, and the platform's controller writing beside it."""

from __future__ import annotations

import json
import sys
import time
import uuid

import httpx
import pytest
import real_platform

pytestmark = pytest.mark.platform

JOBS = "/apis/jobs/v2/workspaces/default/jobs"
ENDED = {"completed", "error", "cancelled"}

# Six seconds of training: it prints, and it speaks; the controller writes to the same record every two seconds.
TRAIN = """
import os, subprocess, sys, time
seen = ",".join(sorted({"HOME", "USER", "TMPDIR"} & os.environ.keys())) or "none"
for epoch in range(1, 31):
    print(f"epoch {epoch} loss={1 / epoch:.4f}", flush=True)
    with open(os.environ["NEMO_JOBS_CHANNEL"], "w") as channel:
        channel.write(f"progress={epoch}/30 epoch={epoch} seen={seen}\\n")
    time.sleep(0.2)
subprocess.run([sys.executable, "-m", "nemo_jobs_cli", "update", "-q", "spoken=by-update"], check=True)
sys.exit(int(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def platform():
    """Give a client of a platform that runs jobs."""
    try:
        with (
            real_platform.running(controllers=True) as url,
            httpx.Client(base_url=url, timeout=60, trust_env=False) as api,
        ):
            yield api
    except real_platform.MissingError as error:
        pytest.skip(f"no real platform: {error}")


def train(api, script, code) -> dict:
    """Run a job whose step is the wrapped script, and return its status answer at the end."""
    name = f"train-{uuid.uuid4().hex[:8]}"
    tool = [sys.executable, "-m", "nemo_jobs_cli", "run", "--match", r"loss=(?P<train_loss>[\d.]+)", "--tail", "2"]
    step = {"provider": "subprocess", "profile": "default"}
    step["command"] = [*tool, "--", sys.executable, str(script), str(code)]
    spec = {"steps": [{"name": "train", "executor": step}]}
    made = api.post(JOBS, json={"name": name, "spec": {}, "source": "nemo-jobs", "platform_spec": spec})
    assert made.status_code == 201, made.text
    ends = time.monotonic() + 120
    while time.monotonic() < ends:
        found = api.get(f"{JOBS}/{name}/status").json()
        if found["status"] in ENDED:
            return found
        time.sleep(0.5)
    raise AssertionError(f"the job did not end: {json.dumps(found)[:2000]}")


@pytest.mark.parametrize(("code", "status", "state"), [(0, "completed", "completed"), (3, "failed", "error")])
def test_a_real_job_reports_itself(platform, tmp_path, code, status, state):
    """Progress arrives and the final state is right, although two write to one record."""
    script = tmp_path / "train.py"
    script.write_text(TRAIN)
    found = train(platform, script, code)
    details = found["status_details"]
    assert found["status"] == state, found
    assert details["status"] == status
    assert (details["progress"], details["epoch"], details["train_loss"]) == (100, 30, 0.0333)
    assert (details["seen"], details["spoken"]) == ("none", "by-update")
    run = details["run"]
    assert run["exitCode"] == code
    assert run["durationSeconds"] >= 6
    assert run["startedAt"] < run["finishedAt"]
    if code:
        assert details["error"] == "the command exited with code 3\nepoch 29 loss=0.0345\nepoch 30 loss=0.0333"
