"""Ask a shell what it does when it starts, and add lines to its start file or take them out."""

from __future__ import annotations

import errno
import os
import re
import shlex
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, cast

from nemo_jobs_cli.core import clock
from nemo_jobs_cli.core.errors import SettingsError
from nemo_jobs_cli.core.files import write_atomic
from nemo_jobs_cli.core.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# A start file that takes longer, in seconds, has stopped to ask somebody something.
LONGEST_START = 10.0

# What a shell may take to end after its answer, to write its history, say.
LONGEST_END = 1.0

_BEGIN, _END = "# >>> nemo-jobs completion >>>", "# <<< nemo-jobs completion <<<"
_ANSWER, _LAST = "nemo-jobs-asks:", "nemo-jobs-has-asked"
_LONGEST_LINE = 1 << 16

_QUESTIONS = {
    "bash": f'complete -p -D >/dev/null 2>&1 && echo "{_ANSWER}"yes',
    "zsh": f'(( $+functions[compdef] )) && print -rl -- "{_ANSWER}"${{^fpath}}',
}


class Start(NamedTuple):
    """What an interactive shell of this user does when it starts.

    `by_name` tells whether it loads completions by name (a bash with bash-completion), `searched` are the folders that
    it looks into for them (a zsh whose completion is on). `known` is False where it gave no answer in time.
    """

    by_name: bool = False
    searched: tuple[Path, ...] = ()
    known: bool = True


def ask(shell: str, environ: Mapping[str, str], limit: float = LONGEST_START) -> Start:
    """Start a shell and ask it, for `limit` seconds at the most; a fish needs no asking, nor one that is not there.

    It has no terminal, so that it can neither ask nor change anything there, and nothing that its start files begin in
    the background stays.
    """
    if shell not in _QUESTIONS:
        return Start()
    try:
        process = subprocess.Popen(  # noqa: S603 - the user's own shell
            [shell, "-ic", f"echo; {_QUESTIONS[shell]}; echo {_LAST}"],
            env=dict(environ), start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
    except OSError:
        return Start()
    stream = cast("BinaryIO", process.stdout)
    try:
        said = clock.run_within(limit, lambda: _said(stream))
        with suppress(subprocess.TimeoutExpired):
            process.wait(LONGEST_END)
    except TimeoutError:
        return Start(known=False)
    finally:
        with suppress(OSError):  # nobody is left of it
            os.killpg(process.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            process.wait(LONGEST_END)
    return Start(said == ["yes"], tuple(Path(folder) for folder in said if folder.startswith("/")))


def _said(stream: BinaryIO) -> list[str]:
    """Return what a shell answers between what its start files print; a background process may hold the pipe."""
    said = []
    with stream:
        for line in iter(lambda: stream.readline(_LONGEST_LINE), b""):
            text = line.decode("utf-8", "replace").rstrip("\n")
            if text == _LAST:
                break
            if text.startswith(_ANSWER):
                said.append(text.removeprefix(_ANSWER))
    return said


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
        data = text.encode("utf-8", "surrogateescape")
        if before is None:
            write_atomic(target, data, mode=0o666)
        else:
            write_atomic(target, data)
            target.chmod(before.st_mode & 0o777)
            with suppress(PermissionError):  # a group that one is not in
                os.chown(target, before.st_uid, before.st_gid)
    except OSError as error:
        raise _failed(rc, error, hint) from None


def _failed(rc: Path, error: OSError, hint: str) -> SettingsError:
    return SettingsError(f"{one_line(str(rc), 300)} can't be changed: {error.strerror}", hint)
