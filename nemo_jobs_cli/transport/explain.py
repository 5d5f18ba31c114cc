"""Turn what the server said into an error that people can act on."""

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
)
from nemo_jobs_cli.core.text import one_line, plural
from nemo_jobs_cli.transport import classify
from nemo_jobs_cli.transport.messages import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from nemo_jobs_cli.settings.model import Settings, Sourced
    from nemo_jobs_cli.transport.messages import Response, SendResult


# How many complaints are told in text: what is wrong a thousand times is wrong in one way.
MAX_SHOWN = 10


class Context(NamedTuple):
    """What was asked, by whom: the facts that an error repeats.

    `user` describes the credential without its secret; `expires_in` is the seconds until a JWT's `exp`,
    negative when it has passed, None when there is none.
    """

    settings: Settings
    user: str
    expires_in: float | None
    trace_id: str
    job: str | None = None

    @property
    def host(self) -> str:
        """Return the base URL as a message shows it."""
        return one_line(self.settings.host.value, 200)


def explain(result: SendResult, context: Context) -> NemoJobsError:
    """Return the error for an exchange that did not end in success."""
    last = result.last
    if isinstance(last, Failure):
        settings = context.settings
        error = explain_failure(last, settings.host, plural(result.attempts, "attempt"), proxied=settings.proxies)
    else:
        error = _of_answer(last, result, context)
    error.facts = {**_facts(result, context), **error.facts}
    return error


def explain_failure(failure: Failure, base: Sourced[str], attempts: str, *, proxied: bool = False) -> NemoJobsError:
    """Return the error for a request to `base` without an HTTP answer; `attempts` says how many."""
    host, source = one_line(base.value, 200), base.source
    detail = one_line(failure.detail, 200)
    if failure.kind == "refused" and base.is_default:
        return SettingsError(
            f"no host is set, and nothing listens on the default {host}",
            "set the platform's address: nemo-jobs init, --host URL, or NEMO_JOBS_HOST=URL; or try: nemo-jobs sandbox",
        )
    if failure.kind == "tls":
        plain = "WRONG_VERSION_NUMBER" in detail or "wrong version number" in detail  # no TLS at all, says OpenSSL
        ca_file = "give the CA that signed it: --ca-file FILE"
        return SettingsError(
            f"the TLS certificate or handshake of {host} can't be trusted: {detail}",
            f"is the host plain http://? else {ca_file}" if plain else f"{ca_file}; or is the host plain http://?",
        )
    if failure.kind == "proxy-settings":
        return SettingsError(
            f"the proxy variables (HTTPS_PROXY, ALL_PROXY, ...) or the CA file can't be used ({detail})",
            "correct them, or exempt the host: NO_PROXY=HOST",
        )
    said, hint = {
        "dns": (
            f"the name of {'the proxy, or of ' if proxied else ''}{host} can't be looked up: {detail}",
            f"check {'HTTPS_PROXY, ' if proxied else ''}the host's name ({source}) and the network",
        ),
        "refused": (
            f"nothing listens on {'the proxy, or on ' if proxied else ''}{host}: {detail}",
            f"is the platform running? check {'HTTPS_PROXY, and ' if proxied else ''}the host ({source})",
        ),
        "timeout": (
            f"no answer from {host} in time: {detail}",
            "wait longer: --deadline 60; an update that was sent may still land",
        ),
        "proxy": (
            f"the proxy does not let us through to {host}: {detail}",
            "check HTTPS_PROXY, or set NO_PROXY=HOST",
        ),
        "protocol": (f"{host} does not speak HTTP: {detail}", f"check the host ({source}) and its port"),
    }.get(
        failure.kind,
        (
            f"the connection to {host} broke: {detail}",
            f"check the network and the host ({source}), then repeat",
        ),
    )
    return NotDeliveredError(f"{said} ({attempts})", hint)


def shown_problems(facts: Mapping[str, Any]) -> tuple[Sequence[Mapping[str, Any]], list[str]]:
    """Return those of an error's `problems` that text tells, and a line on the rest if there is one."""
    problems = facts["problems"]
    total = facts.get("problems_total", len(problems))
    where = "them" if total == len(problems) else f"the first {len(problems)}"
    more = [f"+{total - MAX_SHOWN} more (-o json shows {where})"] if total > MAX_SHOWN else []
    return problems[:MAX_SHOWN], more


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


def _of_answer(response: Response, result: SendResult, context: Context) -> NemoJobsError:
    makers: dict[str, Callable[[Response, SendResult, Context], NemoJobsError]] = {
        "ok": _foreign,
        "foreign": _foreign,
        "redirect": _redirect,
        "unauthorised": _unauthorised,
        "forbidden": _forbidden,
        "missing": _missing,
        "no-route": _no_route,
        "conflict": _conflict,
        "rejected": _rejected,
        "transient": _transient,
    }
    return makers[classify.kind(response)](response, result, context)


def _foreign(response: Response, _: SendResult, context: Context) -> NemoJobsError:
    title = classify.page_title(response)
    page = f" (a page titled {title!r})" if title else ""
    return SettingsError(
        f"{context.host} answered {response.status} but not as NeMo Platform does{page}",
        f"check the host ({context.settings.host.source}): it must be the platform's base URL",
    )


def _redirect(response: Response, _: SendResult, context: Context) -> NemoJobsError:
    target = one_line(response.headers.get("location", ""), 200)
    if not target or response.status == 304:  # noqa: PLR2004 - "not modified" names no other place
        return SettingsError(
            f"{context.host} answered {response.status}, which is no answer to this request",
            f"check the host ({context.settings.host.source}): a cache or a proxy seems to answer in its place",
        )
    return SettingsError(
        f"{context.host} redirects to {target} ({response.status}); redirects are not followed",
        f"set the host ({context.settings.host.source}) to the address that serves the API itself",
    )


def _unauthorised(response: Response, _: SendResult, context: Context) -> NemoJobsError:
    words = classify.detail(response) or "Unauthorized"
    credential = context.settings.credential
    if credential is None:
        return AuthError(
            f"{context.host} wants to know who you are ({response.status} {words}) and no token was sent",
            "leave --anonymous out, which sends none"
            if context.settings.anonymous
            else "log in with: nemo auth login; or set NEMO_JOBS_TOKEN, or give --token-file FILE",
        )
    return AuthError(
        f"{context.host} does not accept the {context.user}{_expiry(context)} ({response.status} {words})",
        renewal_hint(credential.kind, credential.source),
    )


def _forbidden(response: Response, _: SendResult, context: Context) -> NemoJobsError:
    words = classify.detail(response) or "Forbidden"
    workspace = context.settings.workspace
    who = "nobody (no token)" if context.settings.credential is None else f"the {context.user}"
    return AuthError(
        f"{who} may not do this in workspace {workspace.value!r} ({response.status} {words})",
        f"check the workspace's name ({workspace.source}): a misspelt one is forbidden too; "
        "else ask its owner for the permission jobs.update",
    )


def _missing(response: Response, _: SendResult, context: Context) -> NemoJobsError:
    words = " ".join(filter(None, (str(response.status), classify.detail(response))))
    what = f"job {context.job!r}" if context.job is not None else f"workspace {context.settings.workspace.value!r}"
    return NotFoundError(
        f"{context.host} knows no {what} ({words})",
        f"list the jobs: nemo-jobs list -w {context.settings.workspace.value}",
    )


def _no_route(response: Response, _: SendResult, context: Context) -> NemoJobsError:
    title = classify.page_title(response)
    page = f", a page titled {title!r}" if title else ""
    return SettingsError(
        f"{context.host} has no jobs API ({response.status}{page})",
        f"check the host ({context.settings.host.source}) and its path prefix: "
        f"curl {context.host}/apis/auth/discovery should print JSON",
    )


def _conflict(_: Response, result: SendResult, context: Context) -> NemoJobsError:
    return NotDeliveredError(
        f"other writers kept changing {_target(context)} for the whole deadline"
        f" (409, {plural(result.attempts, 'attempt')})",
        f"give it more time: --deadline {max(30, round(context.settings.deadline.value * 3))}",
    )


def _rejected(response: Response, _: SendResult, context: Context) -> NemoJobsError:
    words = classify.detail(response) or classify.page_title(response) or "no reason given"
    error = RejectedError(
        f"{context.host} rejects the request ({response.status} {words})",
        "change what the server complains of and send it again; --dry-run shows what is sent",
    )
    error.problems = classify.problems(response)
    total = classify.problem_count(response)
    if total > len(error.problems):
        error.facts["problems_total"] = total
    return error


def _transient(response: Response, result: SendResult, context: Context) -> NemoJobsError:
    words = classify.detail(response) or classify.page_title(response)
    said = f" {words}" if words else ""
    return NotDeliveredError(
        f"{context.host} could not serve {_target(context)}"
        f" ({response.status}{said}, {plural(result.attempts, 'attempt')})",
        "try again later or with --deadline 60; the trace id finds it in the server's logs",
    )


def _target(context: Context) -> str:
    return f"job {context.job!r}" if context.job is not None else "the request"


def _expiry(context: Context) -> str:
    if context.expires_in is None:
        return ""
    ago = times.format_duration(abs(context.expires_in))
    return f", which expired {ago} ago" if context.expires_in < 0 else f", valid for another {ago}"


def renewal_hint(kind: str, source: str) -> str:
    """Say how to get another token, or principal, where the one of this kind and origin does not do."""
    if kind == "principal":
        return f"check {source}: the platform does not know this principal"
    if "context" in source or "ACCESS_TOKEN" in source:
        return "log in again: nemo auth login"
    return f"put a fresh token into {source} (nemo auth token prints one), or set token_command in the profile"
