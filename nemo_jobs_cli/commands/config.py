"""`nemo-jobs config`: show settings and their sources, edit profiles."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from nemo_jobs_cli.cli import helptext, params
from nemo_jobs_cli.core.errors import NotFoundError, UsageError
from nemo_jobs_cli.core.files import display_path
from nemo_jobs_cli.output import prompt, render, settings_view
from nemo_jobs_cli.output.screen import make_screen
from nemo_jobs_cli.settings import edit, profiles, resolve, token_store

if TYPE_CHECKING:
    from nemo_jobs_cli.settings.model import Screen

_HOW_TO_SET = {
    "job": "name it on the command line, or: export NEMO_JOBS_JOB=JOB",
    "token": "set it: nemo-jobs config set token_file FILE",
}

app = helptext.app(
    """Show settings and their sources; edit profiles.

    \b
    Examples:
      nemo-jobs config list
      nemo-jobs config set host https://nmp.example.com
      nemo-jobs config set token_file ~/.nemo-token --profile lab
      nemo-jobs config use lab
      nemo-jobs config profiles
    """
)

Key = Annotated[str, params.argument("KEY", "Name of a setting: host, workspace, token_file, token_command, ...")]


@params.command(app, "list", *params.CONNECTION, *params.OUTPUT)
def list_settings(invocation: params.Invocation) -> None:
    r"""List the settings with their values and sources; secrets are masked.

    \b
    Examples:
      nemo-jobs config list
      nemo-jobs config list --profile lab
      nemo-jobs config list -o json | jq -r .result.host.value
    """
    screen = make_screen(invocation.flags)
    settings = resolve.load_settings(invocation.flags)
    rows = settings_view.settings_rows(settings)
    warning = settings_view.origin_warning(settings)
    if screen.output != "text":
        facts = {name: {"value": value, "origin": source} for name, value, source in rows}
        render.document("config list", "ok", result=facts, warnings=[warning] if warning else [])
        return
    render.table(screen, ("setting", "value", "from"), rows)
    render.warnings([warning] if warning else [], screen)


@params.command(app, "path", "profile", *params.OUTPUT)
def print_path(invocation: params.Invocation) -> None:
    r"""Print the path of the config file, even if it does not exist.

    \b
    Examples:
      nemo-jobs config path
      "$EDITOR" "$(nemo-jobs config path)"
    """
    screen, path = make_screen(invocation.flags), resolve.require_config_path()
    # Path.exists raises an error for a folder without access.
    _print(screen, "path", str(path), {"path": str(path), "exists": os.path.exists(path)})  # noqa: PTH110


@params.command(app, "get", *params.CONNECTION, *params.OUTPUT)
def print_value(key: Key, invocation: params.Invocation) -> None:
    r"""Print the current value of a setting; a token is masked.

    \b
    Examples:
      nemo-jobs config get host
      nemo-jobs config get deadline --profile lab
    """
    screen, settings = make_screen(invocation.flags), resolve.load_settings(invocation.flags)
    rows = [*settings_view.settings_rows(settings), *settings_view.token_source_rows(settings.credential)]
    values = {name: (value, source) for name, value, source in rows}
    if key not in values:
        raise edit.unknown_key(key, tuple(values))
    value, source = values[key]
    if value == "":
        raise NotFoundError(f"{key} is not set", _HOW_TO_SET.get(key, f"set it: nemo-jobs config set {key} VALUE"))
    _print(screen, "get", value, {"key": key, "value": value, "origin": source})


@params.command(app, "set", "profile", *params.OUTPUT)
def set_value(
    key: Key,
    value: Annotated[
        str, params.argument("VALUE", "Value, or - to read it from stdin; a token must be read from stdin")
    ],
    invocation: params.Invocation,
) -> None:
    r"""Set KEY in a profile of the config file.

    \b
    Examples:
      nemo-jobs config set host https://nmp.example.com
      nemo-jobs config set token - --profile lab < token.txt
      nemo-jobs config set token_command 'nemo auth token'
    """
    if key == "token" and value != "-":
        raise UsageError(
            "cannot take a token from the command line: it shows in ps and in the shell's history",
            "pipe it: nemo-jobs config set token - < FILE; or: nemo-jobs config set token_file FILE",
        )
    screen, path = make_screen(invocation.flags), resolve.require_config_path()
    profiles.check_name(invocation.flags.profile)
    if value == "-":
        prompt.announce_stdin(screen)
        value = edit.read_value()
    parsed = edit.parse_value(key, value)
    with token_store.deleting_unused_token(path, invocation.flags.profile):
        name = edit.set_key(path, invocation.flags.profile, key, parsed)
    _print(screen, "set", None, {"profile": name, "key": key, "path": str(path)})


@params.command(app, "unset", "profile", *params.OUTPUT)
def unset(key: Key, invocation: params.Invocation) -> None:
    r"""Remove KEY from a profile of the config file.

    \b
    Examples:
      nemo-jobs config unset deadline
      nemo-jobs config unset token --profile lab
    """
    if key not in profiles.KEYS:
        raise edit.unknown_key(key, edit.EDITABLE_KEYS)
    screen, path = make_screen(invocation.flags), resolve.require_config_path()
    profiles.check_name(invocation.flags.profile)
    with token_store.deleting_unused_token(path, invocation.flags.profile):
        name = edit.unset_key(path, invocation.flags.profile, key)
    _print(screen, "unset", None, {"profile": name, "key": key, "path": str(path)})


@params.command(app, "use", *params.OUTPUT)
def use(
    profile: Annotated[str, params.argument("PROFILE", "Name of a profile (see `config profiles`)")],
    invocation: params.Invocation,
) -> None:
    r"""Make PROFILE the default profile.

    \b
    Examples:
      nemo-jobs config use lab
    """
    screen, path = make_screen(invocation.flags), resolve.require_config_path()
    profiles.check_name(profile, "PROFILE")
    edit.set_default(path, profile)
    override = resolve.environment().get("NEMO_JOBS_PROFILE") or profile
    warnings = (
        [f"NEMO_JOBS_PROFILE overrides it: profile {profiles.display_name(override)}"] if override != profile else []
    )
    settings_view.print_default(screen, profile, path, warnings)


@params.command(app, "profiles", *params.OUTPUT)
def list_profiles(invocation: params.Invocation) -> None:
    r"""List the profiles; * marks the default.

    \b
    Examples:
      nemo-jobs config profiles
      nemo-jobs config profiles -o json | jq -r '.result[].profile'

    \b
    In a pipe: one profile per line, without a heading:
    MARK<TAB>NAME<TAB>HOST<TAB>WORKSPACE<TAB>TOKEN; an unset value is empty,
    and TOKEN is only the kind of token.
    """
    screen, path = make_screen(invocation.flags), resolve.require_config_path()
    settings_view.print_profiles(screen, profiles.load(path, must_exist=False), path)


def _print(screen: Screen, command: str, text: str | None, facts: dict[str, Any]) -> None:
    if screen.output != "text":
        render.document(f"config {command}", "ok", result=facts)
    elif text is not None:
        render.line(text)
    elif not screen.quiet:
        path = display_path(Path(facts["path"]))
        render.message(f"{command} {facts['key']} in profile {profiles.display_name(facts['profile'])} ({path})")
