"""Job control of terminals."""

from __future__ import annotations

import os

from nemo_jobs_cli.core.terminal import has_foreground


def test_a_terminal_that_does_not_control_this_process():
    """It has no background jobs."""
    main, side = os.openpty()
    try:
        assert has_foreground(side)
    finally:
        os.close(main)
        os.close(side)
