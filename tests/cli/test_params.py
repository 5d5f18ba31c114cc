"""The help of the options says what the program does."""

from __future__ import annotations

import re

import typer

from nemo_jobs_cli.api import wait
from nemo_jobs_cli.cli import app
from nemo_jobs_cli.commands import list as list_command
from nemo_jobs_cli.core import times
from nemo_jobs_cli.delivery import outbox
from nemo_jobs_cli.fields.files import STDIN
from nemo_jobs_cli.output.screen import make_screen
from nemo_jobs_cli.sandbox import server
from nemo_jobs_cli.settings import resolve
from nemo_jobs_cli.settings.model import FLOW_DEADLINE, Flags

# Defaults that a rule decides, not a value.
RULES = {"--use": "ask", "--edit-rc": "ask", "--pty": "if stdout is one"}


def options_with_default():
    """Yield the name of each option whose help states a default, the option, and that text."""
    groups = [("", typer.main.get_command(app.app))]
    for path, group in groups:
        for name in group.list_commands(None):
            command = group.get_command(None, name)
            if hasattr(command, "list_commands"):
                groups.append((f"{name} ", command))
                continue
            for option in command.params:
                stated = re.search(r"\[default: (.*?)\]", getattr(option, "help", None) or "")
                if stated is not None and option.param_type_name == "option":
                    yield f"{path}{name} {option.opts[0]}", option, stated[1]


def real_default(option):
    """Return the default as the help would write it, a number of seconds as it is."""
    settings = resolve.load_settings(Flags(), {})
    defaults = {
        "--host": settings.host.value,
        "--workspace": settings.workspace.value,
        "--deadline": f"{settings.deadline.value:g}s; {FLOW_DEADLINE:g}s for run and stream",
        "--outbox": settings.outbox.value,
        "--best-effort": settings.best_effort.value,
        "--stamp": "on for run and stream, else off",  # tests of these commands
        "--max-entries": outbox.MAX_ENTRIES,
        "--output": make_screen(Flags(), {}).output,
        "--interval": wait.INTERVAL,  # those of run and stream are declared
        "--limit": f"{list_command.TERMINAL_LIMIT} on a terminal",
        "--port": f"{server.DEFAULT_PORT}; with COMMAND a free one",
    }
    name = option.opts[0]
    default = defaults.get(name, RULES.get(name)) if option.default is None else option.default
    if isinstance(default, bool):
        return name.removeprefix("--") if default else "off"
    return "stdin" if default == STDIN else default


def states(text, default, name):
    """Return whether the text of an option's help states its default."""
    return times.parse_duration(text, name) == default if isinstance(default, float) else text == str(default)


def test_a_stated_default_is_the_real_one():
    """Of the shared options and of those of each command."""
    stated = [(name, text, real_default(option), option.opts[0]) for name, option, text in options_with_default()]
    assert len(stated) > 90
    assert [row for row in stated if not states(*row[1:])] == []
