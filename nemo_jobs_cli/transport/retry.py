"""Decide whether and when to try again: one function from what happened to a delay or a stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nemo_jobs_cli.transport.messages import Failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from nemo_jobs_cli.transport.messages import Response

FIRST_WINDOW = 0.1
WIDEST_WINDOW = 2.0

CONFLICT = 409
TOO_MANY = 429
UNAVAILABLE = 503

_FINAL_FAILURES = frozenset({"tls", "proxy-settings"})
_WORTH_REPEATING = frozenset({408, CONFLICT, 425, TOO_MANY})


def is_transient(last: Response | Failure) -> bool:
    """Tell whether sending the same request again can help.

    409 counts although the server says `x-should-retry: false`: a body of absolute values is safe to
    repeat, and obeying that header lost 30 of 32 parallel updates (measured).
    """
    if isinstance(last, Failure):
        return last.kind not in _FINAL_FAILURES
    return last.status in _WORTH_REPEATING or last.status >= 500  # noqa: PLR2004 - the class of server errors


def pause(last: Response | Failure, tries: int, left: float, random: Callable[[], float]) -> float | None:
    """Return the seconds to wait after the `tries`-th try, or None to stop.

    Full jitter over a window that doubles. After a conflict the window is also as long as the answer
    took: a server that serves one write at a time answers the later, the more writers stand in the queue.
    """
    if not is_transient(last):
        return None
    window = min(WIDEST_WINDOW, FIRST_WINDOW * 2 ** min(tries - 1, 10))
    if isinstance(last, Failure) or last.status != CONFLICT:
        delay = window * random()
    else:
        delay = max(window, 1.5 * last.seconds) * random()
    asked = None if isinstance(last, Failure) else retry_after(last)
    if asked is not None:
        delay += asked
    return delay if delay < left else None


def retry_after(answer: Response) -> float | None:
    """Return the seconds that a Retry-After header asks for (RFC 9110, both forms); None without one."""
    value = answer.headers.get("retry-after", "").strip()
    if not value:
        return None
    if value.isascii() and value.isdigit():
        return float(value[:9])
    from email.utils import parsedate_to_datetime

    try:
        then = parsedate_to_datetime(value)
        now = parsedate_to_datetime(answer.headers.get("date", ""))
        return max(0.0, (then - now).total_seconds())
    except (TypeError, ValueError, OverflowError):  # no dates, one with a zone and one without, a zone beyond reason
        return None
