"""Build the command tree; import the module of a command on use."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nemo_jobs_cli import __version__
from nemo_jobs_cli.cli import helptext
from nemo_jobs_cli.output import render

if TYPE_CHECKING:
    from collections.abc import Iterable

# Each command with its summary, in the order of the help. Importing all commands would double the time of `--help`.
# A test compares the summaries with the help of the commands.
COMMANDS = {
    "update": "Set keys in a job's status details.",
    "show": "Show a job: its state on the platform and the reported details.",
    "logs": "Print the log of a job, once or until it ends.",
    "list": "List the jobs of a workspace, newest first.",
    "stream": "Turn lines into updates of one job.",
    "run": "Run COMMAND and report its progress and whether it completed or failed.",
    "apply": "Send many updates of many jobs from a file.",
    "outbox": "List, deliver or drop the updates that --outbox has stored.",
    "init": "Ask for host, workspace and token, test them, and write a profile.",
    "config": "Show settings and their sources; edit profiles.",
    "doctor": "Check settings, connection, token, permissions and outbox.",
    "completion": "Set up TAB completion for bash, zsh and fish.",
    "sandbox": "Run a local server that behaves like NeMo Platform 0.6.0.",
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
        bool, typer.Option("--version", "-V", help="Print the version", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Parse the options of the program itself."""
