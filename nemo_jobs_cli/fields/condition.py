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
_FIRST_OPERATOR = re.compile("==|!=|>=|<=|=|>|<")
_NUMBER = re.compile(r"[+-]?(\d{1,300}(\.\d{0,300})?|\.\d{1,300})([eE][+-]?\d{1,9})?")


@dataclass(frozen=True)
class Condition:
    """A comparison of one top-level key of the details; `number` is what `value` reads as, if it does."""

    text: str
    key: str
    sign: str
    value: str
    number: float | None = None

    def holds(self, details: Mapping[str, Any]) -> bool:
        """Tell whether `details` meet the condition; a missing key never does.

        A number is compared with a number, a text with a text, anything else by its compact JSON (`true`).
        What has no order (`"9"` and 100) is neither greater nor smaller: a gate must not open by accident.
        """
        if self.key not in details:
            return False
        found = details[self.key]
        compare = _OPERATORS[self.sign]
        if is_number(found):
            return self.sign == "!=" if self.number is None else compare(found, self.number)
        if self.sign in _EQUALITIES:
            return compare(found if isinstance(found, str) else compact_json(found), self.value)
        return isinstance(found, str) and self.number is None and compare(found, self.value)


def parse(text: str, source: str = "--until") -> Condition:
    """Return the condition that `text` (KEY OP VALUE) states; raise UsageError pointing at what is wrong."""
    found = _FIRST_OPERATOR.search(text)
    if found is None:
        raise UsageError(
            f"{source} has no comparison",
            f"write KEY OP VALUE in quotes (the shell takes > and < for itself): {source} 'progress>=100'",
            pointer=Pointer(source, text, len(text)),
        )
    key, value, sign = text[: found.start()].strip(), text[found.end() :].strip(), found.group()
    if not key:
        raise UsageError(
            f"{source} names no key before {sign}",
            f"write KEY OP VALUE: {source} 'progress>=100'",
            pointer=Pointer(source, text, found.start()),
        )
    if sign == "=" and value[:1] in {">", "<"}:
        meant = f"{key}{value[0]}={value[1:].strip()}"
        raise UsageError(
            f"{source} has its signs in the wrong order",
            f"did you mean {coerce.quote(one_line(meant, 100))}?",
            pointer=Pointer(source, text, found.start()),
        )
    number = _number(value.removesuffix("%").rstrip() if key == known_keys.PROGRESS else value)
    if number is None and (key in known_keys.NUMBERS or (not value and sign not in _EQUALITIES)):
        raise UsageError(
            f"{source} compares {one_line(key, 80)} with {'what is not a number' if value else 'nothing'}",
            f"give a number: {source} 'progress>=100'",
            pointer=Pointer(source, text, text.index(value, found.end()) if value else len(text)),
        )
    return Condition(text, key, sign, value, number)


def _number(text: str) -> float | None:
    """Return a decimal number exactly where it is whole (a step counter may pass 2**53); None for text."""
    if not _NUMBER.fullmatch(text):
        return None
    if re.fullmatch(r"[+-]?\d+", text):
        return int(text)
    number = float(text)
    return number if math.isfinite(number) else None
