"""Take updates from inside a wrapped command, through a FIFO: so there is one writer, which keeps their order."""

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
TARGET = "job.json"

# POSIX writes up to so many bytes to a FIFO in one piece, however many writers there are.
ATOMIC = select.PIPE_BUF

# Bytes to read at once: more than a FIFO holds.
_CHUNK = 1024 * 1024

# A longer line, in bytes, is replaced by one that cannot be parsed, so that it is reported.
_MAX_LINE = 1024 * 1024
_TOO_LONG = b"(a line of more than 1 MiB)"

# Seconds to wait for room in a full FIFO: then nobody reads it, or not in time.
WRITE_TIMEOUT = 1.0


class ChannelTarget(NamedTuple):
    """The job that a channel reports for."""

    host: str
    workspace: str
    job: str


class Channel:
    """The reading end. `path` becomes NEMO_JOBS_CHANNEL of the command; `on_lines` gets whole lines, as bytes."""

    def __init__(self, target: ChannelTarget, on_lines: Callable[[bytes], None]) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="nemo-jobs-run-"))  # 0700
        self.path = self._folder / FIFO
        try:
            (self._folder / TARGET).write_text(json.dumps(target._asdict()), "utf-8")
            os.mkfifo(self.path, 0o600)
            # Open for writing too: otherwise it would end between two writers.
            self._fd = os.open(self.path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        self._on_lines = on_lines
        self._rest = b""
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._work, name="channel", daemon=True)

    def start(self) -> None:
        """Start to read."""
        self._thread.start()

    def finish(self) -> None:
        """Remove the channel, and read what was written until now."""
        shutil.rmtree(self._folder, ignore_errors=True)  # first: a late writer must see that nobody reads
        self._ending.set()
        with suppress(BlockingIOError):  # full: the thread is awake
            os.write(self._fd, b"\n")  # an empty line wakes it
        self._thread.join()
        os.close(self._fd)

    def _work(self) -> None:
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        while not self._ending.is_set():
            poll.poll()
            self._read()
        self._read()  # once: what the command has left in the background may write for ever
        if self._rest:
            self._on_lines(self._rest + b"\n")

    def _read(self) -> None:
        try:
            chunk = os.read(self._fd, _CHUNK)
        except BlockingIOError:
            return  # another reader was faster
        if self._rest is _TOO_LONG:
            chunk = b"".join(chunk.partition(b"\n")[1:])
        whole, newline, rest = (self._rest + chunk).rpartition(b"\n")
        if newline or self._rest is not _TOO_LONG:
            self._rest = rest if len(rest) <= _MAX_LINE else _TOO_LONG
        if newline:
            self._on_lines(whole + newline)


def write_update(path: str, target: ChannelTarget, fields: Mapping[str, Any]) -> bool:
    """Write an update to the channel at `path`; return whether that succeeded.

    It fails if the channel is for another job, nobody reads it in time, or a value is too large to be written in one
    piece. The caller then sends the update itself.
    """
    try:
        if json.loads(Path(path).with_name(TARGET).read_text("utf-8")) != target._asdict():
            return False
        lines = [json.dumps(dict(fields)).encode() + b"\n"]
        if len(lines[0]) > ATOMIC:
            lines = [json.dumps({key: value}).encode() + b"\n" for key, value in fields.items()]
        if any(len(line) > ATOMIC for line in lines):
            return False
        fifo = os.open(path, os.O_WRONLY | os.O_NONBLOCK)  # fails if nobody reads
        try:
            for line in lines:
                _write_line(fifo, line)
        finally:
            os.close(fifo)
    except (OSError, ValueError):
        return False
    return True


def _write_line(fifo: int, line: bytes) -> None:
    """Write a line in one piece; raise OSError if there is no room for it in time."""
    poll = select.poll()
    poll.register(fifo, select.POLLOUT)
    while True:
        try:
            os.write(fifo, line)
        except BlockingIOError:
            if not poll.poll(WRITE_TIMEOUT * 1000):
                raise
        else:
            return
