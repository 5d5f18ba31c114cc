"""Show a check-up: a line a check, with its fix, as each is found."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.core.text import one_line
from nemo_jobs_cli.doctor import check as checks
from nemo_jobs_cli.output import render

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nemo_jobs_cli.doctor.check import Check
    from nemo_jobs_cli.settings.model import Screen

# The longest name of a check: a line is shown before the next name is known.
WIDEST_NAME = 11

_MARKS = {"ok": "✓", "warn": "!", "fail": "✗", "skip": "-"}
_PLAIN_MARKS = {"ok": "ok", "warn": "!", "fail": "x", "skip": "-"}
_STYLES = {"ok": "green", "warn": "bold yellow", "fail": "bold red", "skip": "bright_black"}


def show(screen: Screen, found: Iterable[Check]) -> int:
    """Show checks as they come, quiet ones but those that need something done; return the exit code of all."""
    seen: list[Check] = []
    for check in found:
        seen.append(check)
        if screen.output == "text" and (check.is_trouble or not screen.quiet):
            _line(screen, check)
            sys.stdout.flush()  # the next one may take its time
    code = checks.exit_code(seen)
    if screen.output != "text":
        outcome = "failed" if code else "ok"
        render.document("doctor", outcome, code, result=[_facts(check) for check in seen])
    elif screen.terminal and not screen.quiet:
        render.message(checks.summary(seen))
    return code


def _facts(check: Check) -> dict[str, Any]:
    plain = {"name": check.name, "level": check.level, "says": check.says, "fix": check.fix, "exit_code": check.code}
    return {**plain, "facts": dict(check.facts)}


def _line(screen: Screen, check: Check) -> None:
    if screen.terminal:
        _draw(screen, check)
    else:
        render.table(screen, (), [(check.level, check.name, check.says, check.fix)])


def _draw(screen: Screen, check: Check) -> None:
    """Draw a check: a mark, its name, what it says beside it; the fix below, in one piece, so that it can be copied."""
    from nemo_jobs_cli.output import rich_text

    target = rich_text.console(screen)
    marks = _PLAIN_MARKS if target.options.ascii_only else _MARKS
    style = _STYLES[check.level]
    width = max(map(len, marks.values()))
    says = (one_line(check.says, 1000), "bright_black" if check.level == "skip" else "", None)
    rich_text.print_row(target, (marks[check.level], style, width), (check.name, "bold", WIDEST_NAME), says)
    if check.fix:
        before = " " * (width + 1 + WIDEST_NAME + 1)
        rich_text.print_line(target, before, ("fix: ", "bold cyan"), one_line(check.fix, 1000))
