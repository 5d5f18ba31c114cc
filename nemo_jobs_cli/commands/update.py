"""`nemo-jobs update`: report a job's progress, once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from nemo_jobs_cli.api.session import Session, open_session
from nemo_jobs_cli.auth import credentials
from nemo_jobs_cli.cli import options
from nemo_jobs_cli.core import times
from nemo_jobs_cli.core.errors import RejectedError
from nemo_jobs_cli.core.outcome import Delivered
from nemo_jobs_cli.delivery import policy
from nemo_jobs_cli.fields import compose
from nemo_jobs_cli.output import render
from nemo_jobs_cli.output.screen import make_screen
from nemo_jobs_cli.settings import resolve
from nemo_jobs_cli.settings.model import Flags

if TYPE_CHECKING:
    from nemo_jobs_cli.fields.compose import ComposedUpdate
    from nemo_jobs_cli.settings.model import Screen, Settings
    from nemo_jobs_cli.transport.messages import Failure, Response


class Options(NamedTuple):
    """What `update` was asked to do."""

    words: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    stamp: bool = False
    dry_run: bool = False
    curl: bool = False
    allow_large: bool = False


@options.with_keeping_flags
def command(
    context: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[JOB] [KEY=VALUE]...", help="The job (else the one this runs in), then fields."),
    ] = None,
    *,
    file: Annotated[
        list[str] | None,
        typer.Option("--file", "-f", metavar="FILE", help="Send a JSON object (- is stdin); may repeat."),
    ] = None,
    stamp: Annotated[bool, typer.Option("--stamp", help="Add lastUpdated = now (UTC).")] = False,
    number: Annotated[
        list[str] | None, typer.Option("--number", metavar="KEY", help="KEY=... is a number; may repeat.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be sent and where; send nothing.")
    ] = False,
    curl: Annotated[bool, typer.Option("--curl", help="Print the request as a curl command; send nothing.")] = False,
    allow_large: Annotated[bool, typer.Option("--allow-large", help="Send more than 4 MiB.")] = False,
    flags: Flags = Flags(),  # noqa: B008 - frozen, and replaced by the decorator
) -> None:
    r"""Set keys in a job's status details.

    \b
    A field is   key=text     text; a number for progress, step, train_loss, ...
                 key:=json    JSON: a number, true, null, a list, an object
                 key@=file    the text of a file (- is stdin)
                 key:@=file   the JSON of a file

    progress also takes 45% and 3/10. Keys that are not sent stay as they are.

    \b
    Examples:
      nemo-jobs update train-llama progress=45 message="batch 3 of 10"
      nemo-jobs update train-llama progress=3/10 loss:=0.31 'tags:=["a", "b"]'
      nemo-jobs update -f metrics.json --stamp   # in a job: its name is known
      jq '{step, loss}' log.json | nemo-jobs update train-llama -f -
    """
    _ = number  # reaches the settings through the flags
    asked = Options(tuple(words or ()), tuple(file or ()), stamp, dry_run, curl, allow_large)
    run(asked, resolve.load_settings(flags), make_screen(flags), context.obj["started"])


def run(asked: Options, settings: Settings, screen: Screen, started: float) -> None:
    """Compose the update that was asked for and deliver it, or show it; raise a NemoJobsError."""
    stamp = times.format_timestamp(time.time()) if asked.stamp or settings.outbox.value else None
    began = time.monotonic()
    composed = compose.compose(asked.words, asked.files, settings, stamp=stamp, allow_large=asked.allow_large)
    # A file may be a pipe that somebody takes his time to fill: that is no part of the delivery.
    started += time.monotonic() - began
    render.warnings(composed.warnings, screen)
    if screen.terminal:
        render.notes(composed.notes, screen)
    if asked.curl or asked.dry_run:
        _show(composed, settings, screen, curl=asked.curl)
    elif settings.channel is None or not _hand_over(composed, settings, settings.channel.value, screen):
        _send(composed, settings, screen, started)


def _show(composed: ComposedUpdate, settings: Settings, screen: Screen, *, curl: bool) -> None:
    from nemo_jobs_cli.delivery import dry_run as plan

    if curl and screen.output != "text":
        render.document("update", "dry-run", curl=plan.curl(composed, settings))
    elif curl:
        render.line(plan.curl(composed, settings))
    else:
        render.dry_run(screen, "update", plan.facts(composed, settings, credentials.describe(settings.credential)))


def _hand_over(composed: ComposedUpdate, settings: Settings, path: str, screen: Screen) -> bool:
    """Give the update to the `nemo-jobs run` around us where it is for the same job: one writer keeps the order."""
    from nemo_jobs_cli.run import channel

    update = composed.update
    taken = channel.write_update(
        path, channel.ChannelTarget(settings.host.value, update.workspace, update.job), update.fields
    )
    if taken:
        render.forwarded(screen, update, settings.host.value)
    return taken


def _send(composed: ComposedUpdate, settings: Settings, screen: Screen, started: float) -> None:
    def notice(last: Response | Failure, wait: float) -> None:
        render.retry(last, wait, screen)

    def connect() -> Session:
        session = open_session(settings, started, on_retry=notice)
        if screen.verbose:
            from nemo_jobs_cli.delivery import dry_run as plan

            user = credentials.describe(settings.credential)
            render.message(f"PATCH {plan.url(composed, settings)} as {user}, trace id {session.sender.trace_id}")
            render.message(f"body {composed.body.decode()}")
        return session

    try:
        ended = policy.deliver(composed.update, settings, connect)
    except RejectedError as error:
        error.facts["problems"] = compose.problem_rows(error.problems, composed)
        raise
    if isinstance(ended.outcome, Delivered) and not any(ended.older) and not ended.dropped:
        render.delivered(screen, ended.outcome)
    else:
        from nemo_jobs_cli.output import outbox_view

        outbox_view.delivery_result(screen, ended)
    if isinstance(ended.outcome, Delivered) and screen.terminal:
        from nemo_jobs_cli.completion import remember

        update = ended.outcome.update
        remember.update(settings, screen, update.workspace, update.job, update.fields)
