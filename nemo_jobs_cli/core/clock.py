"""The clock of a command, and time limits for blocking work: a name lookup, a read of a pipe, a slow handshake."""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

# Python runs signal handlers between its own steps: a signal that arrives just before a blocking call is handled after
# it. Blocking calls are cut into steps of this many seconds, the longest that a Ctrl-C may take.
STEP = 0.5


class Clock(NamedTuple):
    """The clock, the sleep and the random numbers of a command, in seconds and [0, 1): real ones, or a test's."""

    now: Callable[[], float]
    sleep: Callable[[float], None]
    random: Callable[[], float]


def wait_until(wait: Callable[[float], bool], limit: float) -> bool:
    """Poll `wait(seconds)` until it returns true; return False after `limit` seconds."""
    ends = time.monotonic() + limit
    while True:
        if wait(min(STEP, max(0.0, ends - time.monotonic()))):
            return True
        if time.monotonic() >= ends:
            return False


def sleep(seconds: float) -> None:
    """Sleep in steps, so that a signal is handled soon."""

    def never(step: float) -> bool:
        time.sleep(step)
        return False

    wait_until(never, seconds)


def run_within(limit: float, work: Callable[[], T]) -> T:
    """Return what `work` returns or raise what it raises; raise TimeoutError after `limit` seconds.

    The work runs on a daemon thread, which is abandoned at the limit.
    """
    found: list[T] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            found.append(work())
        except BaseException as error:  # noqa: BLE001 - carried to the caller's thread
            raised.append(error)
        finally:
            over.set()

    over = threading.Event()
    threading.Thread(target=run, name="bounded", daemon=True).start()
    wait_until(over.wait, limit)
    if raised:
        raise raised[0]
    if not found:
        raise TimeoutError
    return found[0]


SYSTEM_CLOCK = Clock(time.monotonic, sleep, random.random)
