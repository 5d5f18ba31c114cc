"""Deliver an update, else keep it, else let it go: as the user asked for, and never in silence."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from nemo_jobs_cli.core import deadline, known_keys, timestamps
from nemo_jobs_cli.core.errors import NemoJobsError, NotDeliveredError, SettingsError, Stopped
from nemo_jobs_cli.core.outcome import Delivered, DeliveryResult, Dropped, Kept
from nemo_jobs_cli.delivery import deliver as delivery

if TYPE_CHECKING:
    from collections.abc import Callable

    from nemo_jobs_cli.api.session import Session
    from nemo_jobs_cli.core.outcome import FlowResult, Update
    from nemo_jobs_cli.delivery.outbox import Outbox
    from nemo_jobs_cli.settings.model import Settings


def deliver(update: Update, settings: Settings, connect: Callable[[], Session]) -> DeliveryResult:
    """Deliver an update, older ones of its job first; else do what the settings say: keep it, drop it, or raise.

    `connect` opens the session. Only what was not delivered in time (exit code 7) is kept or dropped; a signal keeps
    it before it ends us.
    """
    try:
        return _with_tally(send(update, settings, connect()), settings)
    except NotDeliveredError as error:
        return undelivered(update, settings, error)
    except (Stopped, KeyboardInterrupt) as stop:
        if settings.outbox.value:
            keep(update, settings, "interrupted")
            if isinstance(stop, Stopped):
                stop.kept = True
        raise


def _with_tally(ended: DeliveryResult, settings: Settings) -> DeliveryResult:
    if not settings.best_effort.value:
        return ended
    from nemo_jobs_cli.delivery import tally

    return ended._replace(dropped=tally.take(settings))


def send(update: Update, settings: Settings, session: Session) -> DeliveryResult:
    """Deliver an update, older ones of its job first; raise what the delivery raises."""
    # Asked for by name only: without a folder nothing more is imported, and nothing costs time.
    if settings.outbox_dir is None or not os.path.isdir(settings.outbox_dir.value):  # noqa: PTH112
        return DeliveryResult(delivery.deliver(update, session))
    from nemo_jobs_cli.delivery import flush

    return flush.deliver(flush.Work(outbox(settings), session, update, time.time()))


def carrier(settings: Settings) -> Callable[[Update, Session], Delivered]:
    """Return how a flow delivers each of its updates: what the outbox holds of the job goes along with the first."""

    def carry(update: Update, session: Session) -> Delivered:
        outcome = send(update, settings, session).outcome
        assert isinstance(outcome, Delivered)  # noqa: S101 - what else could become of it is raised
        return outcome

    return carry


def settle(flow: FlowResult, unsent: Update, settings: Settings) -> FlowResult:
    """Keep or drop what a flow could not deliver in time, as the settings say; return the flow as it stands then."""
    if not isinstance(flow.error, NotDeliveredError) or not unsent.fields:
        return flow
    if settings.outbox.value:
        now = timestamps.rfc3339(time.time())
        unsent = unsent._replace(fields={known_keys.STAMP: now, **unsent.fields})
    try:
        outcome = undelivered(unsent, settings, flow.error).outcome
    except NemoJobsError as error:
        return flow._replace(error=error)
    return flow._replace(error=None, kept=None if isinstance(outcome, Delivered) else outcome)


def undelivered(update: Update, settings: Settings, error: NotDeliveredError) -> DeliveryResult:
    """Keep or drop an update that could not be delivered in time, else raise `error`.

    Where keeping fails and best effort was asked for, the update is dropped, and both are told.
    """
    if settings.outbox.value:
        try:
            return DeliveryResult(keep(update, settings, error.message))
        except SettingsError as full:
            if not settings.best_effort.value:
                raise
            error.message = f"{error.message}; {full.message}"
    if settings.best_effort.value:
        from nemo_jobs_cli.delivery import tally

        tally.add(settings)
        return DeliveryResult(Dropped(update, settings.host.value, error))
    raise error


def keep(update: Update, settings: Settings, why: str) -> Kept:
    """Put an update into the outbox; raise SettingsError where that fails."""
    from nemo_jobs_cli.delivery.entry import Entry

    # When it was made, not when it was given up: what was reported meanwhile is newer.
    made = timestamps.seconds(update.fields.get(known_keys.STAMP)) or time.time()
    entry = Entry(settings.host.value, update.workspace, update.job, dict(update.fields), made, settings.profile)
    return Kept(update, settings.host.value, str(outbox(settings).keep(entry)), why)


def outbox(settings: Settings) -> Outbox:
    """Return the outbox of the settings; raise SettingsError where there is no place for one."""
    from pathlib import Path

    from nemo_jobs_cli.delivery.outbox import LEASE, MOST_ENTRIES, Outbox

    if settings.outbox_dir is None:
        raise SettingsError("there is no home folder for an outbox", "name a folder: --outbox-dir DIR")
    lease = LEASE + max(settings.deadline.value, deadline.ONE_ATTEMPT_LIMIT)
    return Outbox(Path(settings.outbox_dir.value), most=settings.max_entries or MOST_ENTRIES, lease=lease)
