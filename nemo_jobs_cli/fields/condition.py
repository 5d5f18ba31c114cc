"""Parse and test a condition on the details: `progress>=100`."""

from __future__ import annotations

import math
import operator
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.core import known_keys, times
from nemo_jobs_cli.core.errors import Pointer, UsageError
from nemo_jobs_cli.core.text import compact_json, is_number, one_line, plain
from nemo_jobs_cli.fields import coerce

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# The platform's state of the job, and the seconds since its last report, also if a detail has this name.
STATE, AGE = "state", "age"
MISSING: Any = object()

_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_SIMILAR = {"=>": ">=", "=<": "<=", "<>": "!="}
_EQUALITIES = frozenset({"=", "==", "!="})
_FORM = "write KEY OP VALUE: 'progress>=100'"
_OPERATOR = re.compile("==|!=|>=|<=|=|>|<")
# Words need blanks around them, signs do not.
_JOIN_WORD = r"(?P<word>(?<!\S)(?:or|and)(?!\S)|&&|\|\|)"
_JOIN = re.compile(rf"(?<=\S)\s*{_JOIN_WORD}\s*(?=[^\s=!<>]*\s*(?:{_OPERATOR.pattern}))", re.IGNORECASE)
# Between words that look like alternatives without their key. A message may contain it.
_OR = re.compile(r"(?<=\s)or(?=\s)|\|\|", re.IGNORECASE)
_SENTENCE_KEY = "message"
_JOIN_BEFORE = re.compile(rf"\s*{_JOIN_WORD}\s*(?P<rest>[^\s=!<>].*[=<>].*)", re.IGNORECASE)
_JOIN_AFTER = re.compile(rf"(?!\s*{_SENTENCE_KEY}\b)(?P<rest>.*[=<>].*[^\s=<>])\s*{_JOIN_WORD}\s*", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?(\d{1,300}(\.\d{0,300})?|\.\d{1,300})([eE][+-]?\d{1,9})?")


@dataclass(frozen=True, slots=True)
class Comparison:
    """A comparison of the value of one key; `number` is `value` or None."""

    key: str
    sign: str
    value: str
    number: float | None

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Return whether `values` meet the comparison; a missing key never does.

        Numbers are compared as numbers, texts as texts, and anything else by its compact JSON (`true`). A text that is
        a number is greater or smaller as a number. Values without an order (`"abc"` and 100) are neither greater nor
        smaller: a wait must not end by accident.
        """
        reported = lookup(values, self.key)
        if reported is MISSING:
            return False
        compare = _OPERATORS[self.sign]
        if self.sign not in _EQUALITIES and self.number is not None and isinstance(reported, str):
            reported = _number(reported)
        if is_number(reported):
            return self.sign == "!=" if self.number is None else compare(reported, self.number)
        if self.sign in _EQUALITIES:
            return compare(reported if isinstance(reported, str) else compact_json(reported), self.value)
        return isinstance(reported, str) and compare(reported, self.value)

    def describe(self, values: Mapping[str, Any]) -> str:
        """Return the value that is compared, as a clause."""
        reported = lookup(values, self.key)
        key = one_line(self.key, 80)
        if self.key == AGE:
            age = f"unknown ({_no_age(values)})" if reported is MISSING else times.format_duration(reported)
            return f"{key} is {age}"
        if reported is MISSING:
            return f"{key} was never reported"
        kind = " (text)" if isinstance(reported, str) and self.number is not None else ""
        return f"{key} is {one_line(plain(reported), 80)}{kind}"


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition, which holds if one of its comparisons does."""

    text: str
    comparisons: tuple[Comparison, ...]

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Return whether a job's details and `state` meet the condition."""
        return any(comparison.holds(values) for comparison in self.comparisons)

    def describe(self, values: Mapping[str, Any]) -> str:
        """Return the values that are compared, as clauses."""
        return ", ".join(dict.fromkeys(comparison.describe(values) for comparison in self.comparisons))


def lookup(values: Any, path: str) -> Any:
    """Return the value of a key or a path (`metrics.loss.-1`), or MISSING."""
    if isinstance(values, list):
        values = dict(enumerate(values)) | dict(enumerate(values, -len(values)))
        values = {str(index): value for index, value in values.items()}
    if not isinstance(values, dict):
        return MISSING
    if path in values:
        return values[path]
    for dot in re.finditer(r"\.", path):
        if path[: dot.start()] in values:
            value = lookup(values[path[: dot.start()]], path[dot.end() :])
            if value is not MISSING:
                return value
    return MISSING


def _no_age(values: Mapping[str, Any]) -> str:
    """Return why a job has no age."""
    stamp = values.get(known_keys.STAMP)
    if stamp is None:
        return f"no {known_keys.STAMP}"
    if times.parse_timestamp(stamp) is None:
        return f"{known_keys.STAMP} is not a time"
    return "the job has ended"


def parse(text: str, option: str = "--until") -> Condition:
    """Parse `KEY OP VALUE [or ...]`, the value of an option."""
    comparisons = []
    start = 0
    for join in _JOIN.finditer(text):
        if join["word"].lower() != "or":
            hint = f"wait for one after the other, or write: {option} 'status=completed or status=failed'"
            reason = "conditions can only be joined with or"
            raise UsageError(f"invalid {option}: {reason}", hint, pointer=Pointer(option, text, join.start("word")))
        comparisons.append(_parse_comparison(text, start, join.start(), option))
        start = join.end()
    return Condition(text, (*comparisons, _parse_comparison(text, start, len(text), option)))


def _parse_comparison(text: str, start: int, end: int, option: str) -> Comparison:
    """Return the comparison in `text[start:end]`."""

    def invalid(reason: str, hint: str, column: int) -> UsageError:
        return UsageError(f"invalid {option}: {reason}", hint, pointer=Pointer(option, text, column))

    _check_joins(text, start, end, option)
    match = _OPERATOR.search(text, start, end)
    if match is None:
        hint = f"write KEY OP VALUE in quotes, since > and < redirect in a shell: {option} 'progress>=100'"
        raise invalid("no comparison", hint, end)
    key, value, sign = text[start : match.start()].strip(), text[match.end() : end].strip(), match.group()
    if not key:
        raise invalid(f"no key before {sign}", _FORM, match.start())
    unknown = f"{sign}{value[:1]}"
    if unknown in _SIMILAR:
        correct = coerce.quote(one_line(f"{key}{_SIMILAR[unknown]}{value[1:].strip()}", 100))
        raise invalid(f"unknown operator {unknown}", f"did you mean {correct}?", match.start())
    words = [word.strip() for word in _OR.split(value)]
    if len(words) > 1 and all(re.fullmatch(r"\S+", word) for word in words) and key != _SENTENCE_KEY:
        correct = coerce.quote(one_line(" or ".join(f"{key}{sign}{word}" for word in words), 200))
        column = next(_OR.finditer(text, text.index(value, match.end()))).start()
        raise invalid(f"{sign} compares with one value", f"did you mean {correct}?", column)
    number = _number(value.removesuffix("%").rstrip() if key == known_keys.PROGRESS else value)
    if key == AGE and value:
        number = times.parse_duration(value, option)
    if not value and (known_keys.is_number_key(key) or sign not in _EQUALITIES):
        raise invalid(f"no value after {sign}", _FORM, end)
    if number is None and known_keys.is_number_key(key):
        raise invalid(f"{one_line(key, 80)} needs a number", _FORM, text.index(value, match.end()))
    return Comparison(key, sign, value, number)


def _check_joins(text: str, start: int, end: int, option: str) -> None:
    """Refuse a joining word at the beginning or end of `text[start:end]`."""
    for side, pattern in (("before", _JOIN_BEFORE), ("after", _JOIN_AFTER)):
        if (join := pattern.fullmatch(text, start, end)) is not None:
            without = text[:start] + join["rest"] + text[end:]
            hint = f"did you mean {coerce.quote(one_line(without, 100))}?"
            reason = f"no condition {side} {join['word']}"
            raise UsageError(f"invalid {option}: {reason}", hint, pointer=Pointer(option, text, join.start("word")))


def _number(text: str) -> float | None:
    """Return a decimal number, exact if it is an integer, or None."""
    if not _NUMBER.fullmatch(text):
        return None
    if re.fullmatch(r"[+-]?\d+", text):
        return int(text)
    number = float(text)
    return number if math.isfinite(number) else None
