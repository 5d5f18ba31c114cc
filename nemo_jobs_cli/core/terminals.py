"""Ask the terminal whose turn it is."""

from __future__ import annotations

import os


def is_in_front(terminal: int) -> bool:
    """Tell whether the keys of a terminal are ours; nobody takes away those of one that doesn't control us."""
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return True
