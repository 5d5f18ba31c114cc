"""Name the process that owns a claim, so that its end is noticed."""

from __future__ import annotations

import os
import socket
import string
import sys
from contextlib import suppress
from typing import NamedTuple

from nemo_jobs_cli.delivery import entry as entries

_LARGEST_PID = 2**31 - 1
_HOST_LENGTH = 64
_HOST_CHARACTERS = frozenset(string.ascii_letters + string.digits + "-.")


class Owner(NamedTuple):
    """A process, by its host, boot, number and start time.

    The host is for people; the boot includes the PID namespace.
    """

    host: str
    boot: str
    pid: int
    start: str

    def __str__(self) -> str:
        """Return the owner as messages show it."""
        return f"process {self.pid} on {self.host}"

    def has_ended(self) -> bool:
        """Return whether the process has ended, False if it is not visible."""
        if os.name != "posix" or self.boot != _boot():
            return False
        if not self.start and sys.platform == "linux":
            return False  # /proc is of another PID namespace: so may the process be
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except OSError:
            return False  # another user's
        return _start(self.pid) != self.start


def current() -> Owner:
    """Return this process."""
    host = "".join(char if char in _HOST_CHARACTERS else "_" for char in socket.gethostname())
    return Owner(host[:_HOST_LENGTH] or "_", _boot(), os.getpid(), _start(os.getpid()))


def parse(parts: list[str]) -> Owner | None:
    """Return the owner in the parts of a file name, or None.

    Older versions wrote none.
    """
    if len(parts) != len(Owner._fields) or not parts[2].isdecimal() or not 0 < int(parts[2]) <= _LARGEST_PID:
        return None
    return Owner(parts[0], parts[1], int(parts[2]), parts[3])


def _boot() -> str:
    """Return a hash of this boot and PID namespace."""
    boot, namespace = socket.gethostname(), ""
    if _has_proc():
        with suppress(OSError):
            namespace = os.readlink("/proc/self/ns/pid")  # noqa: PTH115
        with (
            suppress(OSError),
            open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file,  # noqa: PTH123 - a Path costs more
        ):
            boot = file.read()
    return entries.digest(boot, namespace)


def _start(pid: int) -> str:
    """Return when a process has started, in ticks since the boot.

    "" if it has ended, or without /proc.
    """
    if not _has_proc():
        return ""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in {b"Z", b"X"} else fields[19].decode()


def _has_proc() -> bool:
    """Return whether /proc shows the processes of this PID namespace."""
    try:
        return os.readlink("/proc/self") == str(os.getpid())  # noqa: PTH115
    except OSError:
        return False
