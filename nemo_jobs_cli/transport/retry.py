"""Send a request and retry it until a deadline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nemo_jobs_cli.transport import classify, routes
from nemo_jobs_cli.transport.messages import Failure, Response, SendResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from nemo_jobs_cli.core.deadline import Deadline
    from nemo_jobs_cli.transport.messages import Request, Sender

FIRST_WINDOW = 0.1
WIDEST_WINDOW = 2.0

CONFLICT = 409

_FINAL_FAILURES = frozenset({"tls", "tls-settings", "proxy-settings"})


def send(
    request: Request,
    sender: Sender,
    deadline: Deadline,
    *,
    on_retry: Callable[[Response | Failure, float], None] | None = None,
) -> SendResult:
    """Send `request`, with retries until the deadline.

    `on_retry` is called before each pause with the response or failure and the pause in seconds.
    """
    clock = deadline.clock
    attempts = conflicts = 0
    while True:
        last = sender.send(request, deadline.left())
        attempts += 1
        conflicts += isinstance(last, Response) and last.status == CONFLICT
        seconds = None if deadline.once else pause(last, attempts, deadline.left(), clock.random)
        # A missing attempt never comes back; a job without an attempt gets one.
        if (
            routes.has_exact_attempt(request.path)
            and isinstance(last, Response)
            and classify.kind(last) == "no-attempt"
        ):
            seconds = None
        if seconds is None:
            return SendResult(last, attempts, conflicts)
        if on_retry is not None:
            on_retry(last, seconds)
        clock.sleep(seconds)


def is_transient(last: Response | Failure) -> bool:
    """Return whether sending the same request again can help.

    409 counts although the server says `x-should-retry: false`: a body of absolute values is safe to repeat, and
    obeying that header lost 30 of 32 parallel updates on NeMo Platform 0.6.0.
    """
    if isinstance(last, Failure):
        return last.kind not in _FINAL_FAILURES
    return classify.kind(last) in {"transient", "conflict", "no-attempt"}


def pause(last: Response | Failure, attempts: int, left: float, random: Callable[[], float]) -> float | None:
    """Return the seconds to wait after `attempts`, or None to stop.

    Full jitter over a window that doubles. After a conflict the window is at least as long as the response took: a
    server that serializes writes answers later, the more writers are waiting.
    """
    if not is_transient(last):
        return None
    window = min(WIDEST_WINDOW, FIRST_WINDOW * 2 ** min(attempts - 1, 10))
    if isinstance(last, Failure):
        delay = window * random()
    else:
        if last.status == CONFLICT:
            window = max(window, 1.5 * last.seconds)
        delay = window * random() + (retry_after(last) or 0)
    return delay if delay < left else None


def retry_after(response: Response) -> float | None:
    """Return the seconds of a Retry-After header, or None."""
    value = response.headers.get("retry-after", "").strip()
    if not value:
        return None
    if value.isascii() and value.isdigit():
        return float(value[:9])
    from email.utils import parsedate_to_datetime

    try:
        then = parsedate_to_datetime(value)
        now = parsedate_to_datetime(response.headers.get("date", ""))
        return max(0.0, (then - now).total_seconds())
    except (TypeError, ValueError, OverflowError):  # not dates, only one with a zone, or a zone out of range
        return None
