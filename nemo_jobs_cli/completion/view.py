"""Print the results of installing and removing completion scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nemo_jobs_cli.core.files import display_path
from nemo_jobs_cli.core.text import plural
from nemo_jobs_cli.output import render

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nemo_jobs_cli.completion.script_files import Target
    from nemo_jobs_cli.settings.model import Screen


def plan(target: Target) -> None:
    """Print the place of the script, and the lines that load it."""
    render.message(f"the script will be written to {display_path(target.path)}")
    _required_lines(target)


def _required_lines(target: Target) -> None:
    needed = "this line" if len(target.lines) == 1 else "these lines"
    render.message(f"{target.shell} does not search that folder: {display_path(target.startup_file)} needs {needed}:")
    for line in target.lines:
        render.message(f"  {line}")


def installed(screen: Screen, target: Target, *, edited: bool) -> None:
    """Print where the script was written, and the next step."""
    ready = target.searches or edited
    startup_file = str(target.startup_file)
    if screen.output != "text":
        facts = {"shell": target.shell, "path": str(target.path), "ready": ready}
        more = {"edited": startup_file} if edited else {} if ready else {"rc": startup_file, "lines": target.lines}
        render.document("completion install", "installed", result={**facts, **more})
        return
    if screen.quiet:
        return
    render.message(f"wrote {display_path(target.path)}")
    if edited:
        render.message(f"added {plural(len(target.lines), 'line')} to {display_path(target.startup_file)}")
    if ready:
        render.message(f"try it in a new {target.shell}: nemo-jobs up<TAB>")
    else:
        _required_lines(target)


def uninstalled(screen: Screen, target: Target, removed: Sequence[Path], *, cleaned: bool, left: bool) -> None:
    """Print the files and startup lines that were removed."""
    path = display_path(target.startup_file)
    if screen.output != "text":
        paths = [*removed, target.startup_file] if cleaned else removed
        facts = {"shell": target.shell, "removed": [str(path) for path in paths]}
        more = {"left": str(target.startup_file)} if left else {}
        render.document("completion uninstall", "removed", result={**facts, **more})
        return
    if left:  # also with --quiet: each new shell may print an error
        render.message(f"{path} still mentions the script: remove that line in an editor")
    if screen.quiet:
        return
    for script in removed:
        render.message(f"removed {display_path(script)}")
    if cleaned:
        render.message(f"removed the lines about nemo-jobs from {path}")
    if not (removed or cleaned or left):
        render.message(f"completion is not installed for {target.shell}")
