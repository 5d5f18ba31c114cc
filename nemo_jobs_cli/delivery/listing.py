"""List and read the files of an outbox."""

from __future__ import annotations

import functools
import os
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from nemo_jobs_cli.core.errors import NotFoundError, SettingsError, UsageError
from nemo_jobs_cli.core.files import os_reason, read_regular
from nemo_jobs_cli.core.text import one_line
from nemo_jobs_cli.delivery import _owner
from nemo_jobs_cli.delivery import entry as entries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from nemo_jobs_cli.delivery._owner import Owner
    from nemo_jobs_cli.delivery.entry import Entry

PENDING, CLAIMED, REJECTED, SET_ASIDE, BROKEN = "pending", "claimed", "rejected", "set-aside", "broken"

# An id may be shortened to this many characters, as in git.
SHORTEST_ID = 4


class StoredFile(NamedTuple):
    """A file of the outbox, and the owner of its claim if known.

    An entry under a void claim is pending: its time is over, or its owner has ended.
    """

    name: str
    kind: str
    path: Path
    owner: Owner | None = None

    @property
    def id(self) -> str:
        """Return the id by which users name the file."""
        return entries.digest(self.name)


class Listing:
    """The files in the folder of an outbox.

    `clock` returns seconds since 1970, as machines share claims.
    """

    def __init__(self, folder: Path, clock: Callable[[], float]) -> None:
        self.folder = folder
        self._clock = clock

    def names(self, *parts: str) -> list[str]:
        """Return the names of pending entries, oldest first.

        All, those of a host, or of a host, workspace and job.
        """
        return [file.name for file in self.entries(*parts) if file.kind == PENDING]

    def claimed(self, *parts: str) -> list[StoredFile]:
        """Return the entries that a process is delivering."""
        return [file for file in self._claims(*parts) if file.kind == CLAIMED]

    def entries(self, *parts: str) -> list[StoredFile]:
        """Return the pending and claimed entries, oldest first."""
        # Pending ones first: an entry that is claimed meanwhile is then found among the claimed.
        names = [name for name in self._list(PENDING) if not parts or entries.belongs_to(name, *parts)]
        files = {file.name: file for file in self._claims(*parts)}
        files |= {name: StoredFile(name, PENDING, self.folder / PENDING / name) for name in names}
        return [files[name] for name in sorted(files)]

    def files(self) -> list[StoredFile]:
        """Return the files of all kinds, oldest first."""
        others = [
            StoredFile(name, kind, self.folder / kind / name)
            for kind in (REJECTED, SET_ASIDE, BROKEN)
            for name in self._list(kind)
        ]
        return sorted([*self.entries(), *others])

    def find(self, text: str) -> StoredFile:
        """Return the file with a name, or with an id that begins like this.

        Raise NotFoundError or UsageError.
        """
        files = self.files()
        matches = [file for file in files if file.name == text][:1]
        if not matches and len(text) >= SHORTEST_ID:
            matches = [file for file in files if file.id.startswith(text.lower())]
        if not matches:
            shown = one_line(text, 80)
            is_short = len(text) < SHORTEST_ID
            hint = f"use at least {SHORTEST_ID} characters" if is_short else "list the entries: nemo-jobs outbox list"
            raise NotFoundError(f"no entry {shown!r} in the outbox", hint)
        ids = dict.fromkeys(file.id for file in matches)  # a process that is killed may leave one in two folders
        if len(ids) > 1:
            raise UsageError(f"ambiguous id {text!r}: {', '.join(ids)}", "use more characters")
        return matches[0]

    def read(self, name: str) -> Entry | None:
        """Return a pending entry without claiming it, or None."""
        for path in self._paths(name):
            with suppress(OSError, ValueError):
                return self._read(path, name)
        return None

    def load(self, file: StoredFile) -> Entry:
        """Return the entry in a file, or raise OSError or ValueError."""
        return self._read(file.path, file.name)

    def count(self, kind: str) -> int:
        """Return the number of files of a kind."""
        return len(self._list(kind))

    def _read(self, path: Path, name: str) -> Entry:
        """Return the entry in a file; ValueError if it is not valid."""
        entry = entries.loads(read_regular(path))
        if not entries.belongs_to(name, entry.host, entry.workspace, entry.job):
            raise ValueError("an entry of another job")
        return entry

    def _claims(self, *parts: str) -> Iterator[StoredFile]:
        """Yield the claimed entries, as pending under a void claim."""
        now, has_ended = self._clock(), functools.cache(_owner.Owner.has_ended)
        for file_name in self._list(CLAIMED):
            name, _, rest = file_name.partition("~")
            if parts and not entries.belongs_to(name, *parts):
                continue
            ends, *owner_parts = rest.split("~")[:-1] or [""]
            owner = _owner.parse(owner_parts)
            is_void = not ends.isdecimal() or float(ends) < now or (owner is not None and has_ended(owner))
            yield StoredFile(name, PENDING if is_void else CLAIMED, self.folder / CLAIMED / file_name, owner)

    def _paths(self, name: str) -> Iterator[Path]:
        """Yield the files of an entry: pending, or under a void claim."""
        yield self.folder / PENDING / name
        yield from (file.path for file in self._claims() if file.name == name and file.kind == PENDING)

    @property
    def _shown(self) -> str:
        return one_line(str(self.folder), 200)

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
