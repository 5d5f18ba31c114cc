"""Describe what the outbox keeps: one update an entry, as a file's name and its JSON."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from nemo_jobs_cli.core.outcome import Update

if TYPE_CHECKING:
    from collections.abc import Sequence

VERSION = 1
SUFFIX = ".json"

_TIME_DIGITS = 20  # of nanoseconds since 1970: names sort by time


class Entry(NamedTuple):
    """An update that could not be delivered: whose it is, when it was made (seconds since 1970), who made it.

    `failures` counts the flushes that the server answered with a 500. `times` says of what was folded into it when
    it was made, where that was earlier. There is never a token in it.
    """

    host: str
    workspace: str
    job: str
    fields: dict[str, Any]
    time: float
    profile: str | None = None
    failures: int = 0
    times: dict[str, float] | None = None

    def made(self, key: str) -> float:
        """Return when the value of a field was made."""
        return (self.times or {}).get(key, self.time)

    @property
    def update(self) -> Update:
        """Return the update as it would be sent."""
        return Update(self.workspace, self.job, self.fields)


def dumps(entry: Entry) -> bytes:
    """Return an entry as the text of its file."""
    return json.dumps({"version": VERSION, **entry._asdict()}).encode() + b"\n"


def loads(data: bytes) -> Entry:
    """Return the entry that a file holds; raise ValueError for anything else."""
    try:
        text = data.decode()
        said = json.loads(text)
        # What can't be sent is no update: NaN and overflow, and halves of characters.
        json.dumps(said, allow_nan=False, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(said, dict) or said.pop("version", None) != VERSION:
        raise ValueError("not an entry of this version")
    number, nothing = (int, float), type(None)
    found: dict[str, Any] = {field: said.get(field) for field in Entry._fields}
    kinds: dict[str, Any] = {"host": str, "workspace": str, "job": str, "fields": dict, "time": number}
    kinds |= {"profile": (str, nothing), "failures": int, "times": (dict, nothing)}
    for field, kind in kinds.items():
        if not isinstance(found[field], kind):
            raise ValueError(f"no proper {field}")  # noqa: TRY004 - it is the file's fault, not the caller's
    if not all(isinstance(then, number) for then in (found["times"] or {}).values()):
        raise ValueError("no proper times")
    return Entry(**found)


def name(entry: Entry, unique: str) -> str:
    """Return the name of an entry's file, which tells its order and its job without being opened."""
    moment = f"{max(0, int(entry.time * 1e9)):0{_TIME_DIGITS}d}"
    return f"{moment}-{key(entry.host)}-{key(entry.host, entry.workspace, entry.job)}-{unique}{SUFFIX}"


def key(*parts: str) -> str:
    """Return what stands for a host, or for a host's job, in file names."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:12]


def is_of(file_name: str, *parts: str) -> bool:
    """Tell whether a file name is that of an entry for a host, or for a host, workspace and job."""
    return f"-{key(*parts)}-" in file_name


def lease(claimed: str) -> tuple[str, float]:
    """Return the name of a claimed entry and when its claim ends; 0 for a name that says no time."""
    name, _, rest = claimed.partition("~")
    ends = rest.partition("~")[0]
    return name, float(ends) if ends.isdigit() else 0.0


def folded(entries: Sequence[Entry]) -> Entry:
    """Return entries of one job, oldest first, as one: the last value of each key wins, and keeps its time."""
    fields: dict[str, Any] = {}
    times: dict[str, float] = {}
    for entry in entries:
        fields |= entry.fields
        times |= {field: entry.made(field) for field in entry.fields}
    newest = entries[-1]
    older = {field: then for field, then in times.items() if then != newest.time}
    return newest._replace(fields=fields, times=older or None)
