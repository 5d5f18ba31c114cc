"""Provide the clock of a command, and time limits for blocking work."""

from __future__ import annotations

import errno
import random
import threading
import time
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from nemo_jobs_cli.core import signals

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

# Python runs a signal handler only between bytecodes, so a signal just before a blocking call is handled after it.
# Blocking calls are split into steps of this many seconds, the longest delay of Ctrl-C.
STEP = 0.5

# A command that waits longer than this, in seconds, tells the user why.
LONG_WAIT = 5.0


class Clock(NamedTuple):
    """The clock, sleep and random numbers of a command.

    Times are in seconds, random numbers in [0, 1).
    """

    now: Callable[[], float]
    sleep: Callable[[float], None]
    random: Callable[[], float]


def wait_until(wait: Callable[[float], bool], limit: float) -> bool:
    """Poll `wait(seconds)` for `limit` seconds; return whether it was true."""
    ends = time.monotonic() + limit
    while True:
        if wait(min(STEP, max(0.0, ends - time.monotonic()))):
            return True
        if time.monotonic() >= ends:
            return False


def wait_long(wait: Callable[[float], bool], limit: float, on_wait: Callable[[], None]) -> bool:
    """Poll as `wait_until`; call `on_wait` after LONG_WAIT seconds."""
    if limit <= LONG_WAIT:
        return wait_until(wait, limit)
    if wait_until(wait, LONG_WAIT):
        return True
    on_wait()
    return wait_until(wait, limit - LONG_WAIT)


def sleep(seconds: float) -> None:
    """Sleep in steps, so that signals are handled soon."""

    def never(step: float) -> bool:
        time.sleep(step)
        return False

    wait_until(never, seconds)


def sleep_while_read(seconds: float) -> None:
    """Sleep; raise BrokenPipeError as soon as the reader of stdout has left."""
    import select  # not on the way of an update

    poller = select.poll()
    poller.register(1, 0)  # errors are always reported

    def has_left(step: float) -> bool:
        events = sum(event for _, event in poller.poll(step * 1000))
        if events & select.POLLNVAL:  # macOS polls no terminals
            time.sleep(step)
        return bool(events & (select.POLLERR | select.POLLHUP))

    if wait_until(has_left, seconds):
        raise BrokenPipeError(errno.EPIPE, "the reader has left")


def run_within(limit: float, work: Callable[[], T]) -> T:
    """Run `work` for at most `limit` seconds, or raise TimeoutError.

    The work runs on a daemon thread, which is abandoned at the limit.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            errors.append(error)
        finally:
            finished.set()

    finished = signals.Latch()
    signals.start_thread(threading.Thread(target=run, name="bounded", daemon=True))
    wait_until(finished.wait, limit)
    if errors:
        raise errors[0]
    if not results:
        raise TimeoutError
    return results[0]


SYSTEM_CLOCK = Clock(time.monotonic, sleep, random.random)
