"""Say which profiles there are, and what has been written to one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.core.text import one_line
from nemo_jobs_cli.output import render
from nemo_jobs_cli.settings import profiles as files
from nemo_jobs_cli.settings.sources import PROFILE_TOKENS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from nemo_jobs_cli.settings.model import Screen

COLUMNS = ("", "profile", "host", "workspace", "token")


def profiles(screen: Screen, document: dict[str, Any], path: Path) -> None:
    """Print the profiles of a file: the default one marked, of each token its kind alone."""
    default = files.default_name(document)
    tables = document.get("profiles", {})
    lost = [] if default is None or default in tables else [_lost(default)]
    if screen.output != "text":
        result = [{"profile": name, "default": name == default, **_facts(table)} for name, table in tables.items()]
        render.document("config profiles", "ok", result=result, path=str(path), warnings=lost)
        return
    rows = [("*" if name == default else "", name, *_facts(table).values()) for name, table in tables.items()]
    if rows:
        render.table(screen, COLUMNS, [[cell or "" for cell in row] for row in rows])
    elif not screen.quiet:
        render.say(f"there are no profiles in {files.shown(path)}; make one: nemo-jobs init")
    render.warnings(lost, screen)


def used(screen: Screen, name: str, path: Path, warnings: Sequence[str]) -> None:
    """Say that a profile is the default one."""
    if screen.output != "text":
        render.document("config use", "ok", result={"profile": name, "path": str(path)}, warnings=list(warnings))
    elif not screen.quiet:
        render.say(f"profile {files.named(name)} is the default one ({one_line(str(path), 300)})")
        render.warnings(warnings, screen)


def tested(screen: Screen, host: str, workspace: str, who: str) -> None:
    """Say that the answers work; `who` asked, "" without a token."""
    if screen.output == "text" and not screen.quiet:
        how = f"with the {who}" if who else "without a token"
        render.say(f"{one_line(host, 200)} answers, workspace {workspace} can be read {how}")


def written(screen: Screen, facts: Mapping[str, Any], warnings: Sequence[str]) -> None:
    """Say what was written where, and what to do next."""
    if screen.output != "text":
        render.document("init", "ok", result=dict(facts), warnings=list(warnings))
        return
    if screen.quiet:
        return
    name, path = files.named(facts["profile"]), one_line(facts["path"], 300)
    role = ", the default one" if facts["default"] else ""
    render.say(f"wrote profile {name}{role}: {', '.join(facts['keys'])} ({path})")
    if facts["token_file"] is not None and facts["token"] == "stored":  # noqa: S105 - the word for what was done
        render.say(f"wrote the token, for your eyes only ({one_line(facts['token_file'], 300)})")
    render.warnings(warnings, screen)
    render.say(f"next: {facts['next']}")


def _facts(table: Mapping[str, Any]) -> dict[str, str | None]:
    """Return what is told of a profile; None is what it doesn't say."""
    kind = next((key for key in PROFILE_TOKENS if key in table), None)
    size = f" ({len(table['token'])} characters)" if kind == "token" else ""
    shown = None if kind is None else f"{kind.removeprefix('token_')}{size}"
    return {"host": table.get("host"), "workspace": table.get("workspace"), "token": shown}


def _lost(default: str) -> str:
    return (
        f"default_profile names {files.named(default)!r}, which is not there; choose one: nemo-jobs config use PROFILE"
    )
