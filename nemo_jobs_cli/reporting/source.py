"""Read a flow of bytes as it comes: from stdin, a file or a FIFO, to its end or for ever."""

from __future__ import annotations

import os
import select
import stat
import time
from typing import TYPE_CHECKING

from nemo_jobs_cli.core.errors import Pointer, UsageError
from nemo_jobs_cli.core.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STDIN = "-"

# What is taken at once: larger pieces are parsed faster, a pipe gives 64 KiB at the most.
PIECE = 1024 * 1024

# How often a file that is followed is asked for more, in seconds.
LOOK_AGAIN = 0.2


def pieces(source: str, *, follow: bool = False, sleep: Callable[[float], None] = time.sleep) -> Iterator[bytes]:
    """Yield what `source` holds, in pieces of any length, as soon as they are there.

    With `follow` the end is no end: a file that grows, is cut or is replaced under its name goes on, as in `tail -F`.
    Raise UsageError where it can't be read.
    """
    follow = follow and source != STDIN
    fds = [_open(source)]  # what is read, and what has taken its name since
    try:
        while True:
            if follow:
                fds += _newer(fds[0], source)  # before reading: what the old file got until now is read
            while piece := _read(fds[0], source):
                yield piece
            if len(fds) > 1:
                os.close(fds.pop(0))
            elif follow:
                sleep(LOOK_AGAIN)
                _rewind(fds[0])
            else:
                return
    finally:
        if source != STDIN:
            for fd in fds:
                os.close(fd)


def _open(source: str) -> int:
    if source == STDIN:
        return 0
    try:
        fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            os.close(fd)
            raise IsADirectoryError(21, os.strerror(21))
    except (OSError, ValueError) as error:
        raise _unreadable(source, error) from None
    return fd


def _read(fd: int, source: str) -> bytes:
    while True:
        try:
            return os.read(fd, PIECE)
        except BlockingIOError:
            select.select([fd], [], [])  # somebody has set our stdin not to wait
        except OSError as error:
            raise _unreadable(source, error) from None


def _newer(fd: int, source: str) -> list[int]:
    """Return the file that has taken the name of the one that is read, or nothing."""
    try:
        here, there = os.fstat(fd), os.stat(source)  # noqa: PTH116 - beside fstat
    except OSError:
        return []  # gone for the moment: it is being replaced
    if not stat.S_ISREG(here.st_mode) or (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino):
        return []
    return [_open(source)]


def _rewind(fd: int) -> None:
    """Go on from the beginning of a file that has been cut."""
    here = os.fstat(fd)
    if stat.S_ISREG(here.st_mode) and here.st_size < os.lseek(fd, 0, os.SEEK_CUR):
        os.lseek(fd, 0, os.SEEK_SET)


def _unreadable(source: str, error: Exception) -> UsageError:
    name = "stdin" if source == STDIN else one_line(source, 300)
    reason = getattr(error, "strerror", None) or "not a usable name"
    return UsageError(
        f"{name} can't be read: {one_line(reason, 100)}",
        "check its name and its mode",
        pointer=Pointer("--input", source),
    )
