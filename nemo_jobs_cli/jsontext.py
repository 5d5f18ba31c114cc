"""Read JSON strictly and write it compactly: what the platform would lose or choke on is an error here.

The server stores NaN and 1e400 as null, answers a lone surrogate with a 500 for ever, and lets the last of two
equal keys win (all measured): a reporter that loses values silently is worse than one that complains.
"""

from __future__ import annotations

import itertools
import json
import re
from typing import TYPE_CHECKING, Any

from nemo_jobs_cli import jsonscan
from nemo_jobs_cli.errors import Pointer, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

# How much of a long line is shown around the trouble.
SHOWN = 100

# What the C parser lets pass: surrogates, and numbers that may overflow (99 digits and e99 can't yet).
_SUSPECT = r"\\u[dD][89a-fA-F]|[\ud800-\udfff]|[0-9]{100}|[eE]\+?[0-9]{3}"
_STRING = r'"(?:[^"\\]|\\.)*"'
_BRACKET = r"[\[\]{}]"
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


_decode = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant).decode
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def type_name(value: Any) -> str:
    """Return JSON's own name of a value's type."""
    return "null" if value is None else _TYPES.get(type(value), "object")


def load_value(text: str, label: str, *, before: str = "") -> Any:
    """Return the JSON value that `text` holds; raise UsageError that points at what is wrong.

    `before` is what stands left of `text` in the word that the user wrote (`key:=`); an empty one means that
    `text` is a file, whose line and column are named.
    """
    try:
        value = _decode(text)
    except _RefusedError:
        raise _error(text, label, before, _scan(text)) from None
    except json.JSONDecodeError as error:
        raise _error(text, label, before, jsonscan.trouble(text) or _syntax(text, error)) from None
    except (RecursionError, ValueError):  # nesting, and an integer that Python won't convert
        raise _error(text, label, before, _scan(text)) from None
    if re.search(_SUSPECT, text) or _depth(text) > jsonscan.DEEPEST:
        found = jsonscan.trouble(text)
        if found is not None:
            raise _error(text, label, before, found)
    return value


def load_object(text: str, label: str, *, before: str = "") -> dict[str, Any]:
    """Return the JSON object that `text` holds; raise UsageError for everything else."""
    value = load_value(text, label, before=before)
    if not isinstance(value, dict):
        start = len(text) - len(text.lstrip())
        raise _error(
            text,
            label,
            before,
            jsonscan.Trouble(
                start,
                f"a JSON {type_name(value)} where an object is needed",
                'wrap it: {"key": ...}; an update is a set of keys',
            ),
        )
    return value


def dumps(value: Any) -> bytes:
    """Return `value` as it goes over the wire: compact UTF-8; values have passed `load_value` or are plain text."""
    return _encode(value).encode()


def locate(text: str, path: Sequence[str | int]) -> tuple[int, int] | None:
    """Return the line and the column, from 1, of the value at `path`; None when there is none."""
    offset = jsonscan.find(text, path)
    if offset is None:
        return None
    row, column = _position(text, offset)
    return row, column + 1


def offset_to_pointer(text: str, offset: int, label: str) -> Pointer:
    """Return a pointer to a character of `text`: line and column from 1 in the label, the line cut around it."""
    offset = max(0, min(offset, len(text)))
    row, column = _position(text, offset)
    line = text[offset - column :].split("\n", 1)[0]
    start = max(0, column - SHOWN // 2) if len(line) > SHOWN else 0
    shown = line[start : start + SHOWN].rstrip("\r")
    return Pointer(f"{label}:{row}:{column + 1}", shown, column - start)


def _position(text: str, offset: int) -> tuple[int, int]:
    """Return the line (from 1) and the column (from 0) of an offset."""
    start = text.rfind("\n", 0, offset) + 1
    return text.count("\n", 0, offset) + 1, offset - start


def _depth(text: str) -> int:
    """Return how deep valid JSON is nested; a bound where that is harmless, since counting is cheaper."""
    opening = text.count("[") + text.count("{")
    if opening <= jsonscan.DEEPEST:
        return opening
    steps = (1 if bracket in "[{" else -1 for bracket in re.findall(_BRACKET, re.sub(_STRING, "", text)))
    return max(itertools.accumulate(steps), default=0)


def _scan(text: str) -> jsonscan.Trouble:
    return jsonscan.trouble(text) or jsonscan.Trouble(0, "this JSON can't be read", "write it anew")


def _syntax(text: str, error: json.JSONDecodeError) -> jsonscan.Trouble:
    if not text.strip():
        return jsonscan.Trouble(0, "nothing where JSON is needed", 'write JSON, e.g. 0.5, true, "text" or {"a": 1}')
    said = error.msg[0].lower() + error.msg[1:]
    offset = min(error.pos, len(text.rstrip()))
    return jsonscan.Trouble(offset, f"invalid JSON: {said}", _remedy(text, offset))


def _remedy(text: str, offset: int) -> str:
    rest = text[offset : offset + 5]
    if rest[:1] == "'" or text[:1] == "'":
        return "JSON quotes with \", not with '; in a shell: 'key:=\"text\"'"
    if rest[:4] in {"True", "None"} or rest == "False":
        return "JSON writes true, false and null in small letters"
    if rest[:1] in {"}", "]"} and text[:offset].rstrip().endswith(","):
        return "take the last comma away"
    if offset == 0 and "\n" not in text:
        return "for plain text write key=text, without the colon"
    return "correct it there; a JSON value is needed"


def _error(text: str, label: str, before: str, found: jsonscan.Trouble) -> UsageError:
    if before:
        pointer = offset_to_pointer(before + text, len(before) + found.offset, label)
        pointer = Pointer(label, pointer.line, pointer.column)
    else:
        pointer = offset_to_pointer(text, found.offset, label)
    return UsageError(f"{pointer.label}: {found.message}", found.hint, pointer=pointer)
