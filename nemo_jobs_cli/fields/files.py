"""Read the files and the stdin of an update, up to a limit."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.core import clock
from nemo_jobs_cli.core.errors import Pointer, UsageError
from nemo_jobs_cli.core.files import os_reason, read_stdin
from nemo_jobs_cli.core.text import close_matches, did_you_mean, one_line
from nemo_jobs_cli.fields import strict_json
from nemo_jobs_cli.fields.parse import file_label

if TYPE_CHECKING:
    from collections.abc import Callable

STDIN = "-"

# The server rewrites all details on each update: with 20 MB in them each later PATCH took 1.6 s.
LARGE = 256 * 1024
TOO_LARGE = 4 * 1024 * 1024

LARGEST_FILE = 256 * 1024 * 1024  # with --allow-large: a pipe may never end
_MAX_NAMES = 2000  # of a folder that are compared with a misspelled one


class InputReader:
    """Read the files of a command line, and stdin once, after `on_stdin`."""

    def __init__(self, *, allow_large: bool = False, on_stdin: Callable[[], None] = lambda: None) -> None:
        self._limit = LARGEST_FILE if allow_large else TOO_LARGE
        self._on_stdin = on_stdin
        self._stdin_is_read = False

    def read_text(self, path: str) -> str:
        """Return the text of a file (`-` is stdin), or raise UsageError."""
        data = self._read(path)
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise _not_utf8(data, error.start, path) from None

    def read_object(self, path: str) -> tuple[dict[str, Any], str]:
        """Return the JSON object of a file, and its text."""
        text = self.read_text(path).removeprefix("\ufeff")
        return strict_json.load_object(text, file_label(path)), text

    def _read(self, path: str) -> bytes:
        try:
            # A pipe may be silent for long; meanwhile signals are handled.
            data = clock.run_within(math.inf, partial(self._from_file, path) if path != STDIN else self._from_stdin)
        except (OSError, ValueError) as error:
            raise _unreadable(path, error) from None
        if len(data) > self._limit:
            option = ", or use --allow-large" if self._limit < LARGEST_FILE else ""
            raise UsageError(
                f"cannot read {file_label(path)}: larger than {self._limit >> 20} MiB",
                f"send a path or a URL instead{option}",
            )
        return data

    def _from_file(self, path: str) -> bytes:
        with Path(path).open("rb") as file:
            return file.read(self._limit + 1)

    def _from_stdin(self) -> bytes:
        if self._stdin_is_read:
            raise UsageError("cannot read stdin twice", "use a file for one of the two")
        self._stdin_is_read = True
        self._on_stdin()
        return read_stdin(self._limit + 1)


def check_size(body: bytes, *, allow_large: bool) -> str:
    """Return a warning for a large body, or ""; refuse a larger one."""
    if len(body) > TOO_LARGE and not allow_large:
        raise UsageError(
            f"the update is {len(body) / 1024 / 1024:.1f} MiB, which would slow down every later update of this job",
            "send less, or a path to the data; or use --allow-large",
        )
    if len(body) > LARGE:
        return f"the update is {len(body) // 1024} KiB, which slows down every later update of this job"
    return ""


def _not_utf8(data: bytes, offset: int, path: str) -> UsageError:
    text, name = data.decode("utf-8", "replace"), file_label(path)
    pointer = strict_json.pointer_at(text, len(data[:offset].decode("utf-8")), name)
    file = "" if path == STDIN else f" {name}"
    return UsageError(
        f"{pointer.label}: not UTF-8 text", f"convert it: iconv -f latin1 -t utf-8{file}", pointer=pointer
    )


def _unreadable(path: str, error: Exception) -> UsageError:
    if not path:
        return UsageError("the file name is empty", "name a file (is a shell variable unset?)")
    message = f"cannot read {file_label(path)}: {os_reason(error)}"
    return UsageError(message, _hint(path, error), pointer=Pointer("file", path))


def _hint(path: str, error: Exception) -> str:
    if isinstance(error, IsADirectoryError):
        return "name a file in it"
    if isinstance(error, PermissionError):
        return "make it readable, or name another file"
    if not isinstance(error, FileNotFoundError):
        return "check the file name"
    if "=" in path:
        return f"write a field without -f: {one_line(path, 100)}"
    return did_you_mean(_similar_files(path)) or "check the file name"


def _similar_files(path: str) -> list[str]:
    """Return the file with the most similar name in the folder."""
    import itertools

    try:
        entries = itertools.islice(Path(path).parent.iterdir(), _MAX_NAMES)
        names = [entry.name for entry in entries if not entry.is_dir()]
    except OSError:
        return []
    return [str(Path(path).with_name(name)) for name in close_matches(Path(path).name, names, cutoff=0.75)]
