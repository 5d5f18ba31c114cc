"""Write a file as a whole: who reads it sees the old one or the new one, never half of one, also after a power cut."""

from __future__ import annotations

import errno
import os
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PRIVATE = 0o600


def write(target: Path, data: bytes, *, aside: Path | None = None, mode: int = PRIVATE, durable: bool = True) -> None:
    """Write beside `target`, or in the folder `aside` of the same file system; sync, and rename. Raise OSError.

    What is not `durable` saves the sync: a power cut may leave an empty file.
    """
    beside = (aside or target.parent) / f".{target.name}.{secrets.token_hex(4)}"
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        try:
            beside.rename(target)
        except OSError:
            if beside.exists() or not target.exists():  # NFS may have done it and answer twice
                raise
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise
    if durable:
        _sync(target.parent)


def _sync(folder: Path) -> None:
    """Make a rename last through a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP, errno.EBADF}:  # a file system that syncs no folders
            raise
    finally:
        os.close(handle)
