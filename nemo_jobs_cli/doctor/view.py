"""Print checks, one line each, with their fixes."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from nemo_jobs_cli.core.errors import worst_exit_code
from nemo_jobs_cli.core.text import one_line, plural
from nemo_jobs_cli.output import render

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nemo_jobs_cli.doctor.check import Check
    from nemo_jobs_cli.settings.model import Screen

# The longest name of a check; a line is printed before the next name is known.
NAME_WIDTH = 11

_MARKS = {"ok": "✓", "warn": "!", "fail": "✗", "skip": "-"}
_PLAIN_MARKS = {"ok": "ok", "warn": "!", "fail": "x", "skip": "-"}
_STYLES = {"ok": "green", "warn": "bold yellow", "fail": "bold red", "skip": "bright_black"}


def show(screen: Screen, checks: Iterable[Check]) -> int:
    """Print checks as they arrive; return the exit code."""
    printed: list[Check] = []
    for check in checks:
        printed.append(check)
        if screen.output == "text" and (check.needs_action or not screen.quiet):
            if screen.terminal:
                _draw(screen, check)
            else:
                render.table(screen, (), [(check.level, check.name, check.message, check.fix)])
            sys.stdout.flush()  # the next check may take a while
    code = worst_exit_code(check.exit_code for check in printed)
    if screen.output != "text":
        render.document("doctor", "failed" if code else "ok", code, result=list(map(asdict, printed)))
    elif screen.terminal and not screen.quiet:
        levels = [check.level for check in printed]
        counts = (levels.count("fail"), "failure"), (levels.count("warn"), "warning")
        render.message(", ".join(plural(count, noun) for count, noun in counts if count) or "no problems found")
    return code


def _draw(screen: Screen, check: Check) -> None:
    """Draw a check; the fix on a line of its own, so it can be copied."""
    from nemo_jobs_cli.output import rich_text

    target = rich_text.console(screen)
    marks = _PLAIN_MARKS if target.options.ascii_only else _MARKS
    width = max(map(len, marks.values()))
    message = (one_line(check.message, 1000), "bright_black" if check.level == "skip" else "", None)
    rich_text.print_row(
        target, (marks[check.level], _STYLES[check.level], width), (check.name, "bold", NAME_WIDTH), message
    )
    if check.fix:
        indent = " " * (width + 1 + NAME_WIDTH + 1)
        rich_text.print_line(target, indent, ("fix: ", "bold cyan"), one_line(check.fix, 1000))
