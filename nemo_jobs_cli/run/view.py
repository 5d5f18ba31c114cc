"""Show the state of a wrapped command's reports on stderr, rarely."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.core.files import os_reason, write_file
from nemo_jobs_cli.core.outcome import FlowResult
from nemo_jobs_cli.core.text import one_line
from nemo_jobs_cli.output import outbox_view, render
from nemo_jobs_cli.reporting import match
from nemo_jobs_cli.reporting.view import FlowView

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nemo_jobs_cli.core.errors import NemoJobsError
    from nemo_jobs_cli.core.outcome import Delivered
    from nemo_jobs_cli.run.status import ExitStatus
    from nemo_jobs_cli.settings.model import Screen

# Messages about bad channel lines appear between the lines of the command, so their number is limited.
MAX_BAD_LINES = 20


class RunView(FlowView):
    """Messages on stderr, marked among the lines of the command.

    `hold` keeps them until the command's end.
    """

    prefix, warning, last = "nemo-jobs: ", "", "last report"

    def __init__(self, screen: Screen, *, hold: bool = False) -> None:
        super().__init__(screen)
        self._held: list[str] | None = [] if hold else None
        self._is_outage = False
        self._last_error = ""
        self._bad_lines = 0

    def say(self, text: str) -> None:
        """Print a line, or keep it for later."""
        if self._held is not None and not self._screen.quiet:
            self._held.append(text)
        else:
            super().say(text)

    def on_bad_line(self, error: NemoJobsError) -> None:
        """Report a line of the channel that is skipped."""
        self._bad_lines += 1
        if self._bad_lines <= MAX_BAD_LINES:
            self.say(f"skipped {error.message}; {error.hint}")
        elif self._bad_lines == MAX_BAD_LINES + 1:
            self.say("further bad lines of the channel are skipped without a message")

    def on_delivered(self, delivered: Delivered) -> None:
        """Report the end of an outage."""
        if self._is_outage:
            self._is_outage = False
            self.say("reports are delivered again")
        elif self._screen.verbose:
            self.say(f"reported {render.format_fields(delivered.update.fields)}")

    def on_error(self, error: NemoJobsError) -> None:
        """Report a failure."""
        self._is_outage = True
        self._last_error = error.message
        super().on_error(error)

    def finish(self, flow: FlowResult | None, unmatched: Sequence[str] = ()) -> None:
        """Print held messages, stored updates and missing reports.

        Without a flow, another process reports.
        """
        held, self._held = self._held or [], None
        for text in held:
            self.say(text)
        if unmatched:
            self.say(match.never_matched(unmatched))
        if flow is not None and flow.kept is not None:
            self.say(outbox_view.sentence(flow.kept))
        if flow is not None and flow.error is not None:
            is_known = flow.error.message == self._last_error
            self.say("not everything was reported" + ("" if is_known else f": {flow.error.message}"))

    def write_report(self, path: str, job: str, status: ExitStatus, flow: FlowResult | None, **facts: Any) -> None:
        """Write the JSON object of `-o json`, with `facts`."""
        outcome = "dropped" if flow is None else flow.outcome
        flow = flow or FlowResult()
        document = {
            "schema": render.SCHEMA,
            "command": "run",
            "outcome": outcome,
            "exit_code": status.exit_code,
            "job": job,
            **facts,
            **flow.counts,
            "error": flow.error and flow.error.as_dict(),
        }
        try:
            write_file(path, json.dumps(document).encode() + b"\n")
        except (OSError, ValueError) as failure:
            self.say(f"cannot write the report to {one_line(path, 200)}: {os_reason(failure)}")
