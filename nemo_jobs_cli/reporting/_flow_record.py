"""Record the outcomes of the updates of a flow, and emit events."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.core.errors import bug_error
from nemo_jobs_cli.core.outcome import Delivered, FlowResult, Slowed

if TYPE_CHECKING:
    from collections.abc import Callable

    from nemo_jobs_cli.core.errors import BugError, NemoJobsError, RejectedError

    FlowEvent = Delivered | NemoJobsError | Slowed


class FlowRecord:
    """The counts of a flow, its current outage, and its last rejection.

    `on_event` gets each delivery, the first error of each outage, and each pause that the server's load sets.
    """

    def __init__(self, on_event: Callable[[FlowEvent], None]) -> None:
        self.flow = FlowResult()
        self.outage: NemoJobsError | None = None
        self.rejection: RejectedError | None = None
        self._on_event = on_event
        self._bug: BugError | None = None
        self._lock = threading.Lock()  # updates are counted on other threads

    def count_updates(self, count: int) -> None:
        """Count updates that were added."""
        with self._lock:
            self.flow = self.flow._replace(updates=self.flow.updates + count)

    def count_attempts(self, attempts: int) -> None:
        """Count the requests for an update; all but the first are retries."""
        retries = self.flow.retries + max(0, attempts - 1)
        self._change(requests=self.flow.requests + attempts, retries=retries)

    def on_delivered(self, delivered: Delivered) -> None:
        """Record and emit a delivery, which ends an outage."""
        self.count_attempts(delivered.attempts)
        self.outage = None
        self._change(error=self.rejection)
        self._emit(delivered)

    def on_slowed(self, pause: float) -> None:
        """Record and emit a pause that the server's load sets."""
        self._change(slowed=self.flow.slowed + 1)
        self._emit(Slowed(pause))

    def on_rejection(self, error: RejectedError) -> None:
        """Record and emit a rejection, which outlives later deliveries."""
        self.rejection = error
        self.on_error(error, always=True)

    def on_error(self, error: NemoJobsError, *, always: bool = False) -> None:
        """Record an error, and emit it unless it only continues an outage."""
        self.count_attempts(int(error.facts.get("attempts", 0)))  # an error of the settings has none
        is_known = type(self.outage) is type(error)
        self.outage = error
        self._change(error=error, errors=self.flow.errors + 1)
        if always or not is_known:
            self._emit(error)

    def on_bug(self, error: Exception) -> None:
        """Record a bug, which becomes the error of the flow at its end."""
        self._bug = bug_error(error)

    def finish(self) -> None:
        """End the record: a bug is then the error of the flow."""
        if self._bug is not None:
            self._change(error=self._bug)

    def _emit(self, event: FlowEvent) -> None:
        try:
            self._on_event(event)
        except OSError:
            pass  # a closed output
        except Exception as error:  # noqa: BLE001 - updates go on without the message; the end reports it
            self.on_bug(error)

    def _change(self, **changes: Any) -> None:
        with self._lock:
            self.flow = self.flow._replace(**changes)
