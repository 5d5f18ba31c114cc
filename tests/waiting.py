"""Wait for what another thread or process does."""

from __future__ import annotations

import time

# Seconds until a test fails; never a pause.
LIMIT = 60.0


def until(condition):
    """Poll `condition` until it holds; fail after LIMIT seconds."""
    ends = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.01)
