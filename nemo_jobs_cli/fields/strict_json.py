"""Read JSON strictly; refuse values that the platform would lose.

The server stores NaN and 1e400 as null, answers a lone surrogate with status 500, and keeps the last of two
equal keys.
"""

from __future__ import annotations

import functools
import json
import re
from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.core.errors import Pointer, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from nemo_jobs_cli.fields._json_errors import JsonError

MAX_SHOWN = 100  # characters of a long line, around the error

# Accepted by the C parser: surrogates, and numbers that may overflow (99 digits and e99 cannot).
_SURROGATE = "[\ud800-\udfff]"
_SURROGATE_ESCAPE = r"\\u[dD][89a-fA-F]"
_LARGE_POWER = "e[+0-9][0-9]{2}"  # ten times as fast as a pattern that begins with a set
_MANY_DIGITS = "[0-9]{100}"
_EVERY_TENTH = "[0-9]{10}"  # in every tenth character of the text: 100 digits contain ten of them

# Shorter text cannot break the limits on nesting and digits: 201 brackets have to be closed as well.
_SMALL = 400

_BLANKS = " \t\n\r"
_TYPES = {dict: "object", list: "list", str: "string", bool: "boolean", int: "number", float: "number"}


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError  # `_json_errors` finds where
    return value


def _constant(_: str) -> Any:
    raise ValueError


_decoder = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)
_decode, _raw_decode = _decoder.decode, _decoder.raw_decode
_decode_any = json.JSONDecoder(object_pairs_hook=_object).decode
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def type_name(value: Any) -> str:
    """Return the type of a value as JSON names it."""
    return "null" if value is None else _TYPES.get(type(value), "object")


def load_value(text: str, label: str, *, prefix: str = "", number: int = 1, finite: bool = True) -> Any:
    """Return the value of JSON text, or raise UsageError.

    `prefix` is the part of the argument before `text` (`key:=`). If it is empty, `text` is a file or a line, and
    the error names line (`number` is the first) and column. Without `finite`, NaN, Infinity and numbers that overflow
    are floats.
    """
    try:
        value = _parse(text) if finite else _decode_any(text)
        _check(value, text, finite=finite)
    except (ValueError, RecursionError):
        from nemo_jobs_cli.fields import _json_errors

        raise _error(text, label, prefix, number, _json_errors.find_error(text, in_word=bool(prefix))) from None
    return value


def load_object(text: str, label: str, *, number: int = 1, finite: bool = True) -> dict[str, Any]:
    """Return the object of JSON text, or raise UsageError."""
    value = load_value(text, label, number=number, finite=finite)
    if not isinstance(value, dict):
        from nemo_jobs_cli.fields._json_errors import JsonError

        offset = len(text) - len(text.lstrip(_BLANKS))
        error = JsonError(offset, f"expected a JSON object, got {type_name(value)}", 'wrap it: {"key": ...}')
        raise _error(text, label, "", number, error)
    return value


def merge_objects(text: str, position: int, merged: dict[str, Any]) -> tuple[int, int]:
    """Merge the objects, one a line; return the next position and a count.

    The fast path for a stream of lines: it stops before the first line that needs `load_object`.
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
        pass  # the caller reads the line again, for the error
    return position, count


def is_plain(text: str) -> bool:
    """Return whether no surrogate or overflow can be in JSON text."""
    return not (
        _search(_LARGE_POWER)(text)
        or ("E" in text and _search(_LARGE_POWER.upper())(text))
        or ("\\u" in text and _search(_SURROGATE_ESCAPE)(text))
        or (not text.isascii() and _search(_SURROGATE)(text))
        or (len(text) >= 100 and _search(_EVERY_TENTH)(text[::10]) and _search(_MANY_DIGITS)(text))  # noqa: PLR2004 - the pattern's own length
    )


def dumps(value: Any) -> bytes:
    """Return `value` as compact JSON in UTF-8."""
    return _encode(value).encode()


def pointer_at(text: str, offset: int, label: str, first: int = 1) -> Pointer:
    """Return a pointer to a character, with line and column.

    `first` is the number of the first line; columns count from 1.
    """
    offset = max(0, min(offset, len(text)))
    column = offset - (text.rfind("\n", 0, offset) + 1)
    # Not splitlines: it also splits at characters that JSON strings may hold, for example U+2028.
    line = text[offset - column :].split("\n", 1)[0].rstrip("\r")
    label = f"{label}:{first + text.count(chr(10), 0, offset)}:{column + 1}"
    return shorten(Pointer(label, line, min(column, len(line))))


def shorten(pointer: Pointer) -> Pointer:
    """Return `pointer` with at most `MAX_SHOWN` characters of its line."""
    label, line, column = pointer
    if len(line) <= MAX_SHOWN:
        return pointer
    start = max(0, column - MAX_SHOWN // 2) if column else 0
    shown = line[start : start + MAX_SHOWN]
    if start:
        shown = f"…{shown[1:]}"
    if start + MAX_SHOWN < len(line):
        shown = f"{shown[:-1]}…"
    return Pointer(label, shown, None if column is None else column - start)


def _parse(text: str) -> Any:
    if text[:1] == "{":  # raw_decode saves the two regular expressions of decode
        value, end = _raw_decode(text)
        if end == len(text) or not text[end:].strip(_BLANKS):
            return value
    return _decode(text)


def _check(value: Any, text: str, *, finite: bool) -> None:
    """Raise ValueError unless the parsed `value` is strict JSON."""
    if not is_plain(text):  # both raise for a lone surrogate, one also for infinity
        (_encode(value) if finite else json.dumps(value, ensure_ascii=False)).encode()
    if len(text) > _SMALL:
        from nemo_jobs_cli.fields import _json_errors

        if _json_errors.breaks_limits(value, text):
            raise ValueError


@functools.cache
def _search(pattern: str) -> Callable[[str], re.Match[str] | None]:
    """Compile a pattern on first use; `re.search` would look it up each time."""
    return re.compile(pattern).search


def _error(text: str, label: str, prefix: str, number: int, error: JsonError) -> UsageError:
    pointer = pointer_at(prefix + text, len(prefix) + error.offset, label, number)
    if prefix:
        pointer = pointer._replace(label=label)
    return UsageError(f"{pointer.label}: {error.message}", error.hint, pointer=pointer)
