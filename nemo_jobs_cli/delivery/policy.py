"""Deliver an update, else keep it, else let it go: as the user asked for, and never in silence."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from nemo_jobs_cli.core import deadline, known_keys, timestamps
from nemo_jobs_cli.core.errors import NemoJobsError, NotDeliveredError, SettingsError, Stopped
from nemo_jobs_cli.core.outcome import Delivered, Dropped, Ended, Kept
from nemo_jobs_cli.delivery import deliver as delivery

if TYPE_CHECKING:
    from collections.abc import Callable

    from nemo_jobs_cli.api.session import Session
    from nemo_jobs_cli.core.outcome import Flow, Update
    from nemo_jobs_cli.delivery.outbox import Outbox
    from nemo_jobs_cli.settings.model import Settings


def deliver(update: Update, where: Settings, connect: Callable[[], Session]) -> Ended:
    """Deliver an update, older ones of its job first; else do what the settings say: keep it, drop it, or raise.

    `connect` opens the session. Only what was not delivered in time (exit code 7) is kept or dropped; a signal keeps
    it before it ends us.
    """
    try:
        return _with_tally(send(update, where, connect()), where)
    except NotDeliveredError as error:
        return undelivered(update, where, error)
    except (Stopped, KeyboardInterrupt) as stop:
        if where.outbox.value:
            keep(update, where, "interrupted")
            if isinstance(stop, Stopped):
                stop.kept = True
        raise


def _with_tally(ended: Ended, where: Settings) -> Ended:
    if not where.best_effort.value:
        return ended
    from nemo_jobs_cli.delivery import tally

    return ended._replace(dropped=tally.take(where))


def send(update: Update, where: Settings, talk: Session) -> Ended:
    """Deliver an update, older ones of its job first; raise what the delivery raises."""
    # Asked for by name only: without a folder nothing more is imported, and nothing costs time.
    if where.outbox_dir is None or not os.path.isdir(where.outbox_dir.value):  # noqa: PTH112
        return Ended(delivery.deliver(update, talk))
    from nemo_jobs_cli.delivery import flush

    return flush.deliver(flush.Work(outbox(where), talk, update, time.time()))


def carrier(where: Settings) -> Callable[[Update, Session], Delivered]:
    """Return how a flow delivers each of its updates: what the outbox holds of the job goes along with the first."""

    def carry(update: Update, talk: Session) -> Delivered:
        outcome = send(update, where, talk).outcome
        assert isinstance(outcome, Delivered)  # noqa: S101 - what else could become of it is raised
        return outcome

    return carry


def settle(flow: Flow, unsent: Update, where: Settings) -> Flow:
    """Keep or drop what a flow could not deliver in time, as the settings say; return the flow as it stands then."""
    if not isinstance(flow.error, NotDeliveredError) or not unsent.fields:
        return flow
    if where.outbox.value:
        now = timestamps.rfc3339(time.time())
        unsent = unsent._replace(fields={known_keys.STAMP: now, **unsent.fields})
    try:
        outcome = undelivered(unsent, where, flow.error).outcome
    except NemoJobsError as error:
        return flow._replace(error=error)
    return flow._replace(error=None, kept=None if isinstance(outcome, Delivered) else outcome)


def undelivered(update: Update, where: Settings, error: NotDeliveredError) -> Ended:
    """Keep or drop an update that could not be delivered in time, else raise `error`.

    Where keeping fails and best effort was asked for, the update is dropped, and both are told.
    """
    if where.outbox.value:
        try:
            return Ended(keep(update, where, error.message))
        except SettingsError as full:
            if not where.best_effort.value:
                raise
            error.message = f"{error.message}; {full.message}"
    if where.best_effort.value:
        from nemo_jobs_cli.delivery import tally

        tally.add(where)
        return Ended(Dropped(update, where.host.value, error))
    raise error


def keep(update: Update, where: Settings, why: str) -> Kept:
    """Put an update into the outbox; raise SettingsError where that fails."""
    from nemo_jobs_cli.delivery.entry import Entry

    # When it was made, not when it was given up: what was reported meanwhile is newer.
    made = timestamps.seconds(update.fields.get(known_keys.STAMP)) or time.time()
    entry = Entry(where.host.value, update.workspace, update.job, dict(update.fields), made, where.profile)
    return Kept(update, where.host.value, str(outbox(where).keep(entry)), why)


def outbox(where: Settings) -> Outbox:
    """Return the outbox of the settings; raise SettingsError where there is no place for one."""
    from pathlib import Path

    from nemo_jobs_cli.delivery.outbox import LEASE, MOST_ENTRIES, Outbox

    if where.outbox_dir is None:
        raise SettingsError("there is no home folder for an outbox", "name a folder: --outbox-dir DIR")
    lease = LEASE + max(where.deadline.value, deadline.ONE_ATTEMPT_LIMIT)
    return Outbox(Path(where.outbox_dir.value), most=where.max_entries or MOST_ENTRIES, lease=lease)
