"""Every recipe of docs/ runs as shown, with the variables, shells and signals of its system, on a sandbox."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import recipes
import yaml
from raw import read_request, response
from waiting import LIMIT, until

from nemo_jobs_cli.sandbox import server as sandbox

# The training: TRAIN is how it ends. What has begun to wait says so in a file.
TRAIN = """
import os, sys, time
print(" 50%|#####     | 5/10 [00:01<00:01,  4.00it/s]", file=sys.stderr)
if os.environ["TRAIN"] in {"cancelled", "killed"}:
    open("training", "w").close()
    time.sleep(60)
sys.exit("cannot train: 100% out of memory" if os.environ["TRAIN"] == "failure" else 0)
"""

# Starts four tasks, as srun and torchrun do; at TERM, srun kills its tasks.
LAUNCHER = f"""#!{sys.executable}
import os, signal, subprocess, sys
is_srun = sys.argv[0].endswith("srun")
rank, size = ("SLURM_PROCID", "SLURM_NTASKS") if is_srun else ("RANK", "WORLD_SIZE")
words = sys.argv[1:] if is_srun else [sys.executable, *sys.argv[sys.argv.index("train.py"):]]
environs = [os.environ | {{rank: str(number), size: "4"}} for number in range(4)]
tasks = [subprocess.Popen(words, env=environ, start_new_session=True) for environ in environs]
def stop(number, frame):
    for task in tasks:
        os.killpg(task.pid, signal.SIGKILL if is_srun else number)
signal.signal(signal.SIGTERM, stop)
with open("starting", "w") as file:
    file.write(" ".join(str(task.pid) for task in tasks))
os.rename("starting", "tasks")
codes = [task.wait() for task in tasks]
sys.exit(max(code if code >= 0 else 128 - code for code in codes))
"""

# Commands of the systems that the recipes call.
COMMANDS = {
    "pipx": "#!/bin/sh\n",
    "buildkite-agent": "#!/bin/sh\ncat > annotation\n",
    "nemo": "#!/bin/sh\necho sandbox\n",  # nemo auth token
    "sbatch": "#!/bin/sh\necho 4711\n",
    "srun": LAUNCHER,
    "torchrun": LAUNCHER,
}


class Machine:
    """A machine that runs steps, with a sandbox as the platform."""

    def __init__(self, folder: Path, system: recipes.System) -> None:
        self.folder, self.system, self.recipe = folder, system, system.recipe()
        (folder / "bin").mkdir()
        (folder / "train.py").write_text(TRAIN, encoding="utf-8")
        for name, script in COMMANDS.items():
            (folder / "bin" / name).write_text(script, encoding="utf-8")
            (folder / "bin" / name).chmod(0o755)
        self.requests: list[str] = []
        self.server = sandbox.start(sandbox.Options(jobs=("train-llama",), auth=True), self.requests.append)
        self.job = self.server.jobs["default", "train-llama"]
        self.environ = {
            "PATH": f"{folder / 'bin'}:{Path(sys.executable).parent}:/usr/bin:/bin",
            "HOME": str(folder),
            **dict(one.split("=", 1) for one in system.variables.split()),
            **self.recipe.environ,
        }
        for name, value in self.environ.items():
            if name.startswith("NEMO_JOBS_") and value.startswith("/"):  # a volume of a container
                self.environ[name] = f"{folder}{value}"
        self.environ = {name: self.here(value) for name, value in self.environ.items()}
        for file, text in (
            ("run/secrets/nemo-jobs-token", recipes.STORED["NEMO_JOBS_TOKEN"]),
            (".config/nemo-jobs/config.toml", self.here(self.recipe.config)),
        ):
            (folder / file).parent.mkdir(parents=True)
            (folder / file).write_text(text, encoding="utf-8")
            (folder / file).chmod(0o600)
        self.log = folder / "log"

    def here(self, text: str) -> str:
        """Return a text with the URL of the sandbox instead of the one in the docs."""
        return text.replace(recipes.STORED["NEMO_JOBS_HOST"], self.server.url)

    def start(self, step: recipes.Step, **environ: str) -> subprocess.Popen:
        """Start a script as the system does."""
        file = self.folder / f"script-{time.monotonic_ns()}"
        file.write_text(step.script, encoding="utf-8")
        words = [word.format(file) for word in self.system.shell.split()]
        with self.log.open("a", encoding="utf-8") as log:
            return subprocess.Popen(
                words, cwd=self.folder, env=self.environ | environ, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def run(self, steps: list[recipes.Step], end: str) -> str:
        """Run the steps of a job as the system does; return its result."""
        result, code = "success", 0
        for step in steps:
            if step.when not in {result, "always"}:
                continue
            process = self.start(step, TRAIN=end, **self.system.result(result, code))
            is_cancelled = end in {"cancelled", "killed"} and "train.py" in step.script
            if is_cancelled:
                until((self.folder / "training").exists)
                if re.search("srun|torchrun", step.script):
                    until((self.folder / "tasks").exists)
                until(lambda: self.job.details.get("status") == "running")
                self.stop(process, *(self.system.kill if end == "killed" else self.system.stop))
            code = process.wait(LIMIT)
            if result == "success":
                result = "cancelled" if is_cancelled else "failure" if code else "success"
            else:
                assert code == 0, self.log.read_text(encoding="utf-8")
        if self.system.runs_job:
            self.job.record["status"] = {"success": "completed", "failure": "error"}.get(result, result)
        return result

    def stop(self, process: subprocess.Popen, name: str, target: str) -> None:
        """Send the signal of a cancellation."""
        if target == "tasks":
            leaders = (self.folder / "tasks").read_text(encoding="utf-8").split()
            targets = [pid for leader in leaders for pid in session(int(leader))]
        else:
            targets = {"process": [process.pid], "group": [-process.pid], "all": session(process.pid)}[target]
        if name == "KILL":
            targets.reverse()  # `run` before its command, else it reports that end
        for pid in targets:
            try:
                os.kill(pid, getattr(signal, f"SIG{name}"))
            except ProcessLookupError:
                pass  # it has ended with the one before

    def gate(self) -> int:
        """Run the last step of the job that waits; return its exit code."""
        return self.start(self.recipe.gate[-1]).wait(LIMIT)


@pytest.fixture
def machine(tmp_path):
    """Return a function that makes the machine of a system."""
    machines = []

    def make(system: recipes.System) -> Machine:
        machines.append(Machine(tmp_path, system))
        return machines[-1]

    yield make
    for one in machines:
        sandbox.stop(one.server)


def session(leader: int) -> list[int]:
    """Return the processes of a session, the newest first."""
    found = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = file.read_text(encoding="utf-8", errors="replace").rpartition(") ")[2].split()
        except OSError:
            continue  # it has just ended
        if int(fields[3]) == leader and fields[0] != "Z":
            found.append((int(fields[19]), int(file.parent.name)))  # its start
    return [pid for _, pid in sorted(found, reverse=True)]


WITH_LATER_STEPS = [system for system in recipes.SYSTEMS if system.recipe().has_later_steps]


def each_system(test):
    """Run a test with each system."""
    return pytest.mark.parametrize("system", recipes.SYSTEMS, ids=lambda system: system.heading)(test)


# The recipes that run without `-m slow`: one of docs/ci.md and one of docs/clusters.md.
QUICK = {"GitHub Actions", "Kubernetes"}


@pytest.mark.parametrize(
    "system",
    [pytest.param(one, marks=[] if one.heading in QUICK else [pytest.mark.slow]) for one in recipes.SYSTEMS],
    ids=lambda system: system.heading,
)
def test_a_training_is_reported_and_waited_for(machine, system):
    """The gate has begun to wait before, while the end of an earlier training was shown."""
    one = machine(system)
    if re.search("ci_run=|slurm_job=|--wait", one.recipe.gate[-1].script):  # the others need a new job
        one.job.details.update(status="failed", ci_run="16", slurm_job="16", lastUpdated="2026-01-01T00:00:00Z")
    gate = one.start(one.recipe.gate[-1])
    until(lambda: one.requests)
    assert one.run(one.recipe.train, "success") == "success", one.log.read_text(encoding="utf-8")
    details = one.job.details
    assert (details["status"], details.get("progress")) == ("completed", 50), one.log.read_text(encoding="utf-8")
    assert gate.wait(LIMIT) == 0, one.log.read_text(encoding="utf-8")


@pytest.mark.slow
@each_system
def test_a_failure_is_reported(machine, system):
    """The job fails, with the reason, and so does the gate."""
    one = machine(system)
    assert one.run(one.recipe.train, "failure") == "failure"
    assert one.job.details["status"] == "failed"
    assert "out of memory" in one.job.details["error"]
    assert one.gate() != 0


@pytest.mark.slow
@pytest.mark.parametrize("system", WITH_LATER_STEPS, ids=lambda system: system.heading)
def test_a_failure_before_the_training_is_reported(machine, system):
    """It never started."""
    one = machine(system)
    broken = [step._replace(script="false") if "train.py" in step.script else step for step in one.recipe.train]
    assert one.run(broken, "failure") == "failure"
    assert one.job.details["status"] == "failed"
    assert one.gate() != 0


@pytest.mark.slow
@each_system
def test_a_cancellation_is_reported(machine, system):
    """By `run`, if the system gives it the time, or by what runs later."""
    one = machine(system)
    assert one.run(one.recipe.train, "cancelled") == "cancelled"
    assert one.job.details["status"] == "cancelled", one.log.read_text(encoding="utf-8")
    assert ("finishedAt" in one.job.details["run"]) == (system.stop[0] != "KILL")
    assert one.gate() != 0


@pytest.mark.slow
@each_system
def test_a_training_that_is_killed(machine, system):
    """What runs later reports that; otherwise, the gate sees how old the last report is."""
    one = machine(system)
    assert one.run(one.recipe.train, "killed") == "cancelled"
    if system in WITH_LATER_STEPS or system.heading == "Slurm":
        assert one.job.details["status"] == "cancelled", one.log.read_text(encoding="utf-8")
    else:
        assert one.job.details["status"] == "running"
    gate = one.start(one.recipe.gate[-1])

    def has_ended() -> bool:
        one.job.details["lastUpdated"] = "2026-01-01T00:00:00Z"  # the server may still handle a request of the training
        return gate.poll() is not None

    until(has_ended)
    assert gate.returncode != 0


@pytest.mark.slow
def test_one_of_many_ranks_reports(machine):
    """The others run without reports, and say so."""
    (slurm,) = [system for system in recipes.SYSTEMS if system.heading == "Slurm"]
    one = machine(slurm)
    one.run(one.recipe.train, "success")
    assert [
        f"rank {number} of 4 (SLURM_PROCID): rank 0 reports" in one.log.read_text(encoding="utf-8")
        for number in range(4)
    ] == [*(False, True, True, True)]


@pytest.mark.slow
@pytest.mark.parametrize(("end", "code"), [("success", 0), ("failure", 1)])
def test_a_matrix_of_jobs(machine, end, code):
    """Jobs that report at the same time do not overwrite each other, and the gate waits for all."""
    one = machine(recipes.MATRIX)
    (step,) = one.recipe.train
    gate = one.start(one.recipe.gate[0])
    until(lambda: one.requests)
    ends = {"1": "success", "2": "success", "3": end}
    shards = [one.start(step, SHARD=shard, TRAIN=how) for shard, how in ends.items()]
    assert [shard.wait(LIMIT) for shard in shards] == [0, 0, code], one.log.read_text(encoding="utf-8")
    statuses = [one.job.details[f"shard_{shard}_status"] for shard in ends]
    assert statuses == ["completed", "completed", "failed" if code else "completed"]
    progress = [one.job.details.get(f"shard_{shard}_progress") for shard in ends]
    assert progress == [50, 50, 50], one.log.read_text(encoding="utf-8")
    assert [one.job.details.get(f"shard_{shard}_samples") for shard in ends] == [1200, 1200, None if code else 1200]
    assert not {"status", "progress", "run"} & one.job.details.keys()
    assert gate.wait(LIMIT) == code


@pytest.mark.slow
def test_annotations(machine):
    """Each is one line for the system, whatever the error contains."""
    one = machine(recipes.SYSTEMS[0])
    one.run(one.recipe.train, "failure")
    (line,) = [line for line in one.log.read_text(encoding="utf-8").splitlines() if line.startswith("::")]
    assert line.startswith("::error title=train-llama::the command exited with code 1%0A")
    assert line.endswith("cannot train: 100%25 out of memory")


@pytest.mark.slow
@pytest.mark.parametrize("system", [one for one in recipes.SYSTEMS if one.schema], ids=lambda system: system.heading)
def test_the_schema_of_the_system(tmp_path, system):
    """As published, where check-jsonschema has it."""
    check = pytest.importorskip("check_jsonschema", reason="needs check-jsonschema")
    file = tmp_path / "file.yml"
    file.write_text(system.blocks("yaml")[0], encoding="utf-8")
    words = [sys.executable, "-m", check.__name__, "--builtin-schema", f"vendor.{system.schema}", str(file)]
    ran = subprocess.run(words, capture_output=True, encoding="utf-8", timeout=LIMIT)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_every_block_belongs_to_a_recipe():
    """None is only shown; the ```sh blocks are run by test_docs_commands."""
    languages = "(?:yaml|bash|groovy|dockerfile|json)"
    read = [block for system in (*recipes.SYSTEMS, recipes.MATRIX) for block in system.blocks(languages)]
    shown = [
        block
        for page in ("ci.md", "clusters.md")
        for block in recipes.fenced((recipes.DOCS / page).read_text(encoding="utf-8"), languages)
    ]
    assert sorted(shown) == sorted(read)
    assert len(read) > 15


def test_a_workload_identity_replaces_the_secret(tmp_path, raw_server):
    """The variables and the mounted file of the recipe give an access token of the platform."""
    pod = yaml.safe_load(recipes.fenced((recipes.DOCS / "clusters.md").read_text(encoding="utf-8"), "yaml")[2])
    (mount,), (volume,) = pod["containers"][0]["volumeMounts"], pod["volumes"]
    assert mount["name"] == volume["name"]
    path = f"{mount['mountPath']}/{volume['projected']['sources'][0]['serviceAccountToken']['path']}"
    (tmp_path / "token").write_text("of-the-pod", encoding="utf-8")
    environ = {one["name"]: one["value"].replace(path, f"{tmp_path}/token") for one in pod["containers"][0]["env"]}

    def serve(connection, seen, stop):
        seen.append(read_request(connection))
        endpoint = {"workload_token_exchange_enabled": True, "workload_token_endpoint": f"{server.url}/oauth/token"}
        answer = {b"GET": {"auth_enabled": True, "oidc": endpoint}, b"POST": {"access_token": "of-the-platform"}}
        connection.sendall(response(200, json.dumps(answer.get(seen[-1].split()[0]))))

    server = raw_server(serve)
    environ = {name: value.replace(recipes.STORED["NEMO_JOBS_HOST"], server.url) for name, value in environ.items()}
    words = [sys.executable, "-m", "nemo_jobs_cli", "update", "train-llama", "progress=45"]
    subprocess.run(words, env=environ, check=True, timeout=LIMIT)
    assert b"subject_token=of-the-pod" in server.seen[1]
    assert b"authorization: bearer of-the-platform" in server.seen[2].lower()
