"""Exchange a workload's identity token for an access token (RFC 8693), as the platform's discovery says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nemo_jobs_cli import origins, routes
from nemo_jobs_cli.answers import Answer
from nemo_jobs_cli.errors import AuthError, NotDeliveredError, SettingsError
from nemo_jobs_cli.sanitize import one_line
from nemo_jobs_cli.settings import Sourced

if TYPE_CHECKING:
    from collections.abc import Callable

    from nemo_jobs_cli.deadline import Deadline
    from nemo_jobs_cli.exchange import Sender
    from nemo_jobs_cli.settings import Settings

FORM = "application/x-www-form-urlencoded"


def exchange(subject: str, settings: Settings, sender: Callable[[Settings], Sender], limit: Deadline) -> str:
    """Return an access token for `subject`; raise AuthError or SettingsError where the platform gives none."""
    found = _json(sender(settings).send("GET", routes.DISCOVERY, limit.attempt()), "the platform's auth discovery")
    oidc = found.get("oidc")
    if not isinstance(oidc, dict) or not oidc.get("workload_token_exchange_enabled"):
        raise SettingsError(
            "this platform does not exchange workload identity tokens",
            "unset *_WORKLOAD_IDENTITY_TOKEN_FILE, or ask its operators",
        )
    url = str(oidc.get("workload_token_endpoint") or oidc.get("token_endpoint") or "")
    base, path = _endpoint(url)
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token": subject,
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "client_id": oidc.get("workload_client_id") or oidc.get("client_id"),
        "audience": oidc.get("workload_audience"),
        "scope": oidc.get("workload_scope"),
    }
    elsewhere = settings._replace(host=Sourced(base, "the platform's auth discovery"), headers=())
    answer = sender(elsewhere).send("POST", path, limit.attempt(), body=_encode(form), content_type=FORM)
    token = _json(answer, "the token endpoint").get("access_token")
    if not isinstance(token, str):
        raise AuthError("the token endpoint answered without an access token", "ask the platform's operators")
    return token


def _endpoint(url: str) -> tuple[str, str]:
    """Split the token endpoint into a base URL and a path; it must be safe to send a token there."""
    if not (url.startswith("https://") or (url.startswith("http://") and origins.is_loopback(url))):
        raise SettingsError(
            f"the token endpoint is no https address: {one_line(url, 200)!r}", "ask the platform's operators"
        )
    base = str(origins.origin_of(url))
    return base, "/" + url.partition("://")[2].partition("/")[2]


def _json(answer: object, whose: str) -> dict[str, Any]:
    if not isinstance(answer, Answer):
        raise NotDeliveredError(f"no answer of {whose}", "try again later; --deadline 60 waits longer")
    try:
        found = answer.json()
    except (ValueError, RecursionError):
        found = None
    if answer.status >= 500:  # noqa: PLR2004 - the class of server errors
        raise NotDeliveredError(f"{whose} answered {answer.status}", "try again later")
    if answer.status >= 300 or not isinstance(found, dict):  # noqa: PLR2004
        said = (
            one_line(str(found.get("error_description") or found.get("error") or ""), 200)
            if isinstance(found, dict)
            else ""
        )
        raise AuthError(
            f"{whose} does not accept the workload identity ({answer.status} {said})".replace(" )", ")"),
            "is the token file of *_WORKLOAD_IDENTITY_TOKEN_FILE fresh? ask the platform's operators",
        )
    return found


def _encode(form: dict[str, Any]) -> bytes:
    from urllib.parse import urlencode

    return urlencode({key: value for key, value in form.items() if value}).encode()
