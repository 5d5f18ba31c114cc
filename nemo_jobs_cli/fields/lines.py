"""Read lines that are updates: a JSON object, or fields as one types them (`progress=45 message="batch 3"`).

No line reads a file, whatever it holds: lines come from programs, and programs repeat what others told them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from nemo_jobs_cli.core.errors import NemoJobsError, Pointer, UsageError
from nemo_jobs_cli.core.text import one_line
from nemo_jobs_cli.fields import strict_json
from nemo_jobs_cli.fields.parse import parse_fields

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Set as AbstractSet

# A line that is longer, in bytes, is no update that anybody meant.
MAX_LINE = 1024 * 1024

_BLANKS = " \t\r"

# Words that mean a flag, a file or JSON on a command line, and nothing in a line.
_FOREIGN = re.compile(r"[-@{\[].*|.+\.json", re.DOTALL)


class MergedLines(NamedTuple):
    """What some lines amount to: their fields merged, how many lines and updates, and what was wrong."""

    fields: dict[str, Any]
    lines: int
    updates: int


def merge(
    text: str, first: int, label: str, numbers: AbstractSet[str], on_error: Callable[[NemoJobsError], object]
) -> MergedLines:
    """Return whole lines merged into one update; `first` is the number of the first one, `on_error` hears of mistakes.

    It stops there where `on_error` returns True. A line of blanks, or one that begins with `#`, says nothing.
    """
    merged: dict[str, Any] = {}
    position = lines = updates = 0
    end = len(text)
    plain = strict_json.is_plain(text)
    while position < end:
        if plain:
            position, count = strict_json.merge_objects(text, position, merged)
            lines += count
            updates += count
            if position >= end:
                break
        stop = text.find("\n", position)
        stop = end if stop < 0 else stop
        line = text[position:stop].strip(_BLANKS)
        lines += 1
        position = stop + 1
        if not line or line[0] == "#":
            continue
        try:
            merged |= parse_line(line, label, numbers, first + lines - 1)
            updates += 1
        except NemoJobsError as error:
            if on_error(error):
                break
    return MergedLines(merged, lines, updates)


def parse_line(line: str, label: str, numbers: AbstractSet[str], number: int = 1) -> dict[str, Any]:
    """Return the fields of line `number`; raise UsageError that names the line and points at the character."""
    if line.startswith("{"):
        return strict_json.load_object(line, label, number=number)
    label = f"{label}:{number}"
    words = [(label, word) for word in split_words(line, label)]
    stray = next((word for _, word in words if "=" not in word), "")
    if _FOREIGN.fullmatch(stray):
        raise UsageError(
            f"{label} is not key=value: {one_line(stray, 60)!r}",
            'write key=value or {"key": value}; to find fields in other text: --match',
            pointer=strict_json.shorten(Pointer(label, stray)),
        )
    try:
        parsed = parse_fields(words, numbers, _no_file(label))
    except UsageError as error:
        if error.message.startswith(label):
            raise
        raise UsageError(f"{label}: {error.message}", error.hint, pointer=error.pointer) from None
    return {field.key: field.value for field in parsed.fields}


def split_words(line: str, label: str) -> list[str]:
    """Return the words of a line, quoted as in a POSIX shell; raise UsageError for an open quote."""
    if not set(line) & set("'\"\\"):
        return [word for word in line.replace("\t", " ").replace("\r", " ").split(" ") if word]
    import shlex

    try:
        return shlex.split(line)
    except ValueError as error:
        raise UsageError(
            f"{label}: {str(error).lower()}",
            'close it, or send JSON: {"message": "it\'s fine"}',
            pointer=strict_json.shorten(Pointer(label, line)),
        ) from None


def _no_file(label: str) -> Callable[[str], str]:
    def refuse(path: str) -> str:
        raise UsageError(
            f"{label}: a line can't read a file: {one_line(path, 60)!r}",
            "send what the file holds, as key=text or JSON",
        )

    return refuse
