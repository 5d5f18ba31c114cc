"""The entries of the outbox: one update each, as a file name and JSON."""

from __future__ import annotations

import hashlib
import json
from types import NoneType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

VERSION = 1
SUFFIX = ".json"

# The years 1 to 9999, in seconds since 1970.
_FIRST_TIME, _LAST_TIME = -62_135_596_800, 253_402_300_800

_TIME_DIGITS = 20  # of nanoseconds since 1970: names sort by time


class Entry(NamedTuple):
    """An undelivered update; `time` is its creation, in seconds since 1970.

    `failures` counts the flushes that the server answered with a 500. `times` holds the times of fields that may be
    older than the entry; `why` is the reason if it was rejected or set aside. `attempt` is the id of the attempt that
    reported it, None outside of a job. There is never a token in it.
    """

    host: str
    workspace: str
    job: str
    fields: dict[str, Any]
    time: float
    profile: str | None = None
    failures: int = 0
    times: dict[str, float] | None = None
    why: str | None = None
    attempt: str | None = None

    def time_of(self, key: str) -> float:
        """Return when the value of a field was created."""
        return (self.times or {}).get(key, self.time)


_TYPES: dict[str, Any] = {
    "host": str,
    "workspace": str,
    "job": str,
    "fields": dict,
    "time": (int, float),
    "profile": (str, NoneType),
    "failures": int,
    "times": (dict, NoneType),
    "why": (str, NoneType),
    "attempt": (str, NoneType),
}


class NewerVersionError(ValueError):
    """An entry that only a newer version of nemo-jobs can read."""


def dumps(entry: Entry) -> bytes:
    """Return the content of an entry's file."""
    return json.dumps({"version": VERSION, **entry._asdict()}).encode() + b"\n"


def loads(data: bytes) -> Entry:
    """Parse an entry's file; raise ValueError if it is not valid."""
    try:
        content = json.loads(data.decode())
        # NaN, overflow and lone surrogates cannot be sent.
        json.dumps(content, allow_nan=False, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("nested too deep") from None
    # Older versions left the version out of rejected entries.
    version = content.get("version", VERSION) if isinstance(content, dict) else None
    if isinstance(version, int) and version > VERSION:
        raise NewerVersionError("stored by a newer nemo-jobs")
    if version != VERSION:
        raise ValueError("not an entry of the outbox")
    values: dict[str, Any] = {name: content.get(name) for name in Entry._fields}
    times = values["times"] if isinstance(values["times"], dict) else {}
    invalid = [name for name, value in values.items() if not isinstance(value, _TYPES[name])]
    if not invalid and not _FIRST_TIME <= values["time"] < _LAST_TIME:
        invalid = ["time"]
    if invalid or not all(isinstance(time, int | float) for time in times.values()):
        raise ValueError(f"invalid {', '.join(invalid) or 'times'}")
    return Entry(**values)


def file_name(entry: Entry, unique: str) -> str:
    """Return the name of an entry's file, which gives order and job."""
    nanoseconds = f"{max(0, int(entry.time * 1e9)):0{_TIME_DIGITS}d}"
    job = digest(entry.host, entry.workspace, entry.job)
    return f"{nanoseconds}-{digest(entry.host)}-{job}-{unique}{SUFFIX}"


def digest(*parts: str) -> str:
    """Return a short hash of a host, or of a host's job, for file names."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:12]


def belongs_to(name: str, *parts: str) -> bool:
    """Return whether a file is an entry of a host, or of one of its jobs."""
    return f"-{digest(*parts)}-" in name


def coalesce(entries: Sequence[Entry]) -> Entry:
    """Merge entries of one job, oldest first; values keep their times."""
    fields: dict[str, Any] = {}
    times: dict[str, float] = {}
    for entry in entries:
        fields |= entry.fields
        times |= {key: entry.time_of(key) for key in entry.fields}
    return entries[-1]._replace(fields=fields, times=times)
