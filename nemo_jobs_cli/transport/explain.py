"""Turn a failed request into an error with a next step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from nemo_jobs_cli.core import times
from nemo_jobs_cli.core.errors import (
    AuthError,
    NemoJobsError,
    NotDeliveredError,
    NotFoundError,
    RejectedError,
    SettingsError,
    SupersededAttemptError,
)
from nemo_jobs_cli.core.text import one_line, plural
from nemo_jobs_cli.transport import classify
from nemo_jobs_cli.transport.messages import Failure

if TYPE_CHECKING:
    from nemo_jobs_cli.settings.model import Settings
    from nemo_jobs_cli.transport.messages import Response, SendResult


class Context(NamedTuple):
    """The request's settings and credential, as far as errors mention them.

    `user` describes the credential without its secret; `expires_in` is the number of seconds until a JWT's `exp`,
    negative after it, None without one. `permission` is what the request needs, `scopes` what the token is limited to.
    `attempt` is the id of the attempt that was updated, None for the current one.
    """

    settings: Settings
    user: str
    expires_in: float | None
    trace_id: str
    job: str | None = None
    permission: str = "jobs.update"
    scopes: tuple[str, ...] = ()
    is_access_key: bool = False
    attempt: str | None = None

    @property
    def host(self) -> str:
        """Return the base URL as a message shows it."""
        return one_line(self.settings.host.value, 200)


def explain(result: SendResult, context: Context) -> NemoJobsError:
    """Return the error for a request that did not succeed."""
    last = result.last
    if isinstance(last, Failure):
        error = explain_failure(last, context.settings, plural(result.attempts, "attempt"))
        if last.is_sent and context.permission == "jobs.update":
            error.hint += "; the update may still arrive"
    else:
        error = _explain_response(last, result, context)
    error.facts = {**_facts(result, context), **error.facts}
    return error


def explain_failure(failure: Failure, settings: Settings, attempts: str) -> NemoJobsError:
    """Return the error for a request without a response."""
    host, source = one_line(settings.host.value, 200), settings.host.source
    detail = one_line(failure.detail, 200)
    variable = "" if settings.proxy is None else settings.proxy.variable
    if failure.kind == "refused" and settings.host.is_default:
        return SettingsError(
            f"no host is set, and nothing listens on the default {host}",
            "set the platform's address: nemo-jobs init, --host URL, or NEMO_JOBS_HOST=URL; or try: nemo-jobs sandbox",
        )
    if failure.kind == "tls-settings":
        return SettingsError(detail, "correct the path or the file")
    if failure.kind == "proxy-settings":
        return SettingsError(
            detail,
            f"write it as {variable}=http://HOST:PORT, or exempt the host: NO_PROXY=HOST;"
            " for socks5:// install the package socksio",
        )
    if failure.kind == "tls":
        hints = ["trust its CA: --ca-file FILE", "use http:// if the host has no TLS"]
        if "wrong version number" in detail.lower().replace("_", " "):  # OpenSSL's error for a plain HTTP port
            hints.reverse()
        return SettingsError(f"cannot establish TLS with {host}: {detail}", "; or ".join(hints))
    server, check = (f"the proxy or {host}", f"check {variable}, ") if variable else (host, "check ")
    message, hint = {
        "dns": (f"cannot look up {server}: {detail}", f"{check}the host name ({source}) and the network"),
        "refused": (
            f"nothing listens on {server}: {detail}",
            f"{check}the host ({source}), and that the platform is running",
        ),
        "timeout": (
            f"no response from {server} in time: {detail}",
            f"{variable and f'{check}or '}wait longer: --deadline 60",
        ),
        "proxy": (
            f"the proxy refused the connection to {host}: {detail}",
            f"check {variable}, or set NO_PROXY=HOST",
        ),
        "protocol": (f"invalid HTTP response from {server}: {detail}", f"{check}the host ({source}) and its port"),
    }.get(
        failure.kind,
        (f"the connection to {server} failed: {detail}", f"{check}the network and the host ({source}), then try again"),
    )
    return NotDeliveredError(f"{message} ({attempts})", hint)


def _facts(result: SendResult, context: Context) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "host": context.settings.host.value,
        "workspace": context.settings.workspace.value,
        "attempts": result.attempts,
        "trace_id": context.trace_id,
    }
    if context.job is not None:
        facts["job"] = context.job
    if isinstance(result.last, Failure):
        facts["failure"] = result.last.kind
    else:
        facts |= {"status": result.last.status, "detail": classify.detail(result.last) or None}
    return facts


def _explain_response(response: Response, result: SendResult, context: Context) -> NemoJobsError:
    kind = classify.kind(response)
    if context.attempt is not None and classify.is_about_attempt(response, context.attempt):
        return SupersededAttemptError(
            f"{one_line(context.attempt, 80)} is no longer the current attempt of job {context.job!r}"
            f" ({_reason(response)})",
            "stop this process; to report on the current attempt nevertheless, unset NEMO_JOB_ATTEMPT_ID",
        )
    makers = {"unauthorized": _unauthorized, "forbidden": _forbidden, "rejected": _rejected}
    if kind in makers:
        return makers[kind](response, context)
    if kind in {"missing", "no-attempt", "conflict", "transient"}:
        return _job_error(kind, response, result, context)
    return _host_error(kind, response, context)


def _job_error(kind: str, response: Response, result: SendResult, context: Context) -> NemoJobsError:
    """Return the error if the platform cannot serve a request."""
    job = f"job {context.job!r}" if context.job is not None else ""
    subject, attempts = job or "the request", plural(result.attempts, "attempt")
    if kind == "missing":
        workspace = context.settings.workspace.value
        return NotFoundError(
            f"no {job and f'{job} in '}workspace {workspace!r} on {context.host} ({response.status})",
            f"list the jobs: nemo-jobs list -w {workspace}",
        )
    if kind == "no-attempt":
        return NotDeliveredError(
            f"{subject} has no attempt yet ({_reason(response)}, {plural(result.attempts, 'request')})",
            "wait for it to start: --deadline 5m; or keep the update: --outbox",
        )
    if kind == "conflict":
        return NotDeliveredError(
            f"conflict: other writers changed {subject} at each attempt (409, {attempts})",
            f"retry longer: --deadline {max(30, round(context.settings.deadline.value * 3))}",
        )
    return NotDeliveredError(
        f"{context.host} could not serve {subject} ({_reason(response)}, {attempts})",
        "try again later or with --deadline 60; search the server's logs for the trace id",
    )


def _host_error(kind: str, response: Response, context: Context) -> SettingsError:
    """Return the error if the host does not respond as the platform does."""
    host, source, api = context.host, context.settings.host.source, context.settings.api
    title = classify.page_title(response)
    page = f"{response.status}, a page titled {title!r}" if title else f"{response.status}"
    if kind == "redirect":
        target = one_line(response.headers.get("location", ""), 200)
        return SettingsError(
            f"{host} redirects to {target} ({response.status}); redirects are not followed",
            f"set the host ({source}) to the address of the API itself",
        )
    if kind == "no-route" and api.value != "auto" and context.permission == "jobs.update":
        return SettingsError(
            f"{host} does not take updates of {api.value} ({page})",
            f"set api to auto ({api.source}), so that the other route is tried; or check the host ({source})",
        )
    if kind == "no-route":
        return SettingsError(
            f"{host} has no jobs API ({page})",
            f"check the host ({source}) and its path prefix: curl {host}/apis/auth/discovery should print JSON",
        )
    return SettingsError(
        f"unexpected response from {host} ({page})",
        f"check the host ({source}): it must be the platform's base URL",
    )


def _unauthorized(response: Response, context: Context) -> NemoJobsError:
    credential = context.settings.credential
    if credential is None:
        return AuthError(
            f"authentication required by {context.host} ({_reason(response)}): no token was sent",
            "remove --anonymous"
            if context.settings.anonymous
            else "log in: nemo auth login; or set NEMO_JOBS_TOKEN or --token-file FILE",
        )
    return AuthError(
        f"{context.host} does not accept the {context.user}{_expiry(context)} ({_reason(response)})",
        "see whether the access key is suspended or revoked: nemo auth access-keys list"
        if context.is_access_key and (context.expires_in is None or context.expires_in > 0)
        else renewal_hint(credential.kind, credential.source),
    )


def _forbidden(response: Response, context: Context) -> NemoJobsError:
    workspace = context.settings.workspace
    message = f"permission denied in workspace {workspace.value!r} ({_reason(response)})"
    facts = {"permission": context.permission}
    action = "write" if context.permission == "jobs.update" else "read"
    if context.scopes and not {f"jobs:{action}", f"platform:{action}"} & {*context.scopes}:
        scopes = one_line(" ".join(context.scopes), 200)
        return AuthError(
            f"{message}: the {context.user} lacks the scope jobs:{action} (it has only {scopes})",
            "create an access key with it: nemo auth access-keys create --scope jobs"
            if context.is_access_key
            else f"get a token with the scope jobs:{action}, or one without scopes: nemo auth login",
            facts={**facts, "scope": f"jobs:{action}"},
        )
    user = "no token was sent" if context.settings.credential is None else f"not granted to the {context.user}"
    return AuthError(
        f"{message}: {user}",
        f"check the workspace's name ({workspace.source}), since an unknown one is forbidden too; "
        f"otherwise ask its owner for {needed_role(context.permission)}",
        facts=facts,
    )


def needed_role(permission: str) -> str:
    """Return a permission and the least role that grants it."""
    return f"the permission {permission} (role {'Editor' if permission == 'jobs.update' else 'Viewer'})"


def _rejected(response: Response, context: Context) -> NemoJobsError:
    hint = "correct the request; --dry-run shows it"
    if response.status == 409 and context.job is not None:  # noqa: PLR2004 - the state of the job does not allow it
        hint = f"see the state of the job: nemo-jobs show {context.job}"
    error = RejectedError(f"{context.host} rejected the request ({_reason(response)})", hint)
    error.problems = classify.problems(response)
    total = classify.problem_count(response)
    if total > len(error.problems):
        error.facts["problems_total"] = total
    return error


def _reason(response: Response) -> str:
    """Return the status, with the server's reason if it gives one."""
    return f"{response.status} {classify.detail(response) or classify.page_title(response)}".rstrip()


def _expiry(context: Context) -> str:
    if context.expires_in is None:
        return ""
    duration = times.format_duration(abs(context.expires_in))
    return f", which expired {duration} ago" if context.expires_in < 0 else f", valid for another {duration}"


def renewal_hint(kind: str, source: str) -> str:
    """Return the hint for a refused credential, by its kind and source."""
    if kind == "principal":
        return f"check {source}: the platform does not know this principal"
    if "context" in source or "ACCESS_TOKEN" in source:
        return "log in again: nemo auth login"
    if kind == "command":
        return f"correct the token_command of {source}: its token must be valid"
    place = source if kind == "token" else f"the file of {source}"
    return f"put a new token into {place} (nemo auth token prints one), or set token_command in the profile"
