"""What TAB knows and what shells are given is made from the command tree, and can't drift from it."""

from __future__ import annotations

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
    assert nemo_jobs("completion", shell).out == text == scripts.script(shell)
    assert scripts.is_ours(text)
    for name in app.COMMANDS:
        assert name in text


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
