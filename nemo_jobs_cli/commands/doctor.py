"""`nemo-jobs doctor`: find out why an update does not arrive."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nemo_jobs_cli.cli import helptext, params
from nemo_jobs_cli.doctor import check, local, remote, tab, view
from nemo_jobs_cli.output.screen import make_screen
from nemo_jobs_cli.settings import resolve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nemo_jobs_cli.doctor.check import CheckFunction

# From near to far: a check is skipped if one that it needs has failed.
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
    r"""Check settings, the way to the platform, the token, permissions and the outbox; change nothing.

    A token command is run, and your shell is started once to see how it completes: its start files run.

    Each line says ok, warn, fail or skip, and what to do. The exit code is that of the worst failure,
    as an update would have it: 3 settings, 4 not authorised, 5 no such workspace, 7 not reachable.

    \b
    Examples:
      nemo-jobs doctor
      nemo-jobs doctor -q --profile lab      only what needs doing
      nemo-jobs doctor -o json | jq '.result[] | select(.level == "fail").fix'

    \b
    In a pipe: one check a line, LEVEL<TAB>NAME<TAB>SAYS<TAB>FIX.
    """
    screen = make_screen(invocation.flags)
    diagnosis = check.Diagnosis.start(invocation.flags, resolve.environment(), invocation.started)
    return view.show(screen, check.run(diagnosis, CHECKS))
