"""Report one job continuously: take updates at any rate, send them folded at a bounded one, lose none.

One thread sends; whoever adds never waits for the network. While the platform is away updates go on folding, so that
memory stays flat and what is sent in the end is the newest state.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.api import jobs
from nemo_jobs_cli.core import clock, deadline
from nemo_jobs_cli.core.clock import SYSTEM_CLOCK
from nemo_jobs_cli.core.errors import AuthError, BugError, NemoJobsError, NotDeliveredError, RejectedError
from nemo_jobs_cli.core.outcome import Delivered, FlowResult, Target, Update
from nemo_jobs_cli.delivery import deliver
from nemo_jobs_cli.settings.model import Sourced
from nemo_jobs_cli.transport import retry
from nemo_jobs_cli.transport.messages import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nemo_jobs_cli.api.session import Session
    from nemo_jobs_cli.reporting.coalesce import Fold
    from nemo_jobs_cli.transport.messages import Response

# After an answer that no retry mends by itself (401, 404, a redirect) the next try waits this long, in seconds: a
# login may be renewed, a job created, a proxy mended while a training runs for days.
PATIENCE = 30.0

# How long `finish` waits beyond the deadline for the thread to say so, in seconds.
GRACE = 1.0

_IN_DOUBT = frozenset({"timeout", "reset", "protocol"})
_FIRST_OF_SERVER = 500


class _SupersededError(Exception):
    """The flow has ended while an older state waited, after `tries` requests: the last one goes in its place."""

    def __init__(self, tries: int) -> None:
        super().__init__(tries)
        self.tries = tries


class Reporter:
    """The one writer of one job. `add` from any thread, then `finish` once; nothing is sent after that.

    `connect` opens the session, on the reporter's own thread. `beat` makes the sign of life that is sent after
    `silence` seconds without any other. `hear` is told of each delivery, and of an error when it is a new one.
    `carry` delivers one update.
    """

    def __init__(
        self,
        target: Target,
        fold: Fold,
        connect: Callable[[], Session],
        *,
        hear: Callable[[Delivered | NemoJobsError], None] = lambda _: None,
        beat: Callable[[], Mapping[str, Any]] = dict,
        silence: float | None = None,
        carry: Callable[[Update, Session], Delivered] = deliver.deliver,
    ) -> None:
        self._target = target
        self._carry = carry
        self._fold = fold
        self._connect = connect
        self._hear = hear
        self._beat = beat
        self._silence = silence
        self._talk: Session | None = None
        self._changed = threading.Condition()
        self._ending = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="reporter", daemon=True)
        self._state: dict[str, Any] = {}
        self._doubtful: set[str] = set()
        self._trouble: NemoJobsError | None = None
        self._refused: RejectedError | None = None
        self._flow = FlowResult()
        self._clock = SYSTEM_CLOCK.now
        self._spoke = self._clock()

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def add(self, fields: Mapping[str, Any], updates: int = 1) -> None:
        """Put an update, or `updates` of them already folded, on top of what is to be sent."""
        with self._changed:
            if self._ending.is_set():
                return
            self._fold.add(fields, self._clock())
            self._flow = self._flow._replace(updates=self._flow.updates + updates)
            self._changed.notify()

    @property
    def flow(self) -> FlowResult:
        """Return the counts as they are now."""
        return self._flow

    @property
    def unsent(self) -> Update:
        """Return what the server has not acknowledged, folded."""
        with self._changed:
            return Update(*self._target, self._fold.unsent)

    def finish(self, fields: Mapping[str, Any], limit: float) -> FlowResult:
        """Send what is left, with `fields` on top, within about `limit` seconds; return what became of it all."""
        if fields:
            self.add(fields)
        with self._changed:
            self._ending.set()
            self._changed.notify()
        # Not by joining: a join that a signal's exception ends makes Python 3.11 take the thread for stopped.
        if not clock.wait_until(self._over.wait, (limit or deadline.ONE_ATTEMPT_LIMIT) + GRACE):
            late = NotDeliveredError("the last update did not get through in time", "wait longer: --deadline 60")
            return self._flow._replace(error=late)
        return self._flow

    def _work(self) -> None:
        try:
            while (fields := self._next()) is not None:
                self._send(fields)
            self._end()
        except Exception as error:  # noqa: BLE001 - the thread's end must not look like a success
            said = f"nemo-jobs has a bug: {type(error).__name__} in the reporter"
            self._note(error=BugError(said, "report this line and what you ran (without tokens) to the project"))
        finally:
            self._over.set()

    def _end(self) -> None:
        """Send what is left; then look whether an older request has overwritten what is there."""
        with self._changed:
            fields = self._fold.take(self._clock()) if self._fold else {}
        if fields:
            self._send(fields, final=True)
        if self._doubtful and not self._fold:
            self._look_back()

    def _next(self) -> dict[str, Any] | None:
        """Wait for the next update that is due; None when the flow has ended."""
        with self._changed:
            while not self._ending.is_set():
                now = self._clock()
                wait = self._fold.due(now)
                if wait == 0:
                    return self._fold.take(now)
                if wait is None and self._silence is not None:
                    wait = self._spoke + self._silence - now
                    if wait <= 0:
                        self._fold.add(self._beat(), now)
                        self._spoke = now
                        continue
                self._changed.wait(wait)
        return None

    def _send(self, fields: dict[str, Any], *, final: bool = False) -> None:
        """Deliver one folded update, or put it back."""
        self._spoke = self._clock()
        try:
            delivered = self._deliver(fields, final=final)
        except _SupersededError as end:
            self._count(end.tries)
            self._failed(0)
        except RejectedError as error:
            self._fold.arrived()  # repeating it can't help, and what comes next may be fine
            self._refused = error
            self._complain(error, always=True)
        except NotDeliveredError as error:
            self._doubt(fields, error.facts)
            self._failed(retry.WIDEST_WINDOW)
            self._complain(error)
        except NemoJobsError as error:
            self._failed(PATIENCE)
            self._complain(error)
        else:
            self._arrived(delivered)

    def _deliver(self, fields: dict[str, Any], *, final: bool) -> Delivered:
        """Send; once more where the credential can be opened anew: there may be no later update to go with it."""
        try:
            return self._carry(Update(*self._target, fields), self._session(fields, final=final))
        except AuthError as error:
            if not self._renew():
                raise
            self._count(_tries(error))
        return self._carry(Update(*self._target, fields), self._session(fields, final=final))

    def _session(self, fields: Mapping[str, Any], *, final: bool) -> Session:
        """Return the session, opened when it is first needed, with a deadline from now.

        The end of the flow ends its waiting, unless it is for the final update.
        """
        if self._talk is None:
            self._talk = self._connect()
        session = self._talk
        clock = session.deadline.clock
        waits = 0

        def notice(last: Response | Failure, wait: float) -> None:
            nonlocal waits
            waits += 1
            if last.kind in _IN_DOUBT if isinstance(last, Failure) else last.status >= _FIRST_OF_SERVER:
                self._doubtful.update(fields)
            if session.on_retry is not None:
                session.on_retry(last, wait)

        def sleep(seconds: float) -> None:
            if final:
                clock.sleep(seconds)
            elif self._ending.wait(seconds):
                raise _SupersededError(waits)

        fresh = session.restart()
        return fresh._replace(deadline=fresh.deadline._replace(clock=clock._replace(sleep=sleep)), on_retry=notice)

    def _arrived(self, delivered: Delivered) -> None:
        """Remember what the server has, the job's name and the route: neither is looked for again."""
        self._fold.arrived()
        self._state.update(delivered.update.fields)
        self._target = Target(delivered.update.workspace, delivered.update.job)
        session = self._talk
        api = Sourced(delivered.api, "this server")
        self._talk = session and session._replace(settings=session.settings._replace(api=api))
        self._count(delivered.attempts)
        self._trouble = None
        self._note(error=self._refused)
        self._tell(delivered)

    def _failed(self, pause: float) -> None:
        with self._changed:
            self._fold.failed(self._clock(), pause)

    def _complain(self, error: NemoJobsError, *, always: bool = False) -> None:
        """Tell of an error once an outage: the same again is no news."""
        self._count(_tries(error))
        known = self._trouble is not None and type(self._trouble) is type(error)
        self._trouble = error
        self._note(error=error, errors=self._flow.errors + 1)
        if always or not known:
            self._tell(error)

    def _tell(self, event: Delivered | NemoJobsError) -> None:
        with suppress(OSError):  # its output is closed, which is no reason to stop
            self._hear(event)

    def _count(self, tries: int) -> None:
        self._note(requests=self._flow.requests + tries, retries=self._flow.retries + max(0, tries - 1))

    def _note(self, **facts: Any) -> None:
        with self._changed:  # `add` counts on another thread
            self._flow = self._flow._replace(**facts)

    def _doubt(self, fields: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        """Note that a request may still land that nobody has acknowledged."""
        if facts.get("failure") in _IN_DOUBT or int(facts.get("status", 0)) >= _FIRST_OF_SERVER:
            self._doubtful.update(fields)

    def _renew(self) -> bool:
        """Open the credential anew where that can help; tell whether it did."""
        try:
            again = None if self._talk is None else self._talk.renew()
        except NemoJobsError:
            return False  # a file that is being replaced, a command that fails for once
        if again is not None:
            self._talk = again
        return again is not None

    def _look_back(self) -> None:
        """Read what the server has, and repeat what an older request has overwritten since.

        A PATCH whose answer never came may land later than its successors (measured); nobody can say when, so this
        is done once, at the end, for the keys of such requests alone. All was acknowledged: not to read is no error.
        """
        try:
            found = jobs.job_status(self._session({}, final=True), *self._target).get("status_details")
        except NemoJobsError:
            return
        has = found if isinstance(found, dict) else {}
        known = self._doubtful & self._state.keys()
        lost = {key: self._state[key] for key in known if key not in has or has[key] != self._state[key]}
        if lost:
            self._send(lost, final=True)


def _tries(error: NemoJobsError) -> int:
    return int(error.facts.get("attempts", 0))  # those of settings take none
