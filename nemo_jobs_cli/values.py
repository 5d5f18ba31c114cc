"""Tell numbers from the rest, and write the values of details as text."""

from __future__ import annotations

import json
from typing import Any, TypeGuard

from nemo_jobs_cli import keys
from nemo_jobs_cli.sanitize import one_line


def is_number(value: Any) -> TypeGuard[int | float]:
    """Tell whether a JSON value is a number; true and false are none, whatever Python says."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def compact(value: Any) -> str:
    """Return a value as JSON on one line, letters of every script as they are."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def bare(value: Any) -> str:
    """Return a text as it is and anything else as compact JSON: what a script wants to read."""
    return value if isinstance(value, str) else compact(value)


def short(key: str, value: Any, limit: int) -> str:
    """Return a value as one harmless line of at most `limit` characters, progress in percent."""
    if key == keys.PROGRESS and is_number(value):
        return percent(value)
    return one_line(bare(value), limit)


def percent(value: float) -> str:
    """Return a progress as people read it: at most two decimals."""
    shown = f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
    return f"{one_line(shown, 20)} %"
