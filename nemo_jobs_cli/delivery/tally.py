"""Count the updates that were let go, so that the next one that arrives can say how many are missing."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from nemo_jobs_cli.delivery import entry

if TYPE_CHECKING:
    from nemo_jobs_cli.settings.model import Settings


def add(settings: Settings) -> None:
    """Count one more for the host; where nothing can be written the count is lost, as the update is."""
    file = _file(settings)
    if file is None:
        return
    with suppress(OSError):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # One byte each, appended: that is safe for any number of writers, and the size is the count.
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.write(handle, b".")
        finally:
            os.close(handle)


def take(settings: Settings) -> int:
    """Return how many were let go for the host since the last time this was asked."""
    file = _file(settings)
    if file is None:
        return 0
    mine = file.with_suffix(f".{os.getpid()}")
    try:
        file.rename(mine)  # who comes at the same moment finds none
        count = mine.stat().st_size
        mine.unlink()
    except OSError:
        return 0
    return count


def _file(settings: Settings) -> Path | None:
    folder = settings.outbox_dir
    return None if folder is None else Path(folder.value).parent / f"dropped-{entry.key(settings.host.value)}"
