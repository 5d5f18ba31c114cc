"""Choose the exit code of several results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nemo_jobs_cli.core.errors import WORST_FIRST, ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterable


def of(codes: Iterable[int]) -> int:
    """Return the worst of some exit codes, 0 where there is none that is bad."""
    found = set(codes)
    return next((int(code) for code in WORST_FIRST if code in found), int(ExitCode.OK))
