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
from nemo_jobs_cli.core.text import one_line
from nemo_jobs_cli.transport import classify, failures
from nemo_jobs_cli.transport.messages import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from nemo_jobs_cli.settings.model import Settings
    from nemo_jobs_cli.transport.exchange import SendResult
    from nemo_jobs_cli.transport.messages import Response


# How many complaints are told in text: what is wrong a thousand times is wrong in one way.
MOST_TOLD = 10


class Asked(NamedTuple):
    """What was asked, by whom: the facts that an error repeats.

    `who` describes the credential without its secret; `expires_in` is the seconds until a JWT's `exp`,
    negative when it has passed, None when there is none.
    """

    settings: Settings
    who: str
    expires_in: float | None
    trace_id: str
    job: str | None = None

    @property
    def host(self) -> str:
        """Return the base URL as a message shows it."""
        return one_line(self.settings.host.value, 200)


def explain(ended: SendResult, asked: Asked) -> NemoJobsError:
    """Return the error for an exchange that did not end in success."""
    last = ended.last
    if isinstance(last, Failure):
        error = failures.explain(last, asked.settings.host, _tries(ended), proxied=asked.settings.proxies)
    else:
        error = _of_answer(last, ended, asked)
    error.facts = {**_facts(ended, asked), **error.facts}
    return error


def told(facts: Mapping[str, Any]) -> tuple[Sequence[Mapping[str, Any]], list[str]]:
    """Return those of an error's `problems` that text tells, and a line on the rest if there is one."""
    problems = facts["problems"]
    total = facts.get("problems_total", len(problems))
    where = "them" if total == len(problems) else f"the first {len(problems)}"
    more = [f"+{total - MOST_TOLD} more (-o json shows {where})"] if total > MOST_TOLD else []
    return problems[:MOST_TOLD], more


def _facts(ended: SendResult, asked: Asked) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "host": asked.settings.host.value,
        "workspace": asked.settings.workspace.value,
        "attempts": ended.tries,
        "trace_id": asked.trace_id,
    }
    if asked.job is not None:
        facts["job"] = asked.job
    if isinstance(ended.last, Failure):
        facts["failure"] = ended.last.kind
    else:
        facts |= {"status": ended.last.status, "detail": classify.detail(ended.last) or None}
    return facts


def _of_answer(answer: Response, ended: SendResult, asked: Asked) -> NemoJobsError:
    makers: dict[str, Callable[[Response, SendResult, Asked], NemoJobsError]] = {
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
    return makers[classify.kind(answer)](answer, ended, asked)


def _foreign(answer: Response, _: SendResult, asked: Asked) -> NemoJobsError:
    title = classify.page_title(answer)
    page = f" (a page titled {title!r})" if title else ""
    return SettingsError(
        f"{asked.host} answered {answer.status} but not as NeMo Platform does{page}",
        f"check the host ({asked.settings.host.source}): it must be the platform's base URL",
    )


def _redirect(answer: Response, _: SendResult, asked: Asked) -> NemoJobsError:
    target = one_line(answer.headers.get("location", ""), 200)
    if not target or answer.status == 304:  # noqa: PLR2004 - "not modified" names no other place
        return SettingsError(
            f"{asked.host} answered {answer.status}, which is no answer to this request",
            f"check the host ({asked.settings.host.source}): a cache or a proxy seems to answer in its place",
        )
    return SettingsError(
        f"{asked.host} redirects to {target} ({answer.status}); redirects are not followed",
        f"set the host ({asked.settings.host.source}) to the address that serves the API itself",
    )


def _unauthorised(answer: Response, _: SendResult, asked: Asked) -> NemoJobsError:
    words = classify.detail(answer) or "Unauthorized"
    credential = asked.settings.credential
    if credential is None:
        return AuthError(
            f"{asked.host} wants to know who you are ({answer.status} {words}) and no token was sent",
            "leave --anonymous out, which sends none"
            if asked.settings.anonymous
            else "log in with: nemo auth login; or set NEMO_JOBS_TOKEN, or give --token-file FILE",
        )
    return AuthError(
        f"{asked.host} does not accept the {asked.who}{_expiry(asked)} ({answer.status} {words})",
        renewal(credential.kind, credential.source),
    )


def _forbidden(answer: Response, _: SendResult, asked: Asked) -> NemoJobsError:
    words = classify.detail(answer) or "Forbidden"
    workspace = asked.settings.workspace
    who = "nobody (no token)" if asked.settings.credential is None else f"the {asked.who}"
    return AuthError(
        f"{who} may not do this in workspace {workspace.value!r} ({answer.status} {words})",
        f"check the workspace's name ({workspace.source}): a misspelt one is forbidden too; "
        "else ask its owner for the permission jobs.update",
    )


def _missing(answer: Response, _: SendResult, asked: Asked) -> NemoJobsError:
    words = " ".join(filter(None, (str(answer.status), classify.detail(answer))))
    what = f"job {asked.job!r}" if asked.job is not None else f"workspace {asked.settings.workspace.value!r}"
    return NotFoundError(
        f"{asked.host} knows no {what} ({words})",
        f"see the jobs: nemo-jobs list -w {asked.settings.workspace.value}",
    )


def _no_route(answer: Response, _: SendResult, asked: Asked) -> NemoJobsError:
    title = classify.page_title(answer)
    page = f", a page titled {title!r}" if title else ""
    return SettingsError(
        f"{asked.host} has no jobs API ({answer.status}{page})",
        f"check the host ({asked.settings.host.source}) and its path prefix: "
        f"curl {asked.host}/apis/auth/discovery should print JSON",
    )


def _conflict(_: Response, ended: SendResult, asked: Asked) -> NemoJobsError:
    return NotDeliveredError(
        f"other writers kept changing {_target(asked)} for the whole deadline (409, {_tries(ended)})",
        f"give it more time: --deadline {max(30, round(asked.settings.deadline.value * 3))}",
    )


def _rejected(answer: Response, _: SendResult, asked: Asked) -> NemoJobsError:
    words = classify.detail(answer) or classify.page_title(answer) or "no reason given"
    error = RejectedError(
        f"{asked.host} rejects the request ({answer.status} {words})",
        "change what the server complains of and send it again; --dry-run shows what is sent",
    )
    error.problems = classify.problems(answer)
    total = classify.count(answer)
    if total > len(error.problems):
        error.facts["problems_total"] = total
    return error


def _transient(answer: Response, ended: SendResult, asked: Asked) -> NemoJobsError:
    words = classify.detail(answer) or classify.page_title(answer)
    said = f" {words}" if words else ""
    return NotDeliveredError(
        f"{asked.host} could not serve {_target(asked)} ({answer.status}{said}, {_tries(ended)})",
        "try again later or with --deadline 60; the trace id finds it in the server's logs",
    )


def _target(asked: Asked) -> str:
    return f"job {asked.job!r}" if asked.job is not None else "the request"


def _tries(ended: SendResult) -> str:
    return "1 try" if ended.tries == 1 else f"{ended.tries} tries"


def _expiry(asked: Asked) -> str:
    if asked.expires_in is None:
        return ""
    ago = times.human(abs(asked.expires_in))
    return f", which expired {ago} ago" if asked.expires_in < 0 else f", valid for another {ago}"


def renewal(kind: str, source: str) -> str:
    """Say how to get another token, or principal, where the one of this kind and origin does not do."""
    if kind == "principal":
        return f"check {source}: the platform does not know this principal"
    if "context" in source or "ACCESS_TOKEN" in source:
        return "log in again: nemo auth login"
    return f"put a fresh token into {source} (nemo auth token prints one), or set token_command in the profile"
