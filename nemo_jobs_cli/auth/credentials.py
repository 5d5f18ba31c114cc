"""Open a credential and turn it into request headers: only for the origin it belongs to, never into a message."""

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
    from collections.abc import Callable, Mapping

    from nemo_jobs_cli.core.deadline import Deadline
    from nemo_jobs_cli.settings.model import Credential, Settings
    from nemo_jobs_cli.transport.messages import Sender

LAST_TIME = 253402300800.0  # the end of the year 9999

_HEADER = re.compile(r"[\x20-\x7e\xa0-\xff]*")
_PRINCIPAL = {
    "id": "Principal-Id",
    "email": "Principal-Email",
    "groups": "Principal-Groups",
    "on_behalf_of": "Principal-On-Behalf-Of",
    "on_behalf_of_email": "Principal-On-Behalf-Of-Email",
    "on_behalf_of_groups": "Principal-On-Behalf-Of-Groups",
}


def headers(
    settings: Settings, sender: Callable[[Settings], Sender], limit: Deadline, environ: Mapping[str, str]
) -> dict[str, str]:
    """Return the headers that say who asks; raise SettingsError where the credential can't be had or must not be sent.

    `sender` opens a client without credentials, for an exchange; `environ` is what a token command gets, and it
    tells of proxies.
    """
    credential = settings.credential
    if credential is None:
        return {}
    check_target(settings, credential)
    if credential.kind == "principal":
        return _principal(credential)
    if credential.kind == "token":
        return _bearer(tokens.clean(credential.secret, credential.source))
    from nemo_jobs_cli.auth import token_source

    if credential.kind == "workload":
        from nemo_jobs_cli.auth import _workload

        subject = tokens.clean(token_source.read(credential.secret, credential.source, limit.left()), credential.source)
        return _bearer(
            tokens.clean(_workload.exchange(subject, settings, sender, limit, environ), "the token endpoint")
        )
    if credential.kind == "file":
        text = token_source.read(credential.secret, credential.source, limit.left())
    else:
        text = token_source.ask(
            credential.secret, credential.source, min(token_source.LONGEST_COMMAND, limit.left()), environ
        )
    return _bearer(tokens.clean(text, credential.source))


def check_target(settings: Settings, credential: Credential) -> None:
    """Raise SettingsError where the credential would go to another origin than its own, or in the clear."""
    host = settings.host
    if credential.kind == "principal" and not _principal(credential):
        return  # nobody may go anywhere
    if credential.bound_to is not None:
        own, target = _own_origin(credential), urls.origin_of(host.value)
        if own != target:
            # What a profile without a host is bound to: most likely its host was forgotten.
            homeless = credential.bound_to == DEFAULT_HOST and credential.source.startswith("profile ")
            first = "set that profile's host: nemo-jobs config set host URL --profile NAME; or " if homeless else ""
            raise SettingsError(
                f"the {describe(credential)} belongs to {own} and is not sent to {target} ({host.source})",
                f"{first}give a token for that host with --token-file FILE, or send none: --anonymous",
                facts={"belongs_to": str(own), "host": str(target)},
            )
    in_the_clear = host.value.lower().startswith("http://") and not urls.is_loopback(host.value)
    if in_the_clear and not settings.allow_http.value and not (settings.host_from_job and credential.from_job):
        raise SettingsError(
            f"the {describe(credential)} is not sent over plain http to {one_line(host.value, 200)} ({host.source})",
            "use https://; where the network is trusted, set allow_http = true in a profile; or --anonymous",
        )


def _own_origin(credential: Credential) -> urls.Origin:
    """Return the origin that a credential is bound to; what is written there may hold a password, and isn't quoted."""
    try:
        return urls.origin_of(urls.base_url(credential.bound_to or "", credential.source))
    except SettingsError:
        raise SettingsError(
            f"the {describe(credential)} belongs to a host that is not a base URL, and is not sent",
            "correct the host that is set beside it, or send no token: --anonymous",
        ) from None


def describe(credential: Credential | None) -> str:
    """Say which credential it is and where it comes from, never what it is."""
    if credential is None:
        return "nobody (no token)"
    kinds = {"principal": "principal", "workload": "workload identity"}
    return f"{kinds.get(credential.kind, 'token')} from {credential.source}"


def expiry(auth: Mapping[str, str]) -> float | None:
    """Return the time, in seconds since 1970, when a JWT in the headers expires; None for anything else."""
    import base64

    parts = auth.get("Authorization", "").removeprefix("Bearer ").split(".")
    if len(parts) != 3:  # noqa: PLR2004 - header, claims, signature (RFC 7519)
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        seconds = float(claims["exp"])
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
        return None
    return seconds if 0 <= seconds < LAST_TIME else None  # NaN is neither


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _principal(credential: Credential) -> dict[str, str]:
    """Return the headers of a `*_PRINCIPAL` object; one without an id says nobody."""
    try:
        principal = json.loads(credential.secret)
    except (ValueError, RecursionError):
        principal = None
    if not isinstance(principal, dict):
        raise SettingsError(f"{credential.source} is not a JSON object", 'it looks like {"id": "...", "groups": []}')
    if not _text(principal.get("id"), credential.source):
        return {}
    says = {
        f"X-{credential.product.upper()}-{header}": _text(principal.get(key), credential.source)
        for key, header in _PRINCIPAL.items()
    }
    return {header: text for header, text in says.items() if text}


def _text(value: Any, source: str) -> str:
    """Return a value as a header's; "" for null and the like."""
    text = (",".join(map(str, value)) if isinstance(value, list) else str(value or "")).strip(" ")
    if not _HEADER.fullmatch(text):
        raise SettingsError(f"{source} holds a character that no header can carry", "correct it; headers are Latin-1")
    return text
