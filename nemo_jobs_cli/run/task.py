"""Prepare a run: its settings, and the environment of its command."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from nemo_jobs_cli.core import names
from nemo_jobs_cli.core.errors import NemoJobsError, UsageError, bug_error
from nemo_jobs_cli.core.outcome import Target
from nemo_jobs_cli.fields.flow import FlowValues
from nemo_jobs_cli.reporting.match import Matcher
from nemo_jobs_cli.settings import resolve, wrapped
from nemo_jobs_cli.settings.model import FLOW_DEADLINE, Flags, Settings

if TYPE_CHECKING:
    from collections.abc import Sequence


class Task(NamedTuple):
    """A command to run and the job to report to.

    `is_silent`: nothing is reported. `error` is what is wrong with the settings, which are then the defaults.
    """

    command: tuple[str, ...]
    flags: Flags
    values: FlowValues
    settings: Settings = Settings()
    target: Target = Target("", "")
    is_silent: bool = False
    error: NemoJobsError | None = None
    matcher: Matcher | None = None

    def environment(self, channel: str, *, terminal: bool) -> dict[str, str]:
        """Return the environment of the command, with its channel or ""."""
        if self.error is None:
            environ = wrapped.environment(self.settings, self.flags, self.target)
        else:
            environ = resolve.environment()
        environ.pop("NEMO_JOBS_CHANNEL", None)  # of a surrounding run
        if self.matcher is not None and not terminal:
            environ.setdefault("PYTHONUNBUFFERED", "1")  # else Python keeps kilobytes of output before we see any
        return environ | ({"NEMO_JOBS_CHANNEL": channel} if channel else {})


def load(command: tuple[str, ...], job: str | None, patterns: Sequence[str], flags: Flags) -> Task:
    """Return the task, without reports if anything but the flags is wrong.

    Raise NemoJobsError for a mistake in `job`, `patterns` or `flags`.
    """
    if job is not None:
        names.check_job(job, "JOB")
    task = _load_settings(Task(command, flags, FlowValues()), job)
    task = task._replace(values=FlowValues(task.settings.numbers.value))
    try:
        return task._replace(matcher=Matcher(patterns, task.values) if patterns else None)
    except ImportError as error:
        return task._replace(is_silent=True, error=task.error or bug_error(error))


def _load_settings(task: Task, job: str | None) -> Task:
    settings = None
    try:
        settings = resolve.load_settings(task.flags, deadline=FLOW_DEADLINE)
        target = resolve.require_target(job, settings, "nemo-jobs run JOB -- COMMAND")
        if settings.credential is not None and settings.credential.kind == "file":
            refuse_stdin(settings.credential.secret, settings.credential.source)
    except Exception as error:  # a bug or a missing library does not stop the command either
        if job is None and settings is not None and settings.job is None:
            raise
        wrapped.check_flags(task.flags)
        return task._replace(is_silent=True, error=error if isinstance(error, NemoJobsError) else bug_error(error))
    return task._replace(settings=settings, target=target)


def refuse_stdin(token_file: str | None, source: str) -> None:
    """Raise UsageError for a token on stdin, which is the command's."""
    if token_file == "-":  # noqa: S105 - stdin
        raise UsageError(f"cannot read the token from stdin ({source}): it belongs to the command", "name a file")
