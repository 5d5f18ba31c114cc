"""Read the recipes of docs/ as the systems that they are for would: variables, steps, and how each step is run."""

from __future__ import annotations

import json
import re
import shlex
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

DOCS = Path(__file__).parent.parent / "docs"

# What the user of a recipe stores in the system, and the host that the docs show.
STORED = {"NEMO_JOBS_HOST": "https://nmp.example.com", "NEMO_JOBS_TOKEN": "sandbox"}


def fenced(text: str, language: str = r"\w+") -> list[str]:
    """Return the fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


class Step(NamedTuple):
    """A script, and after which result of the steps before it runs: success, failure, cancelled or always."""

    script: str
    when: str = "success"


class Recipe(NamedTuple):
    """The steps of the job that trains and of the one that waits, the variables and config file that the recipe sets."""

    train: Sequence[Step]
    gate: Sequence[Step]
    environ: Mapping[str, str] = {}
    config: str = ""

    @property
    def has_later_steps(self) -> bool:
        """Whether something runs after a step that has failed."""
        return any(step.when != "success" for step in self.train)


class System(NamedTuple):
    """A system as its documentation describes it.

    `shell` is how it runs a script ({} is the script's file), with `variables` of its own. `stop` is the signal of a
    cancellation and who gets it: the process, its group, all processes that the step has started, or those of its tasks
    (of a launcher). `kill` is a cancellation without time. `runs_job`: it is the platform itself. `result` makes the variables that tell later steps
    how the step before has ended, from the result and the exit code.
    """

    heading: str
    read: Callable[[list[str]], Recipe]
    shell: str
    variables: str
    stop: tuple[str, str] = ("TERM", "process")
    kill: tuple[str, str] = ("KILL", "all")
    result: Callable[[str, int], Mapping[str, str]] = lambda result, code: {}
    page: str = "ci.md"
    schema: str | None = None
    runs_job: bool = False

    def blocks(self, language: str = r"\w+") -> list[str]:
        """Return the fenced blocks below the heading."""
        text = (DOCS / self.page).read_text(encoding="utf-8")
        (section,) = re.findall(rf"^##+ {re.escape(self.heading)}\n(.*?)(?=^##+ |\Z)", text, re.MULTILINE | re.DOTALL)
        return fenced(section, language)

    def recipe(self) -> Recipe:
        """Return the recipe below the heading."""
        return self.read(self.blocks())


def github(blocks: list[str]) -> Recipe:
    """Read a workflow; its expressions name stored variables and secrets."""
    when = {None: "success", "failure()": "failure", "cancelled()": "cancelled", "always()": "always"}
    text = re.sub(r"\$\{\{ (?:vars|secrets)\.(\w+) \}\}", lambda name: STORED[name[1]], blocks[0])
    workflow = yaml.safe_load(text)

    def steps(job: str) -> list[Step]:
        return [Step(step["run"], when[step.get("if")]) for step in workflow["jobs"][job]["steps"] if "run" in step]

    return Recipe(steps("train"), steps("evaluate"), workflow["env"])


def gitlab(blocks: list[str]) -> Recipe:
    """Read a pipeline; the lines of a script share a shell, `after_script` has its own."""
    pipeline = yaml.safe_load(blocks[0])

    def script(job: str, key: str) -> str:
        lines = "\n".join(pipeline[job][key])
        return f"set -eo pipefail\n: | eval {shlex.quote(lines)}\n"  # as the runner generates it

    train = [Step(script("train", "script")), Step(script("train", "after_script"), "always")]
    return Recipe(train, [Step(script("evaluate", "script"))], pipeline["variables"])


def jenkins(blocks: list[str]) -> Recipe:
    """Read a declarative pipeline: its variables, and each sh step with the stage or condition around it."""
    (declared,) = re.findall(r"environment \{\n(.*?)\}", blocks[0], re.DOTALL)
    environ = dict(re.findall(r"(\w+) = '(.*)'", declared))
    environ |= dict.fromkeys(re.findall(r"(\w+) = credentials\('", declared), STORED["NEMO_JOBS_TOKEN"])
    when = {"train": "success", "aborted": "cancelled", "failure": "failure", "cleanup": "always"}
    pattern = r"(?:stage\('(\w+)'\)|(aborted|failure|cleanup)) \{\s+(?:agent [^\n]*\s+steps \{\s+)?sh '''(.*?)'''"
    steps = [(stage or post, textwrap.dedent(text)) for stage, post, text in re.findall(pattern, blocks[0], re.DOTALL)]
    assert len(steps) == blocks[0].count("sh '''")
    train = [Step(text, when[name]) for name, text in steps if name != "evaluate"]
    return Recipe(train, [Step(text) for name, text in steps if name == "evaluate"], environ)


def buildkite(blocks: list[str]) -> Recipe:
    """Read a pipeline, in which the agent replaces $$ at the upload, and the hook."""
    pipeline = yaml.safe_load(blocks[0])
    commands = {step["key"]: Step(step["command"].replace("$$", "$")) for step in pipeline["steps"]}
    environ = pipeline["env"] | {name: STORED[name] for name in pipeline["secrets"]}
    return Recipe([commands["train"], Step(blocks[1], "always")], [commands["evaluate"]], environ)


def circleci(blocks: list[str]) -> Recipe:
    """Read a config: steps with `when` run after a failure, but a cancellation is left to the job that requires it."""
    config = yaml.safe_load(blocks[0])
    when = {"on_success": "success", "on_fail": "failure"}

    def steps(job: str, default: str = "success") -> list[Step]:
        runs = [step["run"] for step in config["jobs"][job]["steps"] if "run" in step]
        runs = [{"command": run} if isinstance(run, str) else run for run in runs]
        return [Step(run["command"], when[run["when"]] if "when" in run else default) for run in runs]

    jobs = {name: options for job in config["workflows"]["train"]["jobs"] for name, options in job.items()}
    (after_cancellation,) = [
        name for name, options in jobs.items() if options.get("requires") == [{"train": ["canceled"]}]
    ]
    assert all(options["context"] == ["nemo-jobs"] for options in jobs.values())
    return Recipe([*steps("train"), *steps(after_cancellation, "cancelled")], steps("evaluate"))


def matrix(blocks: list[str]) -> Recipe:
    """Read a script of each job of a matrix, and one that waits for all."""
    return Recipe([Step(blocks[0])], [Step(blocks[1])])


def slurm(blocks: list[str]) -> Recipe:
    """Read a batch script, a config file, and a script that waits."""
    return Recipe([Step(blocks[0])], [Step(blocks[2])], config=blocks[1])


def torchrun(blocks: list[str]) -> Recipe:
    """Read a script that trains, and one that waits."""
    return Recipe([Step(blocks[0])], [Step(blocks[1])])


def kubernetes(blocks: list[str]) -> Recipe:
    """Read a Job and an init container; a secret has the stored value."""
    (container,) = yaml.safe_load(blocks[0])["spec"]["template"]["spec"]["containers"]
    (gate,) = yaml.safe_load(blocks[1])["initContainers"]
    environ = {one["name"]: one.get("value", STORED.get(one["name"], "")) for one in container["env"]}
    return Recipe([Step(exec_form(container["command"]))], [Step(exec_form(gate["command"]))], environ)


def docker(blocks: list[str]) -> Recipe:
    """Read the entrypoint and command of an image, the variables of a service, and a script that waits."""
    words = [
        word for line in re.findall(r"^(?:ENTRYPOINT|CMD) (.*)", blocks[0], re.MULTILINE) for word in json.loads(line)
    ]
    environ = yaml.safe_load(blocks[1])["services"]["train"]["environment"]
    return Recipe([Step(exec_form(words))], [Step(blocks[2])], environ)


def platform_step(blocks: list[str]) -> Recipe:
    """Read the specification of a job, and a script that waits."""
    (step,) = json.loads(blocks[0])["platform_spec"]["steps"]
    return Recipe([Step(exec_form(step["executor"]["command"]))], [Step(blocks[1])])


def exec_form(words: list[str]) -> str:
    """Return a script that is replaced by a command."""
    return f"exec {shlex.join(words)}\n"


MATRIX = System(
    "Job matrices",
    matrix,
    "bash -e {}",
    "NEMO_JOBS_HOST=https://nmp.example.com NEMO_JOBS_TOKEN=sandbox",
    stop=("KILL", "all"),
)

SYSTEMS = [
    System(
        "GitHub Actions",
        github,
        "bash --noprofile --norc -e -o pipefail {}",
        "CI=true GITHUB_ACTIONS=true GITHUB_RUN_ID=1658821493 GITHUB_SHA=ffac537e6cbbf934",
        stop=("INT", "process"),
        schema="github-workflows",
    ),
    System(
        "GitLab CI",
        gitlab,
        "bash {}",
        "CI=true GITLAB_CI=true CI_PIPELINE_ID=1000 CI_COMMIT_SHA=1ecfd275763eff1d NEMO_JOBS_TOKEN=sandbox",
        stop=("TERM", "all"),
        result=lambda result, code: {
            "CI_JOB_STATUS": {"failure": "failed", "cancelled": "canceled"}.get(result, result)
        },
        schema="gitlab-ci",
    ),
    System(
        "Jenkins",
        jenkins,
        "sh -xe {}",
        "JENKINS_URL=https://ci.example.com/ BUILD_TAG=jenkins-train-17 GIT_COMMIT=1ecfd275763eff1d",
        stop=("TERM", "all"),
    ),
    System(
        "Buildkite",
        buildkite,
        "bash -e {}",
        "BUILDKITE=true BUILDKITE_STEP_KEY=train BUILDKITE_BUILD_ID=4735ba57-80d0 BUILDKITE_COMMIT=1ecfd275763eff1d",
        stop=("TERM", "group"),
        result=lambda result, code: {
            "BUILDKITE_COMMAND_EXIT_STATUS": str(code),
            **({"BUILDKITE_JOB_CANCELLED": "true"} if result == "cancelled" else {}),
        },
        schema="buildkite",
    ),
    System(
        "CircleCI",
        circleci,
        "bash -eo pipefail {}",
        "CI=true CIRCLECI=true CIRCLE_WORKFLOW_ID=5034460f-c7c4 NEMO_JOBS_HOST=https://nmp.example.com "
        "NEMO_JOBS_TOKEN=sandbox",
        stop=("KILL", "all"),
        schema="circle-ci",
    ),
    System(
        "Slurm",
        slurm,
        "bash {}",
        "SLURM_JOB_ID=4711 SLURM_NTASKS=4 SLURM_PROCID=0 SLURM_NNODES=2",
        stop=("TERM", "tasks"),
        kill=("TERM", "all"),
        page="clusters.md",
    ),
    System(
        "torchrun",
        torchrun,
        "bash -e {}",
        "NEMO_JOBS_HOST=https://nmp.example.com NEMO_JOBS_TOKEN=sandbox",
        page="clusters.md",
    ),
    System("Kubernetes", kubernetes, "sh {}", "KUBERNETES_SERVICE_HOST=10.0.0.1", page="clusters.md"),
    System("Docker", docker, "sh -e {}", "", page="clusters.md", schema="compose-spec"),
    System(
        "A step of the platform",
        platform_step,
        "sh {}",
        "NEMO_JOB_ID=train-llama NEMO_JOB_WORKSPACE=default NEMO_JOB_ATTEMPT_ID=attempt-1 NEMO_JOB_STEP=train "
        "NEMO_JOB_TASK=task-1 NMP_BASE_URL=https://nmp.example.com NMP_ACCESS_TOKEN=sandbox HOME=",
        page="clusters.md",
        runs_job=True,
    ),
]
