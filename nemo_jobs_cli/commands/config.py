"""`nemo-jobs config`: what the settings are, where each comes from, and how to change them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nemo_jobs_cli.cli import helptext, options
from nemo_jobs_cli.core.errors import NotFoundError, UsageError
from nemo_jobs_cli.core.text import one_line
from nemo_jobs_cli.output import render, settings_view
from nemo_jobs_cli.output.screen import make_screen
from nemo_jobs_cli.settings import edit, profiles, resolve, token_store
from nemo_jobs_cli.settings.model import Flags

if TYPE_CHECKING:
    from nemo_jobs_cli.settings.model import Screen

_WAYS_TO_SET = {
    "job": "name it where it is needed, or: export NEMO_JOBS_JOB=JOB",
    "token": "set it: nemo-jobs config set token_file FILE",
}

app = helptext.app()


@app.callback()
def group() -> None:
    r"""Show the settings with their origins, and change those of a profile.

    \b
    Examples:
      nemo-jobs config list
      nemo-jobs config set host https://nmp.example.com
      nemo-jobs config set token_file ~/.nemo-token --profile lab
      nemo-jobs config use lab
      nemo-jobs config profiles
    """


@app.command("list")
@options.with_flags
def list_settings(flags: Flags = Flags()) -> None:  # noqa: B008 - frozen, and replaced by the decorator
    r"""Show every setting, its value and where it comes from; secrets are masked.

    \b
    Examples:
      nemo-jobs config list
      nemo-jobs config list --profile lab
      nemo-jobs config list -o json | jq -r .result.host.value
    """
    screen = make_screen(flags)
    settings = resolve.load_settings(flags)
    rows = settings_view.settings_rows(settings)
    warning = settings_view.origin_warning(settings)
    if screen.output != "text":
        facts = {name: {"value": value, "origin": source} for name, value, source in rows}
        render.document("config list", "ok", result=facts, warnings=[warning] if warning else [])
        return
    render.table(screen, ("setting", "value", "from"), rows)
    render.warnings([warning] if warning else [], screen)


@app.command("path")
@options.with_few_flags
def path_of_file(flags: Flags = Flags()) -> None:  # noqa: B008 - as above
    r"""Print the path of the configuration file, whether it exists or not.

    \b
    Examples:
      nemo-jobs config path
      "$EDITOR" "$(nemo-jobs config path)"
    """
    screen, path = make_screen(flags), resolve.require_config_path()
    # Path.exists raises in a folder that may not be entered.
    _answer(screen, "path", str(path), {"path": str(path), "exists": os.path.exists(path)})  # noqa: PTH110


@app.command("get")
@options.with_flags
def get(key: Annotated[str, typer.Argument(metavar="KEY")], *, flags: Flags = Flags()) -> None:  # noqa: B008 - as above
    r"""Print the value of one setting as it holds now; a token is masked.

    \b
    Examples:
      nemo-jobs config get host
      nemo-jobs config get deadline --profile lab
    """
    screen, settings = make_screen(flags), resolve.load_settings(flags)
    rows = [*settings_view.settings_rows(settings), *settings_view.token_source_rows(settings.credential)]
    found = {name: (value, source) for name, value, source in rows}
    if key not in found:
        raise edit.unknown_key(key, tuple(found))
    value, source = found[key]
    if value == "":
        raise NotFoundError(f"{key} is not set", _WAYS_TO_SET.get(key, f"set it: nemo-jobs config set {key} VALUE"))
    _answer(screen, "get", value, {"key": key, "value": value, "origin": source})


@app.command("set")
@options.with_few_flags
def put(
    key: Annotated[str, typer.Argument(metavar="KEY")],
    value: Annotated[str, typer.Argument(metavar="VALUE", help="- reads it from stdin, which a token needs.")],
    *,
    flags: Flags = Flags(),  # noqa: B008 - as above
) -> None:
    r"""Set KEY in a profile of the configuration file (--profile NAME, else the default one).

    \b
    Examples:
      nemo-jobs config set host https://nmp.example.com
      nemo-jobs config set token - --profile lab < token.txt
      nemo-jobs config set token_command 'nemo auth token'
    """
    if key == "token" and value != "-":
        raise UsageError(
            "a token on the command line shows in ps and in the shell's history",
            "pipe it: nemo-jobs config set token - < FILE; or: nemo-jobs config set token_file FILE",
        )
    screen, path = make_screen(flags), resolve.require_config_path()
    profiles.check_name(flags.profile)
    made = edit.parse_value(key, edit.read_stdin() if value == "-" else value)
    with token_store.deleting_unused_token(path, flags.profile):
        name = edit.set_key(path, flags.profile, key, made)
    _answer(screen, "set", None, {"profile": name, "key": key, "path": str(path)})


@app.command("unset")
@options.with_few_flags
def unset(key: Annotated[str, typer.Argument(metavar="KEY")], *, flags: Flags = Flags()) -> None:  # noqa: B008 - as above
    r"""Take KEY out of a profile of the configuration file.

    \b
    Examples:
      nemo-jobs config unset deadline
      nemo-jobs config unset token --profile lab
    """
    if key not in profiles.KEYS:
        raise edit.unknown_key(key, edit.EDITABLE_KEYS)
    screen, path = make_screen(flags), resolve.require_config_path()
    profiles.check_name(flags.profile)
    with token_store.deleting_unused_token(path, flags.profile):
        name = edit.unset_key(path, flags.profile, key)
    _answer(screen, "unset", None, {"profile": name, "key": key, "path": str(path)})


@app.command("use")
@options.with_output_flags
def use(profile: Annotated[str, typer.Argument(metavar="PROFILE")], *, flags: Flags = Flags()) -> None:  # noqa: B008 - as above
    r"""Make PROFILE the one that holds where none is named.

    \b
    Examples:
      nemo-jobs config use lab
    """
    screen, path = make_screen(flags), resolve.require_config_path()
    profiles.check_name(profile, "PROFILE")
    edit.set_default(path, profile)
    named = resolve.environment().get("NEMO_JOBS_PROFILE")
    wins = (
        [f"NEMO_JOBS_PROFILE names profile {profiles.named(named)}, and wins"]
        if named not in {None, "", profile}
        else []
    )
    settings_view.print_default(screen, profile, path, wins)


@app.command("profiles")
@options.with_output_flags
def list_profiles(flags: Flags = Flags()) -> None:  # noqa: B008 - as above
    r"""List the profiles, the default one marked with *.

    \b
    Examples:
      nemo-jobs config profiles
      nemo-jobs config profiles -o json | jq -r '.result[].profile'

    \b
    In a pipe: one profile a line, without a heading:
    MARK<TAB>NAME<TAB>HOST<TAB>WORKSPACE<TAB>TOKEN; what the profile does not say
    is empty, and of the token only the kind is told.
    """
    screen, path = make_screen(flags), resolve.require_config_path()
    settings_view.print_profiles(screen, profiles.load(path, must_exist=False), path)


def _answer(screen: Screen, command: str, text: str | None, facts: dict[str, Any]) -> None:
    if screen.output != "text":
        render.document(f"config {command}", "ok", result=facts)
    elif text is not None:
        render.line(text)
    elif not screen.quiet:
        path = one_line(facts["path"], 300)
        render.message(f"{command} {facts['key']} in profile {profiles.named(facts['profile'])} ({path})")
