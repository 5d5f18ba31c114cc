"""Format help: grouped options, wrapped text, unchanged examples."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand, TyperGroup

from nemo_jobs_cli.core.text import first_paragraph

if TYPE_CHECKING:
    from collections.abc import Iterable

# The maximum width of help on any terminal; longer lines are hard to read.
MAX_WIDTH = 100

DELIVERY, CONNECTION, OUTPUT = "Delivery options", "Connection options", "Output options"
_SECTIONS = ("Arguments", "Options", DELIVERY, CONNECTION, OUTPUT)


class Command(TyperCommand):
    """A command that shows its options in groups."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write a section for each group of options."""
        _write_parameters(self, ctx, formatter)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the usage line, with required arguments without braces."""
        return [piece.strip("{}") for piece in super().collect_usage_pieces(ctx)]


class Group(TyperGroup):
    """A group that shows the full summary of each command; Typer shortens it."""

    def summaries(self, ctx: Any) -> Iterable[tuple[str, str]]:
        """Return the name and the summary of each command."""
        commands = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        return [
            (name, first_paragraph(command.help or "")) for name, command in commands if command and not command.hidden
        ]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the commands, then the options."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self.summaries(ctx)))
        _write_parameters(self, ctx, formatter)


def app(text: str = "", cls: type[TyperGroup] = Group) -> typer.Typer:
    """Return a Typer application or group that does not import rich."""
    return typer.Typer(
        cls=cls,
        help=keep_line_breaks(text),
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": MAX_WIDTH},
    )


def keep_line_breaks(text: str) -> str:
    r"""Return a docstring with `\b` as the character that click reads."""
    return inspect.cleandoc(text).replace("\\b\n", "\b\n")


def _write_parameters(command: Any, ctx: Any, formatter: Any) -> None:
    sections: dict[str, list[tuple[str, str]]] = {title: [] for title in _SECTIONS}
    for parameter in command.get_params(ctx):
        row = parameter.get_help_record(ctx)
        if row is None:
            continue
        if parameter.param_type_name == "argument":
            if parameter.help:
                sections["Arguments"].append((parameter.metavar, parameter.help))
        else:
            sections[parameter.rich_help_panel or "Options"].append((row[0], row[1].removesuffix(".")))
    for title, rows in sections.items():
        if rows:
            with formatter.section(title):
                formatter.write_dl([(names, text.replace(": ", ":\xa0")) for names, text in rows])
    formatter.buffer = [text.replace("\xa0", " ") for text in formatter.buffer]  # kept [env: NAME] on one line
