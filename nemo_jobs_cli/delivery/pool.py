"""Send many updates over several connections: in order within a job, in any order across jobs."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple

from nemo_jobs_cli.core.errors import NemoJobsError, NotDeliveredError, RejectedError
from nemo_jobs_cli.delivery import policy
from nemo_jobs_cli.delivery.throttle import Throttle
from nemo_jobs_cli.transport import retry
from nemo_jobs_cli.transport.client import Client
from nemo_jobs_cli.transport.messages import Failure, Response

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from nemo_jobs_cli.api.session import Session
    from nemo_jobs_cli.core.deadline import Deadline
    from nemo_jobs_cli.core.outcome import Delivered, Dropped, Kept
    from nemo_jobs_cli.delivery.batch import Item, Lane
    from nemo_jobs_cli.transport.messages import Request, Sender

_BUSY = frozenset({429, 503})


class Result(NamedTuple):
    """What became of one update; None: it was not sent, as we were stopped or an earlier one of its job was not."""

    item: Item
    outcome: Delivered | Kept | Dropped | NemoJobsError | None


class Crew:
    """Workers that share lanes: each takes one, sends its updates in order, and takes the next.

    `hear` is told of each result, one at a time. `stop` lets what is on its way end and begins nothing more.
    """

    def __init__(
        self,
        lanes: Sequence[Lane],
        session: Session,
        workers: int,
        hear: Callable[[Result], None],
        *,
        fail_fast: bool = False,
    ) -> None:
        self._lanes: Iterator[Lane] = iter(lanes)
        self._talk = session
        self._workers = max(1, min(workers, len(lanes)))
        self._hear = hear
        self._fail_fast = fail_fast
        self._throttle = Throttle(self._workers)
        self._sending = 0
        self._changed = threading.Condition()
        self._running: set[threading.Thread] = set()
        self._ended = threading.Event()
        self._stopping = False
        self._broken: BaseException | None = None

    def run(self) -> None:
        """Send everything, and return when it is done or stopped; what a worker stumbles over is raised here."""
        for _ in range(self._workers):
            thread = threading.Thread(target=self._work, name="worker", daemon=True)
            self._running.add(thread)
            thread.start()
        self._wait()

    def stop(self) -> None:
        """Begin nothing more, and return when what is on its way has ended and was told."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._wait()

    def _wait(self) -> None:
        """Wait for all workers; not by `join`, which takes a thread for dead when a signal interrupts it (3.11)."""
        while any(thread.ident is not None for thread in tuple(self._running)):
            self._ended.wait(0.5)
            self._ended.clear()
        if self._broken is not None:
            raise self._broken

    def _work(self) -> None:
        client = Client(self._talk.settings, self._talk.auth)
        try:
            while (lane := self._next()) is not None:
                self._send(list(lane.items), client)
        except BaseException as error:  # noqa: BLE001 - carried to `run`
            with self._changed:
                self._broken, self._stopping = error, True
                self._changed.notify_all()
        finally:
            client.close()
            self._running.discard(threading.current_thread())
            self._ended.set()

    def _next(self) -> Lane | None:
        with self._changed:
            return None if self._stopping else next(self._lanes, None)

    def _send(self, items: list[Item], client: Client) -> None:
        """Send the updates of a job in order; after one that did not get through the rest is left, or order is lost."""
        while items and self._begin():
            try:
                outcome = self._try(items[0], client)
                # Kept are all of them, as one: what is newer must not overtake what waits.
                told = self._undelivered(items, outcome) if isinstance(outcome, NotDeliveredError) else [outcome]
                for result in map(Result, items, told):
                    self._tell(result)
                del items[: len(told)]
            finally:
                self._end()
            if isinstance(told[-1], NemoJobsError) and not isinstance(told[-1], RejectedError):
                break
        for item in items:
            self._tell(Result(item, None))

    def _try(self, item: Item, client: Client) -> Delivered | Kept | Dropped | NemoJobsError:
        fresh = self._talk.restart()
        session = fresh._replace(sender=_Polite(client, self, fresh.deadline))
        try:
            return policy.send(item.update, session.settings, session).outcome
        except NemoJobsError as error:
            return error

    def _undelivered(
        self, items: Sequence[Item], error: NotDeliveredError
    ) -> Sequence[Delivered | Kept | Dropped | NemoJobsError]:
        """Keep all or drop the first, as the settings say; return what became of so many."""
        where = self._talk.settings
        late = items if where.outbox.value else items[:1]
        fields = {key: value for item in late for key, value in item.update.fields.items()}
        try:
            return [policy.undelivered(late[0].update._replace(fields=fields), where, error).outcome] * len(late)
        except NemoJobsError as why:
            return [why]

    def held(self) -> float:
        """Return the seconds for which the server has asked everybody to wait."""
        with self._changed:
            return self._throttle.wait(self._clock())

    def heard(self, last: Response | Failure, began: float) -> None:
        """Take in how a request ended that `began` then."""
        if not isinstance(last, Response):
            return
        with self._changed:
            if last.status in _BUSY:
                self._throttle.busy(self._clock(), retry.retry_after(last), began)
            else:
                self._throttle.success()
                self._changed.notify_all()

    def _clock(self) -> float:
        return self._talk.deadline.clock.now()

    def _begin(self) -> bool:
        """Wait for one's turn to send; tell whether there still is one."""
        with self._changed:
            while not self._stopping:
                wait = self._throttle.wait(self._clock())
                if wait <= 0 and self._sending < self._throttle.allowed:
                    self._sending += 1
                    return True
                self._changed.wait(wait or None)
        return False

    def _end(self) -> None:
        with self._changed:
            self._sending -= 1
            self._changed.notify_all()

    def _tell(self, result: Result) -> None:
        with self._changed:
            self._hear(result)
            if self._fail_fast and isinstance(result.outcome, NemoJobsError):
                self._stopping = True
                self._changed.notify_all()


class _Polite:
    """A worker's client that sends nothing while the server has asked anybody of the crew to wait."""

    def __init__(self, sender: Sender, crew: Crew, deadline: Deadline) -> None:
        self._sender = sender
        self._crew = crew
        self._deadline = deadline
        self.trace_id = sender.trace_id

    def send(self, request: Request, timeout: float) -> Response | Failure:
        """Send one request when that is allowed; fail where it won't be in time."""
        clock = self._deadline.clock
        while (wait := self._crew.held()) > 0:
            if wait >= self._deadline.left():
                return Failure("timeout", "the server has asked to wait for longer")
            clock.sleep(wait)
        began = clock.now()
        timeout = min(timeout, self._deadline.left())
        last = self._sender.send(request, timeout)
        self._crew.heard(last, began)
        return last
