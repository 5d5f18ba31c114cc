"""Ask a shell what it does when it starts, and add lines to its start file or take them out."""

from __future__ import annotations

import errno
import os
import re
import shlex
import subprocess
from contextlib import suppress
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


def names(rc: Path, script: Path) -> bool:
    """Tell whether a start file still names a script, or has a mark of ours."""
    text = _read(rc)
    return _BEGIN in text or "/".join(script.parts[-2:]) in text


def add(rc: Path, lines: Sequence[str]) -> None:
    """Add lines to the end of a start file, between marks, in place of those of an earlier time."""
    hint = f"put this at the end of it yourself: {'; '.join(lines)}"
    before = _without(_read(rc, hint))
    gap = "" if not before or before.endswith("\n") else "\n"
    _write(rc, before + gap + "\n".join([_BEGIN, *lines, _END, ""]), hint)


def remove(rc: Path) -> bool:
    """Take our lines out of a start file; tell whether there were any."""
    text = _read(rc)
    rest = _without(text)
    if rest != text:
        _write(rc, rest)
    return rest != text


def _without(text: str) -> str:
    """Return a start file without our lines; a mark that stands alone says nothing of what follows it."""
    return re.sub(f"{_BEGIN}(?:(?!{_BEGIN}).)*?{_END}\n?", "", text, flags=re.DOTALL)


_MIND = "is it yours? take the lines about nemo-jobs out in an editor"


def _read(rc: Path, hint: str = _MIND) -> str:
    try:
        if rc.exists() and not rc.is_file():
            raise SettingsError(f"{one_line(str(rc), 300)} can't be changed: it is not a plain file", hint)
        return rc.read_bytes().decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise _failed(rc, error, hint) from None


def _write(rc: Path, text: str, hint: str = _MIND) -> None:
    """Write a start file as a whole, with its mode and owner, where a link leads."""
    try:
        target = Path(os.path.realpath(rc))
        before = target.stat() if target.exists() else None
        if before is not None and not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        atomic.write(target, text.encode("utf-8", "surrogateescape"))
        target.chmod(0o644 if before is None else before.st_mode & 0o777)
        if before is not None:
            with suppress(PermissionError):  # a group that one is not in
                os.chown(target, before.st_uid, before.st_gid)
    except OSError as error:
        raise _failed(rc, error, hint) from None


def _failed(rc: Path, error: OSError, hint: str) -> SettingsError:
    return SettingsError(f"{one_line(str(rc), 300)} can't be changed: {error.strerror}", hint)
