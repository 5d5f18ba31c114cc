"""Tell the life of a wrapped command as fields: running, and how it ended."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any, NamedTuple

from nemo_jobs_cli.core import known_keys
from nemo_jobs_cli.core.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

# What `run` sends, each of which `[profiles.NAME.run.keys]` may rename or (false) drop.
STATUS, RUN, ERROR = "status", "run", "error"

# Ended by one of these, a command was stopped by somebody; by any other (SEGV, KILL of the OOM killer) it failed.
_STOPS = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})


class ExitStatus(NamedTuple):
    """How a command ended: with an exit code, by a signal, or (`unstartable` says why) it never began.

    `stopped` tells that a signal to stop was passed on to it.
    """

    code: int = 0
    signal: int = 0
    unstartable: str = ""
    stopped: bool = False

    @property
    def exit_code(self) -> int:
        """Return the exit code as shells say it: 128+N after signal N, 127 or 126 where it could not start."""
        return 128 + self.signal if self.signal else self.code

    @property
    def status(self) -> str:
        """Return completed, cancelled or failed."""
        if self.exit_code == 0:
            return "completed"
        return "cancelled" if not self.unstartable and (self.stopped or self.signal in _STOPS) else "failed"


class Life(NamedTuple):
    """What is known when a command starts: on which machine, and when (RFC 3339)."""

    host: str
    started_at: str


def running(life: Life, names: Mapping[str, str | bool]) -> dict[str, Any]:
    """Return the fields of a command that has just started."""
    return _named({STATUS: "running", RUN: _run(life)}, names)


def over(
    life: Life, ended: ExitStatus, finished_at: str, seconds: float, names: Mapping[str, str | bool], *, tail: str = ""
) -> dict[str, Any]:
    """Return the fields of a command that is over; `tail` is the end of its output, for a failed one."""
    how: dict[str, Any] = {"signal": signal_name(ended.signal)} if ended.signal else {"exitCode": ended.exit_code}
    run = {**_run(life), "finishedAt": finished_at, "durationSeconds": round(seconds, 3), **how}
    fields: dict[str, Any] = {STATUS: ended.status, RUN: run}
    if ended.status != "completed":
        fields[ERROR] = "\n".join(filter(None, (sentence(ended), tail)))
    return _named(fields, names)


def beat(now: str, names: Mapping[str, str | bool]) -> dict[str, Any]:
    """Return the sign of life of a command that has nothing to say."""
    return _named({known_keys.STAMP: now}, names)


def sentence(ended: ExitStatus) -> str:
    """Say how a command ended."""
    if ended.unstartable:
        return one_line(ended.unstartable, 300)
    if ended.signal:
        return f"the command was killed by {signal_name(ended.signal)}"
    return f"the command exited with code {ended.code}"


def signal_name(number: int) -> str:
    """Return a signal's name, `SIGTERM`; its number where it has none (real-time signals)."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _run(life: Life) -> dict[str, Any]:
    return {"host": life.host, "startedAt": life.started_at}


def _named(fields: dict[str, Any], names: Mapping[str, str | bool]) -> dict[str, Any]:
    """Return fields under the names that the user wants, without those that are dropped."""
    chosen = {key: names.get(key, True) for key in fields}
    return {(name if isinstance(name, str) else key): fields[key] for key, name in chosen.items() if name}
