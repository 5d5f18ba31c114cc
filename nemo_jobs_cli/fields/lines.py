"""Read lines that are updates: a JSON object, or fields.

A line never reads a file: it comes from a program, which may repeat text from elsewhere.
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

    from nemo_jobs_cli.fields.flow import FlowValues

MAX_LINE = 1024 * 1024  # bytes

_BLANKS = " \t\r"

# Words with a meaning on a command line (a flag, a file, JSON), but not in a line.
_FOREIGN = re.compile(r"[-@{\[].*|.+\.json", re.DOTALL)


class MergedLines(NamedTuple):
    """The merged fields of lines, and the numbers of lines and of updates."""

    fields: dict[str, Any]
    lines: int
    updates: int


def merge(
    text: str, first: int, label: str, values: FlowValues, on_error: Callable[[NemoJobsError], object]
) -> MergedLines:
    """Merge whole lines into one update; `first` is the first number.

    Bytes that are not UTF-8 are lone surrogates in `text`, as `surrogateescape` decodes them. Stop after an error for
    which `on_error` returns True. Blank lines and those that begin with `#` are skipped.
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
            merged |= parse_line(line, label, values, first + lines - 1)
            updates += 1
        except NemoJobsError as error:
            if on_error(error):
                break
    return MergedLines(merged, lines, updates)


def parse_line(line: str, label: str, values: FlowValues, number: int = 1) -> dict[str, Any]:
    """Return the fields of line `number`, or raise UsageError."""
    _check_bytes(line, f"{label}:{number}")
    if line.startswith("{"):
        return values.replace_non_finite(strict_json.load_object(line, label, number=number, finite=False))
    label = f"{label}:{number}"
    words = [(label, word) for word in _split_words(line, label)]
    stray = next((word for _, word in words if "=" not in word), "")
    if _FOREIGN.fullmatch(stray):
        raise UsageError(
            f"{label}: invalid field {one_line(stray, 60)!r}: not key=value",
            'write key=value or {"key": value}; use --match to find fields in other text',
            pointer=strict_json.shorten(Pointer(label, stray)),
        )
    try:
        parsed = parse_fields(words, values.numbers, _refuse_file, finite=False)
    except UsageError as error:
        if error.message.startswith(label):
            raise
        raise UsageError(f"{label}: {error.message}", error.hint, pointer=error.pointer) from None
    for field in parsed.fields:
        if field.kind == "text":
            values.check_text(field.key, field.value)
    return values.replace_non_finite({field.key: field.value for field in parsed.fields})


def _check_bytes(line: str, label: str) -> None:
    if len(line) > MAX_LINE // 4 and len(line.encode("utf-8", "surrogateescape")) > MAX_LINE:
        raise UsageError(f"{label}: longer than 1 MiB", "send less, or a path to the data")
    try:
        line.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{label}: not UTF-8 text", "convert it: iconv -f latin1 -t utf-8") from None


def _split_words(line: str, label: str) -> list[str]:
    """Split a line as a POSIX shell does; raise UsageError for an open quote."""
    if not set(line) & set("'\"\\"):
        return [word for word in line.replace("\t", " ").replace("\r", " ").split(" ") if word]
    import shlex

    try:
        return shlex.split(line)
    except ValueError as error:
        raise UsageError(
            f"{label}: {str(error).lower()}",
            'correct the quotes, or send JSON: {"message": "it\'s fine"}',
            pointer=strict_json.shorten(Pointer(label, line)),
        ) from None


def _refuse_file(path: str) -> str:
    raise UsageError(
        f"cannot read {one_line(path, 60)!r}: a line must not name a file",
        "send the file's content as key=text or JSON",
    )
