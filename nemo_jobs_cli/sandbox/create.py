"""Check and make the jobs that are POSTed to the sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.core import identifiers
from nemo_jobs_cli.sandbox import state as sandbox_state
from nemo_jobs_cli.sandbox import wire as answers

if TYPE_CHECKING:
    from nemo_jobs_cli.sandbox.state import State
    from nemo_jobs_cli.sandbox.wire import Reply


def create(state: State, workspace: str, said: Any) -> Reply:
    """Answer a POST of a job: 201 with the record, or the refusal."""
    if said is None:
        return answers.invalid(answers.problem("missing", ("body",), "Field required", None))
    if not isinstance(said, dict):
        says = "Input should be a valid dictionary or object to extract fields from"
        return answers.invalid(answers.problem("model_attributes_type", ("body",), says, said))
    missing = [
        answers.problem("missing", ("body", key), "Field required", said)
        for key in ("spec", "platform_spec", "source")
        if key not in said
    ]
    if missing:
        return answers.invalid(*missing)
    if problem := _wrong_steps(said["platform_spec"]):
        return answers.invalid(problem)
    if not sandbox_state.has_workspace(state, workspace):
        return answers.detail(422, f"Workspace '{workspace}' does not exist. Please create the workspace first.")
    name = said.get("name") or f"job-{sandbox_state.new_id(state)[:8].lower()}"
    if not isinstance(name, str) or not identifiers.is_name(name):
        said_ = (
            "Unable to create job because the request conflicts with existing platform state."
            " Review the job name and referenced resources, then try again."
        )
        return answers.detail(409, said_, answers.NO_RETRY)
    if (workspace, name) in state.jobs:
        said_ = (
            f"Job '{name}' already exists in workspace '{workspace}'. Choose a different job name or"
            " delete the existing job before creating a new one."
        )
        return answers.detail(409, said_, answers.NO_RETRY)
    return answers.ok(sandbox_state.add(state, workspace, name, said).record, 201)


def _wrong_steps(spec: Any) -> dict[str, Any] | None:
    """Return the problem of a job's steps, None when they will do (the server checks more)."""
    steps = spec.get("steps") if isinstance(spec, dict) else None
    if isinstance(steps, list) and all(isinstance(step, dict) and isinstance(step.get("name"), str) for step in steps):
        if steps:
            return None
        says = "Value error, At least one step is required in the job specification."
        return answers.problem("value_error", ("body", "platform_spec"), says, spec, error={})
    return answers.problem("missing", ("body", "platform_spec", "steps"), "Field required", spec)
