"""Send many updates over several connections, in order within a job."""

from __future__ import annotations

import math
import threading
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from nemo_jobs_cli.core import clock, signals
from nemo_jobs_cli.core.errors import NemoJobsError, NotDeliveredError, RejectedError
from nemo_jobs_cli.delivery import policy
from nemo_jobs_cli.transport import retry
from nemo_jobs_cli.transport.client import Client
from nemo_jobs_cli.transport.messages import Failure, Response

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nemo_jobs_cli.api.session import Session
    from nemo_jobs_cli.core.deadline import Deadline
    from nemo_jobs_cli.core.outcome import Delivered, Dropped, Kept
    from nemo_jobs_cli.delivery.batch import BatchItem
    from nemo_jobs_cli.transport.messages import Request, Sender

    Outcome = Delivered | Kept | Dropped | NemoJobsError

# So many successes in a row, times the requests that are allowed, allow one more request: about once in so many rounds.
ROUNDS = 4

_BUSY = frozenset({429, 503})


class WorkerPool:
    """Threads that share queues; each sends a queue in order.

    `on_result` is called with each update and its outcome, never twice at once. None means not sent: the pool was
    stopped, or an earlier update of the job failed.
    """

    def __init__(
        self,
        queues: Sequence[list[BatchItem]],
        session: Session,
        workers: int,
        on_result: Callable[[BatchItem, Outcome | None], None],
    ) -> None:
        self._queues = iter(queues)
        self._session = session
        self._workers = min(workers, len(queues))
        self._on_result = on_result
        self._throttle = Throttle(self._workers)
        self._sending = 0
        self._changed = threading.Condition()
        self._running: set[threading.Thread] = set()
        self._ended: SimpleQueue[None] = SimpleQueue()
        self._stopping = False
        self._error: BaseException | None = None

    def run(self) -> None:
        """Send everything, or stop early after `stop`."""
        for _ in range(self._workers):
            thread = threading.Thread(target=self._work, name="worker", daemon=True)
            self._running.add(thread)
            signals.start_thread(thread)
        self.wait()

    def stop(self) -> None:
        """Send nothing more; requests in flight go on."""
        with signals.deferred(), self._changed:
            self._stopping = True
            self._changed.notify_all()

    def wait(self, on_wait: Callable[[], None] = lambda: None) -> None:
        """Wait for the requests in flight; raise the error of a worker.

        `on_wait` is called if it takes long.
        """

        def has_ended(seconds: float) -> bool:
            # Not by `join`: one that a signal interrupts takes its thread for dead (Python 3.11).
            if self._is_running():
                with suppress(Empty):
                    self._ended.get(timeout=seconds)
            return not self._is_running()

        clock.wait_long(has_ended, math.inf, on_wait)
        if self._error is not None:
            raise self._error

    def _is_running(self) -> bool:
        return any(thread.ident is not None for thread in tuple(self._running))

    def seconds_to_wait(self) -> float:
        """Return the seconds for which the server has asked all workers to wait."""
        with self._changed:
            return self._throttle.wait(self._now())

    def record(self, last: Response | Failure, started: float) -> None:
        """Adapt the number of concurrent requests to a response.

        `started` is the time at which the request was sent.
        """
        with self._changed:
            self._throttle.record(last, self._now(), started)
            self._changed.notify_all()

    def _work(self) -> None:
        client = Client(self._session.settings, self._session.auth)
        try:
            while (queue := self._next()) is not None:
                self._send(queue.copy(), client)
        except BaseException as error:  # noqa: BLE001 - raised by `run`
            self._error = error
            self.stop()
        finally:
            client.close()
            self._running.discard(threading.current_thread())
            self._ended.put(None)

    def _next(self) -> list[BatchItem] | None:
        with self._changed:
            return None if self._stopping else next(self._queues, None)

    def _send(self, items: list[BatchItem], client: Client) -> None:
        """Send the updates of a job in order; stop after a failure."""
        while items and self._begin():
            try:
                outcome, count = self._try(items[0], client), 1
                if isinstance(outcome, NotDeliveredError):
                    outcome, count = self._undelivered(items, outcome)
                for item in items[:count]:
                    self._report(item, outcome)
                del items[:count]
            finally:
                self._end()
            if isinstance(outcome, NemoJobsError) and not isinstance(outcome, RejectedError):
                break
        for item in items:
            self._report(item, None)

    def _try(self, item: BatchItem, client: Client) -> Outcome:
        session = self._session.restart()
        sender = _ThrottledSender(client, self, session.deadline)
        try:
            return policy.deliver_with_stored(item.update, session._replace(sender=sender))[0]
        except NemoJobsError as error:
            return error

    def _undelivered(self, items: Sequence[BatchItem], error: NotDeliveredError) -> tuple[Outcome, int]:
        """Store all updates or drop the first, as configured.

        Return the outcome and the number of updates. All are stored as one entry: newer updates must not overtake
        stored ones.
        """
        settings = self._session.settings
        count = len(items) if settings.outbox.value else 1
        fields = {key: value for item in items[:count] for key, value in item.update.fields.items()}
        try:
            return policy.store_or_drop(items[0].update._replace(fields=fields), settings, error), count
        except NemoJobsError as not_stored:
            return not_stored, 1

    def _now(self) -> float:
        return self._session.deadline.clock.now()

    def _begin(self) -> bool:
        """Wait until a request is allowed; return False if stopped."""
        with self._changed:
            while not self._stopping:
                wait = self._throttle.wait(self._now())
                if not wait and self._sending < self._throttle.allowed:
                    self._sending += 1
                    return True
                self._changed.wait(wait or None)
        return False

    def _end(self) -> None:
        with self._changed:
            self._sending -= 1
            self._changed.notify_all()

    def _report(self, item: BatchItem, outcome: Outcome | None) -> None:
        with self._changed:
            self._on_result(item, outcome)


class Throttle:
    """The number of concurrent requests, halved while the server is busy.

    Times are in seconds of the caller's clock.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._successes = 0
        self._until = self._halved = float("-inf")
        self.allowed = workers

    def record(self, last: Response | Failure, now: float, started: float) -> None:
        """Record the response to a request that was sent at `started`."""
        if isinstance(last, Failure):
            if last.kind == "timeout":
                self.busy(now, None, started)
        elif last.status in _BUSY:
            self.busy(now, retry.retry_after(last), started)
        else:
            self.success()

    def busy(self, now: float, retry_after: float | None, started: float) -> None:
        """Record that the server is busy.

        Of requests in flight together, one halves the number.
        """
        if started >= self._halved:
            self.allowed = max(1, self.allowed // 2)
            self._halved = now
        self._successes = 0
        if retry_after is not None:
            self._until = max(self._until, now + retry_after)

    def success(self) -> None:
        """Record any other response."""
        self._successes += 1
        if self._successes >= ROUNDS * self.allowed:
            self.allowed = min(self._workers, self.allowed + 1)
            self._successes = 0

    def wait(self, now: float) -> float:
        """Return the seconds for which the server has asked to wait."""
        return max(0.0, self._until - now)


class _ThrottledSender:
    """A worker's client that waits as long as the server asks the pool."""

    def __init__(self, sender: Sender, pool: WorkerPool, deadline: Deadline) -> None:
        self._sender = sender
        self._pool = pool
        self._deadline = deadline
        self.trace_id = sender.trace_id

    def send(self, request: Request, timeout: float) -> Response | Failure:
        """Send one request once allowed; fail if that is after the deadline."""
        clock = self._deadline.clock
        while (wait := self._pool.seconds_to_wait()) > 0:
            if wait >= self._deadline.left():
                return Failure("timeout", "the server has asked to wait for longer")
            clock.sleep(wait)
        started = clock.now()
        last = self._sender.send(request, min(timeout, self._deadline.left()))
        self._pool.record(last, started)
        return last
