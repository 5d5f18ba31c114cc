"""Read and write spans of time as people do."""

from __future__ import annotations

import re

from nemo_jobs_cli.core.errors import Pointer, UsageError
from nemo_jobs_cli.core.text import one_line

_SECONDS = {"": 1.0, "s": 1.0, "ms": 0.001, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_PART = r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|min|s|m|h|d)"
_BARE = r"[0-9]{1,9}(?:\.[0-9]{1,9})?"


def parse(text: str, source: str) -> float:
    """Return the seconds that `text` means: `10`, `10s`, `500ms`, `2m`, `1h30m`; raise UsageError for others."""
    if re.fullmatch(_BARE, text):
        return float(text)
    if re.fullmatch(f"(?:{_PART})+", text):
        return sum(float(number) * _SECONDS[unit] for number, unit in re.findall(_PART, text))
    raise UsageError(
        f"{source} is not a span of time: {one_line(text, 60)!r}",
        "write it as 10, 10s, 500ms, 2m or 1h30m",
        pointer=Pointer(source, text),
    )


def human(seconds: float) -> str:
    """Return a span of time in its one or two largest units: `0.4 s`, `12 s`, `3 min`, `2 h 5 min`, `4 d`."""
    if seconds < 9.95:  # noqa: PLR2004 - below 10 s a tenth matters
        return f"{max(0.0, seconds):.1f} s"
    if seconds < 59.5:  # noqa: PLR2004 - from there on it would read 60 s
        return f"{seconds:.0f} s"
    minutes = max(1, int(seconds // 60))
    if minutes < 60:  # noqa: PLR2004
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:  # noqa: PLR2004 - two days are still counted in hours
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{hours // 24} d"
