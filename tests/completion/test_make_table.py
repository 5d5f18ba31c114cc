"""The table and the scripts in the repository are those generated from the command tree."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import typer

from nemo_jobs_cli.cli import app
from nemo_jobs_cli.completion import _table, make_table, scripts

HERE = Path(__file__).parents[2]
ROOT = typer.main.get_command(app.app)


def test_the_table_is_current():
    """Otherwise run: nemo-jobs completion table > new && mv new nemo_jobs_cli/completion/_table.py."""
    assert Path(_table.__file__).read_text(encoding="utf-8") == make_table.source(ROOT)


@pytest.mark.parametrize(
    ("shell", "file"), [("bash", "nemo-jobs.bash"), ("zsh", "_nemo-jobs"), ("fish", "nemo-jobs.fish")]
)
def test_the_scripts_are_current(nemo_jobs, shell, file):
    """Otherwise run: nemo-jobs completion bash > completions/nemo-jobs.bash, and so on."""
    text = (HERE / "completions" / file).read_text(encoding="utf-8")
    assert nemo_jobs("completion", shell).out == text == scripts.generate(shell)
    assert scripts.is_generated(text)
    for name in app.COMMANDS:
        assert name in text


@pytest.mark.parametrize("words", [["bash", "-n"], ["zsh", "-n"], ["fish", "-n"], ["shellcheck", "-s", "bash"]])
def test_the_scripts_pass_the_syntax_check_of_their_shell(words):
    """And the one for bash passes shellcheck."""
    if shutil.which(words[0]) is None:
        pytest.skip(f"this machine has no {words[0]}")
    file = {"zsh": "_nemo-jobs", "fish": "nemo-jobs.fish"}.get(words[0], "nemo-jobs.bash")
    ran = subprocess.run([*words, str(HERE / "completions" / file)], capture_output=True, encoding="utf-8")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def test_the_command_prints_the_table(nemo_jobs):
    """To regenerate it."""
    assert nemo_jobs("completion", "table").out == Path(_table.__file__).read_text(encoding="utf-8")


def test_a_value_of_an_unknown_kind_is_an_error():
    """The kind of a new option must be declared."""
    parameter = typer.core.TyperOption(param_decls=["--new"], metavar="NEW")
    with pytest.raises(KeyError):
        make_table.kind("update", parameter)


@pytest.mark.parametrize("path", _table.TREE)
def test_every_command_has_a_summary(path):
    """Zsh and fish show it; also a help text for every option."""
    summary, options, _, _ = _table.TREE[path]
    assert 5 < len(summary) < 130
    assert all(text for _, _, _, text in options)
