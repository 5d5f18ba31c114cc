"""Read and write durations and timestamps.

The platform writes ISO 8601 timestamps without a zone and means UTC; a writer of status details may add one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.core.errors import Pointer, UsageError
from nemo_jobs_cli.core.text import one_line

if TYPE_CHECKING:
    from datetime import datetime

_SECONDS = {"": 1.0, "s": 1.0, "ms": 0.001, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_PART = r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|min|s|m|h|d)"
_BARE = r"[0-9]{1,9}(?:\.[0-9]{1,9})?"


def parse_duration(text: str, source: str) -> float:
    """Return a duration such as `10`, `500ms` or `1h30m` in seconds."""
    if re.fullmatch(_BARE, text):
        return float(text)
    if re.fullmatch(f"(?:{_PART})+", text):
        return sum(float(number) * _SECONDS[unit] for number, unit in re.findall(_PART, text))
    raise UsageError(
        f"invalid duration in {source}: {one_line(text, 60)!r}",
        "write it as 10, 10s, 500ms, 2m or 1h30m",
        pointer=Pointer(source, text),
    )


def format_duration(seconds: float) -> str:
    """Return a duration in one or two units: `0.4 s`, `2 h 5 min`."""
    if seconds < 9.95:  # noqa: PLR2004 - below 10 s a tenth matters
        return f"{max(0.0, seconds):.1f} s"
    if seconds < 59.5:  # noqa: PLR2004 - from there on it would round to 60 s
        return f"{seconds:.0f} s"
    minutes = max(1, int(seconds // 60))
    if minutes < 60:  # noqa: PLR2004
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:  # noqa: PLR2004 - up to two days are counted in hours
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{hours // 24} d"


def parse_timestamp(text: Any) -> float | None:
    """Return a timestamp as seconds since 1970, None for anything else."""
    from datetime import UTC

    moment = _datetime(text)
    return None if moment is None else (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def format_timestamp(seconds: float) -> str:
    """Return seconds since 1970 as RFC 3339 in UTC, with milliseconds."""
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def add_zone(text: str) -> str:
    """Return a timestamp with the `Z` that the platform omits."""
    moment = _datetime(text)
    return text if moment is None or moment.tzinfo else f"{text}Z"


def _datetime(text: Any) -> datetime | None:
    from datetime import datetime

    if not isinstance(text, str) or not re.match(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d", text):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
