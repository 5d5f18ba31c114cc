"""Read the token for a profile from command-line options."""

from __future__ import annotations

import os
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from nemo_jobs_cli.auth import credentials, token_source
from nemo_jobs_cli.core import times, tokens
from nemo_jobs_cli.core.errors import SettingsError, UsageError
from nemo_jobs_cli.core.files import is_file, is_private
from nemo_jobs_cli.core.text import one_line
from nemo_jobs_cli.settings import edit
from nemo_jobs_cli.setup.interview import Token

if TYPE_CHECKING:
    from nemo_jobs_cli.settings.model import Flags

# Time limit for a token on stdin, in seconds: the program before the pipe may have to log in first.
STDIN_TIMEOUT = 60.0


def parse(flags: Flags, token_command: str | None, *, no_token: bool, interactive: bool) -> Token | None:
    """Return the token of the command line, or None."""
    no_token = no_token or flags.anonymous
    if (flags.token_file is not None) + (token_command is not None) + no_token > 1:
        raise UsageError(
            "cannot combine --token-file, --token-command and --no-token",
            "use one of them: a profile has at most one token",
        )
    if no_token:
        return Token("none", source="--no-token")
    if token_command is not None:
        edit.parse_value("token_command", token_command)
        try:
            words = shlex.split(token_command)
        except ValueError as error:
            raise UsageError(f"invalid --token-command: {error}", "quote it as in a shell") from None
        if not words:
            raise UsageError("--token-command is empty", "name a program (is a shell variable unset?)")
        return Token("command", token_command, "--token-command")
    return None if flags.token_file is None else _from_file(flags.token_file, interactive=interactive)


def _from_file(name: str, *, interactive: bool) -> Token | None:
    """Return a reference to a regular file; read anything else now."""
    if name == "-":
        if interactive:
            return None  # the hidden question asks for it
        if sys.stdin is not None and sys.stdin.isatty():
            raise UsageError("cannot read a token from a terminal: it would show", "omit -y, or redirect: < FILE")
        return Token("text", clean(token_source.read("-", "stdin", STDIN_TIMEOUT), "stdin"), "stdin")
    path = absolute_path("token_file", name)
    text = clean(token_source.read(path, "--token-file", STDIN_TIMEOUT), "--token-file")
    if is_file(path):
        return Token("file", path, "--token-file")
    return Token("text", text, "--token-file")  # a pipe can be read only once


def clean(text: str, source: str) -> str:
    """Return a token without its line break, or raise UsageError."""
    try:
        return tokens.clean(text, source)
    except SettingsError as error:
        raise UsageError(error.message, error.hint) from None


def warnings(token: Token) -> list[str]:
    """Return a warning if the token expires or its file is readable by others."""
    if token.kind == "file" and not _is_private(token.secret):
        return [f"{one_line(token.secret, 300)} is readable by other users: run chmod 600 on it"]
    expires = credentials.token_expiry({"Authorization": token.secret}) if token.kind == "text" else None
    if expires is None:
        return []
    left = expires - time.time()
    when = f"expires in {times.format_duration(left)}" if left > 0 else f"expired {times.format_duration(-left)} ago"
    return [f"the token {when}; get a new one for each call: nemo-jobs init --token-command 'nemo auth token'"]


def _is_private(path: str) -> bool:
    try:
        return is_private(Path(path).stat().st_mode)
    except OSError:
        return True


def absolute_path(key: str, path: str) -> str:
    """Return an absolute path for a profile, or raise UsageError."""
    return str(edit.parse_value(key, os.path.abspath(os.path.expanduser(path)) if path else path))  # noqa: PTH100, PTH111 - Path.expanduser raises if there is no home
