"""Convert the text of a value to a number if its key is one."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from nemo_jobs_cli.core import known_keys
from nemo_jobs_cli.core.errors import UsageError
from nemo_jobs_cli.core.text import is_number, one_line

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet

    from nemo_jobs_cli.core.errors import Pointer

_NUMBER = r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?"
_PERCENT = r"([0-9]{1,18}(?:\.[0-9]{1,18})?)\s?%"
_PART_OF = r"\s*([0-9]{1,18}(?:\.[0-9]{1,18})?)\s*/\s*([0-9]{1,18}(?:\.[0-9]{1,18})?)"
_NOT_FINITE = r"[+-]?(nan|inf|infinity)"
_NEARLY = r"\s*[+]?(-?)([0-9]*)(?:[.,]([0-9]*))?((?:[eE][+-]?[0-9]+)?)\s*"
_LONGEST = 60  # characters of a misspelled number; it bounds the time of the patterns too
_FORMS = "write progress=45, progress=45% or progress=3/10"


class Value(NamedTuple):
    """A value to send, its type in words (`kind`), and a warning or ""."""

    value: Any
    kind: str
    warning: str = ""


def to_value(key: str, text: str, numbers: AbstractSet[str], pointer: Pointer, *, finite: bool = True) -> Value:
    """Return the value of `key=text`, or raise UsageError.

    Without `finite`, NaN, Infinity and numbers that overflow are accepted too.
    """
    if not known_keys.is_number_key(key, numbers):
        return Value(text, "text")
    if key == known_keys.PROGRESS:
        return _progress(text, pointer, finite=finite)
    return Value(_number(key, text, pointer, finite=finite), "number")


def is_json_number(text: str) -> bool:
    """Return whether `text` is a JSON number."""
    return re.fullmatch(_NUMBER, text) is not None


def progress_warning(values: Mapping[str, Any]) -> str:
    """Return a warning if the web page cannot show the progress, or ""."""
    value = values.get(known_keys.PROGRESS, 0)
    if is_number(value):
        return "" if 0 <= value <= known_keys.PROGRESS_MAX else f"progress {value} is not from 0 to 100"
    return "progress is not a number: the platform's page cannot show it"


def _number(key: str, text: str, pointer: Pointer, *, finite: bool) -> int | float:
    if not is_json_number(text):
        if not finite and re.fullmatch(_NOT_FINITE, text, re.IGNORECASE):
            return math.nan
        raise UsageError(
            f"invalid {one_line(key, 60)} {one_line(text, 60)!r}: must be a number", _fix(key, text), pointer=pointer
        )
    number = float(text)
    if math.isinf(number):
        if not finite:
            return number
        raise UsageError(
            f"invalid {one_line(key, 60)} {one_line(text, 60)!r}: too large", _text_hint(key, text), pointer=pointer
        )
    return int(text) if re.fullmatch(r"-?[0-9]+", text) else number


def _progress(text: str, pointer: Pointer, *, finite: bool) -> Value:
    percent = re.fullmatch(_PERCENT, text)
    if percent is not None:
        return _share(float(percent.group(1)), text)
    part = re.fullmatch(_PART_OF, text)
    if part is not None:
        done, whole = float(part.group(1)), float(part.group(2))
        if whole == 0:
            raise UsageError(f"invalid progress {text!r}: division by zero", _FORMS, pointer=pointer)
        return _share(done / whole * 100, text)
    number = _number(known_keys.PROGRESS, text, pointer, finite=finite)
    if math.isfinite(number) and not 0 <= number <= known_keys.PROGRESS_MAX:
        raise UsageError(f"invalid progress {one_line(text, 60)!r}: must be from 0 to 100", _FORMS, pointer=pointer)
    return Value(number, "number")


def _share(percent: float, text: str) -> Value:
    """Return a percentage with two decimals, at most 100."""
    warning = ""
    if percent > known_keys.PROGRESS_MAX:
        warning = f"progress={text} is more than 100 %: sending 100"
        percent = float(known_keys.PROGRESS_MAX)
    rounded = round(percent, 2)
    value = int(rounded) if rounded.is_integer() else rounded
    return Value(value, f"{text} as {value}", warning)


def _fix(key: str, text: str) -> str:
    """Return the hint for text that is not a number."""
    if re.fullmatch(_NOT_FINITE, text, re.IGNORECASE):
        if key == known_keys.PROGRESS:
            return "leave progress out: the platform's page needs a number"
        return f"send null: {quote(f'{key}:=null')}"
    numbers = [quote(f"{key}={number}") for number in _likely_numbers(text) if is_json_number(number)]
    if numbers:
        return f"write {' or '.join(numbers)}"
    return f"{_FORMS}, or {_text_hint(key, text)}" if key == known_keys.PROGRESS else _text_hint(key, text)


def _text_hint(key: str, text: str) -> str:
    as_json = json.dumps(text, ensure_ascii=not text.isprintable())
    return f"send text as {quote(f'{key}:={as_json}')}"


def _likely_numbers(text: str) -> list[str]:
    """Return a misspelled number (`+5`, `.5`, `1_000`) in JSON."""
    if len(text) > _LONGEST:
        return []
    if text.endswith("%"):
        return _likely_numbers(text[:-1].rstrip())
    if re.fullmatch(r"\s*[+-]?[0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)?\s*", text):
        once = text.count(",") == 1 and "." not in text
        return [number for mark in (["", "."] if once else [""]) for number in _likely_numbers(text.replace(",", mark))]
    nearly = re.fullmatch(_NEARLY, re.sub(r"(?<=[0-9])_(?=[0-9])", "", text).removeprefix("="))
    if nearly is None or not (nearly.group(2) or nearly.group(3)):
        return []
    sign, whole, decimals, power = nearly.groups()
    return [f"{sign}{whole.lstrip('0') or '0'}{'.' + decimals if decimals else ''}{power}"]


def quote(word: str) -> str:
    """Return `word` quoted for a POSIX shell, shortened and on one line."""
    import shlex

    return shlex.quote(one_line(word, 120))
