"""Open what a command needs to talk to the platform: credentials, a client, a deadline."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nemo_jobs_cli import credentials, deadline, exchange, refusals, verdicts
from nemo_jobs_cli.answers import Answer
from nemo_jobs_cli.client import Client
from nemo_jobs_cli.deadline import Pace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nemo_jobs_cli.answers import Failure
    from nemo_jobs_cli.deadline import Deadline
    from nemo_jobs_cli.exchange import Request, Sender
    from nemo_jobs_cli.settings import Settings

REAL = Pace(time.monotonic, time.sleep, random.random)


@dataclass(frozen=True)
class Session:
    """One command's conversation with one host; `notice` hears of each retry (what happened, seconds to wait)."""

    settings: Settings
    sender: Sender
    deadline: Deadline
    auth: Mapping[str, str] = field(default_factory=dict, repr=False)
    notice: Callable[[Answer | Failure, float], None] | None = None


def start(
    settings: Settings,
    started: float,
    *,
    pace: Pace = REAL,
    notice: Callable[[Answer | Failure, float], None] | None = None,
) -> Session:
    """Open the credential and a client; `started` is when the deadline began to run, on the clock of `pace`."""
    ends = deadline.start(settings.deadline.value, started, pace)
    auth = credentials.headers(settings, lambda: _anonymous_sender(settings), ends)
    return Session(settings, Client(settings, auth), ends, auth, notice)


def _anonymous_sender(settings: Settings) -> Sender:
    """Return a client without credentials, for the exchange that gets them."""
    return Client(settings, {})


def ask(session: Session, request: Request, *, job: str | None = None) -> Answer:
    """Send a request until it is answered with success; raise what `refusals` makes of anything else."""
    ended = exchange.run(request, session.sender, session.deadline, notice=session.notice)
    if isinstance(ended.last, Answer) and verdicts.kind(ended.last) == "ok":
        return ended.last
    raise refusals.explain(ended, refusals.Asked(session.settings, session.auth, session.sender.trace_id, job))
