"""Give work that can't be interrupted a hard limit of time: a name lookup, a read of a pipe, a handshake that drips."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


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

    thread = threading.Thread(target=run, name="bounded", daemon=True)
    thread.start()
    thread.join(limit)
    if raised:
        raise raised[0]
    if not found:
        raise TimeoutError
    return found[0]
