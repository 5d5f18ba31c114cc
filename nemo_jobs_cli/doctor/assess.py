"""Judge what a check-up saw: a clock, a version, a certificate's end, a token's end, a file's mode, an outbox."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from nemo_jobs_cli.core import places, times, timestamps
from nemo_jobs_cli.core.errors import AuthError, RejectedError, SettingsError
from nemo_jobs_cli.core.text import one_line
from nemo_jobs_cli.doctor import check

if TYPE_CHECKING:
    from nemo_jobs_cli.doctor.check import Check
    from nemo_jobs_cli.transport.messages import Response

# How far two clocks may be apart, in seconds: tokens are issued and end by the server's.
MOST_SKEW = 60.0

# What is told before it ends, in seconds.
SOON_TOKEN = 3600.0
SOON_CERTIFICATE = 14 * 86400.0

# The first release under the new name; the last under the old one is 0.6.0.
FIRST_HELIX = (0, 7)


def clock(date: str | None, now: float, seconds: float) -> Check:
    """Compare the server's Date (whole seconds) with ours: `now` is when its answer had come, after `seconds`."""
    from email.utils import parsedate_to_datetime

    try:
        then = parsedate_to_datetime(date or "").timestamp()
    except (TypeError, ValueError, OverflowError, OSError):  # none, or no date; a year beyond what this machine counts
        return check.skip("clock", "the server does not tell the time")
    skew = now - seconds / 2 - then
    if -MOST_SKEW <= skew <= MOST_SKEW:
        return check.ok("clock", "agrees with the server's", skew=round(skew, 1))
    which = "ahead of" if skew > 0 else "behind"
    return check.warn(
        "clock",
        f"{times.human(abs(skew))} {which} the server's: tokens and times are judged by that",
        "set this machine's clock (timedatectl set-ntp true), or tell the platform's operators",
        skew=round(skew, 1),
    )


def version(answer: Response) -> Check:
    """Say what the server is, from /cluster-info, where only the version tells the product (measured; read in 0.8.1).

    The product's name stands in /openapi.json alone, which asks for a role that even an editor lacks.
    """
    said = _object(answer)
    number = said.get("platform_version")
    if answer.status != 200 or not isinstance(number, str) or not number:  # noqa: PLR2004
        return check.skip("version", f"unknown: the server does not tell its version ({answer.status})")
    number, revision = one_line(number, 40), one_line(str(said.get("revision") or ""), 60)
    parts = re.match(r"([0-9]{1,6})\.([0-9]{1,6})\b", number)
    name = "NeMo Platform or Helix, version"
    if parts is not None:
        name = "NeMo Platform" if (int(parts[1]), int(parts[2])) < FIRST_HELIX else "NeMo Helix"
    built = f" (revision {revision})" if revision not in {"", "dev"} else ""
    return check.ok("version", f"{name} {number}{built}", version=number, revision=revision)


def login(answer: Response) -> tuple[Check, bool | None]:
    """Say whether the platform asks who one is, from its discovery; None where it does not say."""
    asks = _object(answer).get("auth_enabled")
    if answer.status != 200 or not isinstance(asks, bool):  # noqa: PLR2004
        return check.skip("auth", f"unknown: the server does not say ({answer.status})"), None
    says = "on: the platform asks for a token" if asks else "off: the platform asks for no token"
    return check.ok("auth", says, auth_enabled=asks), asks


def expiry(ends: float | None, now: float, who: str, renewal: str, *, asked: bool | None) -> Check:
    """Say until when a token holds. `ends` is its JWT's `exp`, in seconds since 1970; None: it tells none.

    One that has expired fails only where the server looks at it.
    """
    if ends is None:
        return check.skip("expiry", "unknown: the token does not tell (it is no JWT, or one without exp)")
    left, until = ends - now, timestamps.rfc3339(ends)[:16].replace("T", " ") + " UTC"
    if left > 0:
        says = f"valid until {until}, another {times.human(left)}"
        return check.Check(
            "expiry",
            "ok" if left >= SOON_TOKEN else "warn",
            says,
            "" if left >= SOON_TOKEN else renewal,
            facts={"expires": ends},
        )
    ago = f"expired {times.human(-left)} ago, at {until}"
    if asked is False:
        return check.warn("expiry", f"the {who} {ago}; this platform does not look at it", renewal, expires=ends)
    return check.failed("expiry", AuthError(f"the {who} {ago}", renewal, facts={"expires": ends}))


def certificate(ends: float, now: float) -> tuple[str, str]:
    """Return until when a server's certificate holds, and what to do about it, "" where that is nothing."""
    left = ends - now
    until = f"certificate until {timestamps.rfc3339(ends)[:10]}"
    if left >= SOON_CERTIFICATE:
        return until, ""
    return f"{until}: another {times.human(left)}", "tell the platform's operators: no call will work after that"


def mode(name: str, shown: str, quoted: str, bits: int) -> Check:
    """Judge the mode of a file that holds a token; `quoted` is its path as a shell takes it."""
    if places.is_open(bits):
        who = "everybody" if bits & 0o007 else "your group"
        return check.warn(
            name, f"{shown} holds a token and is open to {who} (mode {bits & 0o777:03o})", f"chmod 600 {quoted}"
        )
    return check.ok(name, f"{shown}, for you alone")


class Lying(NamedTuple):
    """What an outbox holds: how many entries wait for this host, for others, and were put away; the oldest's time."""

    folder: str
    waiting: int = 0
    elsewhere: int = 0
    rejected: int = 0
    aside: int = 0
    broken: int = 0
    oldest: float | None = None
    trouble: str = ""


def outbox(found: Lying, now: float, *, wanted: bool, switch: str = "") -> Check:
    """Judge the outbox; `wanted` tells that updates are to be kept there, `switch` who said so."""
    facts = {name: value for name, value in found._asdict().items() if name not in {"folder", "trouble"}}
    folder = one_line(found.folder, 200)
    if found.trouble and wanted:
        error = SettingsError(
            f"{folder} can't keep updates: {found.trouble}", "correct it, or name another folder: --outbox-dir DIR"
        )
        return check.failed("outbox", error)
    counts = (
        (found.waiting, "to be delivered here"),
        (found.elsewhere, "to be delivered to other hosts"),
        (found.rejected, "rejected"),
        (found.aside, "set aside"),
        (found.broken, "broken"),
    )
    parts = [f"{count} {what}" for count, what in counts if count]
    if found.oldest is not None:
        parts.append(f"the oldest {times.human(max(0.0, now - found.oldest))} ago")
    says = ", ".join([*filter(None, [switch]), *(parts or ["empty"]), folder])
    fixes = (
        (found.waiting, "deliver them: nemo-jobs outbox flush"),
        (
            found.elsewhere,
            "see whose (nemo-jobs outbox list), then: nemo-jobs outbox flush --host URL, or --profile NAME",
        ),
        (found.rejected, "see why in the folder rejected/, then delete the file"),
        (found.broken, "look at the folder broken/, then delete the file"),
    )
    fix = "; ".join(text for count, text in fixes if count)
    return check.warn("outbox", says, fix, **facts) if fix else check.ok("outbox", says, **facts)


def write_accepted() -> Check:
    """Judge a server that says yes to an update of a job that can't be."""
    error = RejectedError(
        "the server accepts an update of a job that can't exist: it is not the platform, or not the platform alone",
        "check the host and what stands between",
    )
    return check.failed("write", error)


def _object(answer: Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
