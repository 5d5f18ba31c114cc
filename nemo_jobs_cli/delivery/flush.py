"""Deliver the stored entries of one job, below a new update."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from nemo_jobs_cli.api import jobs
from nemo_jobs_cli.core import known_keys, times
from nemo_jobs_cli.core.errors import (
    NemoJobsError,
    NotDeliveredError,
    NotFoundError,
    RejectedError,
    SettingsError,
    SupersededAttemptError,
)
from nemo_jobs_cli.core.outcome import Delivered, StoredResult, Update
from nemo_jobs_cli.delivery import deliver as delivery
from nemo_jobs_cli.delivery.listing import PENDING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nemo_jobs_cli.api.session import Session
    from nemo_jobs_cli.core.outcome import Target
    from nemo_jobs_cli.delivery.entry import Entry
    from nemo_jobs_cli.delivery.outbox import Claim, Outbox

# An entry that the server answers with a 500 in so many flushes is rejected.
MAX_FAILURES = 3

MAX_AGE = 24 * 3600.0

_INTERNAL_ERROR = 500


class FlushTask(NamedTuple):
    """The job to flush; `update` has no fields if there is no new one.

    `now` is in seconds since 1970; entries older than `max_age` seconds are stale.
    """

    outbox: Outbox
    session: Session
    update: Update
    now: float
    max_age: float = MAX_AGE


class FlushResult(NamedTuple):
    """The outcome of the entries, and the last acknowledgement."""

    stored: StoredResult = StoredResult()
    delivered: Delivered | None = None


def deliver(task: FlushTask) -> tuple[Delivered, StoredResult]:
    """Deliver the new update and the entries of its job in one PATCH.

    A failure releases the entries. If the server rejects the whole, they are sent one by one, the rejected ones are
    moved away, and the new update is sent alone.
    """
    result = flush_job(task)
    # The server may have had all fields already; the new update still needs its own acknowledgement.
    delivered = result.delivered or delivery.deliver(task.update, task.session)
    return delivered._replace(update=task.update._replace(job=delivered.update.job)), result.stored


def flush_job(task: FlushTask) -> FlushResult:
    """Deliver the entries of a job, below the new update if it has fields."""
    outbox, update = task.outbox, task.update
    try:
        claims = outbox.claim_job(task.session.settings.host.value, update.workspace, update.job)
    except SettingsError:
        if not update.fields:
            raise
        claims = []  # a folder that cannot be read must not hold the new update back
    try:
        with outbox.renewing(claims):
            return _deliver(task, claims)
    finally:  # also after a signal: what is left stays for the next command
        for claim in claims:
            outbox.release(claim)


def pending_jobs(outbox: Outbox, host: str) -> list[Update]:
    """Return the jobs with entries for a host, as empty updates."""
    jobs_with_entries: dict[tuple[str, str], None] = {}
    for file in outbox.entries(host):
        try:
            entry = outbox.load(file)
        except (OSError, ValueError):
            claim = outbox.claim(file.name) if file.kind == PENDING else None  # this moves a broken one away
            if claim is not None:
                outbox.release(claim)
        else:
            jobs_with_entries[entry.workspace, entry.job] = None
    return [Update(*job, {}) for job in jobs_with_entries]


def preview(outbox: Outbox, host: str, target: Target, details: Mapping[str, Any], now: float) -> dict[str, Any]:
    """Return the stored fields that the next update of a job delivers too."""
    stored = [entry for name in outbox.names(host, *target) if (entry := outbox.read(name))]
    return select_fields(stored, "", details, now, MAX_AGE)[0]


def select_fields(
    entries: Sequence[Entry],
    state: str,
    details: Mapping[str, Any],
    now: float,
    max_age: float,
    *,
    attempt: str | None = None,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the fields of `entries` to send, and the stale ones of each.

    A stale field is sent only if `details` lacks its key: a sibling's `val_loss` is not lost, and `status=running`
    cannot turn a finished job back into a running one. Of an attempt other than `attempt`, the job's current one, all
    fields are stale, and none is sent. The server has no compare-and-set, so that a write between reading the details
    and sending the fields can still be overwritten.
    """
    reported = times.parse_timestamp(details.get(known_keys.STAMP))
    oldest = now - max_age if reported is None else max(now - max_age, reported)
    fields: dict[str, Any] = {}
    all_stale: list[dict[str, Any]] = []
    for entry in entries:
        stale: dict[str, Any] = {}
        is_superseded = attempt is not None and entry.attempt not in {None, attempt}
        for key, value in entry.fields.items():
            is_fresh = state not in jobs.TERMINAL_STATES and entry.time_of(key) >= oldest
            if (is_fresh or key not in details) and not is_superseded:
                fields[key] = value
            elif (is_superseded or details[key] != value) and key != known_keys.STAMP:  # an old stamp is no loss
                stale[key] = value
        all_stale.append(stale)
    return fields, all_stale


def _deliver(task: FlushTask, claims: list[Claim]) -> FlushResult:
    """Send `claims` and the new update in one PATCH; drop settled claims."""
    if not claims:
        return _deliver_new(task, StoredResult())
    try:
        fields, all_stale = _select(task, claims)
        held = [claim for claim in claims if task.outbox.renew(claim)]
        if held != claims:  # after a long pause, another process may have sent them
            claims[:] = held
            return _deliver(task, claims)
        fields |= task.update.fields
        delivered = delivery.deliver(task.update._replace(fields=fields), task.session) if fields else None
    except NotFoundError as error:
        return _reject(task, claims, error)
    except SupersededAttemptError:
        raise  # the fault of this process, not of the entries
    except RejectedError as error:
        # A single entry that was sent alone is the cause.
        is_mixed = claims[1:] or task.update.fields
        return _deliver_one_by_one(task, claims) if is_mixed else _reject(task, claims, error)
    except NotDeliveredError as error:
        if error.facts.get("status") != _INTERNAL_ERROR:
            raise
        return _reject(task, claims, error, MAX_FAILURES)
    settled = list(zip(claims, all_stale, strict=True))
    for claim, stale in settled:  # the oldest first: if this process is killed, none is left whose newer one is gone
        claims.pop(0)
        if stale:
            task.outbox.set_aside(claim, stale, "the job has newer values or a newer attempt, or has ended")
        else:
            task.outbox.remove(claim)
    # An entry counts as delivered if the job now has any of its fields, not just the stamp.
    sent = sum(
        not stale or bool(claim.entry.fields.keys() - stale.keys() - {known_keys.STAMP}) for claim, stale in settled
    )
    return FlushResult(StoredResult(sent, sum(map(bool, all_stale))), delivered)


def _select(task: FlushTask, claims: list[Claim]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    job = jobs.find_status(task.session, task.update.workspace, task.update.job)
    details = job.get("status_details")
    entries = [claim.entry for claim in claims]
    known = details if isinstance(details, dict) else {}
    attempt = None
    if any(entry.attempt for entry in entries):
        attempt = jobs.get_current_attempt(task.session, task.update.workspace, str(job.get("name")))
    return select_fields(entries, str(job.get("status")), known, task.now, task.max_age, attempt=attempt)


def _deliver_one_by_one(task: FlushTask, claims: list[Claim]) -> FlushResult:
    """Deliver the entries one by one, then the new update."""
    stored = StoredResult()
    while claims:
        one = [claims.pop(0)]
        try:
            result = _deliver(task._replace(update=task.update._replace(fields={})), one)
        finally:
            claims[:0] = one  # not settled: released with the rest
        stored = StoredResult(*(a + b for a, b in zip(stored, result.stored, strict=True)))
    return _deliver_new(task, stored)


def _reject(task: FlushTask, claims: list[Claim], error: NemoJobsError, max_failures: int = 0) -> FlushResult:
    """Count a failure of the entries; reject those with too many."""
    rejected = 0
    while claims:
        claim = claims.pop()
        if claim.entry.failures + 1 >= max_failures:
            task.outbox.reject(claim, error.message)
            rejected += 1
        else:
            task.outbox.count_failure(claim)
    if not task.update.fields and not rejected:
        raise error
    return _deliver_new(task, StoredResult(rejected=rejected))


def _deliver_new(task: FlushTask, stored: StoredResult) -> FlushResult:
    """Deliver the new update alone, if there is one."""
    return FlushResult(stored, delivery.deliver(task.update, task.session) if task.update.fields else None)
