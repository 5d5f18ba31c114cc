"""Add jobs to the cache for TAB, on a terminal and not in CI."""

from __future__ import annotations

import os
import stat
import string
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nemo_jobs_cli.completion import _cache
from nemo_jobs_cli.core import dirs, job_lock
from nemo_jobs_cli.core.files import write_atomic
from nemo_jobs_cli.core.identifiers import is_name
from nemo_jobs_cli.delivery import entry
from nemo_jobs_cli.settings import resolve

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from nemo_jobs_cli.api.models import Job
    from nemo_jobs_cli.settings.model import Screen, Settings

# Seconds to wait for the lock; after that, the jobs are not cached.
LOCK_TIMEOUT = 0.2


class _Job(NamedTuple):
    """A job to cache; `state` is "" and `steps` is () if unknown."""

    name: str
    state: str
    details: Mapping[str, Any]
    steps: tuple[str, ...] = ()


def update(settings: Settings, screen: Screen, workspace: str, job: str, fields: Mapping[str, Any]) -> None:
    """Cache a job and the fields that an update set."""
    _cache_jobs(settings, screen, workspace, [_Job(job, "", fields)])


def jobs(settings: Settings, screen: Screen, workspace: str, returned: Iterable[Job]) -> None:
    """Cache jobs that the platform returned."""
    new = [_Job(job.name, job.state, job.details, tuple(step.name for step in job.steps)) for job in returned]
    _cache_jobs(settings, screen, workspace, new)


def _cache_jobs(settings: Settings, screen: Screen, workspace: str, new: list[_Job]) -> None:
    environ = resolve.environment(secrets=True)
    folder = dirs.app_dir(environ, "cache", sys.platform)
    if not screen.terminal or folder is None or environ.get("CI", "false").lower() not in {"", "0", "false"}:
        return
    host = settings.host.value
    options = {
        "host": host if settings.host.source == "--host" else "",
        "workspace": settings.workspace.value if settings.workspace.source == "--workspace" else "",
        "profile": settings.profile or "",
    }
    row = (_cache.fingerprint(environ, sys.platform, **options), host, workspace, entry.digest(host, workspace))
    # A full or read-only disk must not fail the command.
    with suppress(OSError), _locked(Path(folder)) as acquired:
        if acquired:
            _write(Path(folder), row, new, settings)


def _write(folder: Path, row: _cache.IndexRow, new: list[_Job], settings: Settings) -> None:
    now = time.time()
    known = _cache.read_jobs(str(folder), row[3], now)
    fresh = {
        job.name: _cache.merge(
            known.get(job.name), job.state, job.details, steps=job.steps, numbers=settings.numbers.value, now=now
        )
        for job in new
        if is_name(job.name)
    }
    known = fresh | {name: job for name, job in known.items() if name not in fresh}
    write_atomic(folder / row[3], _cache.format_jobs(known).encode(), durable=False)
    before = _cache.read_index(str(folder))
    if before[:1] != [row]:
        rows = [row, *(other for other in before if other[0] != row[0])]
        write_atomic(folder / _cache.INDEX, _cache.format_index(rows).encode(), durable=False)
        _delete_unused(folder, {other[3] for other in rows[: _cache.MAX_ROWS]}, now - _cache.MAX_AGE)


def _delete_unused(folder: Path, kept: set[str], since: float) -> None:
    """Delete job files that the index lacks or that are too old."""
    for file in folder.iterdir():
        if len(file.name) == len(entry.digest()) and not set(file.name) - set(string.hexdigits):
            with suppress(OSError):
                if file.name not in kept or file.stat().st_mtime < since:
                    file.unlink()


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Hold the lock of the cache; yield whether it was acquired."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        yield False
        return
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        yield job_lock.acquire(handle, LOCK_TIMEOUT)
    finally:
        os.close(handle)
