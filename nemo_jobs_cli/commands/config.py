"""`nemo-jobs config`: what the settings are, where each comes from, and how to change them."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nemo_jobs_cli import config, credentials, describing, helptext, options, profile_store, profiles, render, screens
from nemo_jobs_cli.errors import NotFoundError, SettingsError, UsageError
from nemo_jobs_cli.sanitize import one_line
from nemo_jobs_cli.settings import Flags

if TYPE_CHECKING:
    from pathlib import Path

    from nemo_jobs_cli.settings import Screen

_WAYS_TO_A_TOKEN = frozenset({"token_file", "token_command"})

_WAYS_TO_SET = {
    "job": "name it where it is needed, or: export NEMO_JOBS_JOB=JOB",
    "token": "set it: nemo-jobs config set token_file FILE",
}

LONGEST_VALUE = 64 * 1024

app = helptext.app()


@app.callback()
def group() -> None:
    r"""Show the settings with their origins, and change those of a profile.

    \b
    Examples:
      nemo-jobs config list
      nemo-jobs config set host https://nmp.example.com
      nemo-jobs config set token_file ~/.nemo-token --profile lab
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
    screen = screens.screen(flags)
    settings = config.resolve(flags)
    rows = describing.describe(settings)
    warning = describing.misdirected(settings)
    if screen.output != "text":
        facts = {name: {"value": value, "origin": origin} for name, value, origin in rows}
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
    screen, path = screens.screen(flags), _path()
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
    screen = screens.screen(flags)
    found = {name: (value, origin) for name, value, origin in describing.describe(config.resolve(flags))}
    row = "token" if key in _WAYS_TO_A_TOKEN else key
    if row not in found:
        raise _unknown(key, tuple(found))
    value, origin = found[row]
    if value == "":
        raise NotFoundError(f"{key} is not set", _WAYS_TO_SET.get(row, f"set it: nemo-jobs config set {key} VALUE"))
    _answer(screen, "get", value, {"key": key, "value": value, "origin": origin})


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
    screen, path = screens.screen(flags), _path()
    _check_profile(flags)
    made = parse(key, _from_stdin() if value == "-" else value)
    name = profile_store.put(path, flags.profile, key, made)
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
        raise _unknown(key, tuple(profiles.KEYS))
    screen, path = screens.screen(flags), _path()
    _check_profile(flags)
    name = profile_store.remove(path, flags.profile, key)
    _answer(screen, "unset", None, {"profile": name, "key": key, "path": str(path)})


def parse(key: str, text: str) -> Any:
    """Return the text of a value as the profile holds it; raise UsageError for what no profile takes."""
    if key not in profiles.KEYS:
        raise _unknown(key, tuple(profiles.KEYS))
    if not _is_utf8(text):
        raise UsageError(f"the value of {key} is not UTF-8 text", "the file holds UTF-8 alone: rename, or convert it")
    kinds = profiles.KEYS[key]
    value: Any = text
    if bool in kinds:
        value = {"true": True, "false": False}.get(text.lower(), text)
    elif kinds == (list,):
        value = [entry.strip() for entry in text.split(",") if entry.strip()]
    elif not text:
        raise UsageError(f"the value of {key} is empty", f"take it out with: nemo-jobs config unset {key}")
    wanted = profiles.wanted(key, value)
    if wanted is not None:
        example = f"nemo-jobs config set {key} {wanted.partition(' ')[0]}"
        raise UsageError(f"{key} must be {wanted}: {one_line(text, 60)!r}", f"write, say: {example}")
    try:
        if key == "token":
            credentials.clean(text, "stdin")
        config.check_setting(key, value)
    except SettingsError as error:
        raise UsageError(error.message, error.hint, pointer=error.pointer) from None
    return value


def _from_stdin() -> str:
    """Return stdin without the space around it; raise UsageError where it can't be a value."""
    try:
        text = sys.stdin.read(LONGEST_VALUE + 1) if sys.stdin else ""
    except (OSError, ValueError):
        raise UsageError("stdin is not UTF-8 text, or can't be read", "look what is piped into this") from None
    if len(text) > LONGEST_VALUE:
        raise UsageError(f"stdin holds more than {LONGEST_VALUE >> 10} KiB", "look what is piped into this")
    return text.strip()


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # what Python makes of other bytes on the command line
        return False
    return True


def _check_profile(flags: Flags) -> None:
    if flags.profile == "":
        raise UsageError("--profile is empty", "name a profile, or leave --profile out (is a shell variable unset?)")
    if flags.profile is not None and not _is_utf8(flags.profile):
        raise UsageError("--profile is not UTF-8 text", "name the profile in UTF-8")


def _path() -> Path:
    path = config.config_path()
    if path is None:
        raise SettingsError(
            "there is no home folder to keep a configuration in", "name a file: export NEMO_JOBS_CONFIG=FILE"
        )
    return path


def _answer(screen: Screen, command: str, text: str | None, facts: dict[str, Any]) -> None:
    if screen.output != "text":
        render.document(f"config {command}", "ok", result=facts)
    elif text is not None:
        render.line(text)
    elif not screen.quiet:
        path = one_line(facts["path"], 300)
        render.say(f"{command} {facts['key']} in profile {profiles.named(facts['profile'])} ({path})")


def _unknown(key: str, known: tuple[str, ...]) -> UsageError:
    import difflib

    close = difflib.get_close_matches(key, known, n=1)
    return UsageError(
        f"{one_line(key, 60)!r} is no setting",
        f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}",
    )
