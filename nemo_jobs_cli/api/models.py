"""Jobs as the platform describes them, validated."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from nemo_jobs_cli.api import jobs
from nemo_jobs_cli.core import known_keys, schema, times
from nemo_jobs_cli.core.errors import NotFoundError, SettingsError
from nemo_jobs_cli.core.text import close_matches, did_you_mean, is_number, one_line
from nemo_jobs_cli.fields import condition

# The seconds without a report after which a running job counts as silent: five heartbeats of `run`.
SILENT_AFTER = 150.0

_NO_REPORTS = jobs.TERMINAL_STATES | {"paused"}


@dataclass(frozen=True, slots=True)
class JobPart:
    """The fields that jobs, steps and tasks have in common.

    `state` is the platform's own status; the reported one is in `details`, without keys that are null: nothing can be
    deleted from the details, only set to null.
    """

    id: str = ""
    name: str = ""
    state: str = field(default="", metadata={"key": "status"})
    details: dict[str, Any] = field(default_factory=dict, metadata={"key": "status_details"})
    error_details: dict[str, Any] | str | None = None
    created_at: str = ""


@dataclass(frozen=True, slots=True)
class Task(JobPart):
    """One process of a step."""

    error_stack: str = ""


@dataclass(frozen=True, slots=True)
class Step(JobPart):
    """One stage of a job."""

    tasks: tuple[Task, ...] = ()


@dataclass(frozen=True, slots=True)
class Job(JobPart):
    """A job: the body of `GET .../status`, or an entry of the list of jobs.

    `raw` is the JSON object that the platform sent, `read_at` the time of day, if known.
    """

    steps: tuple[Step, ...] = ()
    raw: dict[str, Any] = field(default_factory=dict, metadata={"key": None})
    read_at: float | None = field(default=None, metadata={"key": None})

    @property
    def is_terminal(self) -> bool:
        """Return whether the job has ended."""
        return self.state in jobs.TERMINAL_STATES

    @property
    def progress(self) -> float | int | None:
        """Return the reported progress in percent, None if it is no number."""
        value = self.details.get(known_keys.PROGRESS)
        return value if is_number(value) else None

    def text(self, key: str) -> str:
        """Return a reported text, such as `message`, or ""."""
        value = self.details.get(key)
        return value if isinstance(value, str) else ""

    @property
    def last_report(self) -> float | None:
        """Return the reported time of the last update, or None.

        It is in seconds since 1970. The platform's own `updated_at` does not change with updates, nor with the state
        (NeMo Platform 0.6.0).
        """
        return times.parse_timestamp(self.details.get(known_keys.STAMP))

    @property
    def values(self) -> dict[str, Any]:
        """Return the details, `state` and, until the end, `age` for a condition."""
        values = {key: value for key, value in self.details.items() if key != condition.AGE}
        values[condition.STATE] = self.state
        if self.read_at is not None and self.last_report is not None and not self.is_terminal:
            values[condition.AGE] = round(max(0.0, self.read_at - self.last_report), 1)
        return values

    def is_silent(self, now: float) -> bool:
        """Return whether `lastUpdated` is older than a few heartbeats."""
        report = self.last_report
        return report is not None and now - report > SILENT_AFTER and self.state not in _NO_REPORTS

    @property
    def reason(self) -> str:
        """Return why the job or one of its steps failed, or ""."""
        for error in (self.error_details, *(step.error_details for step in self.steps)):
            details = error if isinstance(error, dict) else {"message": error}
            texts = [value for value in (details.get("message"), *details.values()) if value]
            if texts and isinstance(texts[0], str):
                return texts[0]
        return ""

    def field(self, key: str, default: str | None = None) -> Any:
        """Return a reported value, or the default; raise NotFoundError.

        Raise NotFoundError with similar keys if there is neither.
        """
        value = condition.lookup(self.details, key)
        if value is not condition.MISSING and value is not None:
            return value
        if default is not None:
            return default
        similar = close_matches(key, self.details, 3) or [known_keys.correct_key(key)]
        similar = [name for name in similar if name not in {"", key}]
        name = one_line(self.name, 80)
        raise NotFoundError(
            f"job {name} has not reported {one_line(key, 80)!r}",
            f"{did_you_mean(similar)} list the fields: nemo-jobs show {name}; or pass --default VALUE".lstrip(),
            facts={"job": self.name, "field": key, "close": similar},
        )


def parse_job(raw: dict[str, Any], name: str = "", *, now: float | None = None) -> Job:
    """Validate a JSON object of the platform; `name` is used if it has none.

    `now` is the time of day, which gives the job an `age`. Raise SettingsError if a field has another type than the
    API gives it.
    """
    try:
        job = schema.parse(Job, {**raw, "name": raw.get("name") or name})
    except ValueError as error:
        path, reason = error.args
        raise SettingsError(
            f"cannot read job {one_line(name or str(raw.get('name')), 80)!r}: {one_line(path, 100)}: "
            f"{one_line(reason, 200)}",
            "check that the host is NeMo Platform: nemo-jobs doctor",
        ) from None
    return replace(job, raw=raw, read_at=now)
