"""`nemo-jobs doctor`: find out why an update does not arrive."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from nemo_jobs_cli.cli import helptext, params
from nemo_jobs_cli.doctor import check, local, remote, tab, view
from nemo_jobs_cli.output.screen import make_screen
from nemo_jobs_cli.settings import resolve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nemo_jobs_cli.doctor.check import CheckFunction

# From local to remote: a check is skipped if one that it needs has failed.
CHECKS: Sequence[CheckFunction] = (
    local.settings,
    local.files,
    local.token,
    local.surroundings,
    local.outbox,
    remote.network,
    remote.server,
    remote.expiry,
    remote.permissions,
    tab.completion,
)


app = helptext.app()


@params.command(app, "doctor", "outbox_dir", *params.CONNECTION, *params.OUTPUT)
def doctor(invocation: params.Invocation) -> int:
    r"""Check settings, connection, token, permissions and outbox.

    doctor changes nothing. It runs the token command, and starts your shell once, with its startup
    files, to test completion. Each line has a level: ok, warn, fail or skip. A warn or fail has a fix.

    \b
    Examples:
      nemo-jobs doctor
      nemo-jobs doctor -q --profile lab  # only warnings and failures
      nemo-jobs doctor -o json | jq '.result[] | select(.level == "fail").fix'

    \b
    In a pipe: one check per line, LEVEL<TAB>NAME<TAB>MESSAGE<TAB>FIX.

    \b
    Exit codes (the first of 3, 2, 4, 5, 7 that applies):
      0  no check failed
      2  invalid usage or input
      3  invalid settings
      4  not authorized (401, 403)
      5  no such workspace
      7  the server cannot be reached
    """
    screen = make_screen(invocation.flags)
    diagnosis = check.Diagnosis.start(invocation.flags, resolve.environment(), invocation.started)
    return view.show(screen, chain.from_iterable(run(diagnosis) for run in CHECKS))
