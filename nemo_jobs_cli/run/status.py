"""Describe the life of a wrapped command as status fields."""

from __future__ import annotations

import signal
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.core import known_keys, times
from nemo_jobs_cli.core.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

# The keys that `run` sends; `[profiles.NAME.run.keys]` may rename each, or drop it (false).
STATUS, RUN, ERROR = "status", "run", "error"

# Signals by which people and supervisors stop a command; any other (SEGV, KILL of the OOM killer) is a failure.
STOP_SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})


@dataclass(frozen=True, slots=True)
class ExitStatus:
    """The end of a command, by exit code, signal or failed start.

    `stopped` is whether a stop signal was passed on to it.
    """

    code: int = 0
    signal: int = 0
    start_error: str = ""
    stopped: bool = False

    @property
    def exit_code(self) -> int:
        """Return the exit code of a shell: 128+N after signal N."""
        return 128 + self.signal if self.signal else self.code

    @property
    def status(self) -> str:
        """Return completed, cancelled or failed."""
        if self.exit_code == 0:
            return "completed"
        return "cancelled" if not self.start_error and (self.stopped or self.signal in STOP_SIGNALS) else "failed"

    def __str__(self) -> str:
        """Return one sentence on how the command ended."""
        if self.start_error:
            return one_line(self.start_error, 300)
        if self.signal:
            return f"the command was killed by {signal_name(self.signal)}"
        return f"the command exited with code {self.code}"


class StatusFields:
    """The status fields of a command, renamed by `names`, with `prefix`."""

    def __init__(self, names: Mapping[str, str | bool], prefix: str = "") -> None:
        self._names = names
        self._prefix = prefix
        self._started = time.monotonic()
        self._run: dict[str, Any] = {"host": socket.gethostname(), "startedAt": times.format_timestamp(time.time())}
        self._own_status: dict[str, Any] = {}
        self._end = ExitStatus()

    def running(self) -> dict[str, Any]:
        """Return the fields of a command that has just started."""
        return self._rename({STATUS: "running", RUN: self._run.copy(), ERROR: None})

    def reset(self, details: Mapping[str, Any]) -> dict[str, Any]:
        """Return progress 0 if the stored `details` have that of an older run.

        Not null, which breaks the platform's pages. `run` holds the progress that its command has reported, to tell it
        from that of another writer; a run that was killed could not send it.
        """
        run = details.get(self._prefix + (self._name(RUN) or RUN))
        progress_key = self._prefix + known_keys.PROGRESS
        progress = details.get(progress_key)
        if progress is None or not isinstance(run, dict):
            return {}
        is_of_run = run.get(known_keys.PROGRESS) == progress or "finishedAt" not in run
        return {progress_key: 0} if is_of_run else {}

    def stamp(self) -> dict[str, Any]:
        """Return the heartbeat: the field with the current time."""
        return self._rename({known_keys.STAMP: times.format_timestamp(time.time())})

    def received(self, number: int) -> dict[str, Any]:
        """Return the fields of a command that a signal has reached."""
        is_stop = number in STOP_SIGNALS
        if is_stop or "receivedSignal" not in self._run:
            self._own_status = {}
        self._run["receivedSignal"] = signal_name(number)
        return self._rename({**({STATUS: "cancelling"} if is_stop else {}), RUN: self._run.copy()})

    def note(self, fields: Mapping[str, Any]) -> None:
        """Note the progress and status that the command reports itself."""
        if known_keys.PROGRESS in fields:
            self._run[known_keys.PROGRESS] = fields[known_keys.PROGRESS]
        name = self._name(STATUS)
        if name and name in fields:
            self._own_status = self.add_prefix({name: fields[name]})

    def end(self, status: ExitStatus) -> None:
        """Note that the command has ended now."""
        self._end = status
        self._run |= {
            "finishedAt": times.format_timestamp(time.time()),
            "durationSeconds": round(time.monotonic() - self._started, 3),
            **({"signal": signal_name(status.signal)} if status.signal else {"exitCode": status.exit_code}),
        }

    def ended(self, tail: str = "") -> dict[str, Any]:
        """Return the fields of an ended command; a failed one gets its `tail`.

        After a handled signal, its status is the one that it has reported since.
        """
        fields: dict[str, Any] = {STATUS: self._end.status, RUN: self._run.copy()}
        if self._end.status != "completed":
            fields[ERROR] = "\n".join(filter(None, (str(self._end), tail)))
        own = self._own_status if "receivedSignal" in self._run and self._end.exit_code == 0 else {}
        return self._rename(fields) | own

    def _name(self, key: str) -> str:
        """Return the name under which a key is sent, "" if it is not."""
        name = self._names.get(key, key)
        return name if isinstance(name, str) else ""

    def _rename(self, fields: dict[str, Any]) -> dict[str, Any]:
        return self.add_prefix({name: value for key, value in fields.items() if (name := self._name(key))})

    def add_prefix(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return fields with the prefix, except the time, which runs share."""
        return {key if key == known_keys.STAMP else self._prefix + key: value for key, value in fields.items()}


def signal_name(number: int) -> str:
    """Return the name of a signal, or its number without one."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
