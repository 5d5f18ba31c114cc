"""Read JSON strictly and write it compactly: what the platform would lose or choke on is an error here.

The server stores NaN and 1e400 as null, answers a lone surrogate with a 500 for ever, and lets the last of two
equal keys win (all measured): a reporter that loses values silently is worse than one that complains.
"""

from __future__ import annotations

import functools
import json
import re
from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.core.errors import Pointer, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nemo_jobs_cli.fields._json_errors import JsonError

# How much of a long line is shown around the trouble.
MAX_SHOWN = 100

# What the C parser lets pass: surrogates, and numbers that may overflow (99 digits and e99 can't yet).
_SURROGATE = "[\ud800-\udfff]"
_SURROGATE_ESCAPE = r"\\u[dD][89a-fA-F]"
_LARGE_POWER = "e[+0-9][0-9]{2}"  # a pattern that begins with one letter is ten times as fast as one with a set
_MANY_DIGITS = "[0-9]{100}"
_EVERY_TENTH = "[0-9]{10}"  # such a run of digits holds ten of every tenth character: the rest needs no look

# Shorter text can't break the limits on nesting and digits: 201 brackets have to be closed as well.
_SMALL = 400

_BLANKS = " \t\n\r"
_TYPES = {dict: "object", list: "list", str: "string", bool: "boolean", int: "number", float: "number"}


class _RefusedError(ValueError):
    """The fast path met something that only the scanner can name."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise _RefusedError
    return made


def _constant(_: str) -> Any:
    raise _RefusedError


_decoder = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)
_decode, _raw_decode = _decoder.decode, _decoder.raw_decode
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def type_name(value: Any) -> str:
    """Return JSON's own name of a value's type."""
    return "null" if value is None else _TYPES.get(type(value), "object")


def load_value(text: str, label: str, *, prefix: str = "", number: int = 1) -> Any:
    """Return the JSON value that `text` holds; raise UsageError that points at what is wrong.

    `prefix` is what stands left of `text` in the word that the user wrote (`key:=`); an empty one means that
    `text` is a file, whose line (the first is number `number`) and column are named.
    """
    try:
        value = _parse(text)
        _check(value, text)
    except (ValueError, RecursionError):  # also nesting, and an integer that Python won't convert
        from nemo_jobs_cli.fields import _json_errors

        raise _error(text, label, prefix, number, _json_errors.find_error(text, in_word=bool(prefix))) from None
    return value


def load_object(text: str, label: str, *, prefix: str = "", number: int = 1) -> dict[str, Any]:
    """Return the JSON object that `text` holds; raise UsageError for everything else."""
    value = load_value(text, label, prefix=prefix, number=number)
    if not isinstance(value, dict):
        from nemo_jobs_cli.fields._json_errors import JsonError

        found = JsonError(
            len(text) - len(text.lstrip(_BLANKS)),
            f"a JSON {type_name(value)} where an object is needed",
            'wrap it: {"key": ...}; an update is a set of keys',
        )
        raise _error(text, label, prefix, number, found)
    return value


def merge_objects(text: str, position: int, merged: dict[str, Any]) -> tuple[int, int]:
    """Fold the objects that stand from `position` on, one a line, into one; return where it stopped, and their number.

    The fast way for a flow of lines: it stops prefix the first line that `load_object` has to look at.
    """
    end, count = len(text), 0
    scan: Callable[[str, int], tuple[Any, int]] = _decoder.scan_once  # type: ignore[attr-defined]
    update, find = merged.update, text.find
    try:
        while position < end and text[position] == "{":
            value, stop = scan(text, position)
            if text[stop : stop + 1] != "\n" or stop - position > _SMALL or find("\n", position, stop) >= 0:
                break
            update(value)
            count += 1
            position = stop + 1
    except (ValueError, RecursionError, StopIteration):
        pass  # the line in question is read again, by what can say what is wrong
    return position, count


def is_plain(text: str) -> bool:
    """Tell whether nothing in `text` needs a second look after the parser's: half a surrogate pair, a huge number."""
    return not (
        _search(_LARGE_POWER)(text)
        or ("E" in text and _search(_LARGE_POWER.upper())(text))
        or ("\\u" in text and _search(_SURROGATE_ESCAPE)(text))
        or (not text.isascii() and _search(_SURROGATE)(text))
        or (len(text) >= 100 and _search(_EVERY_TENTH)(text[::10]) and _search(_MANY_DIGITS)(text))  # noqa: PLR2004 - the pattern's own length
    )


def dumps(value: Any) -> bytes:
    """Return `value` as it goes over the wire: compact UTF-8; values have passed `load_value` or are plain text."""
    return _encode(value).encode()


def locate(text: str, path: Sequence[str | int]) -> tuple[int, int] | None:
    """Return the line and the column, from 1, of the value at `path`; None when there is none."""
    from nemo_jobs_cli.fields import _json_errors

    offset = _json_errors.find_value(text, path)
    if offset is None:
        return None
    number, column = _position(text, offset)
    return number, column + 1


def pointer_at(text: str, offset: int, label: str, first: int = 1) -> Pointer:
    """Return a pointer to a character of `text`: line (from `first`) and column (from 1) in the label."""
    offset = max(0, min(offset, len(text)))
    number, column = _position(text, offset)
    line = text[offset - column :].split("\n", 1)[0].rstrip("\r")
    return shorten(Pointer(f"{label}:{first + number - 1}:{column + 1}", line, min(column, len(line))))


def shorten(pointer: Pointer) -> Pointer:
    """Return `pointer` with at most `MAX_SHOWN` characters of its line, those around the column."""
    label, line, column = pointer
    if len(line) <= MAX_SHOWN:
        return pointer
    start = max(0, (column or 0) - MAX_SHOWN // 2)
    shown = line[start : start + MAX_SHOWN]
    if start:
        shown = f"…{shown[1:]}"
    if start + MAX_SHOWN < len(line):
        shown = f"{shown[:-1]}…"
    return Pointer(label, shown, None if column is None else column - start)


def _parse(text: str) -> Any:
    if text[:1] == "{":  # raw_decode spares the two regular expressions of decode
        value, end = _raw_decode(text)
        if end == len(text) or not text[end:].strip(_BLANKS):
            return value
    return _decode(text)


def _check(value: Any, text: str) -> None:
    """Raise what `load_value` catches if `value` holds something that the parser let pass."""
    size = len(text)
    if not is_plain(text):
        _encode(value).encode()  # refuses infinity and half a surrogate pair
    if size > _SMALL:
        from nemo_jobs_cli.fields import _json_errors

        if _json_errors.breaks_limits(value, text):
            raise _RefusedError


@functools.cache
def _search(pattern: str) -> Callable[[str], re.Match[str] | None]:
    """Compile a pattern when it is first needed, and once: `re.search` looks it up each time."""
    return re.compile(pattern).search


def _position(text: str, offset: int) -> tuple[int, int]:
    """Return the line (from 1) and the column (from 0) of an offset."""
    start = text.rfind("\n", 0, offset) + 1
    return text.count("\n", 0, offset) + 1, offset - start


def _error(text: str, label: str, prefix: str, number: int, found: JsonError) -> UsageError:
    if prefix:
        pointer = pointer_at(prefix + text, len(prefix) + found.offset, label)
        pointer = Pointer(label, pointer.line, pointer.column)
    else:
        pointer = pointer_at(text, found.offset, label, number)
    return UsageError(f"{pointer.label}: {found.message}", found.hint, pointer=pointer)
