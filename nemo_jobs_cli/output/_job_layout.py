"""Lay out a job or a list of jobs for a terminal."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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

# The characters of a value on the screen; `--field KEY` prints it whole.
MAX_TEXT = 2000
MAX_JSON = 160

# A longer key would push all values to the right edge.
MAX_KEY = 40

# The keys of the platform's controller, which are shown last in a grid of their own: they are long.
_HOUSEKEEPING = ("subprocess_", "pid", "pgid", "exit_code")

# Columns kept free for the time left beside the bar, so that the bar stays in place when an estimate comes or goes.
ETA_WIDTH = 23

# 99.99 %: a bar after it stays in place when the number gets longer.
MAX_PERCENT = 7

# A screen holds no more of a large job, and drawing three thousand steps took ten seconds.
MAX_STEPS = 50
MAX_TASKS = 10
MAX_ERRORS = 50


@dataclass(frozen=True, slots=True)
class Watched:
    """The time left ("" if unknown) and the last change, as text."""

    time_left: str
    last_change: str


def job_frame(job: Job, console: Console, now: float, watched: Watched | None = None) -> RenderableType:
    """Return a job as one frame: facts, details, steps, errors."""
    blocks: list[RenderableType] = [Text(one_line(job.name, 80), style="bold"), _platform_facts(job, now, watched)]
    details = _details(job.details, console, None if watched is None else watched.time_left)
    blocks += _section("Reported details", details or _no_details(job))
    if job.steps:
        blocks += _section("Steps", _steps(job))
        blocks += _omitted(len(job.steps) - MAX_STEPS, " more step")
    errors = _errors(job)
    if errors:
        blocks += _section("Error details", _error_rows(errors[:MAX_ERRORS]), style="bold red")
        blocks += _omitted(len(errors) - MAX_ERRORS, " more", "")
    return Group(*blocks)


def _platform_facts(job: Job, now: float, watched: Watched | None) -> Table:
    rows = [("state", _state(job, now))]
    created = times.parse_timestamp(job.created_at)
    if created is not None:
        exact = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(created))
        rows.append(("created", Text.assemble(rich_text.ago(created, now), (f"  {exact}", "dim"))))
    reported = job.last_report
    if reported is not None:
        rows.append(("last report", Text.assemble(rich_text.ago(reported, now), (f"  {known_keys.STAMP}", "dim"))))
    elif watched is not None:
        rows.append(("last change", Text(watched.last_change)))
    elif job.details:
        is_sent = known_keys.STAMP in job.details
        reason = "its lastUpdated is not a time" if is_sent else "it sends no lastUpdated (update --stamp does)"
        rows.append(("last report", Text(f"unknown: {reason}", style="dim")))
    grid = rich_text.grid("dim", "")
    for label, value in rows:
        grid.add_row(Text(f"  {label}"), value)
    return grid


def _section(title: str, content: RenderableType, style: str = "bold") -> Sequence[RenderableType]:
    return Text(""), Text(title, style=style), content


def _more(count: int, noun: str, plural: str = "s") -> str:
    return f"+{count}{noun}{plural if count > 1 else ''}"


def _omitted(count: int, noun: str, plural: str = "s") -> Sequence[RenderableType]:
    """Return a line on the hidden part of a section, if any."""
    return [Text(f"  {_more(count, noun, plural)} (-o json shows all)", style="dim")] if count > 0 else []


def _no_details(job: Job) -> Text:
    return Text(f"  none yet: nemo-jobs update {one_line(job.name, 80)} progress=45", style="dim")


def _details(details: Mapping[str, Any], console: Console, time_left: str | None = None) -> Group | None:
    """Return the details as rows, or None; progress has a bar."""
    reported, housekeeping = rich_text.grid("dim", ""), rich_text.grid("dim", "")
    for key, value in details.items():
        text = Text(summary(key, value, 60)) if is_number(value) else _value(value)
        progress = finite_number(value) if key == known_keys.PROGRESS else None
        if progress is not None:
            width = min(30, max(10, console.width - 40 - (0 if time_left is None else ETA_WIDTH)))
            if time_left is not None:
                text.pad_right(max(0, MAX_PERCENT - len(text)))
            bar = rich_text.bar(progress, width, console)
            text = Text.assemble(text, "  ", bar, "  " if time_left else "", time_left or "")
        grid = housekeeping if key.startswith(_HOUSEKEEPING) else reported
        grid.add_row(Text(f"  {one_line(key, MAX_KEY)}"), text)
    return Group(*(grid for grid in (reported, housekeeping) if grid.row_count)) if details else None


def _value(value: Any) -> Text:
    """Return text with its line breaks, else JSON; cut if it is long."""
    if not isinstance(value, str):
        return Text(one_line(compact_json(value), MAX_JSON))
    cut = value if len(value) <= MAX_TEXT else value[: MAX_TEXT - 1] + "…"
    return Text(printable(cut.rstrip("\n")))


def _error_rows(errors: Iterable[tuple[str, Any]]) -> Table:
    grid = rich_text.grid("dim", "")
    for label, value in errors:
        grid.add_row(Text(f"  {one_line(label, 100)}"), _value(value))
    return grid


def _steps(job: Job) -> Table:
    grid = rich_text.grid("", "", "dim")
    for step in job.steps[:MAX_STEPS]:
        grid.add_row(Text(f"  {one_line(step.name, 63)}"), rich_text.state(step.state), _summary(step))
        for task in step.tasks[:MAX_TASKS]:
            grid.add_row(Text(f"    {one_line(task.name or task.id, 63)}"), rich_text.state(task.state), _summary(task))
        if len(step.tasks) > MAX_TASKS:
            grid.add_row(Text(f"    {_more(len(step.tasks) - MAX_TASKS, ' more task')}", style="dim"))
    return grid


def _summary(part: JobPart) -> Text:
    """Return the message of a step or task, or its details, on one line."""
    message = part.details.get("message")
    if isinstance(message, str) and message:
        return Text(one_line(message, 200))
    return Text(one_line(compact_json(part.details), 200) if part.details else "")


def _errors(job: Job) -> list[tuple[str, Any]]:
    """Return the labeled error details of the job, steps and tasks."""
    errors = _labeled("", job.error_details)
    for step in job.steps:
        if step.error_details != job.error_details:
            errors += _labeled(f"{step.name}: ", step.error_details)
        for task in step.tasks:
            label = f"{step.name}/{task.name or task.id}: "
            errors += _labeled(label, task.error_details)
            errors += [(f"{label}stack", task.error_stack)] if task.error_stack else []
    return errors


def _labeled(label: str, details: Any) -> list[tuple[str, Any]]:
    if not details:
        return []
    return (
        [(f"{label}{key}", value) for key, value in details.items()]
        if isinstance(details, dict)
        else [(f"{label}error", details)]
    )


MIN_MESSAGE = 10
MAX_LIST_PERCENT = 8
MAX_STATE = 20
MAX_REPORTED = 24

# The columns that a narrow table leaves out, first to last, if the names would get fewer characters than these.
_OPTIONAL = {"REPORTED": 30, "CREATED": 16, "PROGRESS": 16}


def job_table(jobs: Sequence[Job], console: Console, now: float) -> Table:
    """Return jobs as a table, with fewer columns if it is narrow."""
    reported = [", ".join(filter(None, (job.text("status"), job.text("stage")))) for job in jobs]
    bar = rich_text.SHORT_BAR if console.width >= (100 if any(reported) else 80) else 0
    columns = {
        "JOB": [Text(one_line(job.name, 80)) for job in jobs],
        "STATE": [_state(job, now, MAX_STATE) for job in jobs],
        "REPORTED": [Text(one_line(text, MAX_REPORTED)) for text in reported],
        "PROGRESS": [_progress(job.progress, console, bar) for job in jobs],
        "CREATED": [Text(rich_text.ago(times.parse_timestamp(job.created_at), now, units=1)) for job in jobs],
        "MESSAGE": [Text(one_line(job.text("message"), 200)) for job in jobs],
    }
    if not any(columns["REPORTED"]):
        del columns["REPORTED"]
    widths = {title: max(map(cell_len, (title, *map(str, cells)))) for title, cells in columns.items()}
    name = widths.pop("JOB")
    free = console.width - sum(widths[title] + 2 for title in widths if title != "MESSAGE")
    for title, least in _OPTIONAL.items():
        if title in widths and free < min(name, least):
            free += widths.pop(title) + 2
    widths["MESSAGE"] = free - min(name, max(_OPTIONAL["PROGRESS"], free - MIN_MESSAGE - 2)) - 2
    if widths["MESSAGE"] < MIN_MESSAGE:
        del widths["MESSAGE"]
    else:
        free -= widths["MESSAGE"] + 2
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("JOB", width=min(name, free), overflow="fold")
    for title, width in widths.items():
        table.add_column(title, width=width, no_wrap=True, overflow="ellipsis")
    for cells in zip(columns["JOB"], *(columns[title] for title in widths), strict=True):
        table.add_row(*cells)
    return table


def _state(job: Job, now: float, limit: int = 40) -> Text:
    """Return the state, marked if the job should report and does not."""
    return Text.assemble(rich_text.state(job.state, limit), (" silent", "yellow") if job.is_silent(now) else "")


def _progress(value: float | None, console: Console, width: int) -> Text:
    """Return progress in whole percent, rounded down, and a bar.

    99.9 must not look done.
    """
    if value is None:
        return Text("")
    finite = finite_number(value)
    text = Text(percent(value if finite is None else math.floor(value), MAX_LIST_PERCENT).rjust(5))
    return text if finite is None or not width else Text.assemble(text, " ", rich_text.bar(finite, width, console))
