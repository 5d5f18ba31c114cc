"""Describe what the platform says of a job; whatever is missing, new or odd in it is tolerated."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, PrivateAttr

from nemo_jobs_cli.api import states
from nemo_jobs_cli.core import known_keys, times
from nemo_jobs_cli.core.text import is_number


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _objects(value: Any) -> list[dict[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


Text = Annotated[str, BeforeValidator(_text)]
Object = Annotated[dict[str, Any], BeforeValidator(_object)]


class Part(BaseModel):
    """What jobs, steps and tasks have in common. `status` is the platform's; a writer's is in `details`."""

    model_config = ConfigDict(extra="allow", frozen=True)

    id: Text = ""
    name: Text = ""
    status: Text = ""
    status_details: Object = {}
    error_details: Any = None
    created_at: Text = ""
    updated_at: Text = ""


class Task(Part):
    """One process of a step."""

    error_stack: Text = ""


class Step(Part):
    """One stage of a job."""

    tasks: Annotated[tuple[Task, ...], BeforeValidator(_objects)] = ()


class Job(Part):
    """A job as `GET .../status` or an entry of the job list has it."""

    steps: Annotated[tuple[Step, ...], BeforeValidator(_objects)] = ()
    _answer: dict[str, Any] = PrivateAttr(default_factory=dict)

    @property
    def answer(self) -> dict[str, Any]:
        """Return the server's object exactly as it came."""
        return self._answer

    @property
    def is_terminal(self) -> bool:
        """Tell whether the job has ended; an unknown status counts as running."""
        return self.status in states.TERMINAL

    @property
    def progress(self) -> float | int | None:
        """Return the reported progress in percent; None without one, or where it isn't a number."""
        value = self.status_details.get(known_keys.PROGRESS)
        return value if is_number(value) else None

    @property
    def message(self) -> str:
        """Return the reported message; "" without one."""
        value = self.status_details.get("message")
        return value if isinstance(value, str) else ""

    @property
    def last_report(self) -> float | None:
        """Return when the writer says it last reported, in seconds since 1970; None when it does not say.

        The platform's own `updated_at` never changes, not even with the status (measured).
        """
        return times.parse_timestamp(self.status_details.get(known_keys.STAMP))

    @property
    def reason(self) -> str:
        """Return the platform's words on why the job failed, its own or a step's; "" without any."""
        for found in (self.error_details, *(step.error_details for step in self.steps)):
            details = found if isinstance(found, dict) else {"message": found}
            texts = [value for value in (details.get("message"), *details.values()) if value]
            if texts and isinstance(texts[0], str):
                return texts[0]
        return ""


def read(answer: dict[str, Any], name: str = "") -> Job:
    """Return the server's JSON object as a Job; `name` stands in where the answer has none."""
    job = Job.model_validate({**answer, "name": answer.get("name") or name})
    job._answer = answer  # noqa: SLF001 - the model's own module
    return job
