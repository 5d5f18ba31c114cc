"""Read a token from a file, stdin or a command, within limits."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from nemo_jobs_cli.core import clock, times
from nemo_jobs_cli.core.errors import SettingsError, UsageError
from nemo_jobs_cli.core.files import os_reason, read_stdin
from nemo_jobs_cli.core.text import hide_tokens, one_line

if TYPE_CHECKING:
    from collections.abc import Mapping
    from subprocess import Popen

LONGEST_COMMAND = 30.0  # seconds
LONGEST_END = 1.0  # seconds for a killed command to exit: a hung file system delays it
LONGEST_READ = 65 * 1024  # bytes, more than the longest token
SHORTEST = 16  # characters of a word that may be a token instead of the name of a file or a program


def read(path: str, source: str, limit: float) -> str:
    """Return the text of a file (`-` is stdin).

    It is read again on each call, because tokens are rotated. Raise SettingsError after `limit` seconds: the file may
    be a pipe without a writer.
    """
    name = "stdin" if path == "-" else f"the token file {hide_tokens(one_line(path, 200), SHORTEST)}"
    try:
        data = clock.run_within(limit, lambda: _bytes(path))
    except TimeoutError:
        raise SettingsError(
            f"cannot read {name} ({source}): timed out",
            "check that it is not a pipe without a writer, or wait longer with --deadline 60",
        ) from None
    except UsageError as error:  # of stdin
        raise SettingsError(error.message, error.hint) from None
    except (OSError, ValueError, RuntimeError) as error:
        raise SettingsError(
            f"cannot read {name} ({source}): {os_reason(error)}",
            "name a file; pass the token itself in NEMO_JOBS_TOKEN"
            if "[token]" in name
            else "correct its path or its permissions",
        ) from None
    return data.decode("latin-1")


def run_command(command: str, source: str, limit: float, environ: Mapping[str, str]) -> str:
    """Return the output of a command, run without a shell.

    `command` is one line, or words that each end with a NUL. Raise SettingsError if it fails or takes longer than
    `limit` or LONGEST_COMMAND seconds.
    """
    import shlex
    import subprocess

    limit = min(limit, LONGEST_COMMAND)
    words: list[str] = []
    try:
        words = command.split("\0")[:-1] if "\0" in command else shlex.split(command)
        process = subprocess.Popen(  # noqa: S603 - the user's own command, split without a shell
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(environ)
        )
    except FileNotFoundError:
        raise _failure(source, f"no program {hide_tokens(one_line(words[0], 60), SHORTEST)!r}") from None
    except (OSError, ValueError, IndexError) as error:
        raise _failure(source, getattr(error, "strerror", None) or "not a command line") from None
    try:
        out, err = _read_output(process, time.monotonic() + limit)
    except (TimeoutError, subprocess.TimeoutExpired):
        process.kill()
        with suppress(subprocess.TimeoutExpired):
            process.wait(LONGEST_END)
        raise _failure(source, f"it took longer than {times.format_duration(limit)}") from None
    if process.returncode != 0 and len(out) < LONGEST_READ:
        errors = one_line(err.decode("utf-8", "replace").strip(), 200)
        raise _failure(source, f"exit code {process.returncode}, {errors or 'no error message'}")
    return out.decode("latin-1")


def _bytes(path: str) -> bytes:
    if path == "-":
        return read_stdin(LONGEST_READ)
    with Path(path).expanduser().open("rb") as file:
        return file.read(LONGEST_READ)


def _read_output(process: Popen[bytes], ends: float) -> tuple[bytes, bytes]:
    """Return the first LONGEST_READ bytes of stdout and stderr.

    Both are read at once, since a full pipe would block the process. Too long a stdout is closed; the rest of stderr
    is discarded.
    """
    import selectors

    streams = [stream for stream in (process.stdout, process.stderr) if stream is not None]
    buffers = [bytearray() for _ in streams]
    with selectors.DefaultSelector() as selector, streams[0], streams[1]:
        for stream, buffer in zip(streams, buffers, strict=True):
            selector.register(stream, selectors.EVENT_READ, (stream, buffer))
        while selector.get_map():
            left = ends - time.monotonic()
            if left <= 0:
                raise TimeoutError
            for key, _ in selector.select(left):
                stream, buffer = key.data
                data = os.read(key.fd, LONGEST_READ)
                buffer.extend(data[: LONGEST_READ - len(buffer)])
                if not data or (stream is streams[0] and len(buffer) == LONGEST_READ):
                    selector.unregister(stream)
                    stream.close()
    process.wait(max(0.0, ends - time.monotonic()))
    return bytes(buffers[0]), bytes(buffers[1])


def _failure(source: str, reason: str) -> SettingsError:
    command = source if source.startswith("--") else f"the token_command of {source}"
    return SettingsError(
        f"cannot get a token from {command}: {reason}", "run it by hand; check that it is logged in (nemo auth login)"
    )
