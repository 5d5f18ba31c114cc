"""Run a command as a child: its environment, its signals, its exit code."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from nemo_jobs_cli.errors import NemoJobsError
from nemo_jobs_cli.sanitize import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import FrameType

NOT_EXECUTABLE = 126  # as shells say it
NOT_FOUND = 127
PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class CommandError(NemoJobsError):
    """The command could not be started; the exit code is the one that shells use."""

    def __init__(self, message: str, hint: str, code: int) -> None:
        super().__init__(message, hint)
        self.code = code


def run(words: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a command to its end and return its exit code, 128+N when signal N ended it.

    INT, TERM and HUP are passed on, and its end is waited for. Raise CommandError when it can't start.
    """
    import subprocess

    try:
        child = subprocess.Popen(  # noqa: S603 - running the user's command is the point
            words, env=dict(environment), executable=_find(words[0], environment)
        )
    except (OSError, ValueError) as error:
        raise _unstartable(words[0], error) from None

    def pass_on(number: int, _frame: FrameType | None) -> None:
        if number != signal.SIGINT or not _in_foreground():
            child.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in PASSED_ON}
    try:
        code = child.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 128 - code if code < 0 else code


def _in_foreground() -> bool:
    """Tell whether a Ctrl-C reaches the child from the terminal anyway: twice means more than once."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def _find(word: str, environment: Mapping[str, str]) -> str:
    """Return the program that a word names on the child's PATH, which isn't ours."""
    import shutil

    return shutil.which(word, path=environment.get("PATH")) or word


def _unstartable(word: str, error: Exception) -> CommandError:
    shown = one_line(word, 80)
    if isinstance(error, FileNotFoundError):
        return CommandError(
            f"there is no command '{shown}'", "check its spelling and PATH; for shell syntax: sh -c '...'", NOT_FOUND
        )
    why = one_line(error.strerror or type(error).__name__, 80) if isinstance(error, OSError) else "a NUL in it"
    return CommandError(f"'{shown}' can't be run: {why}", "is it a program, and executable (chmod +x)?", NOT_EXECUTABLE)
