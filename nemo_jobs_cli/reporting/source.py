"""Read the input of `stream` and the updates in its lines."""

from __future__ import annotations

import io
import math
import os
import stat
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.core.clock import run_within, wait_until
from nemo_jobs_cli.core.errors import Pointer, UsageError
from nemo_jobs_cli.core.files import os_reason, stdin_error
from nemo_jobs_cli.core.signals import is_readable
from nemo_jobs_cli.fields import lines as field_lines
from nemo_jobs_cli.fields.files import STDIN
from nemo_jobs_cli.fields.lines import MergedLines
from nemo_jobs_cli.fields.parse import file_label
from nemo_jobs_cli.reporting.match import LineBuffer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nemo_jobs_cli.core.errors import NemoJobsError
    from nemo_jobs_cli.fields.flow import FlowValues
    from nemo_jobs_cli.reporting.match import Matcher

# Bytes to read at once: large chunks are parsed faster. A pipe gives 64 KiB at most.
CHUNK = 1024 * 1024

# Seconds between two looks at a followed file.
POLL_INTERVAL = 0.2


def read_chunks(source: str, *, follow: bool = False, sleep: Callable[[float], None] = time.sleep) -> Iterator[bytes]:
    """Yield the bytes of `source` in chunks, as soon as they arrive.

    With `follow`, go on at the end like `tail -F`: the file may appear later, grow, be truncated, or be replaced under
    its name. Raise UsageError if it cannot be read.
    """
    follow = follow and source != STDIN
    while follow and is_missing(source):
        sleep(POLL_INTERVAL)
    fds = [_open(source)]  # the file being read, then the one that has replaced it
    try:
        while True:
            if follow:
                fds += _replacement(fds[0], source)  # before reading: the rest of the old file counts
            while chunk := _read(fds[0], source):
                yield chunk
            if len(fds) > 1:
                os.close(fds.pop(0))
            elif follow:
                sleep(POLL_INTERVAL)
                _rewind_if_truncated(fds[0])
            else:
                return
    finally:
        if source != STDIN:
            for fd in fds:
                os.close(fd)


def is_missing(source: str) -> bool:
    """Return whether a file is missing; other errors show when it opens."""
    try:
        os.stat(source)  # noqa: PTH116 - a path that Path refuses is not missing
    except FileNotFoundError:
        return True
    except (OSError, ValueError):
        return False
    return False


class LineReader:
    """Parse lines as updates, or find fields in them with `matcher`.

    `lines` counts the lines read. With `strict`, the first bad line ends the reading and becomes `error`.
    """

    def __init__(
        self,
        name: str,
        values: FlowValues,
        on_error: Callable[[NemoJobsError], None],
        matcher: Matcher | None = None,
        *,
        strict: bool = False,
    ) -> None:
        self.lines = 0
        self.error: NemoJobsError | None = None
        self._name = name
        self._values = values
        self._on_error = on_error
        self._matcher = matcher
        self._strict = strict
        self._line_buffer = LineBuffer()
        self._rest = bytearray()
        self._is_mid_line = False

    def feed(self, chunk: bytes) -> MergedLines:
        """Return the updates of the lines that `chunk` completes."""
        if chunk:
            self._is_mid_line = not chunk.endswith(b"\n")
        merged = self._parse(chunk) if self._matcher is None else self._match(chunk, self._matcher)
        self.lines += merged.lines
        return merged

    def finish(self) -> MergedLines:
        """Return the updates of a last line without a line break."""
        return self.feed(b"\n" if self._is_mid_line else b"")

    def _parse(self, chunk: bytes) -> MergedLines:
        whole, newline, rest = chunk.rpartition(b"\n")
        text = ""
        if newline:
            text = (bytes(self._rest) + whole + newline).decode("utf-8", "surrogateescape")
            self._rest = bytearray()
        # One byte more than the limit shows that a line is too long; no more of it is kept.
        self._rest += rest[: field_lines.MAX_LINE + 1 - len(self._rest)]
        text = text if self.lines else text.removeprefix("\ufeff")
        return field_lines.merge(text, self.lines + 1, self._name, self._values, self._report)

    def _match(self, chunk: bytes, matcher: Matcher) -> MergedLines:
        """Match the lines, or drawn progress bars, that `chunk` completes."""
        fields: dict[str, Any] = {}
        lines = updates = 0
        for row in io.BytesIO(chunk):
            for line in self._line_buffer.feed(row):
                match = matcher.find(line)
                fields |= match.fields
                updates += bool(match.fields)
                for problem in match.problems:
                    label = f"{self._name}:{self.lines + lines + 1}"
                    self._report(UsageError(f"{label}: {problem}", "correct the pattern of --match"))
            lines += row.endswith(b"\n")
        return MergedLines(fields, lines, updates)

    def _report(self, error: NemoJobsError) -> bool:
        """Report a bad line; return whether it ends the reading."""
        if self._strict:
            self.error = error
        else:
            self._on_error(error)
        return self._strict


def _open(source: str) -> int:
    if source == STDIN:
        if sys.stdin is None:  # closed at the start, and replaced with the null device
            raise stdin_error("no input")
        return 0
    try:
        # A FIFO opens when it has a writer; meanwhile signals are handled.
        return run_within(math.inf, lambda: os.open(source, os.O_RDONLY | os.O_CLOEXEC))
    except (OSError, ValueError) as error:
        raise _unreadable(source, error) from None


def _read(fd: int, source: str) -> bytes:
    while True:
        wait_until(partial(is_readable, fd), math.inf)  # in steps, so that signals are handled soon
        try:
            return os.read(fd, CHUNK)
        except BlockingIOError:
            continue  # another process has made our stdin non-blocking, and reads from it too
        except OSError as error:
            raise _unreadable(source, error) from None


def _replacement(fd: int, source: str) -> list[int]:
    """Return the file that has taken the name of the open one, or nothing."""
    try:
        current, named = os.fstat(fd), os.stat(source)  # noqa: PTH116 - beside fstat
    except OSError:
        return []  # gone for the moment: it is being replaced
    if not stat.S_ISREG(current.st_mode) or os.path.samestat(current, named):
        return []
    return [_open(source)]


def _rewind_if_truncated(fd: int) -> None:
    status = os.fstat(fd)
    if stat.S_ISREG(status.st_mode) and status.st_size < os.lseek(fd, 0, os.SEEK_CUR):
        os.lseek(fd, 0, os.SEEK_SET)


def _unreadable(source: str, error: Exception) -> UsageError:
    if source == STDIN:
        return stdin_error(os_reason(error))
    return UsageError(
        f"cannot read {file_label(source)}: {os_reason(error)}",
        "check its name and its permissions",
        pointer=Pointer("--input", source),
    )
