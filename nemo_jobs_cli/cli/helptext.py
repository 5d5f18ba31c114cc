"""Lay out the help of groups and commands: sentences wrap at the terminal's width, examples and tables never do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup

from nemo_jobs_cli.core.text import first_paragraph

if TYPE_CHECKING:
    from collections.abc import Iterable

# Nobody reads lines that are longer, however wide the window.
WIDEST = 100


class Group(TyperGroup):
    """A group whose help says of each command its whole first sentence, where Typer's own cuts it off."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        keep_line_breaks(self)

    def summaries(self, ctx: Any) -> Iterable[tuple[str, str]]:
        """Return the commands and what each does."""
        commands = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        return [
            (name, first_paragraph(command.help or ""))
            for name, command in commands
            if command is not None and not command.hidden
        ]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write them as a list."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self.summaries(ctx)))


def app(cls: type[TyperGroup] = Group) -> typer.Typer:
    """Return an application, or a group of commands, without what Typer would load for it: rich, completion."""
    return typer.Typer(
        cls=cls,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDEST},
    )


def keep_line_breaks(command: Any) -> None:
    r"""Turn the `\b` that raw docstrings spell out into the character that keeps a paragraph's lines as they are."""
    command.help = (command.help or "").replace("\\b\n", "\b\n")
    for inner in getattr(command, "commands", {}).values():
        keep_line_breaks(inner)
