"""Deliver what the outbox holds of one job: folded, in order, below the new update where there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from nemo_jobs_cli.api import lookups
from nemo_jobs_cli.core import known_keys
from nemo_jobs_cli.core.errors import NemoJobsError, NotDeliveredError, NotFoundError, RejectedError, SettingsError
from nemo_jobs_cli.core.outcome import Delivered, DeliveryResult, StoredResult, Update
from nemo_jobs_cli.delivery import deliver as delivery
from nemo_jobs_cli.delivery import staleness
from nemo_jobs_cli.delivery.staleness import Judged, Known

if TYPE_CHECKING:
    from nemo_jobs_cli.api.session import Session
    from nemo_jobs_cli.delivery.outbox import Claim, Outbox

# An entry that the server answers with a 500 in so many flushes is one that it will never take.
MOST_FAILURES = 3

MAX_AGE = 24 * 3600.0

_INTERNAL_ERROR = 500


class Work(NamedTuple):
    """One job's backlog to deliver: `update` is the new one, without fields where there is none.

    `now` is in seconds since 1970; entries older than `max_age` seconds are stale.
    """

    box: Outbox
    session: Session
    update: Update
    now: float
    max_age: float = MAX_AGE


class Sent(NamedTuple):
    """What became of a backlog, and the answer to the PATCH, if there was one."""

    older: StoredResult = StoredResult()
    answer: Delivered | None = None


def deliver(work: Work) -> DeliveryResult:
    """Deliver the new update and the entries of its job in one PATCH; raise what the delivery raises.

    The entries are given back then. Where the server refuses the whole, they are tried one by one and set aside as
    rejected, and the new update goes alone.
    """
    sent = flush(work)
    # Where all of the whole was on the server already, the update is still due its own acknowledgement.
    answer = sent.answer if sent.answer is not None else delivery.deliver(work.update, work.session)
    return DeliveryResult(answer._replace(update=work.update._replace(job=answer.update.job)), sent.older)


def flush(work: Work) -> Sent:
    """Deliver the entries of a job, below the new update if it has fields; raise what the delivery raises."""
    box, update = work.box, work.update
    try:
        claims = box.claim_all(work.session.settings.host.value, update.workspace, update.job)
    except SettingsError:
        if not update.fields:
            raise
        claims = []  # a folder that can't be read is no reason to hold the new update back
    try:
        return _deliver(work, claims)
    finally:  # also after a signal: what was not settled must be there for the next
        for claim in claims:
            box.release(claim)


def jobs(box: Outbox, host: str) -> list[Update]:
    """Return the jobs of a host that have entries, as updates without fields, in the order of their oldest entry."""
    found: dict[tuple[str, str], Update] = {}
    for name in box.names(host):
        entry = box.read(name)
        if entry is not None:
            found.setdefault((entry.workspace, entry.job), Update(entry.workspace, entry.job, {}))
        elif (claim := box.claim(name)) is not None:  # else it was broken, and is set aside now
            box.release(claim)
    return list(found.values())


def _deliver(work: Work, claims: list[Claim]) -> Sent:
    """Send `claims` and the new update in one PATCH; what is settled is taken out of `claims`."""
    if not claims:
        return _alone(work, StoredResult())
    try:
        judged = _judge(work, claims)
        held = [claim for claim in claims if work.box.holds(claim)]
        if len(held) < len(claims):  # we were paused for so long that others may have sent them
            claims[:] = held
            return _deliver(work, claims)
        fields = {**judged.fields, **work.update.fields}
        answer = delivery.deliver(work.update._replace(fields=fields), work.session) if fields else None
    except NotFoundError as error:
        return _reject_all(work, claims, error)
    except RejectedError as error:
        # A single one of which nothing else was sent along is the culprit.
        alone = len(claims) == 1 and not work.update.fields
        return _reject_all(work, claims, error) if alone else _one_by_one(work, claims)
    except NotDeliveredError as error:
        if error.facts.get("status") != _INTERNAL_ERROR:
            raise
        return _count_failures(work, claims, error)
    older = StoredResult(sum(_counts(judged, place, claim) for place, claim in enumerate(claims)), len(judged.aside))
    for place in reversed(range(len(claims))):  # the oldest last: while it is claimed, nobody takes the others
        claim = claims.pop()
        if place in judged.aside:
            work.box.set_aside(claim, judged.aside[place], "newer values stand in their place, or the job has ended")
        else:
            work.box.done(claim)
    return Sent(older, answer)


def _counts(judged: Judged, place: int, claim: Claim) -> bool:
    """Tell whether anything of an entry but its stamp was due to the server, or there already."""
    return place not in judged.aside or bool(
        claim.entry.fields.keys() - judged.aside[place].keys() - {known_keys.STAMP}
    )


def _judge(work: Work, claims: list[Claim]) -> Judged:
    found = lookups.status(work.session, work.update.workspace, work.update.job)
    details = found.get("status_details")
    known = Known(str(found.get("status")), details if isinstance(details, dict) else {})
    return staleness.judge([claim.entry for claim in claims], known, work.now, work.max_age)


def _reject_all(work: Work, claims: list[Claim], error: NemoJobsError) -> Sent:
    rejected = len(claims)
    while claims:
        work.box.reject(claims.pop(), error.message)
    return _alone(work, StoredResult(rejected=rejected))


def _one_by_one(work: Work, claims: list[Claim]) -> Sent:
    """Find out which entry the server refuses: the others and the new update are not to suffer for it."""
    older = StoredResult()
    while claims:
        one = [claims.pop(0)]
        try:
            sent = _deliver(work._replace(update=work.update._replace(fields={})), one)
        finally:
            claims[:0] = one  # what was not settled goes back with the rest
        older = StoredResult(*(a + b for a, b in zip(older, sent.older, strict=True)))
    return _alone(work, older)


def _count_failures(work: Work, claims: list[Claim], error: NotDeliveredError) -> Sent:
    """Count a 500 against the entries; those that have met it too often are rejected, and the new update goes alone."""
    rejected = 0
    while claims:
        claim = claims.pop()
        if claim.entry.failures + 1 >= MOST_FAILURES:
            work.box.reject(claim, error.message)
            rejected += 1
        else:
            work.box.failed(claim)
    if not work.update.fields and not rejected:
        raise error
    return _alone(work, StoredResult(rejected=rejected))


def _alone(work: Work, older: StoredResult) -> Sent:
    """Send the new update by itself, if there is one."""
    return Sent(older, delivery.deliver(work.update, work.session) if work.update.fields else None)
