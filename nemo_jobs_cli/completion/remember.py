"""Remember names and keys for the next TAB, where a person works: on a terminal, with a home, and not in CI."""

from __future__ import annotations

import os
import stat
import string
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nemo_jobs_cli.completion import cache, seen
from nemo_jobs_cli.core.files import write_atomic
from nemo_jobs_cli.core.identifiers import is_name
from nemo_jobs_cli.delivery import entry
from nemo_jobs_cli.settings import resolve

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from nemo_jobs_cli.api.models import Job
    from nemo_jobs_cli.settings.model import Screen, Settings

# Who can't have the lock in this time (seconds) leaves it: it is only a cache.
PATIENCE = 0.2
_PAUSE = 0.01


class Sight(NamedTuple):
    """A job as it was seen; `status` is the platform's, "" where that wasn't asked for."""

    job: str
    status: str
    details: Mapping[str, Any]


def update(settings: Settings, screen: Screen, workspace: str, job: str, fields: Mapping[str, Any]) -> None:
    """Remember a job and the fields that were set."""
    _keep(settings, screen, workspace, [Sight(job, "", fields)])


def jobs(settings: Settings, screen: Screen, workspace: str, found: Iterable[Job]) -> None:
    """Remember jobs as the platform has shown them."""
    _keep(settings, screen, workspace, [Sight(job.name, job.state, job.details) for job in found])


def _keep(settings: Settings, screen: Screen, workspace: str, sights: list[Sight]) -> None:
    environ = resolve.environment(secrets=True)
    place = cache.folder(environ, sys.platform)
    if not screen.terminal or place is None or environ.get("CI", "false").lower() not in {"", "0", "false"}:
        return
    host = settings.host.value
    said = {
        "host": host if settings.host.source == "--host" else "",
        "workspace": settings.workspace.value if settings.workspace.source == "--workspace" else "",
        "profile": settings.profile or "",
    }
    note = (cache.situation(environ, sys.platform, **said), host, workspace, entry.digest(host, workspace))
    # A disk that is full or read-only, a folder that is somebody else's: nothing is lost but the next TAB's words.
    with suppress(OSError), _alone(Path(place)) as mine:
        if mine:
            _write(Path(place), note, sights, settings)


def _write(place: Path, note: cache.Note, sights: list[Sight], settings: Settings) -> None:
    now = time.time()
    known = cache.jobs(str(place), note[3], now)
    fresh = {
        sight.job: seen.learn(
            known.get(sight.job), sight.status, sight.details, numbers=settings.numbers.value, now=now
        )
        for sight in sights
        if is_name(sight.job)
    }
    known = {**fresh, **{name: job for name, job in known.items() if name not in fresh}}
    write_atomic(place / note[3], seen.dumps(known).encode(), durable=False)
    before = cache.notes(str(place))
    if before[:1] != [note]:
        found = [note, *(other for other in before if other[0] != note[0])]
        write_atomic(place / cache.INDEX, cache.index(found).encode(), durable=False)
        _forget(place, {other[3] for other in found[: cache.MOST_NOTES]}, now - seen.LONGEST_AGE)


def _forget(place: Path, kept: set[str], since: float) -> None:
    """Delete what a note led to, where none does any more or it was written before `since`; nothing else."""
    for file in place.iterdir():
        if len(file.name) == len(entry.digest()) and not set(file.name) - set(string.hexdigits):
            with suppress(OSError):
                if file.name not in kept or file.stat().st_mtime < since:
                    file.unlink()


@contextmanager
def _alone(place: Path) -> Iterator[bool]:
    """Keep other writers out as long as it takes to write two small files; yield whether that was possible.

    It is not in a folder of somebody else, which may lead to anything.
    """
    import fcntl

    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = place.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        yield False
        return
    handle = os.open(place / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    ends = time.monotonic() + PATIENCE
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > ends:
                    yield False
                    return
                time.sleep(_PAUSE)
            else:
                yield True
                return
    finally:
        os.close(handle)
