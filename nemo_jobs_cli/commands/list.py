"""`nemo-jobs list`: the jobs of a workspace, newest first."""

from __future__ import annotations

import itertools
import sys
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from nemo_jobs_cli.api import jobs
from nemo_jobs_cli.api.session import open_session
from nemo_jobs_cli.cli import options
from nemo_jobs_cli.core import names
from nemo_jobs_cli.core.errors import NotFoundError, UsageError
from nemo_jobs_cli.core.text import one_line
from nemo_jobs_cli.output import jobs_view, render
from nemo_jobs_cli.output.screen import make_screen
from nemo_jobs_cli.settings import resolve
from nemo_jobs_cli.settings.model import Flags

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from nemo_jobs_cli.api.models import Job
    from nemo_jobs_cli.api.session import Session
    from nemo_jobs_cli.settings.model import Screen, Settings

ON_A_TERMINAL = 20

# What other tools call a state.
_OTHER_STATES = {
    "running": "active",
    "succeeded": "completed",
    "success": "completed",
    "done": "completed",
    "finished": "completed",
    "failed": "error",
    "failure": "error",
    "stopped": "cancelled",
    "waiting": "pending",
}


@dataclass(frozen=True)
class Options:
    """What `list` was asked for: jobs in any of `states` (none: in all), at most `limit` (0: all)."""

    workspace: str
    states: tuple[str, ...] = ()
    limit: int = 0
    names: bool = False


@options.with_flags
def command(
    context: typer.Context,
    *,
    state: Annotated[
        list[str] | None,
        typer.Option("--state", metavar="STATE", help="List only jobs in this state; a,b,c or repeated."),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", metavar="N", min=0, help="At most N jobs, 0 = all (20 on a terminal, else all)."),
    ] = None,
    only_names: Annotated[bool, typer.Option("--names", help="Print names alone, one a line.")] = False,
    flags: Flags = Flags(),  # noqa: B008 - frozen, and replaced by the decorator
) -> None:
    r"""List the workspace's jobs, newest first.

    \b
    Examples:
      nemo-jobs list
      nemo-jobs list --state active,pending -w research
      nemo-jobs list --names --state error | xargs -n 1 nemo-jobs show

    In a pipe: one job a line, NAME<TAB>STATE<TAB>PROGRESS<TAB>CREATED (UTC)<TAB>MESSAGE,
    without a heading; what was not reported is empty.
    """
    where, screen = resolve.load_settings(flags), make_screen(flags)
    asked = parse(where, screen, state or (), limit, only_names)

    notice = partial(render.retry, screen=screen)
    session = open_session(where, context.obj["started"], on_retry=notice)
    if screen.verbose:
        render.message(f"asking {session.describe()}")
    run(asked, session, screen)


def parse(
    settings: Settings,
    screen: Screen,
    states: Sequence[str] = (),
    limit: int | None = None,
    only_names: bool = False,
) -> Options:
    """Return the options as values; raise UsageError for what can't be meant."""
    workspace = names.check_workspace(settings.workspace.value, f"workspace ({settings.workspace.source})")
    wanted = tuple(dict.fromkeys(word.strip().lower() for text in states for word in text.split(",")))
    if "" in wanted:
        raise UsageError("--state is empty", "name one or more: --state active,error (is a shell variable unset?)")
    people = screen.terminal and screen.output == "text" and not only_names
    return Options(workspace, wanted, (ON_A_TERMINAL if people else 0) if limit is None else limit, only_names)


def run(asked: Options, session: Session, screen: Screen, *, now: Callable[[], float] = time.time) -> None:
    """Print the jobs that were asked for; raise a NemoJobsError."""
    render.warnings(filter(None, map(unknown_state, asked.states)), screen)
    found = _found(asked, session)
    shown: Iterable[Job] = itertools.islice(found, min(asked.limit, sys.maxsize)) if asked.limit else found
    if screen.terminal:
        shown = list(shown)  # all of them: a terminal's columns are as wide as they need
    count = jobs_view.print_names(shown, screen) if asked.names else jobs_view.print_list(shown, screen, now())
    if screen.terminal:
        from nemo_jobs_cli.completion import remember

        remember.jobs(session.settings, screen, asked.workspace, shown)
    if screen.quiet or screen.output != "text":
        return
    if count == 0:
        render.message(_nothing(asked, session.settings))
    elif screen.terminal and count == asked.limit:
        render.message(f"these are the {asked.limit} newest; for all: --limit 0")


def _found(asked: Options, session: Session) -> Iterator[Job]:
    """Yield the jobs in the wanted states. The server filters too, which saves most of the bytes."""
    from nemo_jobs_cli.api import models

    filters = [("filter[status][$in]", ",".join(asked.states))] if asked.states else []
    try:
        for entry in jobs.list_jobs(session, asked.workspace, filters):
            job = models.parse_job(entry)
            if not asked.states or job.state in asked.states:
                yield job
    except NotFoundError as error:
        raise jobs.with_similar_workspaces(error, session, asked.workspace) from None


def unknown_state(state: str) -> str | None:
    """Return a warning for an unknown state, which is sent anyway: a newer platform may have it."""
    if state in jobs.STATES:
        return None
    import difflib

    close = difflib.get_close_matches(state, jobs.STATES, n=2)
    if state in _OTHER_STATES:
        close = [_OTHER_STATES[state]]
    hint = f"did you mean {' or '.join(close)}?" if close else f"known states: {', '.join(jobs.STATES)}"
    return f"unknown --state '{one_line(state, 60)}': {hint}"


def _nothing(asked: Options, settings: Settings) -> str:
    at = f"workspace {asked.workspace} at {one_line(settings.host.value, 200)}"
    if asked.states:
        states = " or ".join(one_line(state, 60) for state in asked.states)
        return f"no job in {at} is {states}; see all: nemo-jobs list"
    return f"there are no jobs in {at}; another workspace: nemo-jobs list -w NAME"
