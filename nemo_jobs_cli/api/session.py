"""Open what a command needs to talk to the platform: credentials, a client, a deadline."""

from __future__ import annotations

import random
import time
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from nemo_jobs_cli.auth import credentials
from nemo_jobs_cli.core import bounded, deadline, job_lock
from nemo_jobs_cli.core.deadline import Pace
from nemo_jobs_cli.core.text import one_line
from nemo_jobs_cli.settings import resolve
from nemo_jobs_cli.transport import classify, exchange
from nemo_jobs_cli.transport.client import Client
from nemo_jobs_cli.transport.messages import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from nemo_jobs_cli.core.deadline import Deadline
    from nemo_jobs_cli.core.errors import NemoJobsError
    from nemo_jobs_cli.settings.model import Settings
    from nemo_jobs_cli.transport.exchange import Exchanged, Request, Sender
    from nemo_jobs_cli.transport.messages import Failure

_RENEWABLE = frozenset({"file", "command", "workload"})

REAL = Pace(time.monotonic, bounded.sleep, random.random)


class Session(NamedTuple):
    """One command's conversation with one host; `notice` hears of each retry, `turn` queues the writers of a job."""

    settings: Settings
    sender: Sender
    deadline: Deadline
    auth: Mapping[str, str] = MappingProxyType({})
    notice: Callable[[Answer | Failure, float], None] | None = None
    turn: Callable[[str, Deadline], AbstractContextManager[bool]] = job_lock.turn

    def __repr__(self) -> str:
        """Return nothing that the headers hold."""
        return f"Session({self.settings.host.value!r})"


def start(
    settings: Settings,
    started: float,
    *,
    pace: Pace = REAL,
    notice: Callable[[Answer | Failure, float], None] | None = None,
) -> Session:
    """Open the credential and a client; the deadline runs from `started`, on the clock of `pace`."""
    ends = deadline.start(settings.deadline.value, started, pace)
    auth = authorise(settings, ends)
    return Session(settings, Client(settings, auth), ends, auth, notice)


def authorise(settings: Settings, limit: Deadline) -> dict[str, str]:
    """Return the headers that say who asks; raise SettingsError where they can't be had or must not be sent."""
    return credentials.headers(settings, _anonymous, limit, resolve.environment(secrets=False))


def facts(talk: Session) -> str:
    """Say where a conversation goes, as whom, and under which id the server logs it."""
    return f"{one_line(talk.settings.host.value, 200)} as {who(talk.settings)}, trace id {talk.sender.trace_id}"


def afresh(talk: Session, limit: float | None = None) -> Session:
    """Return the session with a deadline that starts now and leaves at most `limit` seconds."""
    pace = talk.deadline.pace
    now = pace.clock()
    fresh = deadline.start(talk.settings.deadline.value, now, pace)
    if limit is not None:
        fresh = fresh._replace(ends=min(fresh.ends, now + limit))
    return talk._replace(deadline=fresh)


def renewed(talk: Session) -> Session | None:
    """Return the session with its credential opened anew; None where that can't have changed anything.

    Files, commands and exchanges give fresh tokens where the first has expired.
    """
    credential = talk.settings.credential
    if credential is None or credential.kind not in _RENEWABLE or credential.secret == "-":  # noqa: S105 - stdin, read once
        return None
    pace = talk.deadline.pace
    again = start(talk.settings, pace.clock(), pace=pace, notice=talk.notice)
    return None if again.auth == talk.auth else again


def who(settings: Settings) -> str:
    """Describe the credential that requests carry, without its secret."""
    return credentials.describe(settings.credential)


def _anonymous(settings: Settings) -> Sender:
    """Return a client without credentials, for the exchange that gets them."""
    return Client(settings, {})


def ask(session: Session, request: Request, *, job: str | None = None) -> Answer:
    """Send a request until it is answered with success; raise what `refusals` makes of anything else."""
    ended = exchange.run(request, session.sender, session.deadline, notice=session.notice)
    if isinstance(ended.last, Answer) and classify.kind(ended.last) == "ok":
        return ended.last
    raise refusal(session, ended, job)


def refusal(session: Session, ended: Exchanged, job: str | None) -> NemoJobsError:
    """Return the error for an exchange that did not end in success."""
    from nemo_jobs_cli.transport import explain  # the words of failure are loaded when something fails

    expires = credentials.expiry(session.auth)
    asked = explain.Asked(
        session.settings,
        credentials.describe(session.settings.credential),
        None if expires is None else expires - time.time(),
        session.sender.trace_id,
        job,
    )
    return explain.explain(ended, asked)
