"""Check the names of jobs and workspaces before sending a request."""

from __future__ import annotations

import re

from nemo_jobs_cli.core.errors import Pointer, UsageError
from nemo_jobs_cli.core.identifiers import is_name
from nemo_jobs_cli.core.text import one_line

_RULE = "use 2 to 63 of a-z 0-9 - @ . + _, with a letter first, no '--', and no '-' at the end"


def is_job_id(text: str) -> bool:
    """Return whether `text` is a job id.

    An id is `platform-job-` and 20 to 24 base58 characters. An id without upper-case letters is also a valid name, and
    is tried as a name first.
    """
    return re.fullmatch(r"platform-job-[1-9A-HJ-NP-Za-km-z]{20,24}", text) is not None


def check_job(text: str, source: str) -> str:
    """Return a valid job name or id; raise UsageError that names `source`."""
    if is_name(text) or is_job_id(text):
        return text
    raise _error(text, source, "job name", "name the job as the first argument" if source == "JOB" else "name a job")


def check_workspace(text: str, source: str) -> str:
    """Return a valid workspace name; raise UsageError that names `source`."""
    if is_name(text):
        return text
    raise _error(text, source, "workspace name", "name the workspace: -w NAME")


def _error(text: str, source: str, kind: str, if_empty: str) -> UsageError:
    if not text:
        return UsageError(f"empty {kind} in {source}", f"{if_empty} (is a shell variable unset?)")
    guess = guess_name(text)
    return UsageError(
        f"invalid {kind} in {source}: {one_line(text, 80)!r}",
        f"did you mean {guess}?" if guess else _RULE,
        pointer=Pointer(source, text, _first_bad(text)),
    )


def guess_name(text: str) -> str | None:
    """Return the valid name that `text` resembles, or None."""
    guess = text.strip().lower().replace(" ", "-")
    return guess if is_name(guess) else None


def _first_bad(text: str) -> int | None:
    """Return the offset of the first invalid character, or None."""
    if not re.match("[a-z]", text):
        return 0
    match = re.search(r"[^a-z0-9\-@.+_]|(?<=-)-|-$", text)
    return match.start() if match else None
