"""`nemo-jobs completion`: tab completion for bash, zsh and fish."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from nemo_jobs_cli.cli import helptext, options
from nemo_jobs_cli.completion import install as installing
from nemo_jobs_cli.completion import scripts, shell_startup, view
from nemo_jobs_cli.core.errors import UsageError
from nemo_jobs_cli.core.files import display_path
from nemo_jobs_cli.output import prompt, render
from nemo_jobs_cli.output.screen import make_screen
from nemo_jobs_cli.settings import resolve
from nemo_jobs_cli.settings.model import Flags
from nemo_jobs_cli.setup import interview
from nemo_jobs_cli.setup.interview import Prompter

if TYPE_CHECKING:
    from nemo_jobs_cli.completion.install import Spot
    from nemo_jobs_cli.settings.model import Screen

app = helptext.app()

_Shell = Annotated[str | None, typer.Argument(metavar="[SHELL]", help="bash, zsh or fish (else that of $SHELL).")]


@app.callback()
def group() -> None:
    r"""Complete commands, options, jobs, fields and values with TAB, in bash, zsh and fish.

    \b
    Examples:
      nemo-jobs completion install
      nemo-jobs completion install fish
      nemo-jobs completion bash > /etc/bash_completion.d/nemo-jobs
      nemo-jobs completion uninstall

    Names of jobs, keys and values are those that `update`, `show` and `list` have
    shown you on a terminal in the last 30 days. A TAB never asks the network.
    """


@app.command("bash")
def bash() -> None:
    r"""Print the script for bash.

    \b
    Examples:
      source <(nemo-jobs completion bash)
    """
    render.raw(scripts.generate("bash"))


@app.command("zsh")
def zsh() -> None:
    r"""Print the script for zsh.

    \b
    Examples:
      nemo-jobs completion zsh > ~/.zfunc/_nemo-jobs
    """
    render.raw(scripts.generate("zsh"))


@app.command("fish")
def fish() -> None:
    r"""Print the script for fish.

    \b
    Examples:
      nemo-jobs completion fish | source
    """
    render.raw(scripts.generate("fish"))


@app.command("install")
@options.with_output_flags
def install(
    shell: _Shell = None,
    *,
    edit_rc: Annotated[
        bool | None,
        typer.Option("--edit-rc/--no-edit-rc", help="Add what the shell needs to its start file (else it asks)."),
    ] = None,
    flags: Flags = Flags(),  # noqa: B008 - frozen, and replaced by the decorator
) -> None:
    r"""Put the script where the shell looks for it.

    \b
    Examples:
      nemo-jobs completion install
      nemo-jobs completion install zsh --edit-rc
    """
    screen, environ = make_screen(flags), resolve.environment(secrets=False)
    meant = installing.chosen(shell, environ)
    where = installing.spot(meant, environ, shell_startup.ask(meant, environ))
    edited = not where.finds and (_may_edit(where, screen) if edit_rc is None else edit_rc)
    installing.install(where)  # after the question: who leaves at it finds nothing changed
    if edited:
        shell_startup.add(where.rc, where.lines)
    view.installed(screen, where, edited=edited)


@app.command("uninstall")
@options.with_output_flags
def uninstall(shell: _Shell = None, *, flags: Flags = Flags()) -> None:  # noqa: B008 - as above
    r"""Take away what `install` has put there, the lines in the start file too.

    \b
    Examples:
      nemo-jobs completion uninstall zsh
    """
    screen, environ = make_screen(flags), resolve.environment(secrets=False)
    meant = installing.chosen(shell, environ, "uninstall")
    start = shell_startup.ask(meant, environ)
    where = installing.spot(meant, environ, start)
    gone = installing.uninstall(meant, environ, start)
    cleaned = bool(where.lines) and shell_startup.remove(where.rc)
    left = bool(where.lines) and shell_startup.names(where.rc, where.path)
    view.uninstalled(screen, where, gone, cleaned=cleaned, left=left)


@app.command("table", hidden=True)
def table(context: typer.Context) -> None:
    r"""Print the module `table`, made from the command tree.

    \b
    Examples:
      nemo-jobs completion table > new && mv new nemo_jobs_cli/completion/table.py
    """
    from nemo_jobs_cli.completion import make_table

    render.raw(make_table.source(context.find_root().command))


def _may_edit(where: Spot, screen: Screen) -> bool:
    """Ask whether the start file may be changed; nobody is asked where nobody can answer."""
    if not (screen.terminal and prompt.can_prompt()):
        return False
    view.plan(where)
    prompter = Prompter(prompt.ask, prompt.ask_hidden, lambda error: render.error(error, "completion install", screen))
    try:
        return interview.confirm(prompter, f"add this to {display_path(where.rc)}?", default=False)
    except UsageError as error:
        raise UsageError(error.message, "answer beforehand: --edit-rc or --no-edit-rc") from None
