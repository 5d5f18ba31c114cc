"""Report one job: accept updates at any rate, send at a bounded one.

One thread sends, so `add` never waits for the network. During an outage updates are still coalesced: memory stays
flat, and what is sent in the end is the newest state.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.api import jobs
from nemo_jobs_cli.core import clock, deadline, signals
from nemo_jobs_cli.core.clock import SYSTEM_CLOCK
from nemo_jobs_cli.core.errors import NemoJobsError, NotDeliveredError, RejectedError, SupersededAttemptError
from nemo_jobs_cli.core.outcome import Target, Update
from nemo_jobs_cli.delivery import policy
from nemo_jobs_cli.reporting._flow_record import FlowRecord
from nemo_jobs_cli.reporting._flow_session import FlowSession, SupersededError
from nemo_jobs_cli.reporting._late_requests import LateRequests
from nemo_jobs_cli.transport import retry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nemo_jobs_cli.api.session import Session
    from nemo_jobs_cli.core.outcome import Delivered, FlowResult
    from nemo_jobs_cli.reporting._flow_record import FlowEvent
    from nemo_jobs_cli.reporting.coalesce import Coalescer

# Seconds until the next attempt after a response that no retry mends (401, 404, a redirect): a login may be renewed,
# a job created, a proxy fixed while a training runs for days.
RETRY_INTERVAL = 30.0

# Seconds that `finish` waits beyond the deadline for the thread to report its result.
GRACE = 1.0


class Reporter:
    """The only writer of one job: call `add`, then `finish` once.

    `connect` opens the session, on the reporter's own thread. `make_stamp` returns the fields with the current time:
    they are sent if nothing was sent for `heartbeat` seconds, and with `stamp` in every request, below an update's
    own. `reset` gets the stored details and returns fields to send first, below all others. `FlowRecord` says what
    `on_event` gets.
    """

    def __init__(
        self,
        target: Target,
        coalescer: Coalescer,
        connect: Callable[[], Session],
        *,
        on_event: Callable[[FlowEvent], None] = lambda _: None,
        make_stamp: Callable[[], Mapping[str, Any]] = dict,
        reset: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None,
        stamp: bool = False,
        heartbeat: float | None = None,
        now: Callable[[], float] = SYSTEM_CLOCK.now,
    ) -> None:
        self._record = FlowRecord(on_event)
        self._target = target
        self._coalescer = coalescer
        self._flow_session = FlowSession(connect, self._on_pause)
        self._make_stamp = make_stamp
        self._reset = reset
        self._stamp = stamp
        self._heartbeat = heartbeat
        self._changed = threading.Condition()
        self._ending = self._flow_session.ending
        self._ended = signals.Latch()
        self._thread = threading.Thread(target=self._work, name="reporter", daemon=True)
        self._late_requests = LateRequests()
        self._last: dict[str, Any] = {}
        self._now = now
        self._last_sent = self._now()
        self._pace = self._flow_session.pace

    def start(self) -> None:
        """Start to send."""
        signals.start_thread(self._thread)

    def add(self, fields: Mapping[str, Any], updates: int = 1) -> None:
        """Add an update, or the coalesced fields of `updates` updates."""
        with signals.deferred(), self._changed:
            if self._ending.is_set():
                return
            self._coalescer.add(fields, self._now())
            self._record.count_updates(updates)
            self._changed.notify()

    @property
    def flow(self) -> FlowResult:
        """Return the counts so far."""
        return self._record.flow

    @property
    def unacknowledged(self) -> Update:
        """Return the fields that the server has not acknowledged."""
        with signals.deferred(), self._changed:
            return Update(*self._target, self._coalescer.unacknowledged)

    @property
    def reported(self) -> dict[str, Any]:
        """Return all fields that were added and not rejected, merged."""
        with signals.deferred(), self._changed:
            return self._late_requests.acknowledged | self._coalescer.unacknowledged

    def finish(
        self, fields: Mapping[str, Any], limit: float, on_wait: Callable[[float], None] = lambda _: None
    ) -> FlowResult:
        """Send the rest with `fields` on top, within about `limit` seconds.

        `on_wait` is called with the limit if it takes long and there is time left.
        """
        if fields:
            self.add(fields)
        self._last = dict(fields)
        with signals.deferred(), self._changed:
            self._flow_session.end(limit)
            self._changed.notify()

        def wait(seconds: float) -> bool:
            with signals.deferred():
                self._flow_session.shorten()
            return self._ended.wait(seconds)

        limit = limit or deadline.ONE_ATTEMPT_LIMIT
        # Not `join`: if a signal's exception ends it, Python 3.11 takes the thread for stopped.
        if clock.wait_long(wait, limit + GRACE, lambda: on_wait(limit)):
            return self.flow
        late = NotDeliveredError("the last update was not delivered in time", "wait longer: --deadline 60")
        return self.flow._replace(error=late)

    def _work(self) -> None:
        try:
            if self._reset is not None:
                self._add_reset(self._reset)
            while (fields := self._wait_for_fields()) is not None:
                self._send(fields)
            self._send_last()
        except Exception as error:  # noqa: BLE001 - the end of the thread must not look like a success
            self._record.on_bug(error)
        finally:
            self._record.finish()
            self._flow_session.close()
            self._ended.set()

    def _add_reset(self, reset: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> None:
        """Read the stored details in one short attempt; add the fields of `reset`."""
        fields = reset(self._read_details(once=True) or {})
        with self._changed:
            if fields:
                self._coalescer.add({**fields, **self._coalescer.unacknowledged}, self._now())

    def _wait_for_fields(self) -> dict[str, Any] | None:
        """Wait until fields are due and return them; None when the flow has ended."""
        with self._changed:
            while not self._ending.is_set():
                now = self._now()
                wait = self._coalescer.due_in(now)
                if wait == 0:
                    return self._coalescer.take(now)
                if wait is None and self._heartbeat is not None:
                    wait = self._last_sent + self._heartbeat - now
                    if wait <= 0:
                        self._coalescer.add(self._make_stamp(), now)
                        self._last_sent = now
                        continue
                self._changed.wait(wait)
        return None

    def _send_last(self) -> None:
        """Send the rest, then repair the effect of older requests.

        If the server rejects the rest, the fields of `finish` are sent alone.
        """
        self._flow_session.begin_last()
        with self._changed:
            fields = self._coalescer.take(self._now()) if self._coalescer else {}
        if fields:
            before = self._record.rejection
            self._send(fields)
            if self._record.rejection is not before and self._last and self._last != fields:
                with self._changed:
                    self._coalescer.add(self._last, self._now())
                    fields = self._coalescer.take(self._now())
                self._send(fields)
        is_superseded = isinstance(self._record.outage, SupersededAttemptError)
        if self._late_requests and not self._coalescer and not is_superseded:
            self._repair()

    def _send(self, fields: dict[str, Any]) -> None:
        """Deliver the fields, or put them back."""
        self._last_sent = self._now()
        sent = {**(self._make_stamp() if self._stamp else {}), **fields}
        try:
            session = self._open_session(fields)
            delivered = policy.deliver_with_stored(Update(*self._target, sent), session)[0]
        except SupersededError as end:
            self._record.count_attempts(end.args[0])
            self._put_back(0)
        except SupersededAttemptError as error:
            with self._changed:  # the flow ends, and its rest is not sent
                self._ending.set()
                self._coalescer.take(self._now())
                self._coalescer.acknowledge(self._now())
            self._record.on_error(error)
        except RejectedError as error:
            is_slowed = self._coalescer.acknowledge(self._now(), self._pace.pause)  # sending it again cannot help
            self._record.on_rejection(error)
            if is_slowed:
                self._on_pause(self._pace.pause)
        except NotDeliveredError as error:
            self._put_back(max(retry.WIDEST_WINDOW, self._pace.pause))
            self._record.on_error(error)
            self._on_pause(self._pace.pause)
        except NemoJobsError as error:
            self._put_back(RETRY_INTERVAL)
            self._record.on_error(error)
        else:
            self._acknowledge(delivered)

    def _open_session(self, fields: Mapping[str, Any]) -> Session:
        return self._flow_session.open(self._target.job, lambda last: self._late_requests.note(fields, last))

    def _acknowledge(self, delivered: Delivered) -> None:
        """Record the server's fields, and the job's name."""
        is_slowed = self._coalescer.acknowledge(self._now(), self._pace.pause)
        self._late_requests.acknowledge(delivered.update.fields)
        self._target = Target(delivered.update.workspace, delivered.update.job)
        self._record.on_delivered(delivered)
        if is_slowed:
            self._on_pause(self._pace.pause)

    def _on_pause(self, pause: float) -> None:
        """Record a pause for the server, if it is long and a request follows."""
        if pause > self._coalescer.interval and not self._ending.is_set():
            self._record.on_slowed(pause)

    def _put_back(self, pause: float) -> None:
        with self._changed:
            self._coalescer.put_back(self._now(), pause)

    def _repair(self) -> None:
        """Send again the fields that an older request has overwritten.

        Every update was acknowledged, so a failed read is not an error.
        """
        details = self._read_details()
        overwritten = {} if details is None else self._late_requests.overwritten(details)
        if overwritten:
            self._send(overwritten)

    def _read_details(self, *, once: bool = False) -> dict[str, Any] | None:
        """Return the stored details, or None if they cannot be read."""
        try:
            session = self._open_session({})
            if once:
                session = session._replace(deadline=deadline.start(0, 0.0, session.deadline.clock))
            details = jobs.get_status(session, *self._target).get("status_details")
        except (NemoJobsError, SupersededError):
            return None
        return details if isinstance(details, dict) else {}
