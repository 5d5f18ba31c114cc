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
    from nemo_jobs_cli.transport.messages import Failure, Request, Response

# Seconds without success until an outage is reported, unless the deadline of the command is shorter.
OUTAGE = 10.0

# The share of the last report's time that is left to a request in flight: the server may still answer it.
SHARE_IN_FLIGHT = 1 / 3


class SupersededError(Exception):
    """The flow ended before a retry; the last update goes instead."""


class FlowRequest:
    """The sender, pauses and lock for the attempts of one request."""

    def __init__(
        self, flow: FlowSession, session: Session, job: str, on_response: Callable[[Response | Failure], None]
    ) -> None:
        self.trace_id = session.sender.trace_id
        self._flow = flow
        self._session = session
        self._job = job
        self._on_response = on_response
        self._retry_until = SYSTEM_CLOCK.now() + min(OUTAGE, session.settings.deadline.value)
        self._retries = 0
        self._pause = 0.0

    def send(self, request: Request, timeout: float) -> Response | Failure:
        """Send the request once."""
        last = self._session.sender.send(request, timeout)
        self._flow.pace.observe(last)
        self._on_response(last)
        return last

    def on_retry(self, last: Response | Failure, wait: float) -> None:
        """Set the pause before the next attempt; raise the error of an outage."""
        flow = self._flow
        self._retries += 1
        is_paced = is_overload(last) and not flow.is_last
        self._pause = max(wait, flow.pace.pause) if is_paced else wait
        if not flow.ending.is_set() and SYSTEM_CLOCK.now() + self._pause > self._retry_until:
            raise self._session.explain(SendResult(last, self._retries), self._job)
        if is_paced:
            flow.on_pause(self._pause)

    def sleep(self, seconds: float) -> None:
        """Sleep; raise SupersededError if the flow ends."""
        # A token exchange has pauses of its own, without `on_retry`.
        seconds, self._pause = max(seconds, self._pause), 0.0
        if self._flow.is_last:
            self._session.deadline.clock.sleep(seconds)
        elif self._flow.ending.wait(seconds):
            raise SupersededError(self._retries)

    def lock(self, key: str, limit: Deadline) -> AbstractContextManager[bool]:
        """Hold the lock of the job."""
        return self._session.lock(key, limit._replace(ends=min(limit.ends, self._retry_until)))


class FlowSession:
    """Open a session for each request of a flow, on one thread.

    `on_pause` is called with the seconds of each pause that the pace sets before a retry. `end` and `shorten` are for
    another thread.
    """

    def __init__(self, connect: Callable[[], Session], on_pause: Callable[[float], None]) -> None:
        self.pace = Pace(SYSTEM_CLOCK.random)
        self.ending = threading.Event()
        self._connect = connect
        self.on_pause = on_pause
        self._session: Session | None = None
        self._lock = threading.Lock()
        self._last_deadline: Deadline | None = None
        self.is_last = False

    def open(self, job: str, on_response: Callable[[Response | Failure], None]) -> Session:
        """Return the session with a new deadline.

        `on_response` is called with each response and failure. Before the last update, the pace sets the pauses after
        an overload, and the end of the flow interrupts them.
        """
        if self._session is None:
            self._session = self._connect()
        session = self._session
        request = FlowRequest(self, session, job, on_response)
        clock, seconds = session.deadline.clock, session.settings.deadline.value
        limit = self._last_deadline if self.is_last else None
        limit = limit or deadline.start(seconds and ATTEMPT_LIMIT, SYSTEM_CLOCK.now(), clock)
        limit = limit._replace(clock=clock._replace(sleep=request.sleep))
        return session._replace(sender=request, deadline=limit, on_retry=request.on_retry, lock=request.lock)

    def end(self, limit: float) -> None:
        """End the flow: the last update has `limit` seconds, 0 for one attempt."""
        self._last_deadline = deadline.start(limit, SYSTEM_CLOCK.now(), SYSTEM_CLOCK)
        self.ending.set()

    def begin_last(self) -> None:
        """Send all further updates within the limit of the last one."""
        with self._lock:
            self.is_last = True

    def shorten(self) -> None:
        """Leave a request, unless it sends the last update, a share of the time."""
        with self._lock:
            limit, session = self._last_deadline, self._session
            if limit is not None and session is not None and not self.is_last and isinstance(session.sender, Client):
                session.sender.shorten(limit.left() * SHARE_IN_FLIGHT)

    def close(self) -> None:
        """Close the connection."""
        if self._session is not None and isinstance(self._session.sender, Client):
            self._session.sender.close()
