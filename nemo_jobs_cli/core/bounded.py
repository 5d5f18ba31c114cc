"""Give work that can't be interrupted a hard limit of time: a name lookup, a read of a pipe, a handshake that drips."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

# Python hears a signal between its own steps: one that comes just before a blocking call, after it. So long, in
# seconds, may a Ctrl-C take at the most.
STEP = 0.5


def came(wait: Callable[[float], bool], limit: float) -> bool:
    """Call `wait` with seconds until it tells that what it waits for has come; False after `limit` seconds."""
    ends = time.monotonic() + limit
    while True:
        if wait(min(STEP, max(0.0, ends - time.monotonic()))):
            return True
        if time.monotonic() >= ends:
            return False


def sleep(seconds: float) -> None:
    """Sleep in steps."""

    def never(step: float) -> bool:
        time.sleep(step)
        return False

    came(never, seconds)


def within(limit: float, work: Callable[[], T]) -> T:
    """Return what `work` returns or raise what it raises; raise TimeoutError after `limit` seconds.

    It works on a thread that is left behind then, and that ends with the process.
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
    came(over.wait, limit)
    if raised:
        raise raised[0]
    if not found:
        raise TimeoutError
    return found[0]
