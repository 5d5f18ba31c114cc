"""Store updates on disk until they can be delivered.

Each is one file, claimed by rename and never half-written. It needs no locks and no database, so that it works on NFS:
a file is written elsewhere, synced and renamed into place. A claim renames it again, and the new name contains the time
at which the claim ends.
"""

from __future__ import annotations

import errno
import json
import math
import os
import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from nemo_jobs_cli.core.errors import SettingsError
from nemo_jobs_cli.core.files import os_reason, write_atomic
from nemo_jobs_cli.core.text import one_line
from nemo_jobs_cli.delivery import entry as entries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from nemo_jobs_cli.delivery.entry import Entry

# How long a claim lasts, in seconds, on top of the deadline of a delivery.
LEASE = 120.0

# How many entries a folder may hold; a full one is compacted, and refuses an entry only if that does not help.
MAX_ENTRIES = 10_000

PENDING, CLAIMED, REJECTED, SET_ASIDE, BROKEN = "pending", "claimed", "rejected", "set-aside", "broken"
_WRITING = "writing"

_README = """\
nemo-jobs stores updates here that it could not deliver (nemo-jobs update --outbox).

pending/    waiting; the next update of the same job, or `nemo-jobs outbox flush`, delivers them
claimed/    being delivered; the number after ~ is the second at which the claim ends
rejected/   rejected by the platform, each with the reason
set-aside/  not sent, as they would overwrite newer values
broken/     files that cannot be read
dropped-*   one byte for each update that --best-effort has dropped

List them: `nemo-jobs outbox list`. No file here contains a token.
"""


class Claim(NamedTuple):
    """An entry reserved for this process until `ends`, and its file."""

    entry: Entry
    path: Path
    name: str
    ends: float


class Outbox:
    """A folder of entries.

    `clock` returns seconds since 1970, as machines share claims; `lease` is in seconds.
    """

    def __init__(
        self,
        folder: Path,
        *,
        clock: Callable[[], float] = time.time,
        max_entries: int = MAX_ENTRIES,
        lease: float = LEASE,
    ) -> None:
        self.folder = folder
        self._clock = clock
        self._max_entries = max_entries
        self._lease = lease

    def store(self, entry: Entry) -> Path:
        """Write and sync an entry; return its file, or raise SettingsError."""
        try:
            self._make_folders()
            if len(os.listdir(self.folder / PENDING)) >= self._max_entries:  # noqa: PTH208 - names are enough
                self._compact()
            # Entries of the same millisecond stay in the order in which they were stored.
            unique = f"{int(self._clock() * 1e9):016x}{os.urandom(4).hex()}"
            return self._write(PENDING, entries.file_name(entry, unique), entries.dumps(entry))
        except OSError as error:
            raise SettingsError(
                f"cannot store the update in the outbox {self._shown}: {os_reason(error)}",
                "make room, or use another folder: --outbox-dir DIR",
            ) from None

    def names(self, *parts: str) -> list[str]:
        """Return the names of pending entries, oldest first.

        An entry is pending again when its claim has expired.
        """
        names = self._list(PENDING)  # first: an entry that is claimed meanwhile is then found among the claimed
        names += self._claimed(expired=True)
        return sorted(name for name in set(names) if not parts or entries.belongs_to(name, *parts))

    def claim(self, name: str) -> Claim | None:
        """Claim an entry; None if another process has it or it is broken."""
        ends = math.ceil(self._clock() + self._lease)
        target = self.folder / CLAIMED / f"{name}~{ends}~{os.urandom(4).hex()}"
        for path in self._paths(name):
            try:
                path.rename(target)
            except OSError:
                # NFS may do a rename and then report it as failed.
                if not target.exists():
                    continue
            try:
                return Claim(self._read(target, name), target, name, ends)
            except (ValueError, IsADirectoryError):
                self._move(target, BROKEN, name)
            except OSError:  # the fault of the disk, not of the entry
                self._move(target, PENDING, name)
            return None
        return None

    def claim_job(self, *parts: str) -> list[Claim]:
        """Claim all entries of a job, oldest first, or none.

        Two processes that each had half of a job's entries could send them in the wrong order. So the oldest entry
        decides: the process that claims it also claims the rest, and others see a claim that has not expired.
        """
        names = self.names(*parts)  # before the claims: an entry that is claimed in between is seen there
        if any(entries.belongs_to(name, *parts) for name in self._claimed(expired=False)):
            return []
        claims: list[Claim] = []
        for name in names:
            claim = self.claim(name)
            if claim is not None:
                claims.append(claim)
            elif name in self._claimed(expired=False):
                break
        return claims

    def holds(self, claim: Claim) -> bool:
        """Return whether a claim is still valid after a long pause."""
        return self._clock() < claim.ends and claim.path.exists()

    def remove(self, claim: Claim) -> None:
        """Delete a delivered entry."""
        claim.path.unlink(missing_ok=True)

    def release(self, claim: Claim) -> None:
        """Make an entry pending again."""
        self._move(claim.path, PENDING, claim.name)

    def count_failure(self, claim: Claim) -> None:
        """Release an entry that the server answered with a 500, and count that."""
        entry = claim.entry._replace(failures=claim.entry.failures + 1)
        try:
            self._write(PENDING, claim.name, entries.dumps(entry))
        except OSError:  # a full disk: the failure is not counted
            self.release(claim)
        else:
            self.remove(claim)

    def reject(self, claim: Claim, reason: str) -> None:
        """Move an entry to the rejected ones, with the reason."""
        self._move_away(REJECTED, claim, claim.entry, reason)

    def set_aside(self, claim: Claim, fields: dict[str, Any], reason: str) -> None:
        """Move unsent `fields` of an entry to the set-aside ones."""
        self._move_away(SET_ASIDE, claim, claim.entry._replace(fields=fields), reason)

    def drop(self, name: str) -> bool:
        """Delete a pending entry; return whether there was one."""
        claim = self.claim(name)
        if claim is not None:
            self.remove(claim)
        return claim is not None

    def read(self, name: str) -> Entry | None:
        """Return a pending entry without claiming it, or None."""
        for path in self._paths(name):
            with suppress(OSError, ValueError):
                return self._read(path, name)
        return None

    def read_text(self, name: str) -> str | None:
        """Return the content of an entry's file of any kind, or None."""
        if "/" not in name:
            for path in [*self._paths(name), *(self.folder / kind / name for kind in (REJECTED, SET_ASIDE, BROKEN))]:
                with suppress(OSError):
                    return path.read_bytes().decode("utf-8", "replace").rstrip("\n")
        return None

    def count(self, kind: str) -> int:
        """Return the number of files of a kind."""
        return len(self._list(kind))

    @property
    def _shown(self) -> str:
        return one_line(str(self.folder), 200)

    def _compact(self) -> None:
        """Coalesce the entries of each job; OSError if still full."""
        jobs = {name: (entry.host, entry.workspace, entry.job) for name in self.names() if (entry := self.read(name))}
        for job in [job for job, count in Counter(jobs.values()).items() if count > 1]:
            claims = self.claim_job(*job)
            try:
                if len(claims) > 1 and all(map(self.holds, claims)):
                    merged = entries.coalesce([claim.entry for claim in claims])
                    self._write(PENDING, claims[-1].name, entries.dumps(merged))
                    while claims:
                        self.remove(claims.pop())
            finally:
                for claim in claims:
                    self.release(claim)
        if self.count(PENDING) >= self._max_entries:
            raise OSError(errno.ENOSPC, f"it is full ({self._max_entries} entries): nemo-jobs outbox flush")

    def _read(self, path: Path, name: str) -> Entry:
        """Return the entry in a file; ValueError if it is not valid."""
        entry = entries.loads(path.read_bytes())
        if not entries.belongs_to(name, entry.host, entry.workspace, entry.job):
            raise ValueError("an entry of another job")
        return entry

    def _claims(self) -> Iterator[tuple[str, str, bool]]:
        """Yield each claim's file, its entry's name, and if it has expired."""
        now = self._clock()
        for file in self._list(CLAIMED):
            name, _, rest = file.partition("~")
            ends = rest.partition("~")[0]
            yield file, name, not ends.isdigit() or float(ends) < now

    def _claimed(self, *, expired: bool) -> list[str]:
        return [name for _, name, is_expired in self._claims() if is_expired is expired]

    def _paths(self, name: str) -> Iterator[Path]:
        """Yield the files of an entry: pending, or an expired claim."""
        if "/" in name or not name.strip("."):
            return
        yield self.folder / PENDING / name
        for file, claimed, is_expired in self._claims():
            if claimed == name and is_expired:
                yield self.folder / CLAIMED / file

    def _make_folders(self) -> None:
        """Create the missing folders, private to the user."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for kind in (PENDING, CLAIMED, REJECTED, SET_ASIDE, BROKEN, _WRITING):
            (self.folder / kind).mkdir(mode=0o700, exist_ok=True)
        if not (self.folder / "README").exists():  # --outbox-dir may name a folder with a README of its own
            (self.folder / "README").write_text(_README, "utf-8")

    def _write(self, kind: str, name: str, data: bytes) -> Path:
        target = self.folder / kind / name
        write_atomic(target, data, temp_dir=self.folder / _WRITING)
        return target

    def _move_away(self, kind: str, claim: Claim, entry: Entry, reason: str) -> None:
        try:
            self._write(kind, claim.name, json.dumps({**entry._asdict(), "why": reason}).encode() + b"\n")
        except OSError:  # a full disk: moving the file needs no room
            self._move(claim.path, kind, claim.name)
        self.remove(claim)

    def _move(self, path: Path, kind: str, name: str) -> None:
        with suppress(FileNotFoundError):  # the claim has expired, and another process has taken the entry
            path.rename(self.folder / kind / name)

    def _list(self, kind: str) -> list[str]:
        try:
            return [name for name in os.listdir(self.folder / kind) if not name.startswith(".")]  # noqa: PTH208
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise SettingsError(
                f"cannot read the outbox {self._shown}: {os_reason(error)}",
                "check its owner and mode, or use another folder: --outbox-dir DIR",
            ) from None
