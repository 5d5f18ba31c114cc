"""Turn pieces of a flow into folded updates: whole lines only, mistakes told by their number, nothing kept."""

from __future__ import annotations

import io
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from nemo_jobs_cli.core.errors import UsageError
from nemo_jobs_cli.fields import lines as fieldlines
from nemo_jobs_cli.reporting import line_buffer

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Set as AbstractSet

    from nemo_jobs_cli.core.errors import NemoJobsError
    from nemo_jobs_cli.reporting.match import Matcher


class Taken(NamedTuple):
    """What a piece amounted to: its updates folded into one, and their number."""

    fields: dict[str, Any]
    updates: int


class Intake:
    """Reads lines as updates, or finds fields in them with `matcher`; `bad` hears of mistakes.

    `lines` counts what has been read. Where a mistake ends it (`strict`), that is `trouble`, and nothing more is read.
    """

    def __init__(
        self,
        name: str,
        numbers: AbstractSet[str],
        bad: Callable[[NemoJobsError], None],
        matcher: Matcher | None = None,
        *,
        strict: bool = False,
    ) -> None:
        self.lines = 0
        self.trouble: NemoJobsError | None = None
        self._strict = strict
        self._name = name
        self._numbers = numbers
        self._bad = bad
        self._matcher = matcher
        self._splitter = line_buffer.Splitter()
        self._rest = bytearray()
        self._open = False

    def take(self, piece: bytes) -> Taken:
        """Return what the lines say that `piece` finishes."""
        if self._matcher is not None:
            return self._match(piece)
        whole, newline, rest = piece.rpartition(b"\n")
        taken = Taken({}, 0)
        if newline:
            data, self._rest = bytes(self._rest) + whole + newline, bytearray()
            taken = self._fold(data)
        # More of a line than anybody means is not kept, only so much that it is seen to be too long.
        self._rest += rest[: fieldlines.MAX_LINE + 1 - len(self._rest)]
        return taken

    def end(self) -> Taken:
        """Return what the last line says, where no line break ends it."""
        if self._matcher is not None:
            return self._match(b"\n") if self._open else Taken({}, 0)
        return self.take(b"\n") if self._rest else Taken({}, 0)

    def _fold(self, data: bytes) -> Taken:
        """Return what whole lines amount to: at once, or one by one where not all of them can be read."""
        if not self.lines:
            data = data.removeprefix(b"\xef\xbb\xbf")
        if len(data) <= fieldlines.MAX_LINE or max(map(len, data.split(b"\n"))) <= fieldlines.MAX_LINE:
            with suppress(UnicodeDecodeError):
                return self._read(data.decode("utf-8"))
        folded: dict[str, Any] = {}
        updates = 0
        for line in data.split(b"\n")[:-1]:
            if self.trouble is not None:
                break
            taken = self._one(line)
            folded |= taken.fields
            updates += taken.updates
        return Taken(folded, updates)

    def _hear(self, error: NemoJobsError) -> bool:
        """Hear of a mistake; tell whether it ends everything."""
        if self._strict:
            self.trouble = error
        else:
            self._bad(error)
        return self._strict

    def _one(self, line: bytes) -> Taken:
        name = f"{self._name}:{self.lines + 1}"
        if len(line) > fieldlines.MAX_LINE:
            trouble = UsageError(f"{name} is longer than 1 MiB", "send less, or a path to the data")
        else:
            try:
                return self._read(line.decode("utf-8") + "\n")
            except UnicodeDecodeError:
                trouble = UsageError(f"{name} is not UTF-8 text", "convert it: iconv -f latin1 -t utf-8")
        self.lines += 1
        self._hear(trouble)
        return Taken({}, 0)

    def _read(self, text: str) -> Taken:
        read = fieldlines.merge(text, self.lines + 1, self._name, self._numbers, self._hear)
        self.lines += read.lines
        return Taken(read.fields, read.updates)

    def _match(self, piece: bytes) -> Taken:
        """Return what is found in the lines that `piece` finishes; bars draw many of them in one of the input's."""
        assert self._matcher is not None  # noqa: S101 - asked for by who calls
        folded: dict[str, Any] = {}
        updates = 0
        for row in io.BytesIO(piece):
            for line in self._splitter.feed(row):
                found = self._matcher.find(line)
                folded |= found.fields
                updates += bool(found.fields)
                for problem in found.problems:
                    self._hear(
                        UsageError(f"{self._name}:{self.lines + 1}: {problem}", "correct the pattern of --match")
                    )
            self._open = not row.endswith(b"\n")
            self.lines += not self._open
        return Taken(folded, updates)
