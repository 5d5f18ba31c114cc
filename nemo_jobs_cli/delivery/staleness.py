"""Decide what of an old update may still be sent: nothing of it may turn a finished job back into a running one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from nemo_jobs_cli.api import states
from nemo_jobs_cli.core import known_keys, timestamps

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nemo_jobs_cli.delivery.entry import Entry


class Known(NamedTuple):
    """What the server has of a job: its status and its details."""

    status: str
    details: Mapping[str, Any]


class Judged(NamedTuple):
    """What to send of some entries, folded, and what to set aside of each (by its place in the sequence)."""

    fields: dict[str, Any]
    aside: dict[int, dict[str, Any]]


def judge(entries: Sequence[Entry], known: Known, now: float, max_age: float) -> Judged:
    """Return what may be sent of `entries`, oldest first; `now` in seconds since 1970, `max_age` in seconds.

    Of an entry that is stale only the keys are sent that the server lacks: a sibling's `val_loss` is not lost, and
    `status=running` revives nothing. The server can't compare and set, so what is written between the reading and
    the sending is a window that remains.
    """
    reported = timestamps.seconds(known.details.get(known_keys.STAMP))
    oldest = now - max_age if reported is None else max(now - max_age, reported)
    fields: dict[str, Any] = {}
    aside: dict[int, dict[str, Any]] = {}
    for place, entry in enumerate(entries):
        late: dict[str, Any] = {}
        for key, value in entry.fields.items():
            fresh = known.status not in states.TERMINAL and entry.made(key) >= oldest
            if fresh or key not in known.details:
                fields[key] = value
            elif known.details[key] != value and key != known_keys.STAMP:  # an old stamp is no loss
                late[key] = value
        if late:
            aside[place] = late
    return Judged(fields, aside)
