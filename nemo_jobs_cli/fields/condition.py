"""Parse and test a condition on the reported details: `progress>=100`, `phase=done`."""

from __future__ import annotations

import math
import operator
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.core import known_keys
from nemo_jobs_cli.core.errors import Pointer, UsageError
from nemo_jobs_cli.core.text import compact_json, is_number, one_line
from nemo_jobs_cli.fields import coerce

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_EQUALITIES = frozenset({"=", "==", "!="})
_FORM = "write KEY OP VALUE: --until 'progress>=100'"
_FIRST_OPERATOR = re.compile("==|!=|>=|<=|=|>|<")
_NUMBER = re.compile(r"[+-]?(\d{1,300}(\.\d{0,300})?|\.\d{1,300})([eE][+-]?\d{1,9})?")


@dataclass(frozen=True, slots=True)
class Condition:
    """A comparison of a top-level key of the details; `number` is the value as a number, if it is one."""

    text: str
    key: str
    sign: str
    value: str
    number: float | None = None

    def holds(self, details: Mapping[str, Any]) -> bool:
        """Return whether `details` meet the condition; a missing key never does.

        A number is compared with a number, a text with a text, anything else by its compact JSON (`true`).
        Values without an order (`"9"` and 100) are neither greater nor smaller: a wait must not end by accident.
        """
        if self.key not in details:
            return False
        reported = details[self.key]
        compare = _OPERATORS[self.sign]
        if is_number(reported):
            return self.sign == "!=" if self.number is None else compare(reported, self.number)
        if self.sign in _EQUALITIES:
            return compare(reported if isinstance(reported, str) else compact_json(reported), self.value)
        return isinstance(reported, str) and self.number is None and compare(reported, self.value)


def parse(text: str) -> Condition:
    """Return the condition KEY OP VALUE; raise UsageError pointing at the error."""
    match = _FIRST_OPERATOR.search(text)
    if match is None:
        hint = "write KEY OP VALUE in quotes, since > and < redirect in a shell: --until 'progress>=100'"
        raise _error("no comparison", hint, text, len(text))
    key, value, sign = text[: match.start()].strip(), text[match.end() :].strip(), match.group()
    if not key:
        raise _error(f"no key before {sign}", _FORM, text, match.start())
    if sign == "=" and value[:1] in {">", "<"}:
        correct = coerce.quote(one_line(f"{key}{value[0]}={value[1:].strip()}", 100))
        raise _error(f"unknown operator ={value[0]}", f"did you mean {correct}?", text, match.start())
    number = _number(value.removesuffix("%").rstrip() if key == known_keys.PROGRESS else value)
    if not value and (key in known_keys.NUMBERS or sign not in _EQUALITIES):
        raise _error(f"no value after {sign}", _FORM, text, len(text))
    if number is None and key in known_keys.NUMBERS:
        raise _error(f"{one_line(key, 80)} needs a number", _FORM, text, text.index(value, match.end()))
    return Condition(text, key, sign, value, number)


def _error(reason: str, hint: str, text: str, column: int) -> UsageError:
    return UsageError(f"invalid --until: {reason}", hint, pointer=Pointer("--until", text, column))


def _number(text: str) -> float | None:
    """Return a decimal number, exact if it is an integer (a step may exceed 2**53), or None."""
    if not _NUMBER.fullmatch(text):
        return None
    if re.fullmatch(r"[+-]?\d+", text):
        return int(text)
    number = float(text)
    return number if math.isfinite(number) else None
