"""Say what becomes of the reports of a wrapped command: seldom, and never in its stdout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.core.outcome import Delivered
from nemo_jobs_cli.core.text import one_line
from nemo_jobs_cli.output import outbox_view, render

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nemo_jobs_cli.core.errors import NemoJobsError
    from nemo_jobs_cli.core.outcome import FlowResult
    from nemo_jobs_cli.run.status import ExitStatus
    from nemo_jobs_cli.settings.model import Screen

# Whose words these are, amid those of the command.
NAME = "nemo-jobs"


class View:
    """Prose on stderr. `later` keeps it until the command is over: a terminal in raw mode takes no lines of ours."""

    def __init__(self, screen: Screen, *, later: bool) -> None:
        self._screen = screen
        self._kept: list[str] | None = [] if later else None
        self._away = False

    def tell(self, text: str) -> None:
        """Say something about the reports."""
        if self._screen.quiet:
            return
        if self._kept is not None:
            self._kept.append(text)
        else:
            render.message(f"{NAME}: {text}")

    def hear(self, event: Delivered | NemoJobsError) -> None:
        """Say that reports do not get through, once, and that they do again."""
        if not isinstance(event, Delivered):
            self._away = True
            self.tell(f"{event.message}; {event.hint}")
        elif self._away:
            self._away = False
            self.tell("reports get through again")
        elif self._screen.verbose:
            self.tell(f"reported {render.format_fields(event.update.fields)}")

    def over(self, flow: FlowResult | None) -> None:
        """Say what was kept, and whether the end is known to the platform; no flow: another process reports."""
        kept, self._kept = self._kept or [], None
        for text in kept:
            self.tell(text)
        if flow is not None and flow.kept is not None:
            self.tell(outbox_view.sentence(flow.kept))
        if flow is not None and flow.error is not None:
            self.tell(f"not all of it was reported: {flow.error.message}")

    def report(self, path: str, job: str, ended: ExitStatus, last: Mapping[str, Any], flow: FlowResult | None) -> None:
        """Write the one JSON object that other commands print with `-o json`."""
        error = None if flow is None else flow.error
        document = {
            "schema": render.SCHEMA,
            "command": "run",
            "outcome": "dropped" if flow is None else flow.outcome,
            "exit_code": ended.exit_code,
            "job": job,
            "status_details": dict(last),
            "updates": flow.updates if flow is not None else 0,
            "requests": flow.requests if flow is not None else 0,
            "retries": flow.retries if flow is not None else 0,
            "errors": flow.errors if flow is not None else 0,
            "error": None if error is None else {"message": error.message, "hint": error.hint, **error.facts},
        }
        try:
            Path(path).write_text(json.dumps(document) + "\n", "utf-8")
        except (OSError, ValueError) as failed:
            why = failed.strerror if isinstance(failed, OSError) else str(failed)
            self.tell(f"the report can't be written to {one_line(path, 200)}: {why}")
