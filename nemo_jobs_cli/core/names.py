"""Check names of jobs and workspaces before a request is spent on them."""

from __future__ import annotations

import re

from nemo_jobs_cli.core.errors import Pointer, UsageError
from nemo_jobs_cli.core.identifiers import is_name
from nemo_jobs_cli.core.text import one_line

_RULE = "names are a-z 0-9 - @ . + _, 2 to 63 long, start with a letter, have no '--' and no '-' at the end"


def is_job_id(text: str) -> bool:
    """Tell whether `text` is a job's id (`platform-job-` and 20 or more base58 characters), not its name.

    An id without upper-case letters also matches the pattern of names: it is tried as a name first.
    """
    return re.fullmatch(r"platform-job-[1-9A-HJ-NP-Za-km-z]{20,24}", text) is not None


def check_job(text: str, source: str) -> str:
    """Return `text` if it can be a job's name or id, else raise UsageError; `origin` says who wrote it."""
    if is_name(text) or is_job_id(text):
        return text
    raise UsageError(
        f"{source} is not a job name: {one_line(text, 80)!r}" if text else f"{source} is empty: which job?",
        _remedy(text, "name the job, as the first word"),
        pointer=Pointer(source, text, _first_bad(text)) if text else None,
    )


def check_workspace(text: str, source: str) -> str:
    """Return `text` if it can be a workspace's name, else raise UsageError; `origin` says who wrote it."""
    if is_name(text):
        return text
    raise UsageError(
        f"{source} is not a workspace name: {one_line(text, 80)!r}" if text else f"{source} is empty",
        _remedy(text, "name the workspace: -w NAME"),
        pointer=Pointer(source, text, _first_bad(text)) if text else None,
    )


def _remedy(text: str, otherwise: str) -> str:
    if not text:
        return f"{otherwise} (is a shell variable unset?)"
    close = meant(text)
    return f"did you mean {close}? {_RULE}" if close else _RULE


def meant(text: str) -> str | None:
    """Return the name that `text` is probably meant as; None where none is near."""
    near = text.strip().lower().replace(" ", "-")
    return near if is_name(near) else None


def _first_bad(text: str) -> int | None:
    """Return the offset of the first character that breaks the pattern; None when only the length does."""
    if not re.match("[a-z]", text):
        return 0
    found = re.search(r"[^a-z0-9\-@.+_]|(?<=-)-|-$", text)
    return found.start() if found else None
