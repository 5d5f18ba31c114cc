"""Lay out a job or a list of jobs for a terminal."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.cells import cell_len
from rich.console import Group
from rich.table import Table
from rich.text import Text

from nemo_jobs_cli.core import known_keys, times
from nemo_jobs_cli.core.text import compact_json, finite_number, is_number, one_line, percent, printable, summary
from nemo_jobs_cli.output import rich_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rich.console import Console, RenderableType

    from nemo_jobs_cli.api.models import Job, JobPart

# What a value may take of the screen; `--field KEY` prints it whole.
LONGEST_TEXT = 2000
LONGEST_JSON = 160

# Of a key: one that is longer would push every value to the edge.
LONGEST_KEY = 40

# What the time left takes beside the bar; it is kept free, so that the bar holds still when an estimate comes or goes.
LEFT_ROOM = 23

# 99.99 %: a bar that follows it does not move when the number becomes longer.
LONGEST_PERCENT = 7

# How much of a crowded job is drawn: a screen holds no more, and three thousand steps took ten seconds.
MOST_STEPS = 50
MOST_TASKS = 10
MOST_ERRORS = 50


class Seen(NamedTuple):
    """What only who follows a job knows: the time that is left, and when something last changed, both in words."""

    left: str
    news: str


def job(found: Job, target: Console, now: float, seen: Seen | None = None) -> RenderableType:
    """Return a job as one frame: the platform's facts, the reported details, steps, error details."""
    blocks: list[RenderableType] = [Text(one_line(found.name, 80), style="bold"), _platform(found, now, seen)]
    details = _details(found.details, target, seen and seen.left)
    blocks += _section("Reported details", details or _nothing(found))
    if found.steps:
        blocks += _section("Steps", _steps(found))
        blocks += _left_out(len(found.steps) - MOST_STEPS, " more step")
    errors = _errors(found)
    if errors:
        blocks += _section("Error details", _pairs(errors[:MOST_ERRORS]), style="bold red")
        blocks += _left_out(len(errors) - MOST_ERRORS, " more", "")
    return Group(*blocks)


def _platform(found: Job, now: float, seen: Seen | None) -> Table:
    reported = found.last_report
    rows = [("state", rich_text.state(found.state))]
    created = times.parse_timestamp(found.created_at)
    if created is not None:
        exact = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(created))
        rows.append(("created", Text.assemble(rich_text.ago(created, now), (f"  {exact}", "dim"))))
    if reported is not None:
        rows.append(("last report", Text.assemble(rich_text.ago(reported, now), (f"  {known_keys.STAMP}", "dim"))))
    elif seen is not None:
        rows.append(("last news", Text(seen.news)))
    elif found.details:
        rows.append(("last report", Text("unknown: it sends no lastUpdated (update --stamp does)", style="dim")))
    made = rich_text.grid("dim", "")
    for label, value in rows:
        made.add_row(Text(f"  {label}"), value)
    return made


def _section(title: str, content: RenderableType, style: str = "bold") -> Sequence[RenderableType]:
    return Text(""), Text(title, style=style), content


def _more(number: int, what: str, plural: str = "s") -> str:
    return f"+{number}{what}{plural if number > 1 else ''}"


def _left_out(number: int, what: str, plural: str = "s") -> Sequence[RenderableType]:
    """Return a line on what a crowded section does not show, if it leaves anything out."""
    return [Text(f"  {_more(number, what, plural)} (-o json shows all)", style="dim")] if number > 0 else []


def _nothing(found: Job) -> Text:
    return Text(f"  none yet: nemo-jobs update {one_line(found.name, 80)} progress=45", style="dim")


def _details(details: Mapping[str, Any], target: Console, left: str | None = None) -> Table | None:
    """Return the details as rows, progress with a bar and, where it is followed, what is left; None without any."""
    made = rich_text.grid("dim", "")
    for key, value in details.items():
        shown = Text(summary(key, value, 60)) if is_number(value) else _value(value)
        share = finite_number(value) if key == known_keys.PROGRESS else None
        if share is not None:
            room = min(30, max(10, target.width - 40 - (0 if left is None else LEFT_ROOM)))
            if left is not None:
                shown.pad_right(max(0, LONGEST_PERCENT - len(shown)))
            shown = Text.assemble(shown, "  ", rich_text.bar(share, room, target), "  " if left else "", left or "")
        made.add_row(Text(f"  {one_line(key, LONGEST_KEY)}"), shown)
    return made if details else None


def _value(value: Any) -> Text:
    """Return a text with its line breaks, and nested values as JSON; both cut where they get long."""
    if not isinstance(value, str):
        return Text(one_line(compact_json(value), LONGEST_JSON))
    cut = value if len(value) <= LONGEST_TEXT else value[: LONGEST_TEXT - 1] + "…"
    return Text(printable(cut.rstrip("\n")))


def _pairs(rows: Iterable[tuple[str, Any]]) -> Table:
    made = rich_text.grid("dim", "")
    for label, value in rows:
        made.add_row(Text(f"  {one_line(label, 100)}"), _value(value))
    return made


def _steps(found: Job) -> Table:
    made = rich_text.grid("", "", "dim")
    for step in found.steps[:MOST_STEPS]:
        made.add_row(Text(f"  {one_line(step.name, 63)}"), rich_text.state(step.state), _summary(step))
        for task in step.tasks[:MOST_TASKS]:
            made.add_row(Text(f"    {one_line(task.name or task.id, 63)}"), rich_text.state(task.state), _summary(task))
        if len(step.tasks) > MOST_TASKS:
            made.add_row(Text(f"    {_more(len(step.tasks) - MOST_TASKS, ' more task')}", style="dim"))
    return made


def _summary(part: JobPart) -> Text:
    """Return a step's or task's message, else its details, on one line."""
    message = part.details.get("message")
    if isinstance(message, str) and message:
        return Text(one_line(message, 200))
    return Text(one_line(compact_json(part.details), 200) if part.details else "")


def _errors(found: Job) -> list[tuple[str, Any]]:
    """Return what went wrong as labelled values: the job's, then each step's and task's."""
    rows = _labelled("", found.error_details)
    for step in found.steps:
        if step.error_details != found.error_details:
            rows += _labelled(f"{step.name}: ", step.error_details)
        for task in step.tasks:
            label = f"{step.name}/{task.name or task.id}: "
            rows += _labelled(label, task.error_details)
            rows += [(f"{label}stack", task.error_stack)] if task.error_stack else []
    return rows


def _labelled(label: str, details: Any) -> list[tuple[str, Any]]:
    if not details:
        return []
    return (
        [(f"{label}{key}", value) for key, value in details.items()]
        if isinstance(details, dict)
        else [(f"{label}error", details)]
    )


TITLES = ("JOB", "STATE", "PROGRESS", "CREATED", "MESSAGE")
SHORTEST_NAME = 16
SHORTEST_MESSAGE = 10
LONGEST_LIST_PERCENT = 8
LONGEST_STATE = 20


def job_list(found: Sequence[Job], target: Console, now: float) -> Table:
    """Return jobs as a table, one row each; where it is narrow the bar goes first, then the message."""
    bar = rich_text.SHORT_BAR if target.width >= 80 else 0  # noqa: PLR2004 - the classic terminal
    rows = [
        (
            Text(one_line(one.name, 80)),
            rich_text.state(one.state, LONGEST_STATE),
            _share(one.progress, target, bar),
            Text(rich_text.ago(times.parse_timestamp(one.created_at), now, units=1)),
            Text(one_line(one.message, 200)),
        )
        for one in found
    ]
    name, *fixed, _ = (
        max([cell_len(title), *(row[index].cell_len for row in rows)]) for index, title in enumerate(TITLES)
    )
    room = target.width - sum(fixed) - 2 * len(fixed)
    message = room - min(name, max(SHORTEST_NAME, room - SHORTEST_MESSAGE - 2)) - 2
    has_message = message >= SHORTEST_MESSAGE
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    made.add_column(TITLES[0], width=room - message - 2 if has_message else min(name, room), overflow="fold")
    for title, width in zip(TITLES[1:4], fixed, strict=True):
        made.add_column(title, width=width, no_wrap=True)
    if has_message:
        made.add_column(TITLES[4], width=message, no_wrap=True, overflow="ellipsis")
    for row in rows:
        made.add_row(*row[: len(made.columns)])
    return made


def _share(value: float | None, target: Console, width: int) -> Text:
    """Return a progress in whole percent, rounded down so that 99.9 isn't done, and a bar if it may be wide."""
    if value is None:
        return Text("")
    share = finite_number(value)
    shown = Text(percent(value if share is None else math.floor(value), LONGEST_LIST_PERCENT).rjust(5))
    return shown if share is None or not width else Text.assemble(shown, " ", rich_text.bar(share, width, target))
