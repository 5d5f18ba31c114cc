"""Print jobs: frames on a terminal, lines in a pipe, or JSON."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.core import known_keys, times
from nemo_jobs_cli.core.text import one_line, plain
from nemo_jobs_cli.output import render

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from nemo_jobs_cli.api.models import Job, JobPart
    from nemo_jobs_cli.settings.model import Screen

_CONSTANT = frozenset({"job", "id", "created"})


def print_job(job: Job, screen: Screen, now: float) -> None:
    """Print all facts of a job."""
    if screen.output != "text":
        render.document("show", "ok", result=job.raw)
    elif screen.terminal:
        from nemo_jobs_cli.output import _job_layout, rich_text

        console = rich_text.console(screen)
        console.print(_job_layout.job_frame(job, console, now))
    else:
        for key, value in facts(job, now):
            render.line(f"{key}\t{value}")


def print_value(value: Any, screen: Screen) -> None:
    """Print a bare value, exact in a pipe and escaped on a terminal."""
    if screen.output != "text":
        render.document("show", "ok", result=value)
    elif screen.terminal:
        render.line(plain(value))
    else:
        render.raw(plain(value) + "\n")


def print_list(jobs: Iterable[Job], screen: Screen, now: float) -> int:
    """Print jobs, one per row, as they arrive; return their number."""
    if screen.terminal and screen.output == "text":
        from nemo_jobs_cli.output import _job_layout, rich_text

        rows = list(jobs)
        if rows:
            console = rich_text.console(screen)
            console.print(_job_layout.job_table(rows, console, now))
        return len(rows)
    return _print_each(((job.raw, row(job, now)) for job in jobs), screen)


def print_names(jobs: Iterable[Job], screen: Screen) -> int:
    """Print the names of jobs, one per line, and return their number."""
    return _print_each(((job.name, (job.name,)) for job in jobs), screen)


def _print_each(rows: Iterable[tuple[Any, Sequence[str]]], screen: Screen) -> int:
    """Print pairs of a JSON value and cells; return their number."""
    if screen.output == "json":
        results = [result for result, _ in rows]
        render.document("list", "ok", result=results)
        return len(results)
    count = 0
    for result, cells in rows:
        count += 1
        if screen.output == "ndjson":
            render.document("list", "ok", result=result)
        else:
            render.line("\t".join(map(_cell, cells)))
        sys.stdout.flush()  # so that `list | head -1` reads no more pages than it needs
    return count


def row(job: Job, now: float) -> tuple[str, ...]:
    """Return the cells of a job for `list` in a pipe, as its help names them."""
    progress = "" if job.progress is None else plain(job.progress)
    silent = "silent" if job.is_silent(now) else ""
    created = times.add_zone(job.created_at)
    return job.name, job.state, progress, created, job.text("message"), job.text("status"), job.text("stage"), silent


def watched_facts(job: Job, now: float) -> dict[str, str]:
    """Return the facts of which a watch prints changes.

    Details of steps and tasks arrive at the job within seconds.
    """
    return {
        key: value
        for key, value in facts(job, now)
        if key not in _CONSTANT and not (key.startswith(("step.", "task.")) and ".details." in key)
    }


def facts(job: Job, now: float) -> Iterator[tuple[str, str]]:
    """Yield one-line pairs: facts such as `state`, and `details.KEY`.

    The platform's controller copies the details of a task to its step, and those of the step to the job: what a step
    or task has in common with the job or step above it is left out.
    """
    yield "job", _cell(job.name)
    yield "id", _cell(job.id)
    yield "state", _cell(job.state)
    yield "created", _cell(times.add_zone(job.created_at))
    if job.is_silent(now):
        yield "silent", "true"
    yield from _members("details", job.details)
    yield from _members("error", job.error_details)
    for step in job.steps:
        yield from _part(f"step.{step.name}", step, job)
        for task in step.tasks:
            label = f"task.{step.name}.{task.name or task.id}"
            yield from _part(label, task, job, step)
            if task.error_stack:
                yield _cell(f"{label}.error_stack"), _cell(task.error_stack)


def _part(label: str, part: JobPart, *above: JobPart) -> Iterator[tuple[str, str]]:
    yield _cell(label), _cell(part.state)
    known = [item for other in above for item in other.details.items()]
    yield from _members(f"{label}.details", dict(item for item in part.details.items() if item not in known))
    if part.error_details not in [other.error_details for other in above]:
        yield from _members(f"{label}.error", part.error_details)


def _members(label: str, details: Any) -> Iterator[tuple[str, str]]:
    """Yield the members of an object as `label.KEY`, else `label`."""
    if isinstance(details, dict):
        for key, value in details.items():
            yield _cell(f"{label}.{key}"), _cell(plain(value))
    elif details is not None:
        yield _cell(label), _cell(plain(details))


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Return the state and the changes between two polls as `key=value`.

    `before` and `after` are watched facts, `before` is empty at the first poll. A new `lastUpdated` alone is a
    heartbeat, not a change.
    """
    new = {key: value for key, value in after.items() if before.get(key) != value}
    gone = [key for key in before if key not in after]
    new |= {key: "false" if key == "silent" else "null" for key in gone if key.startswith(("silent", "details."))}
    if before and not new.keys() - {f"details.{known_keys.STAMP}"}:
        return []
    return [f"{key}={one_line(value, 200)}" for key, value in ({"state": after["state"]} | new).items()]


def _cell(text: str) -> str:
    return one_line(text, render.MAX_CELL)
