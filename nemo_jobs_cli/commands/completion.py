"""`nemo-jobs completion`: TAB completion for bash, zsh and fish."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from nemo_jobs_cli.cli import helptext, params
from nemo_jobs_cli.completion import script_files, scripts, shell_startup, view
from nemo_jobs_cli.core.errors import UsageError
from nemo_jobs_cli.core.files import display_path
from nemo_jobs_cli.output import prompt, render
from nemo_jobs_cli.output.screen import make_screen
from nemo_jobs_cli.settings import resolve
from nemo_jobs_cli.setup import interview
from nemo_jobs_cli.setup.interview import Prompter

if TYPE_CHECKING:
    from nemo_jobs_cli.completion.script_files import Target
    from nemo_jobs_cli.settings.model import Screen

app = helptext.app(
    """Set up TAB completion for bash, zsh and fish.

    \b
    Examples:
      nemo-jobs completion install
      nemo-jobs completion install fish
      nemo-jobs completion bash > /etc/bash_completion.d/nemo-jobs
      nemo-jobs completion uninstall

    Completed jobs, keys and values are those that `update`, `show` and `list` have
    printed on a terminal in the last 30 days. TAB never uses the network.
    """
)

Shell = Annotated[str | None, params.argument("[SHELL]", "bash, zsh or fish [default: from $SHELL]")]


def _add_printer(shell: str, example: str) -> None:
    def print_script() -> None:
        render.raw(scripts.generate(shell))

    print_script.__doc__ = f"Print the script for {shell}.\n\n\\b\nExamples:\n  {example}\n"
    params.command(app, shell)(print_script)


_add_printer("bash", "source <(nemo-jobs completion bash)")
_add_printer("zsh", "nemo-jobs completion zsh > ~/.zfunc/_nemo-jobs")
_add_printer("fish", "nemo-jobs completion fish | source")


@params.command(app, "install", *params.OUTPUT)
def install(
    invocation: params.Invocation,
    shell: Shell = None,
    edit_rc: Annotated[
        bool | None,
        params.option("--edit-rc/--no-edit-rc", help="Edit the startup file of the shell if needed", default="ask"),
    ] = None,
) -> None:
    r"""Install the script in a folder that the shell searches.

    \b
    Examples:
      nemo-jobs completion install
      nemo-jobs completion install zsh --edit-rc
    """
    screen, environ = make_screen(invocation.flags), resolve.environment(secrets=False)
    name = script_files.choose_shell(shell, environ)
    target = script_files.find_target(name, environ, shell_startup.inspect(name, environ))
    edited = not target.searches and (_may_edit(target, screen) if edit_rc is None else edit_rc)
    script_files.install(target)  # after the question: Ctrl-C there changes nothing
    if edited:
        shell_startup.add(target.startup_file, target.lines)
    view.installed(screen, target, edited=edited)


@params.command(app, "uninstall", *params.OUTPUT)
def uninstall(invocation: params.Invocation, shell: Shell = None) -> None:
    r"""Remove the script and the lines of `install` in the startup file.

    \b
    Examples:
      nemo-jobs completion uninstall zsh
    """
    screen, environ = make_screen(invocation.flags), resolve.environment(secrets=False)
    name = script_files.choose_shell(shell, environ, "uninstall")
    startup = shell_startup.inspect(name, environ)
    target = script_files.find_target(name, environ, startup)
    removed = script_files.uninstall(name, environ, startup)
    cleaned = bool(target.lines) and shell_startup.remove(target.startup_file)
    left = bool(target.lines) and shell_startup.mentions(target.startup_file, target.path)
    view.uninstalled(screen, target, removed, cleaned=cleaned, left=left)


@params.command(app, "table", hidden=True)
def table() -> None:
    r"""Print the module `_table`, generated from the command tree.

    \b
    Examples:
      nemo-jobs completion table > new
    """
    from nemo_jobs_cli.cli.app import app as root
    from nemo_jobs_cli.completion import make_table

    render.raw(make_table.source(typer.main.get_command(root)))


def _may_edit(target: Target, screen: Screen) -> bool:
    """Ask whether to edit the startup file; return False without a terminal."""
    if not (screen.terminal and prompt.can_prompt()):
        return False
    view.plan(target)
    prompter = Prompter(prompt.ask, prompt.ask_hidden, lambda error: render.error(error, "completion install", screen))
    try:
        return interview.confirm(prompter, f"add this to {display_path(target.startup_file)}?", default=False)
    except UsageError as error:
        raise UsageError(error.message, "use --edit-rc or --no-edit-rc") from None
