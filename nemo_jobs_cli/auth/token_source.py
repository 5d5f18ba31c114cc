"""Fetch the text of a token from a file, from stdin or from a command: bounded in time and in size."""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from nemo_jobs_cli.core import clock, times
from nemo_jobs_cli.core.errors import SettingsError
from nemo_jobs_cli.core.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping
    from subprocess import Popen

LONGEST_COMMAND = 30.0  # seconds
LONGEST_END = 1.0  # what a killed command may take to be gone, in seconds: a hung file system holds it
LONGEST_READ = 65 * 1024  # bytes: more than any token has


def read(path: str, source: str, limit: float) -> str:
    """Return the text of a file (`-` is stdin); read anew on each call, since tokens are rotated.

    Raise SettingsError where it can't be had within `limit` seconds: it may be a pipe that nobody writes to.
    """
    name = f"the token file {one_line(path, 200)}"
    try:
        data = clock.run_within(limit, lambda: _bytes(path))
    except TimeoutError:
        raise SettingsError(
            f"{name} gives no token in time ({source})",
            "is it a pipe that nobody writes to? --deadline 60 waits longer",
        ) from None
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or "not a usable name"
        raise SettingsError(f"{name} can't be read ({source}): {reason}", "correct its path or its mode") from None
    return data.decode("latin-1")


def ask(command: str, source: str, limit: float, environ: Mapping[str, str]) -> str:
    """Return what a command prints, no shell involved: a line of words, or words with a NUL behind each.

    Raise SettingsError where it fails or takes longer than `limit` seconds.
    """
    import shlex
    import subprocess

    words: list[str] = []
    try:
        words = command.split("\0")[:-1] if "\0" in command else shlex.split(command)
        process = subprocess.Popen(  # noqa: S603 - the user's own command, split without a shell
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(environ)
        )
    except FileNotFoundError:
        raise _failed(source, f"can't be run: there is no program {one_line(words[0], 60)!r}") from None
    except (OSError, ValueError, IndexError) as error:
        reason = getattr(error, "strerror", None)
        raise _failed(source, f"can't be run: {reason}" if reason else "can't be understood") from None
    try:
        out, err = _printed(process, time.monotonic() + limit)
    except (TimeoutError, subprocess.TimeoutExpired):
        process.kill()
        with suppress(subprocess.TimeoutExpired):
            process.wait(LONGEST_END)
        raise _failed(source, f"took longer than {times.format_duration(limit)}") from None
    if process.returncode != 0 and len(out) < LONGEST_READ:
        said = one_line(err.decode("utf-8", "replace").strip(), 200)
        raise _failed(source, f"exited with {process.returncode}{f': {said}' if said else ' and said nothing'}")
    return out.decode("latin-1")


def _bytes(path: str) -> bytes:
    if path == "-":
        # None: closed by the caller, or set not to wait and empty.
        return (sys.stdin.buffer.read(LONGEST_READ) if sys.stdin else None) or b""
    with Path(path).expanduser().open("rb") as file:
        return file.read(LONGEST_READ)


def _printed(process: Popen[bytes], ends: float) -> tuple[bytes, bytes]:
    """Return the beginning of what a process prints on both streams; raise TimeoutError at `ends`.

    Both are read as they come: one that is full holds up the other. A token that never ends meets a closed pipe;
    complaints may be long, and only their beginning is kept.
    """
    import selectors

    streams = [stream for stream in (process.stdout, process.stderr) if stream is not None]
    kept = [bytearray() for _ in streams]
    with selectors.DefaultSelector() as open_ones, streams[0], streams[1]:
        for stream, text in zip(streams, kept, strict=True):
            open_ones.register(stream, selectors.EVENT_READ, (stream, text))
        while open_ones.get_map():
            left = ends - time.monotonic()
            if left <= 0:
                raise TimeoutError
            for key, _ in open_ones.select(left):
                stream, text = key.data
                data = os.read(key.fd, LONGEST_READ)
                text.extend(data[: LONGEST_READ - len(text)])
                if not data or (stream is streams[0] and len(text) == LONGEST_READ):
                    open_ones.unregister(stream)
                    stream.close()
    process.wait(max(0.0, ends - time.monotonic()))
    return bytes(kept[0]), bytes(kept[1])


def _failed(source: str, why: str) -> SettingsError:
    subject = source if source.startswith("--") else f"the token_command of {source}"
    return SettingsError(f"{subject} {why}", "run it by hand; is it logged in? (nemo auth login)")
