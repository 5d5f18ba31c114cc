"""Find the keys of an update that the platform's controller overwrites."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nemo_jobs_cli.core.text import one_line
from nemo_jobs_cli.settings import resolve, sources

if TYPE_CHECKING:
    from nemo_jobs_cli.core.outcome import Update

# Every 2 s the controller copies these over the details of a running job (docs/fields.md).
_OVERWRITTEN = re.compile(r"message|pid|pgid|exit_code|subprocess_.*", re.DOTALL)
_ON_KUBERNETES = frozenset({"phase", "name", "conditions", "containers", "events"})


def overwritten_note(update: Update) -> str | None:
    """Return a note on the keys that do not last, or None.

    Only an update of the job that this process runs in can have such keys.
    """
    environ = resolve.environment()
    own_job = environ.get("NEMO_JOB_WORKSPACE") or update.workspace, environ.get("NEMO_JOB_ID")
    if not sources.is_in_job(environ) or (update.workspace, update.job) != own_job:
        return None
    more = _ON_KUBERNETES if environ.get("KUBERNETES_SERVICE_HOST") else frozenset()
    keys = [one_line(key, 60) for key in update.fields if _OVERWRITTEN.fullmatch(key) or key in more]
    if not keys:
        return None
    does, them = ("does", "it") if len(keys) == 1 else ("do", "them")
    other = "stage" if more else "stage or phase"
    return (
        f"{', '.join(keys)} {does} not last: the platform overwrites {them} while this job runs; report {other} instead"
    )
