"""Keep updates on disk until they can be delivered: one file an update, claimed by rename, nothing ever half-written.

It needs neither locks nor a database, so that it lives on NFS, too: a file is written aside, synced and renamed; who
wants to send it renames it again, and its new name says until when it is his.
"""

from __future__ import annotations

import errno
import math
import os
import secrets
import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from nemo_jobs_cli.core import atomic
from nemo_jobs_cli.core.errors import SettingsError
from nemo_jobs_cli.core.text import one_line
from nemo_jobs_cli.delivery import entry as entries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from nemo_jobs_cli.delivery.entry import Entry

# How long a claim holds, in seconds; who gives a delivery more time asks for more.
LEASE = 120.0

# The most entries that a folder may hold; older ones of a job are folded into one before one is refused.
MOST_ENTRIES = 10_000

PENDING, CLAIMED, REJECTED, ASIDE, BROKEN = "pending", "claimed", "rejected", "set-aside", "broken"
_WRITING = "writing"

_README = """\
nemo-jobs keeps updates here that it could not deliver (nemo-jobs update --outbox).

pending/    waiting; the next update of the same job, or `nemo-jobs outbox flush`, delivers them
claimed/    being delivered at this moment; the number behind ~ is the second until which
rejected/   the platform refuses them; each says why
set-aside/  what would have overwritten newer values
broken/     files that can't be read

See them with `nemo-jobs outbox list`. No file here holds a token.
"""


class Claim(NamedTuple):
    """An entry that is ours to send until `ends` (seconds since 1970), and its file."""

    entry: Entry
    path: Path
    name: str
    ends: float


class Outbox:
    """A folder of entries. `clock` gives seconds since 1970: claims are shared between machines.

    It holds at most `most` entries; a claim lasts `lease` seconds.
    """

    def __init__(
        self, folder: Path, *, clock: Callable[[], float] = time.time, most: int = MOST_ENTRIES, lease: float = LEASE
    ) -> None:
        self.folder = folder
        self._clock = clock
        self._most = most
        self._lease = lease

    def keep(self, entry: Entry) -> Path:
        """Put an entry into the folder, safe on the disk when this returns; raise SettingsError where it can't be."""
        try:
            self._make()
            if len(os.listdir(self.folder / PENDING)) >= self._most:  # noqa: PTH208 - names are enough
                self._compact()
            # What was made in the same millisecond stays in the order in which it was kept.
            unique = f"{int(self._clock() * 1e9):016x}{secrets.token_hex(4)}"
            return self._write(PENDING, entries.name(entry, unique), entries.dumps(entry))
        except OSError as error:
            raise SettingsError(
                f"the outbox {one_line(str(self.folder), 200)} can't keep the update: {error.strerror or error}",
                "make room, or name another folder: --outbox-dir DIR",
            ) from None

    def names(self, *parts: str) -> list[str]:
        """Return the names of what waits, oldest first: all, or those for a host, or for a host, workspace and job.

        What somebody has claimed and not given back in time waits again.
        """
        found = self._list(PENDING)  # first: what is claimed meanwhile is found among the claimed
        found += self._claimed(over=True)
        return sorted(name for name in set(found) if not parts or entries.is_of(name, *parts))

    def claim(self, name: str) -> Claim | None:
        """Take an entry to send it; None where somebody else has it, or where it can't be read (it is set aside)."""
        ends = math.ceil(self._clock() + self._lease)
        target = self.folder / CLAIMED / f"{name}~{ends}~{secrets.token_hex(4)}"
        for source in self._places(name):
            try:
                source.rename(target)
            except OSError:
                # A rename that NFS has done and answered twice is reported as a failure.
                if not target.exists():
                    continue
            try:
                return Claim(self._entry(target, name), target, name, ends)
            except (ValueError, IsADirectoryError):
                self._move(target, BROKEN, name)
            except OSError:  # the disk's trouble, not the entry's
                self._move(target, PENDING, name)
            return None
        return None

    def claim_all(self, *parts: str) -> list[Claim]:
        """Take all that waits of a job (host, workspace, job), oldest first; nothing where somebody delivers it.

        Two that each held half of a job's entries could send them in the wrong order. So the oldest decides: who
        gets it gets the rest, and who comes later sees a claim that holds.
        """
        found = self.names(*parts)  # before the look at the claims: what is claimed between the two is seen there
        if any(entries.is_of(name, *parts) for name in self._claimed(over=False)):
            return []
        claims: list[Claim] = []
        for name in found:
            claim = self.claim(name)
            if claim is not None:
                claims.append(claim)
            elif name in self._claimed(over=False):
                break
        return claims

    def holds(self, claim: Claim) -> bool:
        """Tell whether a claim is still ours: who was paused for long may have lost it."""
        return self._clock() < claim.ends and claim.path.exists()

    def done(self, claim: Claim) -> None:
        """Forget an entry: the server has it."""
        with suppress(FileNotFoundError):
            claim.path.unlink()

    def release(self, claim: Claim) -> None:
        """Give an entry back to whoever comes next."""
        self._move(claim.path, PENDING, claim.name)

    def failed(self, claim: Claim) -> int:
        """Give an entry back that the server answered with a 500; return how often that has happened."""
        entry = claim.entry._replace(failures=claim.entry.failures + 1)
        try:
            self._write(PENDING, claim.name, entries.dumps(entry))
        except OSError:  # a full disk: not counted, and not lost
            self.release(claim)
            return claim.entry.failures
        self.done(claim)
        return entry.failures

    def reject(self, claim: Claim, why: str) -> None:
        """Set an entry aside for good that the server refuses, with its words."""
        self._put_away(REJECTED, claim, claim.entry, why)

    def set_aside(self, claim: Claim, fields: dict[str, Any], why: str) -> None:
        """Keep `fields`, which were not sent of an entry, as newer values stand in their place; the rest is done."""
        self._put_away(ASIDE, claim, claim.entry._replace(fields=fields), why)

    def drop(self, name: str) -> bool:
        """Delete what waits under a name; tell whether it was there."""
        claim = self.claim(name)
        if claim is not None:
            self.done(claim)
        return claim is not None

    def read(self, name: str) -> Entry | None:
        """Return an entry without claiming it; None where it is gone or can't be read."""
        for place in self._places(name):
            with suppress(OSError, ValueError):
                return self._entry(place, name)
        return None

    def text_of(self, name: str) -> str | None:
        """Return what the file of an entry says, wherever it lies; None where there is none."""
        places = [*self._places(name), *(self.folder / kind / name for kind in (REJECTED, ASIDE, BROKEN))]
        for place in places if "/" not in name else ():
            with suppress(OSError):
                return place.read_bytes().decode("utf-8", "replace").rstrip("\n")
        return None

    def count(self, kind: str) -> int:
        """Return how many files of a kind there are."""
        return len(self._list(kind))

    def _compact(self) -> None:
        """Fold the entries of each job into one; raise OSError when the folder is full all the same."""
        jobs = {name: (entry.host, entry.workspace, entry.job) for name in self.names() if (entry := self.read(name))}
        for parts in {job for job, count in Counter(jobs.values()).items() if count > 1}:
            claims = self.claim_all(*parts)
            try:
                if len(claims) > 1 and all(map(self.holds, claims)):
                    folded = entries.folded([claim.entry for claim in claims])
                    self._write(PENDING, claims[-1].name, entries.dumps(folded))
                    while claims:
                        self.done(claims.pop())
            finally:
                for claim in claims:
                    self.release(claim)
        if self.count(PENDING) >= self._most:
            raise OSError(errno.ENOSPC, f"it holds {self._most} entries already; deliver them: nemo-jobs outbox flush")

    def _entry(self, path: Path, name: str) -> Entry:
        """Return the entry in a file; raise ValueError where it is none, or not the one that its name promises."""
        entry = entries.loads(path.read_bytes())
        if not entries.is_of(name, entry.host, entry.workspace, entry.job):
            raise ValueError("an entry of another job")
        return entry

    def _claimed(self, *, over: bool) -> list[str]:
        """Return the names of what somebody holds, or held until his time was over."""
        now = self._clock()
        return [name for name, ends in map(entries.lease, self._list(CLAIMED)) if (ends < now) is over]

    def _places(self, name: str) -> Iterator[Path]:
        """Yield where an entry may be taken from: pending, or claimed by somebody whose time is over."""
        if "/" in name or not name.strip("."):
            return
        yield self.folder / PENDING / name
        now = self._clock()
        for claimed in self._list(CLAIMED):
            found, ends = entries.lease(claimed)
            if found == name and ends < now:
                yield self.folder / CLAIMED / claimed

    def _make(self) -> None:
        """Make the folders that are missing, private to the user: another may have died while he made them."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for kind in (PENDING, CLAIMED, REJECTED, ASIDE, BROKEN, _WRITING):
            (self.folder / kind).mkdir(mode=0o700, exist_ok=True)
        if not (self.folder / "README").exists():  # where the user has named the folder, it may be his own
            (self.folder / "README").write_text(_README, "utf-8")

    def _write(self, kind: str, name: str, data: bytes) -> Path:
        target = self.folder / kind / name
        atomic.write(target, data, aside=self.folder / _WRITING)
        return target

    def _put_away(self, kind: str, claim: Claim, entry: Entry, why: str) -> None:
        import json

        try:
            self._write(kind, claim.name, json.dumps({**entry._asdict(), "why": why}).encode() + b"\n")
        except OSError:  # a full disk: the file itself needs no more room
            self._move(claim.path, kind, claim.name)
        self.done(claim)

    def _move(self, path: Path, kind: str, name: str) -> None:
        with suppress(FileNotFoundError):  # its time was over, and somebody else has taken it
            path.rename(self.folder / kind / name)

    def _list(self, kind: str) -> list[str]:
        try:
            return [name for name in os.listdir(self.folder / kind) if not name.startswith(".")]  # noqa: PTH208
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise SettingsError(
                f"the outbox {one_line(str(self.folder), 200)} can't be read: {error.strerror}",
                "is it yours? or name another folder: --outbox-dir DIR",
            ) from None
