"""Convert the values of a flow: one bad number costs no other value."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.core import known_keys
from nemo_jobs_cli.core.text import one_line
from nemo_jobs_cli.fields import coerce

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from collections.abc import Set as AbstractSet

# A key gets its note about text that looks like a number after so many such values, or at the end.
TEXTS_BEFORE_NOTE = 10

# Keys with notes: more than these come from a program.
MAX_KEYS = 1000


class FlowValues:
    """The number keys of a flow, and notes about its values."""

    def __init__(
        self, numbers: AbstractSet[str] = known_keys.NUMBERS, on_note: Callable[[str], object] = lambda _: None
    ) -> None:
        self.numbers = numbers
        self.on_note = on_note
        self._keys: set[str] = set()
        self._not_finite: set[str] = set()
        self._texts: dict[str, int | None] = {}  # how many look like a number; None if one does not

    def replace_non_finite(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Return `fields` with null for NaN and Infinity.

        Such a `progress` is left out: the platform's page breaks on null.
        """
        for key in [key for key, value in fields.items() if _finite(value) != value]:
            value, action = _finite(fields.pop(key)), "it is not sent"
            if key != known_keys.PROGRESS:
                fields[key], action = value, "null is sent"
            if key not in self._not_finite and len(self._not_finite) < MAX_KEYS:
                self._not_finite.add(key)
                self.on_note(f"{one_line(key, 60)} contains NaN or Infinity, which JSON does not have: {action}")
        return fields

    def check_keys(self, fields: Mapping[str, Any]) -> None:
        """Note once each key that is nearly a known one."""
        new = fields.keys() - self._keys
        if new and len(self._keys) < MAX_KEYS:
            self._keys |= new
            for text in known_keys.typo_warnings(sorted(new), self.numbers).values():
                self.on_note(text)

    def check_text(self, key: str, text: str) -> None:
        """Count a text value that looks like a number."""
        if key in known_keys.TEXTS or (key not in self._texts and len(self._texts) >= MAX_KEYS):
            return
        count = self._texts.get(key, 0)
        if count is not None:
            self._texts[key] = count = count + 1 if coerce.is_json_number(text) else None
        if count == TEXTS_BEFORE_NOTE:
            self._note_text(key)

    def finish(self) -> None:
        """Note the keys with only number-like values."""
        for key, count in self._texts.items():
            if count is not None and count < TEXTS_BEFORE_NOTE:
                self._note_text(key)

    def _note_text(self, key: str) -> None:
        if known_keys.typo_warnings([key], self.numbers):
            return  # `check_keys` notes it
        name = one_line(key, 60)
        self.on_note(f"{name} is sent as text, although it looks like a number; --number {coerce.quote(key)} sends one")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(member) for key, member in value.items()}
    return [_finite(member) for member in value] if isinstance(value, list) else value
