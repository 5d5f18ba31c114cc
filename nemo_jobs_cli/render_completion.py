"""Say what became of completion scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nemo_jobs_cli import render
from nemo_jobs_cli.profiles import shown

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nemo_jobs_cli.installing import Spot
    from nemo_jobs_cli.settings import Screen


def needs(where: Spot) -> None:
    """Say which lines the shell needs to find the script."""
    render.say(f"{where.shell} does not look there by itself; it needs in {shown(where.rc)}:")
    for line in where.lines:
        render.say(f"  {line}")


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
    render.say(f"wrote {shown(where.path)}")
    if edited:
        render.say(f"added {len(where.lines)} lines to {shown(where.rc)}")
    elif not ready:
        needs(where)
    if ready:
        render.say(f"try it in a new {where.shell}: nemo-jobs up<TAB>")


def uninstalled(screen: Screen, shell: str, gone: Sequence[Path]) -> None:
    """Say what was taken away."""
    if screen.output != "text":
        render.document(
            "completion uninstall", "removed", result={"shell": shell, "removed": [str(path) for path in gone]}
        )
    elif not screen.quiet:
        for path in gone:
            render.say(f"{'cleaned' if path.name.endswith('rc') else 'removed'} {shown(path)}")
        if not gone:
            render.say(f"there was no completion for {shell}")
