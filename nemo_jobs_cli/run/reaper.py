"""Act as PID 1: reap orphans and pass signals on.

In a container, `run` is PID 1.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# A terminal sends these to its whole foreground group, so the child has them too.
_TERMINAL_SIGNALS = frozenset({signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGWINCH})

# They tell of a bug in this process.
_FAULTS = frozenset({signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT, signal.SIGTRAP})


def supervise(work: Callable[[], int]) -> int:
    """Return the exit code of `work`; as PID 1, call it in a child.

    No thread may run yet.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # if it is ignored, the kernel reaps, and no exit code is left
    if os.getpid() != 1:
        return work()
    numbers = signal.valid_signals() - _FAULTS
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    child = os.fork()
    if not child:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        return work()
    while True:
        info = signal.sigwaitinfo(numbers)
        if info.si_signo == signal.SIGCHLD:
            code = _reap(child)
            if code is not None:
                return code
        elif info.si_code <= 0 or info.si_signo not in _TERMINAL_SIGNALS:  # positive: sent by the kernel
            os.kill(child, info.si_signo)


def _reap(child: int) -> int | None:
    """Reap ended processes; return the exit code of the child, or None."""
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG)) != (0, 0):
            if ended[0] == child:
                code = os.waitstatus_to_exitcode(ended[1])  # -N after signal N
                return code if code >= 0 else 128 - code
    return None
