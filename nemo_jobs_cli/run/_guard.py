"""Let a command share the fate of `run`: end, stop and continue.

KILL and STOP cannot be handled, so that nobody could pass them on to a command with a process group of its own. The
guard has a group of its own too, and a child (the canary) in ours, to see what happens to that.
This file is also the guard's program: it imports nothing of the package.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from contextlib import suppress

# Characters in which the number of a process is written to the guard.
_PID_SIZE = 20


class Guard:
    """The guard of a command that is about to start.

    `watches_group`: what KILL, STOP and CONT do to our group is done to the command's group, if it leads one. `fifo` is
    a channel to remove when nobody reads it any more.
    """

    def __init__(self, *, watches_group: bool, fifo: str = "") -> None:
        reader, self._writer = os.pipe()
        self._ready, ready = os.pipe()
        try:
            self._pid = os.posix_spawn(
                sys.executable,
                (sys.executable, "-I", "-S", __file__, str(os.getpgrp() if watches_group else 0), fifo),
                {},
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, reader, 0),
                    (os.POSIX_SPAWN_DUP2, ready, 1),
                    (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
                ],
                setpgroup=0,
            )
        except OSError:
            os.close(self._writer)
            os.close(self._ready)
            raise
        finally:
            os.close(reader)
            os.close(ready)

    def wait_until_ready(self) -> None:
        """Wait until nothing that happens to our group is missed."""
        os.read(self._ready, 1)

    def watch(self, pid: int) -> None:
        """Guard the command `pid`."""
        self._tell(str(pid).rjust(_PID_SIZE))

    def dismiss(self) -> None:
        """Let the command go: it has ended, or could not start."""
        self._tell(" ")

    def close(self) -> None:
        """Wait for the end of the guard, which must be dismissed."""
        os.close(self._ready)
        os.close(self._writer)
        os.waitpid(self._pid, 0)

    def _tell(self, text: str) -> None:
        with suppress(BrokenPipeError):  # somebody has killed the guard
            os.write(self._writer, text.encode())


def main(group: int, fifo: str) -> None:
    """Guard the command that stdin names until it or `run` ends."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    with os.scandir("/dev/fd") as entries:
        numbers = [int(entry.name) for entry in entries]
    for number in numbers:  # what the command inherits must end with it
        with suppress(OSError):  # the number of the list itself is closed
            if number > 2:  # noqa: PLR2004 - after stdin, stdout, stderr
                os.close(number)
    canary = _start_canary(group)
    os.write(1, b"\n")
    text = os.read(0, _PID_SIZE)  # in one piece: a number, a dismissal, or nothing if `run` was killed before
    if text.strip():
        pid = int(text)
        is_group_killed = _watch(canary, pid)
        if os.read(0, 1):
            return
        _send(-pid if is_group_killed else pid, signal.SIGKILL)
    if not text.isspace():
        _remove(fifo)


def _start_canary(group: int) -> int:
    """Start a process that ends when `run` does; return its number.

    It is in `group`, or for 0 in one of its own.
    """
    canary = os.fork()
    if not canary:
        poll = select.poll()
        poll.register(0, 0)  # tells of the end only
        poll.poll()
        os._exit(0)
    with suppress(OSError):  # the group has just been killed
        os.setpgid(canary, group)
    return canary


def _watch(canary: int, pid: int) -> bool:
    """Pass STOP and CONT of the canary on; return whether it was killed."""
    while True:
        _, status = os.waitpid(canary, os.WUNTRACED | os.WCONTINUED)
        if os.WIFSTOPPED(status):
            _send(-pid, signal.SIGSTOP)
        elif os.WIFCONTINUED(status):
            _send(-pid, signal.SIGCONT)
        else:
            return os.WIFSIGNALED(status)


def _send(target: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # it has ended, or runs as another user
        os.kill(target, number)


def _remove(fifo: str) -> None:
    """Remove the channel, and release writers that wait in open()."""
    import shutil

    try:
        reader = os.open(fifo, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return  # there is none, or it was removed in time
    folder = fifo.rpartition("/")[0]
    os.rename(folder, folder + "-closed")  # noqa: PTH104 - first: a writer could make a file in the place of the channel
    shutil.rmtree(folder + "-closed", ignore_errors=True)
    os.close(reader)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
