"""Deliver an update; on failure, store or drop it as configured."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from nemo_jobs_cli.core import known_keys, times
from nemo_jobs_cli.core.errors import AuthError, NemoJobsError, NotDeliveredError, SettingsError, Stopped
from nemo_jobs_cli.core.outcome import DeliveryResult, Dropped, Kept, StoredResult
from nemo_jobs_cli.delivery import deliver as delivery

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import Any

    from nemo_jobs_cli.api.session import Session
    from nemo_jobs_cli.core.outcome import Delivered, FlowResult, Target, Update
    from nemo_jobs_cli.delivery.outbox import Outbox
    from nemo_jobs_cli.settings.model import Settings


def deliver(update: Update, settings: Settings, connect: Callable[[], Session]) -> DeliveryResult:
    """Deliver an update and the stored ones of its job.

    On failure, store it, drop it or raise, as configured. `connect` opens the session. Only an update that was not
    delivered in time (exit code 7) is stored or dropped. A signal stores it before it ends the command.
    """
    try:
        delivered, stored = deliver_with_stored(update, connect())
    except NotDeliveredError as error:
        return DeliveryResult(store_or_drop(update, settings, error))
    except (Stopped, KeyboardInterrupt) as stop:
        if settings.outbox.value:
            with suppress(SettingsError):  # no place for it: the signal ends the command all the same
                store(update, settings, "interrupted")
                if isinstance(stop, Stopped):
                    stop.kept = True
        raise
    return DeliveryResult(delivered, stored, take_dropped_count(settings) if settings.best_effort.value else 0)


def deliver_with_stored(update: Update, session: Session) -> tuple[Delivered, StoredResult]:
    """Deliver an update and the stored ones of its job, or raise."""
    if not _has_outbox(session.settings):
        return delivery.deliver(update, session), StoredResult()
    from nemo_jobs_cli.delivery import flush

    return flush.deliver(flush.FlushTask(open_outbox(session.settings), session, update, time.time()))


def with_stored(details: Mapping[str, Any], target: Target, settings: Settings) -> dict[str, Any]:
    """Return a job's details with the stored fields of the next update.

    An outbox that cannot be read counts as empty: the update tells that.
    """
    if not _has_outbox(settings):
        return dict(details)
    from nemo_jobs_cli.delivery import flush

    try:
        stored = flush.preview(open_outbox(settings), settings.host.value, target, details, time.time())
    except SettingsError:
        stored = {}
    return {**details, **stored}


def _has_outbox(settings: Settings) -> bool:
    """Return whether there may be stored updates.

    Without any, nothing more is imported.
    """
    folder = settings.outbox_dir
    return folder is not None and os.path.isdir(f"{folder.value}/pending")  # noqa: PTH112


def settle(flow: FlowResult, unsent: Update, settings: Settings) -> FlowResult:
    """Store or drop, as configured, the undelivered rest of a flow.

    With an outbox, it is stored after a 401 or 403 too, which stays an error: the user has to log in.
    """
    if not isinstance(flow.error, NotDeliveredError | AuthError) or not unsent.fields:
        return flow
    if settings.outbox.value and (settings.stamp is None or settings.stamp.value):
        now = times.format_timestamp(time.time())
        unsent = unsent._replace(fields={known_keys.STAMP: now, **unsent.fields})
    if isinstance(flow.error, AuthError):
        return _store_refused(flow, flow.error, unsent, settings)
    try:
        return flow._replace(error=None, kept=store_or_drop(unsent, settings, flow.error))
    except NemoJobsError as error:
        return flow._replace(error=error)


def _store_refused(flow: FlowResult, error: AuthError, unsent: Update, settings: Settings) -> FlowResult:
    if settings.outbox.value:
        try:
            kept = store(unsent, settings, error.message)
            error.facts["kept"] = kept.path
            return flow._replace(kept=kept)
        except SettingsError as not_stored:
            error.message = f"{error.message}; {not_stored.message}"
    return flow


def store_or_drop(update: Update, settings: Settings, error: NotDeliveredError) -> Kept | Dropped:
    """Store or drop an undelivered update, as configured, or raise `error`.

    If it cannot be stored, `error` gives both reasons.
    """
    if settings.outbox.value:
        try:
            return store(update, settings, error.message)
        except SettingsError as not_stored:
            error.message = f"{error.message}; {not_stored.message}"
            error.hint = f"{error.hint}; {not_stored.hint}"
    if settings.best_effort.value:
        count_dropped(settings)
        return Dropped(update, settings.host.value, error.message)
    raise error


def store(update: Update, settings: Settings, reason: str) -> Kept:
    """Put an update into the outbox; raise SettingsError if that fails."""
    from nemo_jobs_cli.delivery.entry import Entry

    # The time at which it was created: updates that were reported during the attempts are newer.
    created = times.parse_timestamp(update.fields.get(known_keys.STAMP)) or time.time()
    entry = Entry(
        settings.host.value,
        update.workspace,
        update.job,
        dict(update.fields),
        created,
        settings.profile,
        attempt=delivery.own_attempt(update, settings),
    )
    return Kept(update, settings.host.value, str(open_outbox(settings).store(entry)), reason)


def open_outbox(settings: Settings) -> Outbox:
    """Return the outbox of the settings, or raise SettingsError."""
    from pathlib import Path

    from nemo_jobs_cli.delivery.outbox import MAX_ENTRIES, Outbox

    if settings.outbox_dir is None:
        raise SettingsError("no home folder for the outbox", "name a folder: --outbox-dir DIR")
    return Outbox(Path(settings.outbox_dir.value), max_entries=settings.max_entries or MAX_ENTRIES)


def count_dropped(settings: Settings) -> None:
    """Add one to the host's count of dropped updates, if possible."""
    file = _dropped_file(settings)
    if file is None:
        return
    with suppress(OSError):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # One byte each: appending is safe for any number of writers, and the size is the count.
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.write(handle, b".")
        finally:
            os.close(handle)


def take_dropped_count(settings: Settings) -> int:
    """Return and reset the host's count of dropped updates."""
    file = _dropped_file(settings)
    if file is None:
        return 0
    taken = file.with_suffix(f".{os.getpid()}")
    try:
        file.rename(taken)  # another process that calls this at the same time gets 0
        count = taken.stat().st_size
        taken.unlink()
    except OSError:
        return 0
    return count


def _dropped_file(settings: Settings) -> Path | None:
    if settings.outbox_dir is None:
        return None
    from pathlib import Path

    from nemo_jobs_cli.delivery import entry

    return Path(settings.outbox_dir.value) / f"dropped-{entry.digest(settings.host.value)}"
