"""Read the files and the stdin that an update names: bounded, as UTF-8, and never twice from stdin."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.core.errors import Pointer, UsageError
from nemo_jobs_cli.core.text import close_matches, did_you_mean, one_line
from nemo_jobs_cli.fields import strict_json

if TYPE_CHECKING:
    from typing import BinaryIO

STDIN = "-"

# Every write rewrites the whole record: with 20 MB in it each later PATCH took 1.6 s (measured).
LARGE = 256 * 1024
TOO_LARGE = 4 * 1024 * 1024

# What is read at the most where --allow-large lifts the limit: a pipe may never end.
LARGEST_FILE = 256 * 1024 * 1024

_MOST_NAMES = 2000  # of a folder, when a misspelt file's right name is looked for


class InputReader:
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
        return strict_json.load_object(text, _name(path)), text

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
            anyway = " (or --allow-large)" if self._limit < LARGEST_FILE else ""
            raise UsageError(
                f"{_name(path)} holds more than {self._limit >> 20} MiB",
                f"details are for progress, not for files: send a path or a URL{anyway}",
            )
        return data

    def _from_stdin(self) -> bytes:
        if self._stdin_is_read:
            raise UsageError("stdin can be read only once", "name a file for one of the two")
        self._stdin_is_read = True
        stdin = self._stdin or (sys.stdin and sys.stdin.buffer)
        data = stdin.read(self._limit + 1) if stdin else None
        if data is None:  # closed by the caller, or set not to wait and empty
            raise UsageError("stdin can't be read: nothing is there", "give it a file or a pipe: ... -f - < m.json")
        return data


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
    pointer = strict_json.pointer_at(text, len(shown), name)
    return UsageError(
        f"{pointer.label}: not UTF-8 text",
        f"convert it: iconv -f latin1 -t utf-8 {name}",
        pointer=pointer,
    )


def _unreadable(path: str, error: Exception) -> UsageError:
    if not path:
        return UsageError("a file's name is empty", "name the file (is a shell variable unset?)")
    reason = getattr(error, "strerror", None) or "not a usable name"
    return UsageError(
        f"{_name(path)} can't be read: {one_line(reason, 100)}",
        _next_step(path, error),
        pointer=Pointer("file", path) if path else None,
    )


def _next_step(path: str, error: Exception) -> str:
    if isinstance(error, IsADirectoryError):
        return "name a file in it"
    if isinstance(error, PermissionError):
        return "ask for the right to read it, or name another file"
    if "=" in path and isinstance(error, FileNotFoundError):
        return f"fields need no -f: {one_line(path, 100)}"
    similar = _similar_files(path) if isinstance(error, FileNotFoundError) else []
    return did_you_mean(similar) or "check the file's name"


def _similar_files(path: str) -> list[str]:
    """Return the file in the same folder with the most similar name, if there is one."""
    import itertools

    try:
        entries = itertools.islice(Path(path).parent.iterdir(), _MOST_NAMES)
        names = [entry.name for entry in entries if not entry.is_dir()]
    except OSError:
        return []  # no folder, or one that can't be listed: then there is nothing to suggest
    return [str(Path(path).with_name(name)) for name in close_matches(Path(path).name, names)]
