"""Take updates from inside a wrapped command, through a FIFO.

Beside the FIFO lie files: the job, updates that are too large for a FIFO, and the outbox that an update names.
"""

from __future__ import annotations

import errno
import json
import os
import re
import select
import shutil
import stat
import tempfile
import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nemo_jobs_cli.core.files import write_atomic

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FIFO = "channel"
TARGET = "job.json"
OUTBOX = "outbox"

# The line of a large update names its file.
_LARGE = re.compile(rb"^@(large-[0-9a-f]{16})$", re.MULTILINE)

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
    """The reading end; `on_lines` gets whole lines, as bytes.

    After `finish`, `outbox_dir` is the outbox of the updates that are to be stored if they cannot be delivered.
    """

    def __init__(self, target: ChannelTarget, on_lines: Callable[[bytes], None]) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="nemo-jobs-run-"))  # 0700
        self.path = self._folder / FIFO
        try:
            (self._folder / TARGET).write_text(json.dumps(target._asdict()), "utf-8")
            os.mkfifo(self.path, 0o600)
            # Open for writing too: otherwise it would end between two writers.
            self._fd = _open(str(self.path), os.O_RDWR)
        except OSError:
            self.remove()
            raise
        self._on_lines = on_lines
        self._rest = b""
        self.outbox_dir: str | None = None
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._work, name="channel", daemon=True)

    def start(self) -> None:
        """Start to read."""
        self._thread.start()

    def finish(self) -> None:
        """Read the rest, and remove the channel."""
        self._ending.set()
        with suppress(BlockingIOError):  # full: the thread is awake
            os.write(self._fd, b"\n")  # an empty line wakes it
        self._thread.join()
        os.close(self._fd)
        with suppress(OSError):
            self.outbox_dir = os.fsdecode((self._folder / OUTBOX).read_bytes())
        self.remove()

    def remove(self) -> None:
        """Remove the channel."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _work(self) -> None:
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        while not self._ending.is_set():
            poll.poll()
            self._read()
        with suppress(OSError):  # a late writer must see that nobody reads; a shell would create a file in a folder
            self._folder = self._folder.rename(f"{self._folder}-closed")
        self._read()  # once: what the command has left in the background may write for ever
        if self._rest:
            self._emit(self._rest + b"\n")

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
            self._emit(whole + newline)

    def _emit(self, lines: bytes) -> None:
        self._on_lines(_LARGE.sub(self._read_large, lines))

    def _read_large(self, line: re.Match[bytes]) -> bytes:
        file = self._folder / line[1].decode()
        try:
            update = file.read_bytes()
            file.unlink()
        except OSError:
            return line[0]  # which is reported as a bad line
        return update


def write_update(path: str, target: ChannelTarget, fields: Mapping[str, Any], outbox_dir: str | None = None) -> bool:
    """Write an update to the channel at `path`; return whether that succeeded.

    It fails if the channel is for another job, or nobody reads it in time. The caller then sends the update itself.
    With `outbox_dir`, what cannot be delivered is to be stored there.
    """
    folder = Path(path).parent
    try:
        fifo = _open(path, os.O_WRONLY)  # fails if nobody reads
        try:
            if json.loads((folder / TARGET).read_text("utf-8")) != target._asdict():
                return False
            if outbox_dir is not None:
                write_atomic(folder / OUTBOX, os.fsencode(outbox_dir), durable=False)
            line = json.dumps(dict(fields)).encode()
            if len(line) < ATOMIC:
                _write_line(fifo, line + b"\n")
            else:
                _write_large(fifo, folder / f"large-{os.urandom(8).hex()}", line)
        finally:
            os.close(fifo)
    except (OSError, ValueError):
        return False
    return True


def _open(path: str, flags: int) -> int:
    """Open a channel; raise OSError if another user may control it.

    After the end of `run` anybody can create its folder again, with whatever in place of the FIFO.
    """
    with ExitStack() as closing:
        folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)  # noqa: PTH120
        closing.callback(os.close, folder)
        fifo = os.open(FIFO, flags | os.O_NONBLOCK | os.O_NOFOLLOW, dir_fd=folder)
        closing.callback(os.close, fifo)
        for file, is_kind in ((folder, stat.S_ISDIR), (fifo, stat.S_ISFIFO)):
            status = os.fstat(file)
            if not is_kind(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
                raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), path)
        return os.dup(fifo)


def _write_large(fifo: int, file: Path, update: bytes) -> None:
    write_atomic(file, update, durable=False)
    try:
        _write_line(fifo, f"@{file.name}\n".encode())
    except OSError:
        file.unlink()
        raise


def _write_line(fifo: int, line: bytes) -> None:
    """Write a line in one piece, or raise OSError if it does not fit."""
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
