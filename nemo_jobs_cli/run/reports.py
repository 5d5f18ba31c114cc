"""Report on a wrapped command: its life, its output, its channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.api.session import open_session
from nemo_jobs_cli.core.clock import SYSTEM_CLOCK
from nemo_jobs_cli.core.errors import NotDeliveredError, bug_error
from nemo_jobs_cli.core.files import os_reason
from nemo_jobs_cli.core.outcome import FlowResult
from nemo_jobs_cli.delivery import policy
from nemo_jobs_cli.fields import lines
from nemo_jobs_cli.reporting.coalesce import Coalescer
from nemo_jobs_cli.reporting.reporter import Reporter
from nemo_jobs_cli.run._listener import OutputListener
from nemo_jobs_cli.run.channel import Channel, ChannelTarget
from nemo_jobs_cli.run.status import StatusFields
from nemo_jobs_cli.settings import urls
from nemo_jobs_cli.settings.model import Sourced

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nemo_jobs_cli.core.errors import NemoJobsError
    from nemo_jobs_cli.core.signals import LateSignalHandler
    from nemo_jobs_cli.run.status import ExitStatus
    from nemo_jobs_cli.run.task import Task
    from nemo_jobs_cli.run.view import RunView
    from nemo_jobs_cli.settings.model import Settings

# How long matching may go on after the command has ended, in seconds: the last lines matter most, and the listener may
# still have to read megabytes, on a loaded machine.
MATCH_LIMIT = 10.0


class Reports:
    """The reports on a command: call `start`, `finish` and `close`.

    `on_output` and `on_signal` are for its process, `channel_path` is for its environment.
    """

    def __init__(self, task: Task, view: RunView, *, interval: float, heartbeat: float, prefix: str, tail: int) -> None:
        self._task = task
        self._view = view
        self._tail = tail
        self._lines = 0
        task.values.on_note = view.say
        self._status = StatusFields(task.settings.run_keys.value, prefix)
        is_stamped = task.settings.stamp is None or task.settings.stamp.value
        self._reporter = Reporter(
            task.target,
            Coalescer(interval),
            lambda: open_session(task.settings, SYSTEM_CLOCK.now(), renews=True, on_warning=view.say),
            on_event=view.on_event,
            make_stamp=self._status.stamp,
            reset=lambda details: self._status.reset(policy.with_stored(details, task.target, task.settings)),
            stamp=is_stamped,
            heartbeat=heartbeat or None if is_stamped else None,  # a single one would soon look old
        )
        self._listener = OutputListener(task.matcher, self._add, view.say)
        self._channel = self._open_channel()
        self.on_output = self._listener.feed if task.matcher is not None or tail else None
        self.channel_path = "" if self._channel is None else str(self._channel.path)

    def start(self) -> NemoJobsError | None:
        """Report that the command runs; return an error if a thread cannot start."""
        try:
            if not self._task.is_silent:
                self._reporter.add(self._status.running())
                self._reporter.start()
            self._listener.start()
            if self._channel is not None:
                self._channel.start()
        except Exception as error:  # noqa: BLE001 - the command goes on without reports
            return bug_error(error)
        return None

    def on_signal(self, number: int) -> None:
        """Report a signal that has reached the command."""
        self._reporter.add(self._status.received(number))

    def finish(self, status: ExitStatus, late: LateSignalHandler, report: str | None) -> None:
        """Report the end of the command; print problems, and write `report`.

        A second Ctrl-C interrupts the last update.
        """
        task, flow = self._task, None
        unmatched: list[str] = []
        self._status.end(status)
        try:
            late.enable()
            self._listener.finish(MATCH_LIMIT)
            if self._channel is not None:
                self._channel.finish()
            if not task.is_silent:
                flow = self._reporter.finish(self._ended(), task.settings.deadline.value, self._view.on_wait)
            late.disable()
        except KeyboardInterrupt:
            if not task.is_silent:
                self._reporter.add(self._ended())  # `finish` may not have added them yet
                message = "interrupted before the end of the command was reported"
                flow = self._reporter.flow._replace(error=NotDeliveredError(message, "wait longer: --deadline 60"))
        task.values.finish()
        if flow is not None:
            flow = policy.settle(flow, self._reporter.unacknowledged, self._outbox_settings())
            if task.matcher is not None and not status.start_error:
                unmatched = task.matcher.unmatched
        self._view.finish(flow, unmatched)
        if report is not None:
            result = FlowResult(error=task.error) if task.error else flow
            facts = {"status_details": self._reporter.reported | self._ended(), "unmatched": unmatched}
            self._view.write_report(report, task.target.job, status, result, **facts)

    def close(self) -> None:
        """Remove the channel."""
        if self._channel is not None:
            self._channel.remove()

    def _ended(self) -> dict[str, Any]:
        return self._status.ended(self._listener.tail(self._tail))

    def _add(self, own: Mapping[str, Any], updates: int = 1) -> None:
        """Add what the command reports itself."""
        self._task.values.check_keys(own)
        self._status.note(own)
        self._reporter.add(self._status.add_prefix(own), updates)

    def _open_channel(self) -> Channel | None:
        """Open the channel; return None if it cannot be created."""
        try:
            # Without settings the target is empty, so that a nested update is sent directly.
            host = urls.normalize(self._task.settings.host.value)
            return Channel(ChannelTarget(host, *self._task.target), self._read_lines)
        except OSError as error:
            self._view.say(f"cannot create NEMO_JOBS_CHANNEL: {os_reason(error)}")
            return None

    def _read_lines(self, data: bytes) -> None:
        """Add the updates in lines of the channel."""
        text = data.decode("utf-8", "replace")
        batch = lines.merge(text, self._lines + 1, "channel", self._task.values, self._view.on_bad_line)
        self._lines += batch.lines
        if batch.updates:
            self._add(batch.fields, batch.updates)

    def _outbox_settings(self) -> Settings:
        """Return the settings of `run` with the outbox of a nested update."""
        settings = self._task.settings
        outbox_dir = None if self._channel is None else self._channel.outbox_dir
        if outbox_dir is None or settings.outbox.value:
            return settings
        source = "update --outbox"
        return settings._replace(outbox=Sourced(True, source), outbox_dir=Sourced(outbox_dir, source))
