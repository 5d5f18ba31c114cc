"""Ask a shell what it does when it starts, and add lines to its start file or take them out."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from nemo_jobs_cli import atomic
from nemo_jobs_cli.errors import SettingsError
from nemo_jobs_cli.sanitize import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# A start file that takes longer, in seconds, has stopped to ask somebody something.
LONGEST_START = 10.0

_BEGIN, _END = "# >>> nemo-jobs completion >>>", "# <<< nemo-jobs completion <<<"
_ANSWER = "nemo-jobs-asks:"


def loads_by_name(environ: Mapping[str, str]) -> bool:
    """Tell whether an interactive bash of this user loads completions by name: bash-completion is there and active."""
    said = _ask("bash", 'complete -p -D >/dev/null 2>&1 && echo "@"yes', environ)
    return said == ["yes"]


def fpath(environ: Mapping[str, str]) -> list[Path]:
    """Return the folders that an interactive zsh of this user searches for completions; [] where it has none on."""
    said = _ask("zsh", '(( $+functions[compdef] )) && print -rl -- "@"${^fpath}', environ)
    return [Path(folder) for folder in said if folder.startswith("/")]


def _ask(shell: str, command: str, environ: Mapping[str, str]) -> list[str]:
    """Return what an interactive shell answers after its own start files; [] where there is no such shell.

    It has no terminal, so that it can neither ask nor change anything there.
    """
    try:
        ran = subprocess.run(  # noqa: S603 - the user's own shell
            [shell, "-ic", command.replace("@", _ANSWER)],
            env=dict(environ),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            timeout=LONGEST_START, start_new_session=True, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return []
    lines = ran.stdout.decode("utf-8", "replace").splitlines()
    return [line.removeprefix(_ANSWER) for line in lines if line.startswith(_ANSWER)]


def quoted(path: Path) -> str:
    """Return a path as a word of a shell's start file."""
    return shlex.quote(str(path))


def has_block(rc: Path) -> bool:
    """Tell whether a start file has our lines."""
    return _BEGIN in _read(rc)


def add(rc: Path, lines: Sequence[str]) -> None:
    """Add lines to the end of a start file, between marks, in place of those of an earlier time."""
    before = _without(_read(rc))
    gap = "" if not before or before.endswith("\n") else "\n"
    _write(rc, before + gap + "\n".join([_BEGIN, *lines, _END, ""]))


def remove(rc: Path) -> bool:
    """Take our lines out of a start file; tell whether there were any."""
    text = _read(rc)
    rest = _without(text)
    if rest != text:
        _write(rc, rest)
    return rest != text


def _without(text: str) -> str:
    """Return a start file without our lines; as it is where the end of them is missing."""
    head, begin, rest = text.partition(_BEGIN)
    _, end, tail = rest.partition(_END)
    return head + tail.removeprefix("\n") if begin and end else text


def _read(rc: Path) -> str:
    try:
        return rc.read_bytes().decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise _failed(rc, error) from None


def _write(rc: Path, text: str) -> None:
    """Write a start file as a whole, with its mode, where a link leads."""
    try:
        target = Path(os.path.realpath(rc))
        mode = target.stat().st_mode & 0o777 if target.exists() else 0o644
        atomic.write(target, text.encode("utf-8", "surrogateescape"))
        target.chmod(mode)
    except OSError as error:
        raise _failed(rc, error) from None


def _failed(rc: Path, error: OSError) -> SettingsError:
    return SettingsError(
        f"{one_line(str(rc), 300)} can't be changed: {error.strerror}", "is it yours? add the lines in an editor"
    )
