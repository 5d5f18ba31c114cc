"""`nemo-jobs doctor`: find out why an update does not arrive."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from nemo_jobs_cli import checkup, completing, config, far, near, options, render_doctor, screens
from nemo_jobs_cli.settings import Flags

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nemo_jobs_cli.checkup import Look

# In this order, from near to far: what hangs on an earlier one is skipped where that fails.
LOOKS: Sequence[Look] = (
    near.settings,
    near.files,
    near.token,
    near.launch,
    near.kept,
    far.way,
    far.answer,
    far.expiry,
    far.may,
    completing.tab,
)


@options.with_outbox_flags
def command(context: typer.Context, *, flags: Flags = Flags()) -> None:  # noqa: B008 - frozen, and replaced by the decorator
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
    screen = screens.screen(flags)
    case = checkup.begin(flags, config.environment(), context.obj["started"])
    raise typer.Exit(render_doctor.show(screen, checkup.run(case, LOOKS)))
