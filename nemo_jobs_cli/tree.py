"""Grow the command tree: each command's module is imported when that command is used."""

from __future__ import annotations

import importlib
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from nemo_jobs_cli import __version__, render

COMMANDS = ("update", "show", "list", "stream", "run", "apply", "outbox", "init", "config", "sandbox")

GROUPS = frozenset({"config", "outbox"})
WRITERS = frozenset({"update", "stream", "apply", "outbox flush"})


class Commands(TyperGroup):
    """A group that imports a command's module when that command is needed."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - Typer's signature
        """Return the names in the order of use, not of the alphabet."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - Typer's signature
        """Import `commands/NAME.py` and make its Typer function, or its Typer app, a command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"nemo_jobs_cli.commands.{cmd_name}")
        return build(cmd_name, module)


def build(name: str, module: Any) -> Any:
    """Return the command of a module: one function `command`, or an `app` with subcommands."""
    if hasattr(module, "app"):
        made = typer.main.get_command(module.app)
    else:
        app = _typer()
        app.command(name)(module.command)
        made = typer.main.get_command(app)
    made.name = name
    _keep_line_breaks(made)
    return made


def _keep_line_breaks(command: Any) -> None:
    r"""Turn the `\b` that raw docstrings spell out into the character that keeps a paragraph's lines as they are."""
    command.help = (command.help or "").replace("\\b\n", "\b\n")
    for inner in getattr(command, "commands", {}).values():
        _keep_line_breaks(inner)


def _typer(**more: Any) -> typer.Typer:
    return typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
        **more,
    )


app = _typer(cls=Commands)


def _version(value: bool) -> None:
    if value:
        render.line(f"nemo-jobs {__version__}")
        raise typer.Exit


@app.callback(epilog="Without a platform: nemo-jobs sandbox -- nemo-jobs update demo progress=45")
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Report a job's progress to NVIDIA NeMo Platform.

    nemo-jobs update train-llama progress=45 message="batch 3 of 10"
    """
