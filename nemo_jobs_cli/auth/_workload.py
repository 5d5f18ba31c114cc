"""Exchange a workload identity token for an access token (RFC 8693)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.core.errors import AuthError, NemoJobsError, NotDeliveredError, SettingsError
from nemo_jobs_cli.core.text import one_line, plural
from nemo_jobs_cli.settings import proxies, urls
from nemo_jobs_cli.settings.model import Sourced
from nemo_jobs_cli.transport import retry, routes
from nemo_jobs_cli.transport.client import Client
from nemo_jobs_cli.transport.messages import Failure, Request, Response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nemo_jobs_cli.core.deadline import Deadline
    from nemo_jobs_cli.settings.model import Settings
    from nemo_jobs_cli.transport.messages import SendResult

FORM = "application/x-www-form-urlencoded"
DISCOVERED = "the platform's auth discovery"

_JWT = "urn:ietf:params:oauth:token-type:jwt"
# Docker jobs have an opaque proof instead of a JWT (NeMo Platform 0.6.0, NeMo Helix 0.8.1).
_OPAQUE_PROOF = "urn:nvidia:nemo:params:oauth:token-type:docker-opaque-workload-proof"
_OPAQUE_PREFIXES = ("nmp_obo_v1.", "nhx_obo_v1.")


def exchange(subject: str, settings: Settings, limit: Deadline, environ: Mapping[str, str]) -> str:
    """Exchange the token `subject` for an access token.

    Both requests are safe to retry. The platform's auth discovery names the endpoint; `environ` holds the proxies.
    """
    oidc = _discover(settings, limit)
    if not oidc.get("workload_token_exchange_enabled"):
        raise SettingsError(
            "this platform does not exchange workload identity tokens",
            "unset *_WORKLOAD_IDENTITY_TOKEN_FILE, or ask the platform's operators",
        )
    base, path = _endpoint(str(oidc.get("workload_token_endpoint") or oidc.get("token_endpoint") or ""))
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token": subject,
        "subject_token_type": _OPAQUE_PROOF if subject.startswith(_OPAQUE_PREFIXES) else _JWT,
        "client_id": oidc.get("workload_client_id") or oidc.get("client_id"),
        "audience": oidc.get("workload_audience"),
        "scope": oidc.get("workload_scope"),
    }
    endpoint = settings._replace(host=Sourced(base, DISCOVERED), headers=(), proxy=proxies.proxy_for(base, environ))
    result = retry.send(Request("POST", path, body=_encode(form), content_type=FORM), Client(endpoint, {}), limit)
    body = result.last.object() if isinstance(result.last, Response) else {}
    token = body.get("access_token")
    if not _is_success(result.last) or not isinstance(token, str) or not token:
        reason = str(body.get("error_description") or body.get("error") or "no reason given")
        raise _refusal(result, endpoint, one_line(reason.replace(subject, "..."), 200))
    return token


def _discover(settings: Settings, limit: Deadline) -> dict[str, Any]:
    """Return the `oidc` object of the platform's auth discovery, or {}."""
    client = Client(settings, {})
    result = retry.send(Request("GET", routes.DISCOVERY), client, limit)
    body = result.last.object() if isinstance(result.last, Response) else {}
    if not _is_success(result.last) or not body:
        from nemo_jobs_cli.transport import explain  # imported only after a failure

        context = explain.Context(settings._replace(credential=None), "request", None, client.trace_id)
        raise explain.explain(result, context)
    oidc = body.get("oidc")
    return oidc if isinstance(oidc, dict) else {}


def _endpoint(url: str) -> tuple[str, str]:
    """Split a token endpoint into base URL and path; refuse plain http."""
    address, mark, query = url.partition("?")
    try:
        origin = urls.origin_of(urls.base_url(address, DISCOVERED))
    except SettingsError:
        origin = None
    if origin is None or not url.isprintable() or not (origin.scheme == "https" or urls.is_loopback(address)):
        raise SettingsError(
            f"the token endpoint is not an https URL: {one_line(url, 200)!r}", "ask the platform's operators"
        )
    return str(origin), f"/{address.partition('://')[2].partition('/')[2]}{mark}{query}"


def _is_success(last: Response | Failure) -> bool:
    return isinstance(last, Response) and last.status < 300  # noqa: PLR2004 - the class of successes


def _refusal(result: SendResult, endpoint: Settings, reason: str) -> NemoJobsError:
    """Return the error for a token endpoint that returned no token."""
    from nemo_jobs_cli.transport import explain

    last = result.last
    attempts = plural(result.attempts, "attempt")
    if isinstance(last, Failure):
        return explain.explain_failure(last, endpoint, attempts)
    subject = f"the token endpoint {one_line(endpoint.host.value, 200)}"
    if retry.is_transient(last):
        return NotDeliveredError(
            f"{subject} returned {last.status} ({attempts})", "try again later or with --deadline 60"
        )
    if last.status < 400:  # noqa: PLR2004 - the classes of errors
        return AuthError(f"{subject} returned {last.status} without an access token", "ask the platform's operators")
    return AuthError(
        f"{subject} refused the workload identity ({last.status} {reason})",
        "check that the token of *_WORKLOAD_IDENTITY_TOKEN_FILE has not expired, or ask the platform's operators",
    )


def _encode(form: dict[str, Any]) -> bytes:
    from urllib.parse import urlencode

    return urlencode({key: value for key, value in form.items() if value}).encode()
