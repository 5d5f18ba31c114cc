"""Let a wrapped command speak: a FIFO that takes lines of fields, and `update` inside it, so there is one writer."""

from __future__ import annotations

import json
import os
import select
import shutil
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FIFO = "channel"
IDENTITY = "job.json"

# POSIX promises that so many bytes written at once stay together, whoever else writes.
TOGETHER = select.PIPE_BUF

# What is read at once, in bytes: more than a FIFO holds.
_PIECE = 1024 * 1024

# A line that is longer, in bytes, is no update that anybody meant; what stands in its place is told of as none.
_LONGEST = 1024 * 1024
_TOO_LONG = b"(a line of more than 1 MiB)"

# How long a full FIFO may stay full, in seconds: then nobody reads it, or not in time.
PATIENCE = 1.0


class Whose(NamedTuple):
    """The job that a channel speaks for."""

    host: str
    workspace: str
    job: str


class Channel:
    """The reading end. `path` is what the command gets as NEMO_JOBS_CHANNEL; `read` hears whole lines, as bytes."""

    def __init__(self, whose: Whose, read: Callable[[bytes], None]) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="nemo-jobs-run-"))  # 0700
        self.path = self._folder / FIFO
        try:
            (self._folder / IDENTITY).write_text(json.dumps(whose._asdict()), "utf-8")
            os.mkfifo(self.path, 0o600)
            # Opened for writing, too: it has no end between two writers then.
            self._fd = os.open(self.path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        self._read = read
        self._rest = b""
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._work, name="channel", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def finish(self) -> None:
        """Take the channel away, and read what was written until now."""
        shutil.rmtree(self._folder, ignore_errors=True)  # first: who comes now must see that nobody listens
        self._ending.set()
        with suppress(BlockingIOError):  # full: the thread is awake
            os.write(self._fd, b"\n")  # wakes it; an empty line says nothing
        self._thread.join()
        os.close(self._fd)

    def _work(self) -> None:
        waiting = select.poll()
        waiting.register(self._fd, select.POLLIN)
        while not self._ending.is_set():
            waiting.poll()
            self._take()
        self._take()  # all that was there at the end, and no more: what is left in the background may write for ever
        if self._rest:
            self._read(self._rest + b"\n")

    def _take(self) -> None:
        try:
            piece = os.read(self._fd, _PIECE)
        except BlockingIOError:
            return  # another reader was faster
        if self._rest is _TOO_LONG:
            piece = b"".join(piece.partition(b"\n")[1:])
        whole, newline, rest = (self._rest + piece).rpartition(b"\n")
        if newline or self._rest is not _TOO_LONG:
            self._rest = rest if len(rest) <= _LONGEST else _TOO_LONG
        if newline:
            self._read(whole + newline)


def hand_over(path: str, whose: Whose, fields: Mapping[str, Any]) -> bool:
    """Write an update to the channel at `path`; tell whether it was taken.

    It is not where the channel speaks for another job, nobody reads it (any more, or in time), or a value is too
    large to be written in one piece: then the update goes its usual way.
    """
    try:
        identity = json.loads(Path(path).with_name(IDENTITY).read_text("utf-8"))
        if identity != whose._asdict():
            return False
        pieces = [json.dumps({key: value}).encode() + b"\n" for key, value in fields.items()]
        together = json.dumps(dict(fields)).encode() + b"\n"
        pieces = [together] if len(together) <= TOGETHER else pieces
        if any(len(piece) > TOGETHER for piece in pieces):
            return False
        fifo = os.open(path, os.O_WRONLY | os.O_NONBLOCK)  # which fails where nobody reads
        try:
            for piece in pieces:
                _write(fifo, piece)
        finally:
            os.close(fifo)
    except (OSError, ValueError):
        return False
    return True


def _write(fifo: int, piece: bytes) -> None:
    """Write a piece that stays together; raise OSError where there is no room for it for too long."""
    waiting = select.poll()
    waiting.register(fifo, select.POLLOUT)
    while True:
        try:
            os.write(fifo, piece)
        except BlockingIOError:
            if not waiting.poll(PATIENCE * 1000):
                raise
        else:
            return
