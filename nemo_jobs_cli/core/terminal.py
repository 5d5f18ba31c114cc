"""Job control of terminals."""

from __future__ import annotations

import os


def has_foreground(terminal: int) -> bool:
    """Return whether this process may read the terminal's keys.

    True also for a terminal that does not control this process: it has no background jobs.
    """
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return True
