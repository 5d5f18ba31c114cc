"""`nemo-jobs list`: list the jobs of a workspace, newest first."""

from __future__ import annotations

import itertools
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from nemo_jobs_cli.api import jobs
from nemo_jobs_cli.api.wait import condition_warnings
from nemo_jobs_cli.cli import helptext, params
from nemo_jobs_cli.core.errors import AuthError, NotFoundError, UsageError
from nemo_jobs_cli.core.text import one_line
from nemo_jobs_cli.fields import condition
from nemo_jobs_cli.output import jobs_view, render
from nemo_jobs_cli.output.screen import make_screen
from nemo_jobs_cli.settings import resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from nemo_jobs_cli.api.models import Job
    from nemo_jobs_cli.api.session import Session
    from nemo_jobs_cli.fields.condition import Condition
    from nemo_jobs_cli.settings.model import Screen, Settings

TERMINAL_LIMIT = 20


@dataclass(frozen=True, slots=True)
class Options:
    """The options of `list`."""

    state: Annotated[
        tuple[str, ...],
        params.option("--state", metavar="STATE", help="List only jobs in STATE (a,b,c); may repeat"),
    ] = ()
    name: Annotated[
        str | None, params.option("--name", metavar="TEXT", help="List only jobs with TEXT in their name")
    ] = None
    where: Annotated[
        str | None, params.option("--where", metavar="COND", help="List only jobs that report 'KEY OP VALUE'")
    ] = None
    limit: Annotated[
        int | None,
        params.option("--limit", metavar="N", min=0, help="List at most N jobs; 0 is all", default="20 on a terminal"),
    ] = None
    names: Annotated[bool, params.option("--names", help="Print only names, one per line")] = False


@dataclass(frozen=True, slots=True)
class Filters:
    """The states, the part of a name, and the condition that select jobs."""

    states: tuple[str, ...] = ()
    name: str = ""
    where: Condition | None = None

    def match(self, job: Job) -> bool:
        """Return whether a job is listed."""
        return (
            (not self.states or job.state in self.states)
            and self.name.lower() in job.name.lower()
            and (self.where is None or self.where.holds(job.values))
        )


app = helptext.app()


@params.command(app, "list", *params.CONNECTION, *params.OUTPUT)
def list_jobs(options: Options, invocation: params.Invocation) -> None:
    r"""List the jobs of a workspace, newest first.

    \b
    Examples:
      nemo-jobs list
      nemo-jobs list --state active,pending -w research
      nemo-jobs list --name llama --limit 3
      nemo-jobs list --where 'age>10m or status=failed'
      nemo-jobs list --names --state error | xargs -n 1 nemo-jobs show

    The state is the platform's. REPORTED is the status and stage that the job reports. A job is
    silent if it has not ended and its last report (lastUpdated) is older than 150 s. --where
    takes a condition as `show --until` does; `age` is the time since the last report of
    a job that has not ended.

    In a pipe: one job per line, without a heading, with eight cells between tabs: name, state,
    progress, created (UTC), message, status, stage, and "silent" or nothing. What was not
    reported is empty.
    """
    settings, screen = resolve.load_settings(invocation.flags), make_screen(invocation.flags)
    run(options, invocation.connect(settings, screen), screen)


def run(options: Options, session: Session, screen: Screen, *, now: Callable[[], float] = time.time) -> None:
    """Print the jobs; raise NemoJobsError if they cannot be listed."""
    workspace = resolve.require_workspace(session.settings)
    filters, limit = parse_filters(options), effective_limit(options, screen)
    render.warnings(filter(None, map(jobs.unknown_state, filters.states)), screen)
    if filters.where is not None:
        render.warnings(condition_warnings(filters.where, session.settings, "--where"), screen)
    matching = _jobs(workspace, filters, session, limit, now())
    listed: Iterable[Job] = itertools.islice(matching, min(limit, sys.maxsize)) if limit else matching
    if screen.terminal:
        listed = list(listed)  # the width of a column depends on all rows
    count = jobs_view.print_names(listed, screen) if options.names else jobs_view.print_list(listed, screen, now())
    if screen.terminal:
        from nemo_jobs_cli.completion import remember

        remember.jobs(session.settings, screen, workspace, listed)
    if screen.quiet or screen.output != "text":
        return
    if count == 0:
        render.message(_no_jobs(workspace, filters, session.settings))
    elif screen.terminal and count == limit:
        render.message(f"showing the {limit} newest jobs; show all: --limit 0")


def parse_filters(options: Options) -> Filters:
    """Return the filters; states may be repeated or separated by commas."""
    states = tuple(dict.fromkeys(word.strip().lower() for text in options.state for word in text.split(",")))
    if "" in states:
        raise UsageError("--state is empty", "name one or more: --state active,error (is a shell variable unset?)")
    if options.name == "":
        raise UsageError("--name is empty", "name a part of the job's name (is a shell variable unset?)")
    where = None if options.where is None else condition.parse(options.where, "--where")
    return Filters(states, options.name or "", where)


def effective_limit(options: Options, screen: Screen) -> int:
    """Return the maximum number of jobs to list, 0 for all."""
    if options.limit is not None:
        return options.limit
    return TERMINAL_LIMIT if screen.terminal and screen.output == "text" and not options.names else 0


def _jobs(workspace: str, filters: Filters, session: Session, limit: int, now: float) -> Iterator[Job]:
    """Yield the jobs that pass the filters, which the server applies too."""
    from nemo_jobs_cli.api import models

    query = [("filter[status][$in]", ",".join(filters.states))] if filters.states else []
    query += [("filter[name][$like]", filters.name)] if filters.name else []
    try:
        for entry in jobs.list_jobs(session, workspace, query, limit=0 if filters != Filters() else limit):
            job = models.parse_job(entry, now=now)
            if filters.match(job):
                yield job
    except (AuthError, NotFoundError) as error:
        raise jobs.with_similar_workspaces(error, session, workspace) from None


def _no_jobs(workspace: str, filters: Filters, settings: Settings) -> str:
    texts = [f" in state {' or '.join(one_line(state, 60) for state in filters.states)}"] if filters.states else []
    texts += [f" with {one_line(filters.name, 60)!r} in the name"] if filters.name else []
    texts += [f" with {one_line(filters.where.text, 60)}"] if filters.where else []
    place = f"in workspace {workspace!r} on {one_line(settings.host.value, 200)}"
    next_step = "list all: nemo-jobs list" if texts else "list another workspace: nemo-jobs list -w NAME"
    return f"no jobs{''.join(texts)} {place}; {next_step}"
