"""Read the token that options give a new profile: a file to refer to, a command, or one to store."""

from __future__ import annotations

import os
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from nemo_jobs_cli.auth import credentials, token_source
from nemo_jobs_cli.core import places, times, tokens
from nemo_jobs_cli.core.errors import SettingsError, UsageError
from nemo_jobs_cli.core.text import one_line
from nemo_jobs_cli.settings import profile_values
from nemo_jobs_cli.setup.questions import Token

if TYPE_CHECKING:
    from nemo_jobs_cli.settings.model import Flags

# How long a token may be waited for on stdin, in seconds: what is piped into us may have to log in first.
PATIENCE = 60.0


def given(flags: Flags, token_command: str | None, *, no_token: bool, asked: bool) -> Token | None:
    """Return the token that the command line gives, None where it says nothing; raise UsageError."""
    none = no_token or flags.anonymous
    if (flags.token_file is not None) + (token_command is not None) + none > 1:
        raise UsageError("a profile has one token or none", "give one of --token-file, --token-command, --no-token")
    if none:
        return Token("none", source="--no-token")
    if token_command is not None:
        profile_values.parse("token_command", token_command)
        try:
            words = shlex.split(token_command)
        except ValueError as error:
            raise UsageError(f"--token-command can't be understood: {error}", "quote it as in a shell") from None
        if not words:
            raise UsageError("--token-command is empty", "name a program (is a shell variable unset?)")
        return Token("command", token_command, "--token-command")
    return None if flags.token_file is None else _token_of(flags.token_file, asked=asked)


def _token_of(name: str, *, asked: bool) -> Token | None:
    """Return the token of `--token-file`: a regular file is referred to, anything else read now."""
    if name == "-":
        if asked:
            return None  # a terminal: the question hides what is typed
        if sys.stdin is not None and sys.stdin.isatty():
            raise UsageError("stdin is a terminal, where a token would show", "leave -y out, or pipe it: < FILE")
        return Token("text", clean(token_source.read("-", "stdin", PATIENCE), "stdin"), "stdin")
    if not name:
        raise UsageError("--token-file is empty", "name a file (is a shell variable unset?)")
    path = absolute("token_file", name)
    text = clean(token_source.read(path, "--token-file", PATIENCE), "--token-file")
    if places.is_there(Path.is_file, Path(path)):
        return Token("file", path, "--token-file")
    return Token("text", text, "--token-file")  # a pipe gives it only once


def clean(text: str, source: str) -> str:
    """Return a token as it is sent; raise UsageError for what can't be one."""
    try:
        return tokens.clean(text, source)
    except SettingsError as error:
        raise UsageError(error.message, error.hint) from None


def warnings(token: Token) -> list[str]:
    """Return warnings on the token itself: it expires, or others can read its file."""
    if token.kind == "file" and places.is_there(_is_open, Path(token.secret)):
        return [f"others can read {one_line(token.secret, 300)}: chmod 600 it"]
    ends = credentials.expiry({"Authorization": token.secret}) if token.kind == "text" else None
    if ends is None:
        return []
    left = ends - time.time()
    when = f"expires in {times.human(left)}" if left > 0 else f"expired {times.human(-left)} ago"
    return [f"the token {when}; a fresh one each time: nemo-jobs init --token-command 'nemo auth token'"]


def _is_open(path: Path) -> bool:
    return places.is_open(path.stat().st_mode)


def absolute(key: str, path: str) -> str:
    """Return a path as it holds in any folder; raise UsageError for what no profile takes."""
    return str(profile_values.parse(key, os.path.abspath(os.path.expanduser(path)) if path else path))  # noqa: PTH100, PTH111 - no such home is no error here
