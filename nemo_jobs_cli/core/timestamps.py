"""Read timestamps: the platform writes ISO 8601 without a zone and means UTC; a writer may give one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime


def seconds(text: Any) -> float | None:
    """Return a timestamp as seconds since 1970; None for anything else."""
    from datetime import UTC

    then = _parse(text)
    return None if then is None else (then if then.tzinfo else then.replace(tzinfo=UTC)).timestamp()


def rfc3339(then: float) -> str:
    """Return seconds since 1970 as RFC 3339 in UTC, with milliseconds."""
    from datetime import UTC, datetime

    return datetime.fromtimestamp(then, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def utc(text: str) -> str:
    """Return a timestamp with the zone that the platform leaves out (it means UTC); other text as it is."""
    then = _parse(text)
    return text if then is None or then.tzinfo else f"{text}Z"


def _parse(text: Any) -> datetime | None:
    from datetime import datetime

    if not isinstance(text, str) or not re.match(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d", text):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
