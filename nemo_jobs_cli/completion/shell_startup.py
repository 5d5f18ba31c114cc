"""Inspect the startup of interactive shells, and edit their files."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from nemo_jobs_cli.core import clock
from nemo_jobs_cli.core.errors import SettingsError
from nemo_jobs_cli.core.files import display_path, write_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Seconds: a startup file that takes longer waits for input.
START_TIMEOUT = 10.0

# Seconds for a shell to exit after its output, as it may write its history.
_EXIT_TIMEOUT = 1.0

_BEGIN, _END = "# >>> nemo-jobs completion >>>", "# <<< nemo-jobs completion <<<"
_PREFIX, _LAST_LINE = "nemo-jobs-result:", "nemo-jobs-end"
_MAX_LINE = 1 << 16

_COMMANDS = {
    "bash": f'complete -p -D >/dev/null 2>&1 && echo "{_PREFIX}"yes',
    "zsh": f'(( $+functions[compdef] )) && print -rl -- "{_PREFIX}"${{^fpath}}',
}


@dataclass(frozen=True, slots=True)
class ShellStartup:
    """What an interactive shell of the user does at startup.

    `loads_by_name` is true for a bash with bash-completion. `searched` are the folders that a zsh with completion
    searches for scripts. `known` is false if the shell did not start in time.
    """

    loads_by_name: bool = False
    searched: tuple[Path, ...] = ()
    known: bool = True


def inspect(shell: str, environ: Mapping[str, str], limit: float = START_TIMEOUT) -> ShellStartup:
    """Start a shell, for at most `limit` seconds, and inspect it.

    The shell has no terminal, so its startup files cannot prompt, and processes that they start do not outlive it.
    """
    if shell not in _COMMANDS:
        return ShellStartup()
    try:
        process = subprocess.Popen(  # noqa: S603 - the user's own shell
            [shell, "-ic", f"echo; {_COMMANDS[shell]}; echo {_LAST_LINE}"],
            env=dict(environ), start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
    except OSError:
        return ShellStartup()
    stream = cast("BinaryIO", process.stdout)
    try:
        results = clock.run_within(limit, lambda: _read_results(stream))
        with suppress(subprocess.TimeoutExpired):
            process.wait(_EXIT_TIMEOUT)
    except TimeoutError:
        return ShellStartup(known=False)
    finally:
        with suppress(OSError):  # the process group has ended
            os.killpg(process.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_EXIT_TIMEOUT)
    return ShellStartup(results == ["yes"], tuple(Path(folder) for folder in results if folder.startswith("/")))


def _read_results(stream: BinaryIO) -> list[str]:
    """Return the results among the output of startup files.

    A background process may delay the end of the output, so it is not awaited.
    """
    results = []
    with stream:
        for line in iter(lambda: stream.readline(_MAX_LINE), b""):
            text = line.decode("utf-8", "replace").rstrip("\n")
            if text == _LAST_LINE:
                break
            if text.startswith(_PREFIX):
                results.append(text.removeprefix(_PREFIX))
    return results


def quote(path: Path) -> str:
    """Quote a path for a startup file."""
    return shlex.quote(str(path))


def mentions(startup_file: Path, script: Path) -> bool:
    """Return whether a startup file mentions the script or our block."""
    text = _read(startup_file)
    return _BEGIN in text or "/".join(script.parts[-2:]) in text


def add(startup_file: Path, lines: Sequence[str]) -> None:
    """Append lines as a block, in place of an earlier block."""
    hint = f"add to the end of the file: {'; '.join(lines)}"
    before = _without_block(_read(startup_file, hint))
    separator = "" if not before or before.endswith("\n") else "\n"
    _write(startup_file, before + separator + "\n".join([_BEGIN, *lines, _END, ""]), hint)


def remove(startup_file: Path) -> bool:
    """Remove our block; return whether there was one."""
    text = _read(startup_file)
    rest = _without_block(text)
    if rest != text:
        _write(startup_file, rest)
    return rest != text


def _without_block(text: str) -> str:
    """Remove complete blocks; keep a marker without its pair."""
    return re.sub(f"{_BEGIN}(?:(?!{_BEGIN}).)*?{_END}\n?", "", text, flags=re.DOTALL)


_REMOVE_HINT = "check its owner, or remove the lines about nemo-jobs in an editor"


def _read(path: Path, hint: str = _REMOVE_HINT) -> str:
    try:
        if path.exists() and not path.is_file():
            raise SettingsError(f"cannot change {display_path(path)}: not a regular file", hint)
        return path.read_bytes().decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise SettingsError(f"cannot read {display_path(path)}: {error.strerror}", hint) from None


def _write(path: Path, text: str, hint: str = _REMOVE_HINT) -> None:
    try:
        write_file(path, text.encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise SettingsError(f"cannot write {display_path(path)}: {error.strerror}", hint) from None
