"""Print a job or a list of jobs: frames on a terminal, one fact a line in a pipe, JSON when asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.core import known_keys, times
from nemo_jobs_cli.core.text import one_line, plain
from nemo_jobs_cli.output import render

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nemo_jobs_cli.api.models import Job, JobPart
    from nemo_jobs_cli.settings.model import Screen

OK = "ok"
_CONSTANT = frozenset({"job", "id", "created"})
LONGEST_CELL = 10_000


def print_job(job: Job, screen: Screen, now: float) -> None:
    """Print everything that is known of a job."""
    if screen.output != "text":
        render.document("show", OK, result=job.raw)
    elif screen.terminal:
        from nemo_jobs_cli.output import _job_layout, rich_text

        target = rich_text.console(screen)
        target.print(_job_layout.job(job, target, now))
    else:
        for key, value in facts(job):
            render.line(f"{key}\t{value}")


def print_value(found: Any, screen: Screen) -> None:
    """Print one value bare: exactly in a pipe, harmless on a terminal."""
    if screen.output != "text":
        render.document("show", OK, result=found)
    elif screen.terminal:
        render.line(plain(found))
    else:
        render.raw(plain(found) + "\n")


def print_list(jobs: Iterable[Job], screen: Screen, now: float) -> int:
    """Print a row a job, as they come where nobody needs aligned columns; return how many there were."""
    if screen.output == "json":
        entries = [job.raw for job in jobs]
        render.document("list", OK, result=entries)
        return len(entries)
    if not screen.terminal or screen.output == "ndjson":
        count = 0
        for job in jobs:
            count += 1
            if screen.output == "ndjson":
                render.document("list", OK, result=job.raw)
            else:
                render.table(screen, (), [row(job)])
        return count
    from nemo_jobs_cli.output import _job_layout, rich_text

    shown = list(jobs)
    if shown:
        target = rich_text.console(screen)
        target.print(_job_layout.job_list(shown, target, now))
    return len(shown)


def print_names(jobs: Iterable[Job], screen: Screen) -> int:
    """Print a name a line; return how many there were."""
    found = [job.name for job in jobs]
    if screen.output != "text":
        render.document("list", OK, result=found)
    else:
        for name in found:
            render.line(_cell(name))
    return len(found)


def row(job: Job) -> tuple[str, ...]:
    """Return a job as the cells of `list` in a pipe: name, status, progress, created (UTC), message."""
    progress = "" if job.progress is None else plain(job.progress)
    return job.name, job.state, progress, times.add_zone(job.created_at), job.message


def facts(job: Job) -> Iterator[tuple[str, str]]:
    """Yield a job as one-line pairs; `state` is the platform's, `details.` starts what was reported."""
    yield "job", _cell(job.name)
    yield "id", _cell(job.id)
    yield "state", _cell(job.state)
    yield "created", _cell(times.add_zone(job.created_at))
    yield from _below("details", job.details)
    yield from _below("error", job.error_details)
    for step in job.steps:
        yield from _part(f"step.{step.name}", step)
        for task in step.tasks:
            label = f"task.{step.name}.{task.name or task.id}"
            yield from _part(label, task)
            if task.error_stack:
                yield _cell(f"{label}.error_stack"), _cell(task.error_stack)


def _part(label: str, part: JobPart) -> Iterator[tuple[str, str]]:
    yield _cell(label), _cell(part.state)
    yield from _below(f"{label}.details", part.details)
    yield from _below(f"{label}.error", part.error_details)


def _below(label: str, details: Any) -> Iterator[tuple[str, str]]:
    """Yield an object's members as `label.key`; anything else but nothing as `label`."""
    if isinstance(details, dict):
        for key, one in details.items():
            yield _cell(f"{label}.{key}"), _cell(plain(one))
    elif details is not None:
        yield _cell(label), _cell(plain(details))


def changes(before: Job | None, job: Job) -> list[str]:
    """Return the status and what differs between two looks as `key=value`; nothing where nothing does.

    A new `lastUpdated` alone is no news, only a sign of life.
    """
    old = {} if before is None else dict(facts(before))
    new = {key: one for key, one in facts(job) if key not in _CONSTANT and old.get(key) != one}
    if before is not None and not new.keys() - {f"details.{known_keys.STAMP}"}:
        return []
    return [f"{key}={one_line(one, 200)}" for key, one in ({"state": _cell(job.state)} | new).items()]


def _cell(text: str) -> str:
    return one_line(text, LONGEST_CELL)
