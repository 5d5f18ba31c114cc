"""Route requests of the sandbox, and respond as NeMo Platform 0.6.0."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.core import identifiers
from nemo_jobs_cli.sandbox import _attempts, _listing, _logs, _wire
from nemo_jobs_cli.sandbox._wire import RefusedError, Response

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nemo_jobs_cli.sandbox._database import Attempt, Database, Job
    from nemo_jobs_cli.sandbox._wire import Request

VERSION = "0.6.0"  # of the imitated platform
TOKEN = "sandbox"  # noqa: S105 - what --auth expects, not a secret

_JOBS = r"/apis/jobs/v2/workspaces/(?P<workspace>[^/]+)/jobs"
_JOB = _JOBS + r"/(?P<name>[^/]+)"
_ATTEMPT = _JOB + r"/attempts/(?P<attempt>[^/]+)"
_UPLOAD = r"/apis/files/v2/workspaces/(?P<workspace>[^/]+)/filesets/(?P<fileset>[^/]+)/otlp/v1/logs"
_DISCOVERY = "/apis/auth/discovery"
_CLUSTER = "/cluster-info"
_PUBLIC = frozenset({_DISCOVERY, _CLUSTER})


@dataclass(frozen=True, slots=True)
class App:
    """The platform's routes over a database.

    `has_attempts`: updates go to an attempt, not to the job. `on_update` is called between an update's read and its
    write.
    """

    database: Database
    auth: bool = False
    has_attempts: bool = False
    on_update: Callable[[], None] | None = None

    def respond(self, request: Request) -> Response:
        """Return the response to a request."""
        try:
            return self._respond(request)
        except RefusedError as error:
            return error.response

    def _respond(self, request: Request) -> Response:
        if self.auth and request.path not in _PUBLIC:
            _authenticate(request.headers)
        routes = self._routes()
        for pattern, handlers in routes.items():
            match = re.fullmatch(pattern, request.path)
            if match:
                if request.method not in handlers:
                    raise RefusedError(405, "Method Not Allowed", ("allow", [*handlers][-1]))
                value = handlers[request.method](request, **match.groupdict())
                is_new = request.method == "POST" and pattern == _JOBS
                return Response(201 if is_new else 200, _wire.encode(value))
        bare = request.path.rstrip("/")
        if bare != request.path and any(re.fullmatch(pattern, bare) for pattern in routes):
            path, mark, query = request.target.partition("?")
            url = f"http://{request.headers.get('host', '')}{path.rstrip('/')}{mark}{query}"
            return Response(307, headers=(("location", url),))
        # With authentication the platform forbids unknown routes.
        raise RefusedError(403, "Forbidden") if self.auth else RefusedError(404, "Not Found")

    def _routes(self) -> dict[str, dict[str, Callable[..., Any]]]:
        """Return the handlers by path and method.

        A 405 allows the last method of its path.
        """
        return {
            **(self._attempt_routes() if self.has_attempts else {_JOB + "/status-details": {"PATCH": self._update}}),
            _JOB + "/logs": {"GET": self._page_logs},
            _UPLOAD: {"POST": self._upload_logs},
            _JOB + "/status": {"GET": lambda _, workspace, name: self._job(workspace, name).status()},
            _JOB: {"GET": lambda _, workspace, name: self._job(workspace, name).record},
            _JOBS: {
                "GET": lambda request, workspace: _listing.jobs(self.database, workspace, request.query),
                "POST": self._create,
            },
            "/apis/entities/v2/workspaces": {"GET": lambda request: _listing.workspaces(self.database, request.query)},
            _DISCOVERY: {"GET": lambda _: {"auth_enabled": self.auth, "oidc": None}},
            _CLUSTER: {"GET": lambda _: {"platform_version": VERSION, "revision": "nemo-jobs-sandbox"}},
            "/openapi.json": {"GET": self._openapi},
        }

    def _attempt_routes(self) -> dict[str, dict[str, Callable[..., Any]]]:
        def find(workspace: str, name: str, attempt: str) -> Attempt:
            return _attempts.find(self._job(workspace, name), attempt)

        return {
            _ATTEMPT + "/status-details": {"PATCH": self._update_attempt},
            _ATTEMPT: {"GET": lambda _, **names: find(**names).record},
            _JOB + "/attempts": {
                "GET": lambda request, workspace, name: _listing.attempts(self._job(workspace, name), request.query)
            },
            _JOB + "/rerun": {"POST": self._rerun},
        }

    def _update(self, request: Request, workspace: str, name: str) -> None:
        details = _wire.parse_details(request)
        job = self.database.find(workspace, name)
        if job is None or job.current is None:
            raise RefusedError(404, f"Entity '{name}' not found in workspace '{workspace}'")
        self._merge(job.current, details)

    def _update_attempt(self, request: Request, workspace: str, name: str, attempt: str) -> None:
        details = _wire.parse_details(request)
        job = self._job(workspace, name)
        target = _attempts.find(job, attempt)
        _attempts.check(job, target, request.query)
        self._merge(target, details)

    def _merge(self, attempt: Attempt, details: Mapping[str, Any]) -> None:
        version = attempt.version
        if self.on_update is not None:
            self.on_update()
        attempt.merge(details, version)

    def _rerun(self, _: Request, workspace: str, name: str) -> dict[str, Any]:
        job = self._job(workspace, name)
        self.database.begin_attempt(job)
        return job.record

    def _job(self, workspace: str, name: str) -> Job:
        job = self.database.find(workspace, name)
        if job is None:
            raise RefusedError(404, f"Job '{name}' not found in workspace '{workspace}'.")
        return job

    def _page_logs(self, request: Request, workspace: str, name: str) -> dict[str, Any]:
        _logs.check_query(request.query)
        job = self._job(workspace, name)
        return _logs.page(job.log, name, str(job.record["attempt_id"]), request.query)

    def _upload_logs(self, request: Request, workspace: str, **_: str) -> dict[str, Any]:
        """Add lines to logs, as the platform's controller does for a running job."""
        try:
            lines = [*_logs.parse_upload(_wire.parse_body(request))]
        except (KeyError, TypeError, ValueError, OverflowError):
            raise RefusedError(400, "Invalid JSON format") from None
        for name, timestamp, source, message in lines:
            _logs.append(self._job(workspace, name).log, timestamp, source, message)
        return {"partialSuccess": None}

    def _create(self, request: Request, workspace: str) -> dict[str, Any]:
        body = _wire.parse_body(request)
        _check_job(body)
        if not self.database.has_workspace(workspace):
            raise RefusedError(422, f"Workspace '{workspace}' does not exist. Please create the workspace first.")
        name = body.get("name") or f"job-{self.database.new_id()[:8].lower()}"
        if not isinstance(name, str) or not identifiers.is_name(name):
            message = (
                "Unable to create job because the request conflicts with existing platform state."
                " Review the job name and referenced resources, then try again."
            )
            raise RefusedError(409, message, _wire.NO_RETRY)
        if (workspace, name) in self.database.jobs:
            message = (
                f"Job '{name}' already exists in workspace '{workspace}'. Choose a different job name or"
                " delete the existing job before creating a new one."
            )
            raise RefusedError(409, message, _wire.NO_RETRY)
        return self.database.add(workspace, name, body).record

    def _openapi(self, _: Request) -> dict[str, Any]:
        paths: dict[str, dict[str, Any]] = {
            re.sub(r"\(\?P<(\w+)>[^)]*\)", r"{\1}", pattern): {method.lower(): {} for method in handlers}
            for pattern, handlers in self._routes().items()
        }
        info = {"title": "nemo-jobs sandbox", "version": VERSION}
        return {"openapi": "3.1.0", "info": info, "paths": paths}


def _authenticate(headers: Mapping[str, str]) -> None:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        if token.strip() != TOKEN:
            raise RefusedError(401, "Invalid or expired token")
    elif headers.get("x-nmp-principal-id"):
        raise RefusedError(403, "Forbidden")  # the sandbox knows no principals
    else:
        raise RefusedError(401, "Unauthorized")


def _check_job(body: Any) -> None:
    """Raise RefusedError if the body of a POST is not a job."""
    if body is None:
        raise _wire.missing_body()
    if not isinstance(body, dict):
        message = "Input should be a valid dictionary or object to extract fields from"
        raise _wire.invalid(_wire.problem("model_attributes_type", ("body",), message, body))
    missing = [key for key in ("spec", "platform_spec", "source") if key not in body]
    if missing:
        raise _wire.invalid(*(_wire.problem("missing", ("body", key), "Field required", body) for key in missing))
    spec = body["platform_spec"]
    steps = spec.get("steps") if isinstance(spec, dict) else None
    if not isinstance(steps, list) or not all(
        isinstance(step, dict) and isinstance(step.get("name"), str) for step in steps
    ):
        raise _wire.invalid(_wire.problem("missing", ("body", "platform_spec", "steps"), "Field required", spec))
    if not steps:
        message = "Value error, At least one step is required in the job specification."
        raise _wire.invalid(_wire.problem("value_error", ("body", "platform_spec"), message, spec, error={}))
