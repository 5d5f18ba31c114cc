"""Make request headers of a credential, only for its own origin."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.core import tokens
from nemo_jobs_cli.core.errors import SettingsError
from nemo_jobs_cli.core.text import one_line
from nemo_jobs_cli.settings import urls
from nemo_jobs_cli.settings.model import DEFAULT_HOST

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nemo_jobs_cli.core.deadline import Deadline
    from nemo_jobs_cli.settings.model import Credential, Settings

LAST_TIME = 253402300800.0  # the end of the year 9999

# Warn if a token expires within this many seconds and nothing renews it.
EXPIRY_MARGIN = 600.0

_HEADER = re.compile(r"[\x20-\x7e\xa0-\xff]*")
_PRINCIPAL = {
    "id": "Principal-Id",
    "email": "Principal-Email",
    "groups": "Principal-Groups",
    "on_behalf_of": "Principal-On-Behalf-Of",
    "on_behalf_of_email": "Principal-On-Behalf-Of-Email",
    "on_behalf_of_groups": "Principal-On-Behalf-Of-Groups",
}


def auth_headers(settings: Settings, limit: Deadline, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the authentication headers of the settings.

    Raise SettingsError if the credential is unreadable or must not be sent. `environ` is the environment of a token
    command, and holds the proxies of a token exchange.
    """
    credential = settings.credential
    if credential is None:
        return {}
    check_target(settings, credential)
    if credential.kind == "principal":
        return _principal(credential)
    token = tokens.clean(_read(credential, limit, environ), credential.source)
    if credential.kind == "workload":
        from nemo_jobs_cli.auth import _workload

        token = tokens.clean(_workload.exchange(token, settings, limit, environ), "the token endpoint")
    return {"Authorization": f"Bearer {token}"}


def _read(credential: Credential, limit: Deadline, environ: Mapping[str, str]) -> str:
    if credential.kind == "token":
        return credential.secret
    from nemo_jobs_cli.auth import token_source

    if credential.kind == "command":
        return token_source.run_command(credential.secret, credential.source, limit.left(), environ)
    return token_source.read(credential.secret, credential.source, limit.left())


def check_target(settings: Settings, credential: Credential) -> None:
    """Raise SettingsError if the credential must not go to the host."""
    host = settings.host
    if credential.kind == "principal" and not _principal(credential):
        return  # no headers to protect
    if credential.bound_to is not None:
        own, target = _own_origin(credential), urls.origin_of(host.value)
        if own != target:
            # A profile without a host is bound to the default one: its host was probably forgotten.
            lacks_host = credential.bound_to == DEFAULT_HOST and credential.source.startswith("profile ")
            set_host = (
                "set that profile's host: nemo-jobs config set host URL --profile NAME; or " if lacks_host else ""
            )
            raise SettingsError(
                f"the {describe(credential)} belongs to {own} and is not sent to {target} ({host.source})",
                f"{set_host}pass a token for that host with --token-file FILE, or none with --anonymous",
                facts={"belongs_to": str(own), "host": str(target)},
            )
    is_unencrypted = host.value.lower().startswith("http://") and not urls.is_loopback(host.value)
    if is_unencrypted and not settings.allow_http.value and not (settings.host_from_job and credential.from_job):
        raise SettingsError(
            f"the {describe(credential)} is not sent over plain http to {one_line(host.value, 200)} ({host.source})",
            "use https://, or --anonymous; on a trusted network, set allow_http = true in a profile",
        )


def _own_origin(credential: Credential) -> urls.Origin:
    """Return the origin of a credential; never quote an invalid one."""
    try:
        return urls.origin_of(urls.base_url(credential.bound_to or "", credential.source))
    except SettingsError:
        raise SettingsError(
            f"the {describe(credential)} is not sent: the URL of its host is invalid",
            "correct the host in the same place, or send no token: --anonymous",
        ) from None


def describe(credential: Credential | None) -> str:
    """Describe a credential by kind and source, never by its secret."""
    if credential is None:
        return "no token"
    kinds = {"principal": "principal", "workload": "workload identity"}
    return f"{kinds.get(credential.kind, 'token')} from {credential.source}"


def is_renewed(credential: Credential) -> bool:
    """Return whether the source may have a newer token later."""
    return credential.kind in {"file", "command", "workload"} and credential.secret != "-"  # noqa: S105 - stdin


def token_expiry(headers: Mapping[str, str], credential: Credential | None = None) -> float | None:
    """Return the expiry of a JWT in seconds since 1970, or None."""
    named = None if credential is None else credential.expires_at
    try:
        seconds = float(claims(headers).get("exp", named))  # type: ignore[arg-type]
    except (ValueError, TypeError, OverflowError):
        return None
    return seconds if 0 <= seconds < LAST_TIME else None  # also None for NaN


def token_scopes(headers: Mapping[str, str]) -> tuple[str, ...]:
    """Return the scopes of a JWT that limit it, such as `area:action`."""
    token_claims = claims(headers)
    value = token_claims.get("scope") or token_claims.get("scp") or ()
    words = value.split() if isinstance(value, str) else value if isinstance(value, list) else ()
    return tuple(word for word in words if isinstance(word, str) and word.count(":") == 1)


def is_access_key(headers: Mapping[str, str]) -> bool:
    """Return whether the headers carry an access key of NeMo Helix."""
    return claims(headers).get("nhx_token_type") == "access_key"


def claims(headers: Mapping[str, str]) -> dict[str, Any]:
    """Return the unverified claims of a JWT in the headers, or {}."""
    import base64

    parts = headers.get("Authorization", "").removeprefix("Bearer ").split(".")
    if len(parts) != 3:  # noqa: PLR2004 - header, claims, signature (RFC 7519)
        return {}
    try:
        value = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _principal(credential: Credential) -> dict[str, str]:
    """Return the headers of a `*_PRINCIPAL` object, {} if it has no id."""
    try:
        principal = json.loads(credential.secret)
    except (ValueError, RecursionError):
        principal = None
    if not isinstance(principal, dict):
        raise SettingsError(f"{credential.source} is not a JSON object", 'write it as {"id": "...", "groups": []}')
    if not _text(principal.get("id"), credential.source):
        return {}
    texts = {
        f"X-{credential.product.upper()}-{header}": _text(principal.get(key), credential.source)
        for key, header in _PRINCIPAL.items()
    }
    return {header: text for header, text in texts.items() if text}


def _text(value: Any, source: str) -> str:
    """Return a JSON value as header text, "" for null or an empty value."""
    text = (",".join(map(str, value)) if isinstance(value, list) else str(value or "")).strip(" ")
    if not _HEADER.fullmatch(text):
        raise SettingsError(f"{source} contains a character that headers cannot have", "use only Latin-1 characters")
    return text
