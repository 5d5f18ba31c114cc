"""Read the files and the stdin that an update names: bounded, as UTF-8, and never twice from stdin."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nemo_jobs_cli import jsontext
from nemo_jobs_cli.errors import Pointer, UsageError
from nemo_jobs_cli.sanitize import one_line

if TYPE_CHECKING:
    from typing import BinaryIO

STDIN = "-"

# Every write rewrites the whole record: with 20 MB in it each later PATCH took 1.6 s (measured).
LARGE = 256 * 1024
TOO_LARGE = 4 * 1024 * 1024

# What is read at the most where --allow-large lifts the limit: a pipe may never end.
LARGEST_FILE = 256 * 1024 * 1024


class Reader:
    """Reads what one command line names; knows whether stdin has been used up."""

    def __init__(self, *, allow_large: bool = False, stdin: BinaryIO | None = None) -> None:
        self._limit = LARGEST_FILE if allow_large else TOO_LARGE
        self._stdin = stdin
        self._stdin_is_read = False

    def read_text(self, path: str) -> str:
        """Return the text of a file (`-` is stdin) exactly as it is; raise UsageError when it can't be had."""
        data = self._read(path)
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise _not_utf8(data, error.start, _name(path)) from None

    def read_object(self, path: str) -> tuple[dict[str, Any], str]:
        """Return the JSON object of a file and its text; a byte order mark is passed over."""
        text = self.read_text(path).removeprefix("\ufeff")
        return jsontext.load_object(text, _name(path)), text

    def _read(self, path: str) -> bytes:
        try:
            if path == STDIN:
                data = self._from_stdin()
            else:
                with Path(path).open("rb") as file:
                    data = file.read(self._limit + 1)
        except (OSError, ValueError) as error:
            raise _unreadable(path, error) from None
        if len(data) > self._limit:
            raise UsageError(
                f"{_name(path)} holds more than {self._limit >> 20} MiB",
                "details are for progress, not for files: send a path or a URL (or --allow-large)",
            )
        return data

    def _from_stdin(self) -> bytes:
        if self._stdin_is_read:
            raise UsageError("stdin can be read only once", "name a file for one of the two")
        self._stdin_is_read = True
        return (self._stdin or sys.stdin.buffer).read(self._limit + 1)


def check_size(body: bytes, *, allow_large: bool) -> str:
    """Return a warning for a large body, or ""; raise UsageError for one that would slow the job down for ever."""
    if len(body) > TOO_LARGE and not allow_large:
        raise UsageError(
            f"the update is {len(body) / 1024 / 1024:.1f} MiB: from then on each update of this job would be slow",
            "send less, or a path to the data; --allow-large sends it all the same",
        )
    return (
        f"the update is {len(body) // 1024} KiB: each later update of this job gets slower" if len(body) > LARGE else ""
    )


def _name(path: str) -> str:
    return "stdin" if path == STDIN else one_line(path, 300)


def _not_utf8(data: bytes, offset: int, name: str) -> UsageError:
    text = data.decode("utf-8", "replace")
    shown = data[:offset].decode("utf-8")
    pointer = jsontext.offset_to_pointer(text, len(shown), name)
    return UsageError(
        f"{pointer.label}: not UTF-8 text",
        f"convert it: iconv -f latin1 -t utf-8 {name}",
        pointer=pointer,
    )


def _unreadable(path: str, error: Exception) -> UsageError:
    reason = getattr(error, "strerror", None) or "not a usable name"
    close: list[str] = []
    if isinstance(error, FileNotFoundError):
        import difflib

        folder = Path(path).parent
        names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
        close = difflib.get_close_matches(Path(path).name, names, n=1)
    hint = (
        f"did you mean {one_line(str(Path(path).with_name(close[0])), 200)}?"
        if close
        else "check the file's name and mode"
    )
    return UsageError(
        f"{_name(path)} can't be read: {one_line(reason, 100)}",
        hint,
        pointer=Pointer("file", path) if path else None,
    )
