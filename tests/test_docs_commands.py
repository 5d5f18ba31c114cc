"""Every command that README and docs/ show runs as shown, on the sandbox."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from nemo_jobs_cli.sandbox import server as sandbox
from nemo_jobs_cli.settings import profiles

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SKIP = re.compile(r"<!-- not run: .+ -->\n")

FILES = {
    "train.py": "for step in range(1, 4): print(f'epoch {step} loss=0.{step}', flush=True)\n",
    "metrics": '#!/bin/sh\necho \'{"step": 120, "train_loss": 0.31}\'\n',
    "metrics.jsonl": '{"step": 120, "train_loss": 0.31}\n',
    "train.sh": "#!/bin/sh\necho ' 50%|#####     | 5/10 [00:01<00:01,  4.00it/s]'\nnemo-jobs update x1 progress=50\n",
    "notes.txt": "a note\n",
    "train.log": "epoch 1 loss=0.9\nepoch 2 loss=0.4\n",
    "m.json": '{"bleu": 31.5}\n',
    "step.json": '{"step": 120, "loss": 0.31}\n',
    "updates.ndjson": '{"job": "x1", "status_details": {"progress": 45}}\n',
    **dict.fromkeys(("batch", "deploy.sh", "evaluate.sh"), "#!/bin/sh\n"),
}

LOG = ("epoch 1 loss=0.9", "epoch 2 loss=0.4", "epoch 3 loss=0.31")


def blocks(language: str) -> list:
    """Return the fenced blocks of a language, each named by its page and line; commands outside README are slow."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in re.finditer(rf"({SKIP.pattern})?```{language}\n(.*?)```", text, re.DOTALL):
            if match[1] is None:
                name = f"{page.name}:{text.count(chr(10), 0, match.start()) + 1}"
                marks = [pytest.mark.slow] if language == "sh" and page.name != "README.md" else []
                found.append(pytest.param(match[2], id=name, marks=marks))
    return found


@pytest.fixture
def workplace(tmp_path):
    """Return a function that runs a script with the files of the docs, on a sandbox."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    server = sandbox.start(sandbox.Options(logs=(("train-llama", LOG),)))
    job = server.jobs["default", "train-llama"]
    job.record["status"] = "completed"
    job.details.update(progress=100, train_loss=0.31, status="completed")
    env = {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "SHELL": "/bin/bash",
        "NEMO_JOBS_HOST": server.url,
        "JOB": "train-llama",
        "CI_COMMIT_TITLE": 'Fix "all" of it',
    }

    def run(script: str, **more) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script.encode()],
            cwd=tmp_path, env=env, stdin=subprocess.DEVNULL, encoding="utf-8", timeout=120, **more,
        )  # fmt: skip

    yield run
    sandbox.stop(server)


@pytest.mark.parametrize("script", [block for block in blocks("sh") if "-m venv" not in block.values[0]])
def test_a_block_of_commands_succeeds(workplace, script):
    """Each line exits with 0; `-m venv` lines are run by the gate."""
    if "jq " in script and not shutil.which("jq"):
        pytest.skip("this machine has no jq")
    ran = workplace(script, capture_output=True)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("session", blocks("console"))
def test_a_session_prints_the_output_in_the_docs(workplace, session):
    """Exactly; `...` stands for text that differs between runs."""
    for command, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", session, re.MULTILINE):
        ran = workplace(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        pattern = ".*?".join(map(re.escape, shown.split("...")))
        assert re.fullmatch(pattern, ran.stdout, re.DOTALL), ran.stdout


@pytest.mark.parametrize("text", blocks("toml"))
def test_a_config_file_is_accepted(nemo_jobs, monkeypatch, tmp_path, text):
    """Every key is one that profiles have."""
    file = tmp_path / "config.toml"
    file.write_text(text, encoding="utf-8")
    monkeypatch.setenv("NEMO_JOBS_CONFIG", str(file))
    for name, profile in tomllib.loads(text)["profiles"].items():
        assert set(profile) <= set(profiles.KEYS)
        assert nemo_jobs("config", "list", "--profile", name).code == 0


def anchors(page):
    """Return the anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.*)", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_has_a_target(page):
    """Relative links name files of the repository, and their headings."""
    for target in re.findall(r"\]\(([^):]+)\)", page.read_text(encoding="utf-8")):
        file, _, heading = target.partition("#")
        linked = page.parent / file if file else page
        assert linked.exists(), target
        assert not heading or heading in anchors(linked), target


def test_there_are_blocks_to_run():
    """A broken search must not pass."""
    assert len(blocks("sh")) > 15
    assert blocks("console")
    assert len(blocks("toml")) > 1
