"""`nemo-jobs run` as a step of a real job: without JOB, without HOME, and with concurrent updates of the platform."""

from __future__ import annotations

import json
import sys
import time
import uuid

import httpx
import pytest
import real_platform
import recipes
from contract.conftest import REAL

JOBS = "/apis/jobs/v2/workspaces/default/jobs"
ENDED = {"completed", "error", "cancelled"}
TOOL = [sys.executable, "-m", "nemo_jobs_cli", "run"]

# Trains for six seconds, with output and channel; the platform updates the same record every two seconds.
TRAIN = """
import os, subprocess, sys, time
variables = ",".join(sorted({"HOME", "USER", "TMPDIR"} & os.environ.keys())) or "none"
for epoch in range(1, 31):
    print(f"epoch {epoch} loss={1 / epoch:.4f}", flush=True)
    with open(os.environ["NEMO_JOBS_CHANNEL"], "w") as channel:
        channel.write(f"progress={epoch}/30 epoch={epoch} variables={variables}\\n")
    time.sleep(0.2)
subprocess.run([sys.executable, "-m", "nemo_jobs_cli", "update", "-q", "sent=by-update"], check=True)
sys.exit(int(sys.argv[1]))
"""


@pytest.fixture(scope="module", params=REAL)
def platform(request):
    """Return a client of a server that runs jobs."""
    product = real_platform.PRODUCTS[request.param]
    try:
        with (
            real_platform.running(product, controllers=True) as url,
            httpx.Client(base_url=url, timeout=60, trust_env=False) as api,
        ):
            yield api
    except real_platform.MissingError as error:
        pytest.skip(f"no {product.name}: {error}")


def train(api, command, *, cancels=False) -> dict:
    """Run a job with a command as its step, cancel it once it has reported if wanted, and return its status at the end."""
    name = f"train-{uuid.uuid4().hex[:8]}"
    step = {"provider": "subprocess", "profile": "default", "command": command}
    spec = {"steps": [{"name": "train", "executor": step}]}
    response = api.post(JOBS, json={"name": name, "spec": {}, "source": "nemo-jobs", "platform_spec": spec})
    assert response.status_code == 201, response.text
    ends = time.monotonic() + 120
    while time.monotonic() < ends:
        status = api.get(f"{JOBS}/{name}/status").json()
        if status["status"] in ENDED:
            return status
        if cancels and status["status_details"].get("progress"):
            assert api.post(f"{JOBS}/{name}/cancel").status_code == 200
            cancels = False
        time.sleep(0.5)
    raise AssertionError(f"the job did not end: {json.dumps(status)[:2000]}")


@pytest.mark.parametrize(("code", "status", "state"), [(0, "completed", "completed"), (3, "failed", "error")])
def test_a_real_job_reports_itself(platform, tmp_path, code, status, state):
    """Progress and the final state are right despite concurrent updates."""
    script = tmp_path / "train.py"
    script.write_text(TRAIN, encoding="utf-8")
    result = train(
        platform,
        [*TOOL, "--match", r"loss=(?P<train_loss>[\d.]+)", "--tail", "2", "--", sys.executable, str(script), str(code)],
    )
    details = result["status_details"]
    assert result["status"] == state, result
    assert details["status"] == status
    assert (details["progress"], details["epoch"], details["train_loss"]) == (100, 30, 0.0333)
    assert (details["variables"], details["sent"]) == ("none", "by-update")
    run = details["run"]
    assert run["exitCode"] == code
    assert run["durationSeconds"] >= 6
    assert run["startedAt"] < run["finishedAt"]
    if code:
        assert details["error"] == "the command exited with code 3\nepoch 29 loss=0.0345\nepoch 30 loss=0.0333"


@pytest.mark.parametrize("end", ["completed", "cancelled"])
def test_the_step_in_the_docs(platform, tmp_path, end):
    """It reports progress and end, also within the time that the platform gives a cancelled job."""
    (recipe,) = [system for system in recipes.SYSTEMS if system.runs_job]
    (step,) = json.loads(recipe.blocks("json")[0])["platform_spec"]["steps"]
    nemo_jobs, subcommand, *options, python, _ = step["executor"]["command"]
    assert (nemo_jobs, subcommand, python) == ("nemo-jobs", "run", "python")
    script = tmp_path / "train.py"
    script.write_text(
        f"import time; print(' 50%|#####     | 5/10 [00:01<00:01,  4.00it/s]'); time.sleep({60 if end == 'cancelled' else 2})"
    )
    result = train(platform, [*TOOL, *options, sys.executable, str(script)], cancels=end == "cancelled")
    details = result["status_details"]
    assert (result["status"], details["status"], details["progress"]) == (end, end, 50)
    assert details["run"].get("receivedSignal") == ("SIGTERM" if end == "cancelled" else None)
