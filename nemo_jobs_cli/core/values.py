"""Tell numbers from the rest, and write the values of details as text."""

from __future__ import annotations

import json
import math
from typing import Any, TypeGuard

from nemo_jobs_cli.core import known_keys
from nemo_jobs_cli.core.text import one_line


def is_number(value: Any) -> TypeGuard[int | float]:
    """Tell whether a JSON value is a number; true and false are none, whatever Python says."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def compact(value: Any) -> str:
    """Return a value as JSON on one line, letters of every script as they are; null for what JSON can't say."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError:
        return json.dumps(strict(value), ensure_ascii=False, separators=(",", ":"))


def strict(value: Any) -> Any:
    """Return a JSON value with null for NaN and infinities, which Python's parser lets pass and no other has to."""
    return json.loads(json.dumps(value), parse_constant=lambda _: None)


def bare(value: Any) -> str:
    """Return a text as it is and anything else as compact JSON: what a script wants to read.

    A bare NaN or infinity says so.
    """
    if isinstance(value, str):
        return value
    return json.dumps(value) if isinstance(value, float) else compact(value)


def share(value: Any) -> float | None:
    """Return a progress as a number that can be drawn; None for all else, and for an integer of 400 digits."""
    try:
        found = float(value) if is_number(value) else math.nan
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def short(key: str, value: Any, limit: int) -> str:
    """Return a value as one harmless line of at most `limit` characters, progress in percent."""
    if key == known_keys.PROGRESS and is_number(value):
        return percent(value)
    return one_line(bare(value), limit)


def percent(value: float, limit: int = 20) -> str:
    """Return a progress as people read it: at most two decimals; what is no share of anything has no sign."""
    if isinstance(value, float) and not math.isfinite(value):
        return bare(value)
    shown = f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
    return f"{one_line(shown, limit)} %"
