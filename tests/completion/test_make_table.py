"""What TAB knows and what shells are given is made from the command tree, and can't drift from it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import typer

from nemo_jobs_cli.cli import app
from nemo_jobs_cli.completion import make_table, scripts, table

HERE = Path(__file__).parents[2]
ROOT = typer.main.get_command(app.app)


def test_the_table_is_that_of_the_tree():
    """Else: nemo-jobs completion table > new && mv new nemo_jobs_cli/completion/table.py."""
    assert Path(table.__file__).read_text() == make_table.source(ROOT)


@pytest.mark.parametrize(
    ("shell", "file"), [("bash", "nemo-jobs.bash"), ("zsh", "_nemo-jobs"), ("fish", "nemo-jobs.fish")]
)
def test_the_scripts_are_those_of_the_table(nemo_jobs, shell, file):
    """Else: nemo-jobs completion bash > completions/nemo-jobs.bash, and so on."""
    text = (HERE / "completions" / file).read_text()
    assert nemo_jobs("completion", shell).out == text == scripts.generate(shell)
    assert scripts.is_generated(text)
    for name in app.COMMANDS:
        assert name in text


@pytest.mark.parametrize("words", [["bash", "-n"], ["zsh", "-n"], ["fish", "-n"], ["shellcheck", "-s", "bash"]])
def test_the_scripts_pass_the_shells_own_check(words):
    """Each shell reads its script without running it; shellcheck reads that of bash."""
    if shutil.which(words[0]) is None:
        pytest.skip(f"this machine has no {words[0]}")
    file = {"zsh": "_nemo-jobs", "fish": "nemo-jobs.fish"}.get(words[0], "nemo-jobs.bash")
    ran = subprocess.run([*words, str(HERE / "completions" / file)], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def test_the_tool_prints_the_table(nemo_jobs):
    """It is how one makes it anew."""
    assert nemo_jobs("completion", "table").out == Path(table.__file__).read_text()


def test_a_value_that_nobody_has_placed_is_an_error():
    """A new option says what it takes."""
    parameter = typer.core.TyperOption(param_decls=["--new"], metavar="NEW")
    with pytest.raises(KeyError):
        make_table.kind("update", parameter)


@pytest.mark.parametrize("path", table.TREE)
def test_every_command_has_a_line_that_says_what_it_does(path):
    """Zsh and fish show it."""
    summary, options, _, _ = table.TREE[path]
    assert 5 < len(summary) < 130
    assert all(what for _, _, _, what in options)
