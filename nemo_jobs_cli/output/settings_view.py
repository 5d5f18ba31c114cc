"""Describe settings and profiles; show only kind and length of a token."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.auth import credentials
from nemo_jobs_cli.core.errors import NemoJobsError
from nemo_jobs_cli.core.files import display_path
from nemo_jobs_cli.core.text import hide_tokens, one_line
from nemo_jobs_cli.output import render
from nemo_jobs_cli.settings import profiles as files
from nemo_jobs_cli.settings.sources import PROFILE_TOKENS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nemo_jobs_cli.settings.model import Credential, Screen, Settings, Sourced

COLUMNS = ("", "profile", "host", "workspace", "token")


def settings_rows(settings: Settings) -> list[tuple[str, str, str]]:
    """Return each setting as name, value ("" if not set) and source."""
    job, ca_file, credential = settings.job, settings.ca_file, settings.credential
    outbox_dir, stamp = settings.outbox_dir, settings.stamp
    added = sorted(settings.numbers.value - type(settings)().numbers.value)
    token = ""
    if credential is not None:
        size = f" ({len(credential.secret)} characters)" if credential.kind == "token" else ""
        bound = f", only for {credential.bound_to}" if credential.bound_to else ""
        token = f"{credential.kind}{size}{bound}"
    return [
        ("host", settings.host.value, settings.host.source),
        ("workspace", settings.workspace.value, settings.workspace.source),
        ("job", job.value if job else "", job.source if job else "not set"),
        ("token", token, credential.source if credential else "not set"),
        ("ca_file", ca_file.value if ca_file else "", ca_file.source if ca_file else "not set"),
        ("allow_http", _switch(settings.allow_http), settings.allow_http.source),
        ("deadline", f"{settings.deadline.value:g}", settings.deadline.source),
        ("numbers", ",".join(added), settings.numbers.source),
        ("api", settings.api.value, settings.api.source),
        ("outbox", _switch(settings.outbox), settings.outbox.source),
        ("outbox_dir", outbox_dir.value if outbox_dir else "", outbox_dir.source if outbox_dir else "not set"),
        ("best_effort", _switch(settings.best_effort), settings.best_effort.source),
        ("stamp", _switch(stamp) if stamp else "", stamp.source if stamp else "not set"),
    ]


def _switch(setting: Sourced[bool]) -> str:
    return "true" if setting.value else "false"


def token_source_rows(credential: Credential | None) -> list[tuple[str, str, str]]:
    """Return name, value and source of token_file and token_command."""
    rows = {"token_file": ("", "not set"), "token_command": ("", "not set")}
    if credential is not None and credential.kind == "file":
        rows["token_file"] = (credential.secret, credential.source)
    elif credential is not None and credential.kind == "command":
        secret = credential.secret
        command = shlex.join(secret.split("\0")[:-1]) if "\0" in secret else secret
        rows["token_command"] = (command, credential.source)
    return [(name, hide_tokens(value), source) for name, (value, source) in rows.items()]


def origin_warning(settings: Settings) -> str:
    """Return a warning if the token must not be sent to the host, or ""."""
    if settings.credential is None:
        return ""
    try:
        credentials.check_target(settings, settings.credential)
    except NemoJobsError as error:
        return f"{error.message}; {error.hint}"
    return ""


def print_profiles(screen: Screen, document: dict[str, Any], path: Path) -> None:
    """Print the profiles of a file, and mark the default."""
    default = files.default_name(document)
    tables = document.get("profiles", {})
    warnings = []
    if default is not None and default not in tables:
        name = files.display_name(default)
        warnings = [f"default_profile {name!r} does not exist; choose another: nemo-jobs config use PROFILE"]
    if screen.output != "text":
        result = [{"profile": name, "default": name == default, **_facts(table)} for name, table in tables.items()]
        render.document("config profiles", "ok", result=result, path=str(path), warnings=warnings)
        return
    rows = [("*" if name == default else "", name, *_facts(table).values()) for name, table in tables.items()]
    if rows:
        render.table(screen, COLUMNS, [[cell or "" for cell in row] for row in rows])
    elif not screen.quiet:
        render.message(f"no profiles in {display_path(path)}; create one: nemo-jobs init")
    render.warnings(warnings, screen)


def print_default(screen: Screen, name: str, path: Path, warnings: Sequence[str]) -> None:
    """Print that a profile is now the default."""
    if screen.output != "text":
        render.document("config use", "ok", result={"profile": name, "path": str(path)}, warnings=list(warnings))
    elif not screen.quiet:
        render.message(f"profile {files.display_name(name)} is now the default ({display_path(path)})")
        render.warnings(warnings, screen)


def print_test(screen: Screen, host: str, workspace: str, credential: str) -> None:
    """Print that the settings work; `credential` is "" without a token."""
    if screen.output == "text" and not screen.quiet:
        how = f"with the {credential}" if credential else "without a token"
        render.message(f"connected to {one_line(host, 200)} {how}; workspace {workspace!r} can be read")


def print_written(screen: Screen, facts: Mapping[str, Any], changes: str, warnings: Sequence[str]) -> None:
    """Print the changes of a profile, its file, and the next step."""
    if screen.output != "text":
        render.document("init", "ok", result=dict(facts), warnings=list(warnings))
        return
    if screen.quiet:
        return
    name, path = files.display_name(facts["profile"]), display_path(Path(facts["path"]))
    role = "; it is the default profile" if facts["default"] else ""
    render.message(f"{changes} in profile {name} ({path}){role}")
    if facts["token_file"] is not None and facts["token"] == "stored":  # noqa: S105 - a word, not a token
        render.message(f"stored the token in {display_path(Path(facts['token_file']))}, readable only by you")
    render.warnings(warnings, screen)
    render.message(f"next: {facts['next']}")


def describe_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Return the changed settings of a profile, as a clause without values."""
    changed = [key for key, value in after.items() if before.get(key) != value]
    removed = [key for key in before if key not in after]
    changes = [f"{verb} {', '.join(keys)}" for verb, keys in (("set", changed), ("unset", removed)) if keys]
    return " and ".join(changes) or "nothing changed"


def _facts(table: Mapping[str, Any]) -> dict[str, str | None]:
    """Return host, workspace and token of a profile, None if not set."""
    kind = next((key for key in PROFILE_TOKENS if key in table), None)
    size = f" ({len(table['token'])} characters)" if kind == "token" else ""
    token = None if kind is None else f"{kind.removeprefix('token_')}{size}"
    return {"host": table.get("host"), "workspace": table.get("workspace"), "token": token}
