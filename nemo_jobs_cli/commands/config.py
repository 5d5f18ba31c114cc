"""`nemo-jobs config`: what the settings are, where each comes from, and how to change them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nemo_jobs_cli import (
    config,
    credentials,
    options,
    profile_store,
    profile_values,
    profiles,
    render,
    render_setup,
    screens,
)
from nemo_jobs_cli.errors import NemoJobsError, NotFoundError, UsageError
from nemo_jobs_cli.sanitize import one_line
from nemo_jobs_cli.settings import Flags

if TYPE_CHECKING:
    from nemo_jobs_cli.settings import Screen, Settings

_WAYS_TO_A_TOKEN = frozenset({"token_file", "token_command"})

_WAYS_TO_SET = {
    "job": "name it where it is needed, or: export NEMO_JOBS_JOB=JOB",
    "token": "set it: nemo-jobs config set token_file FILE",
}

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


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
    """Show every setting, its value and where it comes from; secrets are masked."""
    screen = screens.screen(flags)
    settings = config.resolve(flags)
    rows = describe(settings)
    warning = misdirected(settings)
    if screen.output != "text":
        facts = {name: {"value": value, "origin": origin} for name, value, origin in rows}
        render.document("config list", "ok", result=facts, warnings=[warning] if warning else [])
        return
    render.table(screen, ("setting", "value", "from"), rows)
    render.warnings([warning] if warning else [], screen)


@app.command("path")
@options.with_few_flags
def path_of_file(flags: Flags = Flags()) -> None:  # noqa: B008 - as above
    """Print the path of the configuration file, whether it exists or not."""
    screen, path = screens.screen(flags), config.file_to_change()
    # Path.exists raises in a folder that may not be entered.
    _answer(screen, "path", str(path), {"path": str(path), "exists": os.path.exists(path)})  # noqa: PTH110


@app.command("get")
@options.with_flags
def get(key: Annotated[str, typer.Argument(metavar="KEY")], *, flags: Flags = Flags()) -> None:  # noqa: B008 - as above
    """Print the value of one setting as it holds now; a token is masked."""
    screen = screens.screen(flags)
    found = {name: (value, origin) for name, value, origin in describe(config.resolve(flags))}
    row = "token" if key in _WAYS_TO_A_TOKEN else key
    if row not in found:
        raise profile_values.unknown(key, tuple(found))
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
    """Set KEY in a profile of the configuration file (--profile NAME, else the default one)."""
    if key == "token" and value != "-":
        raise UsageError(
            "a token on the command line shows in ps and in the shell's history",
            "pipe it: nemo-jobs config set token - < FILE; or: nemo-jobs config set token_file FILE",
        )
    screen, path = screens.screen(flags), config.file_to_change()
    profiles.check_name(flags.profile)
    made = profile_values.parse(key, profile_values.from_stdin() if value == "-" else value)
    name = profile_store.put(path, flags.profile, key, made)
    _answer(screen, "set", None, {"profile": name, "key": key, "path": str(path)})


@app.command("unset")
@options.with_few_flags
def unset(key: Annotated[str, typer.Argument(metavar="KEY")], *, flags: Flags = Flags()) -> None:  # noqa: B008 - as above
    """Take KEY out of a profile of the configuration file."""
    if key not in profiles.KEYS:
        raise profile_values.unknown(key, tuple(profiles.KEYS))
    screen, path = screens.screen(flags), config.file_to_change()
    profiles.check_name(flags.profile)
    name = profile_store.remove(path, flags.profile, key)
    _answer(screen, "unset", None, {"profile": name, "key": key, "path": str(path)})


@app.command("use")
@options.with_output_flags
def use(profile: Annotated[str, typer.Argument(metavar="PROFILE")], *, flags: Flags = Flags()) -> None:  # noqa: B008 - as above
    """Make PROFILE the one that holds where none is named."""
    screen, path = screens.screen(flags), config.file_to_change()
    profiles.check_name(profile, "PROFILE")
    profile_store.use(path, profile)
    named = config.environment().get("NEMO_JOBS_PROFILE")
    wins = (
        [f"NEMO_JOBS_PROFILE names profile {profiles.named(named)}, and wins"]
        if named not in {None, "", profile}
        else []
    )
    render_setup.used(screen, profile, path, wins)


@app.command("profiles")
@options.with_output_flags
def list_profiles(flags: Flags = Flags()) -> None:  # noqa: B008 - as above
    r"""List the profiles, the default one marked with *.

    \b
    In a pipe: one profile a line, MARK<TAB>NAME<TAB>HOST<TAB>WORKSPACE<TAB>TOKEN, without a heading;
    what the profile does not say is empty, and of the token only the kind is told.
    """
    screen, path = screens.screen(flags), config.file_to_change()
    render_setup.profiles(screen, profiles.load(path, must_exist=False), path)


def describe(settings: Settings) -> list[tuple[str, str, str]]:
    """Return each setting as name, value and origin; what is not set has the value ""."""
    job, ca_file, credential = settings.job, settings.ca_file, settings.credential
    outbox_dir = settings.outbox_dir
    added = sorted(settings.numbers.value - type(settings)().numbers.value)
    token = ""
    if credential is not None:
        size = f" ({len(credential.secret)} characters)" if credential.kind == "token" else ""
        bound = f", only for {credential.bound_to}" if credential.bound_to else ""
        token = f"{credential.kind}{size}{bound}"
    return [
        ("host", settings.host.value, settings.host.origin),
        ("workspace", settings.workspace.value, settings.workspace.origin),
        ("job", job.value if job else "", job.origin if job else "not set"),
        ("token", token, credential.origin if credential else "not set"),
        ("ca_file", ca_file.value if ca_file else "", ca_file.origin if ca_file else "not set"),
        ("allow_http", "true" if settings.allow_http.value else "false", settings.allow_http.origin),
        ("deadline", f"{settings.deadline.value:g}", settings.deadline.origin),
        ("numbers", ",".join(added), settings.numbers.origin),
        ("api", settings.api.value, settings.api.origin),
        ("outbox", "true" if settings.outbox.value else "false", settings.outbox.origin),
        ("outbox_dir", outbox_dir.value if outbox_dir else "", outbox_dir.origin if outbox_dir else "not set"),
        ("best_effort", "true" if settings.best_effort.value else "false", settings.best_effort.origin),
    ]


def misdirected(settings: Settings) -> str:
    """Return a warning where the token that would be used must not go to the host, or ""."""
    if settings.credential is None:
        return ""
    try:
        credentials.check_target(settings, settings.credential)
    except NemoJobsError as error:
        return f"{error.message}; {error.hint}"
    return ""


def _answer(screen: Screen, command: str, text: str | None, facts: dict[str, Any]) -> None:
    if screen.output != "text":
        render.document(f"config {command}", "ok", result=facts)
    elif text is not None:
        render.line(text)
    elif not screen.quiet:
        path = one_line(facts["path"], 300)
        render.say(f"{command} {facts['key']} in profile {profiles.named(facts['profile'])} ({path})")
