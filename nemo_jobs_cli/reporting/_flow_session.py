"""Open paced sessions of a flow, interruptible until the last update."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from nemo_jobs_cli.core import deadline
from nemo_jobs_cli.core.clock import SYSTEM_CLOCK
from nemo_jobs_cli.reporting.pace import ATTEMPT_LIMIT, Pace, is_overload
from nemo_jobs_cli.transport.client import Client
from nemo_jobs_cli.transport.messages import SendResult

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from nemo_jobs_cli.api.session import Session
    from nemo_jobs_cli.core.deadline import Deadline
    from nemo_jobs_cli.transport.messages import Failure, Request, Response, Sender

# Seconds without success until an outage is reported, unless the deadline of the command is shorter.
OUTAGE = 10.0

# The share of the last report's time that is left to a request in flight: the server may still answer it.
SHARE_IN_FLIGHT = 1 / 3


class SupersededError(Exception):
    """The flow ended before a retry; the last update goes instead."""


class ObservedSender:
    """A sender that passes each response and failure to `on_response`."""

    def __init__(self, sender: Sender, on_response: Callable[[Response | Failure], None]) -> None:
        self._sender = sender
        self._on_response = on_response
        self.trace_id = sender.trace_id

    def send(self, request: Request, timeout: float) -> Response | Failure:
        """Send one request."""
        last = self._sender.send(request, timeout)
        self._on_response(last)
        return last


class FlowSession:
    """Open a session for each request of a flow, on one thread.

    `on_pause` is called with the seconds of each pause that the pace sets before a retry. `end` and `shorten` are for
    another thread.
    """

    def __init__(self, connect: Callable[[], Session], on_pause: Callable[[float], None]) -> None:
        self.pace = Pace(SYSTEM_CLOCK.random)
        self.ending = threading.Event()
        self._connect = connect
        self._on_pause = on_pause
        self._session: Session | None = None
        self._lock = threading.Lock()
        self._last_deadline: Deadline | None = None
        self._is_last = False

    def open(self, job: str, on_response: Callable[[Response | Failure], None]) -> Session:
        """Return the session with a new deadline.

        `on_response` is called with each response and failure. Before the last update, the pace sets the pauses after
        an overload, and the end of the flow interrupts them.
        """
        if self._session is None:
            self._session = self._connect()
        session, now = self._session, SYSTEM_CLOCK.now
        clock, seconds = session.deadline.clock, session.settings.deadline.value
        started = now()
        retry_until = started + min(OUTAGE, seconds)
        retries, pause = 0, 0.0

        def observe(last: Response | Failure) -> None:
            self.pace.observe(last)
            on_response(last)

        def on_retry(last: Response | Failure, wait: float) -> None:
            nonlocal retries, pause
            retries += 1
            is_paced = is_overload(last) and not self._is_last
            pause = max(wait, self.pace.pause) if is_paced else wait
            if not self._is_last and not self.ending.is_set() and now() + pause > retry_until:
                raise session.explain(SendResult(last, retries), job)
            if is_paced:
                self._on_pause(pause)

        def sleep(seconds: float) -> None:
            nonlocal pause
            seconds, pause = max(seconds, pause), 0.0  # a token exchange has pauses of its own, without `on_retry`
            if self._is_last:
                clock.sleep(seconds)
            elif self.ending.wait(seconds):
                raise SupersededError(retries)

        def lock(key: str, limit: Deadline) -> AbstractContextManager[bool]:
            return session.lock(key, limit._replace(ends=min(limit.ends, retry_until)))

        limit = self._last_deadline if self._is_last else None
        limit = limit or deadline.start(seconds and ATTEMPT_LIMIT, started, clock)
        limit = limit._replace(clock=clock._replace(sleep=sleep))
        sender = ObservedSender(session.sender, observe)
        return session._replace(sender=sender, deadline=limit, on_retry=on_retry, lock=lock)

    def end(self, limit: float) -> None:
        """End the flow: the last update has `limit` seconds, 0 for one attempt."""
        self._last_deadline = deadline.start(limit, SYSTEM_CLOCK.now(), SYSTEM_CLOCK)
        self.ending.set()

    def begin_last(self) -> None:
        """Send all further updates within the limit of the last one."""
        with self._lock:
            self._is_last = True

    def shorten(self) -> None:
        """Leave a request, unless it sends the last update, a share of the time."""
        with self._lock:
            limit, session = self._last_deadline, self._session
            if limit is not None and session is not None and not self._is_last and isinstance(session.sender, Client):
                session.sender.shorten(limit.left() * SHARE_IN_FLIGHT)

    def close(self) -> None:
        """Close the connection."""
        if self._session is not None and isinstance(self._session.sender, Client):
            self._session.sender.close()
