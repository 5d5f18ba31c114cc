"""Assess a clock, version, expiry, file mode or outbox."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.auth import credentials
from nemo_jobs_cli.core import times
from nemo_jobs_cli.core.errors import AuthError
from nemo_jobs_cli.core.files import is_private
from nemo_jobs_cli.core.text import one_line
from nemo_jobs_cli.doctor.check import Check

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nemo_jobs_cli.settings.model import Credential
    from nemo_jobs_cli.transport.messages import Response

# Tolerated difference to the server's clock, in seconds; the server decides when a token expires.
MAX_SKEW = 60.0

# Warn this many seconds before a certificate expires.
CERTIFICATE_MARGIN = 14 * 86400.0

# The first release under the name Helix; the last NeMo Platform was 0.6.0.
FIRST_HELIX = (0, 7)


def clock(date: str | None, now: float, seconds: float) -> Check:
    """Compare a Date header with the clock.

    The response came at `now`, after `seconds`.
    """
    from email.utils import parsedate_to_datetime

    try:
        server_time = parsedate_to_datetime(date or "").timestamp()
    except (TypeError, ValueError, OverflowError, OSError):  # no date, or a year that the system cannot represent
        return Check.skip("clock", "unknown: no valid Date header in the response")
    skew = now - seconds / 2 - server_time
    if -MAX_SKEW <= skew <= MAX_SKEW:
        return Check.ok("clock", "in sync with the server", skew=round(skew, 1))
    return Check.warn(
        "clock",
        f"{times.format_duration(abs(skew))} {'ahead of' if skew > 0 else 'behind'} the server, "
        "whose clock decides when tokens expire",
        "set this machine's clock (timedatectl set-ntp true), or notify the platform's operators",
        skew=round(skew, 1),
    )


def version(response: Response) -> Check:
    """Name product and version from /cluster-info.

    The product's name is only in /openapi.json, which an Editor may not read (NeMo Platform 0.6.0).
    """
    info = response.object()
    number = info.get("platform_version")
    if response.status != 200 or not isinstance(number, str) or not number:  # noqa: PLR2004
        return Check.skip("version", f"unknown: no version in the response ({response.status})")
    number, revision = one_line(number, 40), one_line(str(info.get("revision") or ""), 60)
    parts = re.match(r"([0-9]{1,6})\.([0-9]{1,6})\b", number)
    name = "NeMo Platform or Helix, version"
    if parts is not None:
        name = "NeMo Platform" if (int(parts[1]), int(parts[2])) < FIRST_HELIX else "NeMo Helix"
    build = f" (revision {revision})" if revision not in {"", "dev"} else ""
    return Check.ok("version", f"{name} {number}{build}", version=number, revision=revision)


def auth(response: Response) -> tuple[Check, bool | None]:
    """Return whether the platform requires a token, None if unknown."""
    enabled = response.object().get("auth_enabled")
    if response.status != 200 or not isinstance(enabled, bool):  # noqa: PLR2004
        return Check.skip("auth", f"unknown: no auth_enabled in the response ({response.status})"), None
    message = "on: the platform requires a token" if enabled else "off: the platform requires no token"
    return Check.ok("auth", message, auth_enabled=enabled), enabled


def expiry(
    expires: float | None, now: float, credential: Credential, renewal: str, *, auth_enabled: bool | None
) -> Check:
    """Assess a token's expiry, in seconds since 1970.

    An expired one fails unless auth is off.
    """
    if expires is None:
        return Check.skip("expiry", "unknown: the token is not a JWT with an exp claim")
    left, date = expires - now, times.format_timestamp(expires)[:16].replace("T", " ") + " UTC"
    if left >= credentials.EXPIRY_MARGIN or (left > 0 and credentials.is_renewed(credential)):
        return Check.ok("expiry", f"valid until {date} ({times.format_duration(left)})", expires=expires)
    if left > 0:
        return Check.warn("expiry", f"expires in {times.format_duration(left)}, at {date}", renewal, expires=expires)
    message = f"the {credentials.describe(credential)} expired {times.format_duration(-left)} ago, at {date}"
    if auth_enabled is False:
        return Check.warn("expiry", f"{message}; this platform does not check it", renewal, expires=expires)
    return Check.fail("expiry", AuthError(message, renewal, facts={"expires": expires}))


def certificate(expires: float, now: float) -> tuple[str, str]:
    """Return when a certificate expires as text, and a fix or ""."""
    date = times.format_timestamp(expires)[:10]
    if expires - now >= CERTIFICATE_MARGIN:
        return f"certificate valid until {date}", ""
    return (
        f"certificate expires in {times.format_duration(expires - now)}, on {date}",
        "ask the platform's operators to renew it",
    )


def mode(name: str, path: str, quoted_path: str, bits: int) -> Check:
    """Assess the mode of a file that holds a token."""
    if is_private(bits):
        return Check.ok(name, f"{path}, private to you")
    others = "everyone" if bits & 0o007 else "your group"
    message = f"{path} holds a token and is accessible to {others} (mode {bits & 0o777:03o})"
    return Check.warn(name, message, f"chmod 600 {quoted_path}")


def outbox(folder: str, contents: Mapping[str, Any], now: float, switch: str) -> Check:
    """Assess the counts of an outbox; `switch` says if and why it is on."""
    kinds = {
        "waiting": ("waiting for this host", "deliver them: nemo-jobs outbox flush"),
        "elsewhere": (
            "waiting for other hosts",
            "list them (nemo-jobs outbox list), then: nemo-jobs outbox flush --host URL, or --profile NAME",
        ),
        "rejected": ("rejected", "see the reasons in the folder rejected/, then delete the files"),
        "aside": ("set aside", ""),
        "broken": ("broken", "look at the files in the folder broken/, then delete them"),
    }
    present = {kind: text for kind, text in kinds.items() if contents[kind]}
    parts = [f"{contents[kind]} {text}" for kind, (text, _) in present.items()]
    if contents["oldest"] is not None:
        parts.append(f"oldest {times.format_duration(max(0.0, now - contents['oldest']))} ago")
    message = ", ".join([switch, *(parts or ["empty"]), one_line(folder, 200)])
    fix = "; ".join(filter(None, (fix for _, fix in present.values())))
    return Check.warn("outbox", message, fix, **contents) if fix else Check.ok("outbox", message, **contents)
