"""Exchange a workload's identity token for an access token (RFC 8693), as the platform's discovery says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.core.errors import AuthError, NemoJobsError, NotDeliveredError, SettingsError
from nemo_jobs_cli.core.text import one_line, plural
from nemo_jobs_cli.settings import sources, urls
from nemo_jobs_cli.settings.model import Sourced
from nemo_jobs_cli.transport import retry, routes
from nemo_jobs_cli.transport.messages import Failure, Request, Response

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nemo_jobs_cli.core.deadline import Deadline
    from nemo_jobs_cli.settings.model import Settings
    from nemo_jobs_cli.transport.messages import Sender, SendResult

FORM = "application/x-www-form-urlencoded"
DISCOVERED = "the platform's auth discovery"


def exchange(
    subject: str,
    settings: Settings,
    sender: Callable[[Settings], Sender],
    limit: Deadline,
    environ: Mapping[str, str],
) -> str:
    """Return an access token for `subject`; raise what says why the platform gives none.

    Both requests are repeated where that helps: they change nothing. `environ` tells of proxies.
    """
    oidc = _discover(settings, sender, limit)
    if not oidc.get("workload_token_exchange_enabled"):
        raise SettingsError(
            "this platform does not exchange workload identity tokens",
            "unset *_WORKLOAD_IDENTITY_TOKEN_FILE, or ask its operators",
        )
    base, path = _endpoint(str(oidc.get("workload_token_endpoint") or oidc.get("token_endpoint") or ""))
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token": subject,
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "client_id": oidc.get("workload_client_id") or oidc.get("client_id"),
        "audience": oidc.get("workload_audience"),
        "scope": oidc.get("workload_scope"),
    }
    elsewhere = settings._replace(
        host=Sourced(base, DISCOVERED), headers=(), proxies=sources.needs_proxy(base, environ)
    )
    ended = retry.send(Request("POST", path, body=_encode(form), content_type=FORM), sender(elsewhere), limit)
    found = ended.last.object() if isinstance(ended.last, Response) else {}
    token = found.get("access_token")
    if not _is_success(ended.last) or not isinstance(token, str) or not token:
        said = str(found.get("error_description") or found.get("error") or "no reason given")
        raise _refused(ended, elsewhere.host, one_line(said.replace(subject, "..."), 200))
    return token


def _discover(settings: Settings, sender: Callable[[Settings], Sender], limit: Deadline) -> dict[str, Any]:
    """Return what the platform says of its identity provider; {} where it has none."""
    strangers = sender(settings)
    ended = retry.send(Request("GET", routes.DISCOVERY), strangers, limit)
    found = ended.last.object() if isinstance(ended.last, Response) else {}
    if not _is_success(ended.last) or not found:
        from nemo_jobs_cli.transport import explain  # the words of failure are loaded when something fails

        context = explain.Context(settings._replace(credential=None), "request", None, strangers.trace_id)
        raise explain.explain(ended, context)
    oidc = found.get("oidc")
    return oidc if isinstance(oidc, dict) else {}


def _endpoint(url: str) -> tuple[str, str]:
    """Split the token endpoint into a base URL and a path; it must be safe to send a token there."""
    address, mark, query = url.partition("?")
    try:
        origin = urls.origin_of(urls.base_url(address, DISCOVERED))
    except SettingsError:
        origin = None
    if origin is None or not url.isprintable() or not (origin.scheme == "https" or urls.is_loopback(address)):
        raise SettingsError(
            f"the token endpoint is no https address: {one_line(url, 200)!r}", "ask the platform's operators"
        )
    return str(origin), f"/{address.partition('://')[2].partition('/')[2]}{mark}{query}"


def _is_success(last: Response | Failure) -> bool:
    return isinstance(last, Response) and last.status < 300  # noqa: PLR2004 - the class of successes


def _refused(ended: SendResult, endpoint: Sourced[str], said: str) -> NemoJobsError:
    """Return the error for a token endpoint that gave no token but `said` something."""
    last = ended.last
    from nemo_jobs_cli.transport import explain

    attempts = plural(ended.attempts, "attempt")
    if isinstance(last, Failure):
        return explain.explain_failure(last, endpoint, attempts)
    whose = f"the token endpoint {one_line(endpoint.value, 200)}"
    if retry.is_transient(last):
        return NotDeliveredError(
            f"{whose} answered {last.status} ({attempts})", "try again later or with --deadline 60"
        )
    if last.status < 400:  # noqa: PLR2004 - the classes of errors
        return AuthError(f"{whose} answered {last.status} without an access token", "ask the platform's operators")
    return AuthError(
        f"{whose} does not accept the workload identity ({last.status} {said})",
        "is the token file of *_WORKLOAD_IDENTITY_TOKEN_FILE fresh? ask the platform's operators",
    )


def _encode(form: dict[str, Any]) -> bytes:
    from urllib.parse import urlencode

    return urlencode({key: value for key, value in form.items() if value}).encode()
