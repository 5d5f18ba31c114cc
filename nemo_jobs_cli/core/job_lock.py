"""Lock a job or a file among the processes of this machine, if possible.

The server responds with 409 to all but one of several simultaneous PATCHes of a job, and gets slower with their number:
32 processes at once took longer than 10 s, one after the other 2 s (contract tests). Without the lock, after any
error, the update is sent all the same.
"""

from __future__ import annotations

import os
import stat
import zlib
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from nemo_jobs_cli.core import clock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nemo_jobs_cli.core.deadline import Deadline

# Lock files are never deleted (a lock on a deleted file has no effect), so their number is limited.
FILES = 256

# Seconds of the deadline that are reserved for sending without the lock; at most half of it.
RESERVED_FOR_SENDING = 1.5


@contextmanager
def hold(key: str, deadline: Deadline) -> Iterator[bool]:
    """Hold the lock of `key`; yield whether it was acquired in time."""
    lock = _open(f"{zlib.crc32(key.encode('utf-8', 'replace')) % FILES:02x}.lock")
    left = deadline.left()
    try:
        yield lock is not None and acquire(lock, 0.0 if deadline.once else max(left - RESERVED_FOR_SENDING, left / 2))
    finally:
        if lock is not None:
            os.close(lock)  # also releases the lock


def acquire(lock: int, seconds: float) -> bool:
    """Lock an open file within `seconds`; return whether that succeeded.

    flock has no timeout, so a thread waits and is abandoned.
    """
    import fcntl

    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            clock.run_within(seconds, lambda: fcntl.flock(lock, fcntl.LOCK_EX))
    except OSError:
        return False  # TimeoutError, or a file system without locks
    return True


def _open(name: str) -> int | None:
    """Open a lock file in a private folder, or return None."""
    import tempfile

    if not hasattr(os, "getuid"):
        return None  # not POSIX; conflicts are retried
    try:
        temporary = tempfile.gettempdir()
        if temporary == os.getcwd():  # noqa: PTH109 - a Path costs more
            return None  # tempfile's last resort is the current folder, which is the user's
        folder = os.path.join(temporary, f"nemo-jobs-{os.getuid()}")  # noqa: PTH118
        with suppress(FileExistsError):
            os.mkdir(folder, 0o700)  # noqa: PTH102
        status = os.lstat(folder)
        if status.st_uid != os.getuid() or not stat.S_ISDIR(status.st_mode) or status.st_mode & 0o022:
            return None  # another user can create or change it in the shared temporary folder
        return os.open(os.path.join(folder, name), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)  # noqa: PTH118
    except OSError:
        return None
