"""`nemo-jobs update`: send one update of a job."""

from __future__ import annotations

import os
import time
from functools import partial
from typing import TYPE_CHECKING, Annotated, NamedTuple

from nemo_jobs_cli.api.session import Session, open_session
from nemo_jobs_cli.auth import credentials
from nemo_jobs_cli.cli import helptext, params
from nemo_jobs_cli.core import known_keys, times
from nemo_jobs_cli.core.errors import RejectedError
from nemo_jobs_cli.core.outcome import Delivered
from nemo_jobs_cli.delivery import policy
from nemo_jobs_cli.fields import compose
from nemo_jobs_cli.output import render
from nemo_jobs_cli.output.screen import make_screen
from nemo_jobs_cli.settings import resolve, urls
from nemo_jobs_cli.settings.model import Sourced

if TYPE_CHECKING:
    from nemo_jobs_cli.core.outcome import Update
    from nemo_jobs_cli.fields.compose import ComposedUpdate
    from nemo_jobs_cli.settings.model import Screen, Settings


class Options(NamedTuple):
    """The options of `update`."""

    words: Annotated[
        tuple[str, ...],
        params.argument(
            "[JOB] [KEY=VALUE]...", "Job [default: the job this runs in] [env: NEMO_JOBS_JOB], then fields"
        ),
    ] = ()
    file: Annotated[
        tuple[str, ...],
        params.option("--file", "-f", metavar="FILE", help="Send a JSON object from FILE (- is stdin); may repeat"),
    ] = ()
    dry_run: Annotated[bool, params.option("--dry-run", help="Print the request, and send nothing")] = False
    curl: Annotated[bool, params.option("--curl", help="Print a curl command, and send nothing")] = False
    allow_large: params.AllowLarge = False


app = helptext.app()


@params.command(app, "update", "number", *params.DELIVERY, *params.CONNECTION, *params.OUTPUT)
def update(options: Options, invocation: params.Invocation) -> None:
    r"""Set keys in a job's status details.

    \b
    A field is   key=text     text; a number for progress, step, train_loss, ...
                 key:=json    JSON: a number, true, null, a list, an object
                 key@=file    the text of a file (- is stdin)
                 key:@=file   the JSON of a file

    progress also takes 45% and 3/10. Other keys of the job stay as they are.

    \b
    Examples:
      nemo-jobs update train-llama progress=45 message="batch 3 of 10"
      nemo-jobs update train-llama progress=3/10 loss=0.31 'tags:=["a", "b"]'
      nemo-jobs update -f metrics.json --stamp   # inside a job, JOB is known
      jq '{step, loss}' log.json | nemo-jobs update train-llama -f -

    \b
    Exit codes:
      0  delivered, or stored or dropped as configured
      2  invalid usage or input
      3  invalid settings
      4  not authorized (401, 403)
      5  no such job or workspace
      6  rejected by the server
      7  not delivered before the deadline
    """
    flags = invocation.flags
    run(options, resolve.load_settings(flags), make_screen(flags), invocation.started)


def run(options: Options, settings: Settings, screen: Screen, started: float) -> None:
    """Compose the update, then deliver or print it."""
    is_stamped = settings.stamp or settings.outbox
    stamp = Sourced(times.format_timestamp(time.time()), is_stamped.source) if is_stamped.value else None
    began = time.monotonic()
    composed = compose.compose(
        options.words,
        options.file,
        settings,
        stamp=stamp,
        allow_large=options.allow_large,
        on_stdin=lambda: _announce_stdin(screen),
    )
    started += time.monotonic() - began  # the deadline does not include the wait for stdin
    is_shown = options.curl or options.dry_run
    forwarded = None if is_shown else _forward(composed, stamp, settings)
    typos = known_keys.typo_warnings(forwarded.fields, settings.numbers.value).values() if forwarded else ()
    render.warnings([text for text in composed.warnings if text not in typos], screen)  # `run` prints typos, once
    render.notes(composed.notes, screen)
    if is_shown:
        _show(composed, settings, screen, curl=options.curl)
    elif forwarded is not None:
        render.forwarded(screen, forwarded, settings.host.value)
    else:
        _send(composed, settings, screen, started)


def _announce_stdin(screen: Screen) -> None:
    from nemo_jobs_cli.output import prompt

    prompt.announce_stdin(screen)


def _show(composed: ComposedUpdate, settings: Settings, screen: Screen, *, curl: bool) -> None:
    from nemo_jobs_cli.delivery import dry_run as plan

    if curl and screen.output != "text":
        render.document("update", "dry-run", curl=plan.curl(composed, settings))
    elif curl:
        render.line(plan.curl(composed, settings))
    else:
        render.dry_run(screen, plan.facts(composed, settings, credentials.describe(settings.credential)))


def _forward(composed: ComposedUpdate, stamp: Sourced[str] | None, settings: Settings) -> Update | None:
    """Forward the update to the enclosing `nemo-jobs run` of the job, if any.

    Return what was forwarded, or None.
    """
    if settings.channel is None:
        return None
    from nemo_jobs_cli.run import channel

    update, outbox_dir = composed.update, None
    if stamp is not None and stamp.source != "--stamp" and update.fields.get(known_keys.STAMP) == stamp.value:
        # `run` has the time of each request, which may be sent much later.
        fields = {key: value for key, value in update.fields.items() if key != known_keys.STAMP}
        update = update._replace(fields=fields)
    if settings.outbox.value and settings.outbox_dir is not None:
        outbox_dir = os.path.abspath(settings.outbox_dir.value)  # noqa: PTH100 - `run` may be in another folder
    target = channel.ChannelTarget(urls.normalize(settings.host.value), update.workspace, update.job)
    return update if channel.write_update(settings.channel.value, target, update.fields, outbox_dir) else None


def _send(composed: ComposedUpdate, settings: Settings, screen: Screen, started: float) -> None:
    def connect() -> Session:
        session = open_session(settings, started, on_retry=partial(render.retry, screen=screen))
        if screen.verbose:
            from nemo_jobs_cli.delivery import dry_run as plan

            user = credentials.describe(settings.credential)
            render.message(f"PATCH {plan.url(composed, settings)} with {user}, trace id {session.sender.trace_id}")
            render.message(f"body {composed.body.decode()}")
        return session

    try:
        result = policy.deliver(composed.update, settings, connect)
    except RejectedError as error:
        error.facts["problems"] = compose.problem_rows(error.problems, composed)
        raise
    if isinstance(result.outcome, Delivered) and not any(result.older) and not result.dropped:
        render.delivered(screen, result.outcome)
    else:
        from nemo_jobs_cli.output import outbox_view

        outbox_view.delivery_result(screen, result)
    if not isinstance(result.outcome, Delivered):
        return
    from nemo_jobs_cli.settings import running_job

    update = result.outcome.update
    render.notes(filter(None, [running_job.overwritten_note(update)]), screen)
    if screen.terminal:
        from nemo_jobs_cli.completion import remember

        remember.update(settings, screen, update.workspace, update.job, update.fields)
