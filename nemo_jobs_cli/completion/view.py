"""Say what became of completion scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nemo_jobs_cli.core.files import display_path
from nemo_jobs_cli.output import render

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nemo_jobs_cli.completion.install import Spot
    from nemo_jobs_cli.settings.model import Screen


def plan(where: Spot) -> None:
    """Say where the script will go, and which lines the shell needs to find it there."""
    render.message(f"the script goes to {display_path(where.path)}")
    needs(where)


def needs(where: Spot) -> None:
    """Say which lines the shell needs to find the script."""
    render.message(f"{where.shell} does not look there by itself; it needs in {display_path(where.rc)}:")
    for line in where.lines:
        render.message(f"  {line}")


def installed(screen: Screen, where: Spot, *, edited: bool) -> None:
    """Say where the script is now, and what is left to do."""
    ready = where.finds or edited
    if screen.output != "text":
        facts = {"shell": where.shell, "path": str(where.path), "ready": ready}
        more = {"edited": str(where.rc)} if edited else {} if ready else {"rc": str(where.rc), "lines": where.lines}
        render.document("completion install", "installed", result={**facts, **more})
        return
    if screen.quiet:
        return
    render.message(f"wrote {display_path(where.path)}")
    if edited:
        render.message(f"added {len(where.lines)} line{'s'[: len(where.lines) > 1]} to {display_path(where.rc)}")
    elif not ready:
        needs(where)
    if ready:
        render.message(f"try it in a new {where.shell}: nemo-jobs up<TAB>")


def uninstalled(screen: Screen, where: Spot, gone: Sequence[Path], *, cleaned: bool, left: bool) -> None:
    """Say what was taken away, and whether the start file was cleaned or has something `left`."""
    if screen.output != "text":
        paths = [*gone, *[where.rc][:cleaned]]
        facts = {"shell": where.shell, "removed": [str(path) for path in paths]}
        more = {"left": str(where.rc)} if left else {}
        render.document("completion uninstall", "removed", result={**facts, **more})
        return
    if left:  # said with --quiet, too: each new shell may complain
        render.message(f"{display_path(where.rc)} still names it: take that out in an editor")
    if screen.quiet:
        return
    for path in gone:
        render.message(f"removed {display_path(path)}")
    if cleaned:
        render.message(f"cleaned {display_path(where.rc)}")
    if not (gone or cleaned or left):
        render.message(f"there was no completion for {where.shell}")
