"""Job control of terminals."""

from __future__ import annotations

import os
from contextlib import suppress


def has_foreground(terminal: int) -> bool:
    """Return whether this process may read the terminal's keys.

    True also for a terminal that does not control this process: it has no background jobs.
    """
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return True


def foreground_group() -> int | None:
    """Return the foreground process group of our terminal, or None."""
    with suppress(OSError), open("/dev/tty", "rb", buffering=0) as terminal:  # noqa: PTH123
        return os.tcgetpgrp(terminal.fileno())
    return None
