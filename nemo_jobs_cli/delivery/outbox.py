"""Store updates on disk until they can be delivered.

Each is one file, claimed by rename and never half-written. It needs no locks and no database, so that it works on NFS:
a file is written elsewhere, synced and renamed into place. A claim renames it again: the new name contains the time at
which the claim ends, and its process. The claim of a process of this machine is void as soon as that has ended, any
other when its time is over.
"""

from __future__ import annotations

import errno
import math
import os
import threading
import time
from collections import Counter
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.core import signals
from nemo_jobs_cli.core.errors import SettingsError
from nemo_jobs_cli.core.files import NotRegularError, os_reason, write_atomic
from nemo_jobs_cli.delivery import _owner
from nemo_jobs_cli.delivery import entry as entries
from nemo_jobs_cli.delivery.listing import BROKEN, CLAIMED, PENDING, REJECTED, SET_ASIDE, Listing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from nemo_jobs_cli.delivery.entry import Entry
    from nemo_jobs_cli.delivery.listing import StoredFile

# The seconds that a claim lasts, and how often its owner checks it in that time. The owner renews it after half of the
# time, so the clocks of two machines may differ by the other half.
LEASE = 60.0
RENEWALS = 4

# How many entries a folder may hold; a full one is compacted, and refuses an entry only if that does not help.
MAX_ENTRIES = 10_000

_WRITING = "writing"

_README = """\
nemo-jobs stores updates here that it could not deliver (nemo-jobs update --outbox).

pending/    waiting; the next update of the same job, or `nemo-jobs outbox flush`, delivers them
claimed/    being delivered; the name contains the second at which the claim ends, and its process
rejected/   rejected by the platform, each with the reason
set-aside/  not sent, as they would overwrite newer values
broken/     files that cannot be read
dropped-*   one byte for each update that --best-effort has dropped

List them: `nemo-jobs outbox list`. No file here contains a token.
"""


class Claim:
    """An entry reserved for this process until `ends`, and its file.

    A renewal changes both.
    """

    __slots__ = ("ends", "entry", "name", "path")

    def __init__(self, entry: Entry, name: str, path: Path, ends: float) -> None:
        self.entry, self.name, self.path, self.ends = entry, name, path, ends


class Outbox(Listing):
    """A folder of entries; a claim lasts `lease` seconds."""

    def __init__(
        self,
        folder: Path,
        *,
        clock: Callable[[], float] = time.time,
        max_entries: int = MAX_ENTRIES,
        lease: float = LEASE,
    ) -> None:
        super().__init__(folder, clock)
        self._max_entries = max_entries
        self._lease = lease
        self._renewal = threading.Lock()

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

    def claim(self, name: str) -> Claim | None:
        """Claim an entry; None if another process has it or it is broken."""
        target, ends = self._claim_path(name)
        if not any(_rename(path, target) for path in self._paths(name)):
            return None
        try:
            return Claim(self._read(target, name), name, target, ends)
        except (ValueError, NotRegularError) as error:
            self._move(target, PENDING if isinstance(error, entries.NewerVersionError) else BROKEN, name)
        except OSError:  # the fault of the disk, not of the entry
            self._move(target, PENDING, name)
        return None

    def claim_job(self, *parts: str) -> list[Claim]:
        """Claim all entries of a job, oldest first, or none.

        Two processes that each had half of a job's entries could send them in the wrong order. So the oldest entry
        decides: the process that claims it also claims the rest, and others see its claim.
        """
        names = self.names(*parts)  # before the claims: an entry that is claimed in between is seen there
        if self.claimed(*parts):
            return []
        claims: list[Claim] = []
        for name in names:
            claim = self.claim(name)
            if claim is not None:
                claims.append(claim)
            elif any(file.name == name for file in self.claimed(*parts)):
                break
        return claims

    def renew(self, claim: Claim) -> bool:
        """Extend a claim; return False if another process has taken it."""
        with self._renewal:
            if claim.ends - self._clock() > self._lease / 2:  # not before: a listing can miss a file that is renamed
                return claim.path.exists()
            target, ends = self._claim_path(claim.name)
            if not _rename(claim.path, target):
                return False
            claim.path, claim.ends = target, ends
            return True

    @contextmanager
    def renewing(self, claims: Sequence[Claim]) -> Iterator[None]:
        """Renew claims in the background during a long delivery."""
        stop, held = threading.Event(), tuple(claims)

        def renew() -> None:
            while not stop.wait(self._lease / RENEWALS):
                for claim in held:
                    self.renew(claim)  # fails for one that is settled

        if held:
            signals.start_thread(threading.Thread(target=renew, name="renewal", daemon=True))
        try:
            yield
        finally:
            stop.set()

    def remove(self, claim: Claim) -> None:
        """Delete a delivered entry."""
        with self._renewal:
            claim.path.unlink(missing_ok=True)

    def release(self, claim: Claim) -> None:
        """Make an entry pending again."""
        with self._renewal:
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
        self._move_away(REJECTED, claim, claim.entry._replace(why=reason))

    def set_aside(self, claim: Claim, fields: dict[str, Any], reason: str) -> None:
        """Move unsent `fields` of an entry to the set-aside ones."""
        self._move_away(SET_ASIDE, claim, claim.entry._replace(fields=fields, why=reason))

    def drop(self, file: StoredFile) -> bool:
        """Delete a file; return False if another process has taken it."""
        if file.kind == CLAIMED:
            return False
        try:
            file.path.unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise SettingsError(f"cannot delete {file.path}: {os_reason(error)}", "delete it by hand") from None
        return True

    def _compact(self) -> None:
        """Coalesce the entries of each job and attempt; OSError if still full."""
        jobs = {name: (entry.host, entry.workspace, entry.job) for name in self.names() if (entry := self.read(name))}
        for job in [job for job, count in Counter(jobs.values()).items() if count > 1]:
            claims = self.claim_job(*job)
            try:
                is_of_one_attempt = len({claim.entry.attempt for claim in claims}) == 1
                if is_of_one_attempt and all(map(self.renew, claims)):
                    merged = entries.coalesce([claim.entry for claim in claims])
                    self._write(PENDING, claims[-1].name, entries.dumps(merged))
                    while claims:
                        self.remove(claims.pop())
            finally:
                for claim in claims:
                    self.release(claim)
        if self.count(PENDING) >= self._max_entries:
            raise OSError(errno.ENOSPC, f"it is full ({self._max_entries} entries): nemo-jobs outbox flush")

    def _claim_path(self, name: str) -> tuple[Path, float]:
        """Return the file of a new claim, and when it ends."""
        ends = self._clock() + self._lease
        parts = (name, math.ceil(ends), *_owner.current(), os.urandom(4).hex())
        return self.folder / CLAIMED / "~".join(map(str, parts)), ends

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

    def _move_away(self, kind: str, claim: Claim, entry: Entry) -> None:
        try:
            self._write(kind, claim.name, entries.dumps(entry))
        except OSError:  # a full disk: moving the file needs no room
            with self._renewal:
                self._move(claim.path, kind, claim.name)
        self.remove(claim)

    def _move(self, path: Path, kind: str, name: str) -> None:
        with suppress(FileNotFoundError):  # the claim has expired, and another process has taken the entry
            path.rename(self.folder / kind / name)


def _rename(path: Path, target: Path) -> bool:
    """Rename a file; return whether that was done."""
    try:
        path.rename(target)
    except OSError:
        return target.exists()  # NFS may do a rename and then report it as failed
    return True
