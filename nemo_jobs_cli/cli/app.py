"""Build the command tree; import the module of a command only if it is used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nemo_jobs_cli import __version__
from nemo_jobs_cli.cli import helptext, params
from nemo_jobs_cli.output import render

if TYPE_CHECKING:
    from collections.abc import Iterable

# Each command with its summary, in the order of the help. Importing all commands would double the time of `--help`.
# A test compares the summaries with the help of the commands.
COMMANDS = {
    "update": "Set keys in a job's status details.",
    "show": "Show a job: its state on the platform and the reported details.",
    "list": "List the workspace's jobs, newest first.",
    "stream": "Turn lines into updates of one job.",
    "run": "Run COMMAND and report its life: running, progress, completed or failed.",
    "apply": "Send many updates of many jobs from one file.",
    "outbox": "See, deliver or drop the updates that could not be delivered (--outbox).",
    "init": "Ask for host, workspace and token, try them on the platform, and write a profile.",
    "config": "Show the settings and their sources, and change those of a profile.",
    "doctor": "Check settings, the way to the platform, the token, permissions and the outbox; change nothing.",
    "completion": "Complete commands, options, jobs, fields and values with TAB, in bash, zsh and fish.",
    "sandbox": "Run a local server that behaves like NeMo Platform 0.6.0, and COMMAND on it.",
}

GROUPS = frozenset({"config", "outbox", "completion"})
WRITERS = frozenset({"update", "stream", "apply", "outbox flush"})


class _LazyGroup(helptext.Group):
    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - Typer's signature
        return list(COMMANDS)

    def summaries(self, ctx: Any) -> Iterable[tuple[str, str]]:  # noqa: ARG002 - as above
        return COMMANDS.items()

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - Typer's signature
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"nemo_jobs_cli.commands.{cmd_name}")
        command = typer.main.get_command(module.app)
        command.name = cmd_name
        return command


app = helptext.app(
    """Report a job's progress to NVIDIA NeMo Platform.

    \b
    Examples:
      nemo-jobs update train-llama progress=45 message="batch 3 of 10"
      nemo-jobs run train-llama --match tqdm -- python train.py
      nemo-jobs show train-llama --watch
      nemo-jobs sandbox -- nemo-jobs update demo progress=45  # without a platform
    """,
    _LazyGroup,
)


def _print_version(value: bool) -> None:
    if value:
        render.line(f"nemo-jobs {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, params.option("--version", "-V", help="Print the version", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Parse the options of the program itself."""
