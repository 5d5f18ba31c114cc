"""Let the writers of one machine take turns at one job, as far as that is possible.

The server answers all but one of several simultaneous PATCHes with 409, and gets slower the more of them it
juggles (measured: 32 processes at once took it longer than 10 s; one after the other 2 s). A lock makes that the
exception; it is a courtesy, never a condition: whatever goes wrong with it, the update is sent without.
"""

from __future__ import annotations

import os
import stat
import threading
import zlib
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from nemo_jobs_cli.core import clock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nemo_jobs_cli.core.deadline import Deadline

# Lock files are never deleted (a lock on a deleted file locks nothing), so their number is bounded.
FILES = 256

# What is left for sending, in seconds, when one's turn does not come; half of the time if that is less.
KEPT_FOR_SENDING = 1.5


@contextmanager
def hold(key: str, deadline: Deadline) -> Iterator[bool]:
    """Wait for one's turn at `key` as long as time is left for sending; yield whether it came."""
    lock = _open(f"{zlib.crc32(key.encode('utf-8', 'replace')) % FILES:02x}.lock")
    left = deadline.left()
    try:
        yield lock is not None and _acquire(lock, 0.0 if deadline.once else max(left - KEPT_FOR_SENDING, left / 2))
    finally:
        if lock is not None:
            os.close(lock)  # which also lets go of the lock


def _acquire(lock: int, seconds: float) -> bool:
    import fcntl

    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return _wait(lock, seconds)
    except OSError:
        return False  # a file system without locks
    return True


def _wait(lock: int, seconds: float) -> bool:
    """Stand in the kernel's queue, on a thread since no lock waits with a limit; it may be left behind."""
    import fcntl

    came = threading.Event()

    def stand() -> None:
        with suppress(OSError):  # closed meanwhile: nobody waits for the answer any more
            fcntl.flock(lock, fcntl.LOCK_EX)
            came.set()

    threading.Thread(target=stand, name="turn", daemon=True).start()
    return clock.wait_until(came.wait, seconds)


def _open(name: str) -> int | None:
    """Open a lock file in a folder that is ours alone; None where there is none to be had."""
    import tempfile

    if not hasattr(os, "getuid"):
        return None  # not POSIX: conflicts are repeated all the same
    try:
        place = tempfile.gettempdir()
        if place == os.getcwd():  # noqa: PTH109 - a Path costs more
            return None  # the last resort of a machine without a place for it, and the user's own folder
        folder = os.path.join(place, f"nemo-jobs-{os.getuid()}")  # noqa: PTH118
        if not os.path.isdir(folder):  # noqa: PTH112
            os.mkdir(folder, 0o700)  # noqa: PTH102
        found = os.lstat(folder)
        if found.st_uid != os.getuid() or not stat.S_ISDIR(found.st_mode) or found.st_mode & 0o022:
            return None  # somebody else's trap in a folder that all may write to
        return os.open(os.path.join(folder, name), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)  # noqa: PTH118
    except OSError:
        return None
