"""Say where the sandbox listens."""

from __future__ import annotations

import sys

from nemo_jobs_cli.output.render import line


def serving(url: str, token: str | None) -> None:
    """Print where the sandbox is and what makes nemo-jobs use it, at once: whoever started it waits for this."""
    more = "" if token is None else f" NEMO_JOBS_TOKEN={token}"
    line(f"sandbox at {url}, until Ctrl-C; in another shell:")
    line(f"export NEMO_JOBS_HOST={url}{more}")
    sys.stdout.flush()
