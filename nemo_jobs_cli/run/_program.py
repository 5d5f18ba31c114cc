"""Find the program of a command, and explain a failed start."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

from nemo_jobs_cli.core.files import os_reason
from nemo_jobs_cli.core.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

# The exit codes of shells for a command that cannot start.
NOT_EXECUTABLE = 126
NOT_FOUND = 127

# Bytes in which Linux looks for the interpreter of a script.
_HEAD = 256


def find(word: str, environment: Mapping[str, str]) -> str:
    """Look a program up on the command's PATH, or raise an error."""
    if "\0" in word:
        raise ValueError(word)
    if "/" in word:
        return word
    files = [file for folder in os.get_exec_path(environment) if (file := Path(folder, word)).is_file()]
    if not files:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    return str(next((file for file in files if os.access(file, os.X_OK)), files[0]))


def is_text(path: str) -> bool:
    """Return whether a program is a script without a `#!` line."""
    return b"\0" not in _head(path)


def explain(word: str, error: OSError | ValueError) -> tuple[str, str, int]:
    """Return the reason of a failed start, a hint and the exit code."""
    name = one_line(word, 80)
    number, path = (error.errno, error.filename) if isinstance(error, OSError) else (None, None)
    if number == errno.ENOENT and not (path and os.path.lexists(path)):
        hint = "check its spelling and PATH; for shell syntax: sh -c '...'"
        return f"command not found: '{name}'", hint, NOT_FOUND
    code = NOT_FOUND if number == errno.ENOENT else NOT_EXECUTABLE
    reason, hint = _reason(str(path or word), error)
    return f"cannot run '{name}': {reason}", hint, code


def _reason(path: str, error: OSError | ValueError) -> tuple[str, str]:
    if not isinstance(error, OSError):
        return "it contains NUL", "name a program"
    interpreter = _interpreter(path)
    shown = one_line(interpreter, 80)
    if error.errno == errno.ENOENT:
        if interpreter.endswith("\r"):
            return f"its interpreter '{shown}' does not exist", "remove the CR of its lines: sed -i 's/\\r$//' FILE"
        if interpreter:
            return f"its interpreter '{shown}' does not exist", "install it, or correct the first line (#!) of the file"
        if Path(path).exists():
            return "its loader does not exist", "it was built for another system: install or build it for this one"
    if error.errno == errno.EACCES and interpreter and os.access(path, os.X_OK):
        return f"its interpreter '{shown}' is not executable", "correct the first line (#!) of the file"
    hints: dict[int | None, str] = {
        errno.EACCES: "make it executable: chmod +x FILE",
        errno.ENOEXEC: "it was built for another system: install or build it for this one",
        errno.E2BIG: "pass fewer or shorter arguments and variables",
    }
    return os_reason(error), hints.get(error.errno, "check the file")


def _interpreter(path: str) -> str:
    """Return the interpreter in a script's first line, or ""."""
    head = _head(path)
    words = head[2:].partition(b"\n")[0].strip(b" \t").replace(b"\t", b" ").split(b" ")
    return os.fsdecode(words[0]) if head.startswith(b"#!") else ""


def _head(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return file.read(_HEAD)
    except OSError:
        return b""  # a program need not be readable
