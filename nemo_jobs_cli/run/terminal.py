"""Give a command a terminal of its own while its output is copied."""

from __future__ import annotations

import fcntl
import math
import os
import pty
import select
import signal
import struct
import termios
import threading
import time
import tty
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from nemo_jobs_cli.core import clock, signals
from nemo_jobs_cli.core.terminal import has_foreground

if TYPE_CHECKING:
    from collections.abc import Callable

# A pipe's usual size: larger reads only use memory.
CHUNK = 64 * 1024

# Seconds without output after which a listener may look at an unfinished line, and after which the output of a
# finished command is complete: what it left in the background may keep the pipe open for days.
PAUSE = 0.2

# Seconds for which output of what a command left in the background is still copied.
MAX_DRAIN = 2.0

# Seconds for the thread that copies keys to end.
KEYS_TIMEOUT = 1.0


class Terminal:
    """A pseudo-terminal: `side` is the command's end, `main` ours.

    `on_signal_key` gets the signal of a key, such as Ctrl-C, before the terminal sends it to the command.
    """

    def __init__(self, on_signal_key: Callable[[int], None] = lambda _: None) -> None:
        self._on_signal_key = on_signal_key
        self.main, self.side = pty.openpty()
        self.name = os.ttyname(self.side)
        # In the background (`&`) the keys are the shell's, and touching the terminal would stop us.
        self._outer = 0 if os.isatty(0) and has_foreground(0) else None
        self._is_raw = False
        self._leader = 0
        self._end_read, self._end_write = os.pipe()
        self._thread: threading.Thread | None = None
        self.resize()
        mode = termios.tcgetattr(self.side if self._outer is None else self._outer)
        self._saved_mode = list(mode)
        if self._outer is None or not os.isatty(1):
            # Nothing would turn \r\n back into \n, or a terminal behind us adds the \r: leave the output as it is.
            mode[tty.OFLAG] &= ~termios.OPOST
        termios.tcsetattr(self.side, termios.TCSANOW, mode)
        self._enter_raw_mode()  # keys that are typed from now on wait for the command

    @property
    def has_keys(self) -> bool:
        """Return whether the keys of a terminal of our own are passed on."""
        return self._outer is not None

    def start(self, leader: int) -> None:
        """Close the command's end here, and pass the keys on to it."""
        os.close(self.side)
        self.side, self._leader = -1, leader
        if self._outer is not None:
            self._thread = threading.Thread(target=self._copy_keys, args=[self._outer], name="keys", daemon=True)
            self._thread.start()

    def resize(self) -> None:
        """Give the command's terminal the size of ours."""
        for number in (1, 0, 2):
            with suppress(OSError):
                size = fcntl.ioctl(number, termios.TIOCGWINSZ, struct.pack("HHHH", 0, 0, 0, 0))
                fcntl.ioctl(self.main, termios.TIOCSWINSZ, size)
                return

    def suspend(self) -> None:
        """Stop our job as the command has stopped, until it continues."""
        self._leave_raw_mode()
        os.kill(0, signal.SIGTSTP)
        self._enter_raw_mode()
        self.resize()

    def close(self) -> None:
        """Stop to copy keys and restore our terminal."""
        os.close(self._end_write)
        if self._thread is not None:
            self._thread.join(KEYS_TIMEOUT)
        self._leave_raw_mode()
        if self.side >= 0:
            os.close(self.side)
        if self._thread is None or not self._thread.is_alive():
            os.close(self._end_read)
            os.close(self.main)

    def _enter_raw_mode(self) -> None:
        if self._outer is not None and has_foreground(self._outer):
            with suppress(termios.error):  # its window is closed
                tty.setraw(self._outer, termios.TCSADRAIN)
                self._is_raw = True

    def _leave_raw_mode(self) -> None:
        if self._outer is not None and self._is_raw and has_foreground(self._outer):
            with suppress(termios.error):
                termios.tcsetattr(self._outer, termios.TCSADRAIN, self._saved_mode)

    def _copy_keys(self, outer: int) -> None:
        # In the background a read then fails instead of stopping us.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTIN})
        keys_or_end, end = select.poll(), select.poll()
        keys_or_end.register(outer, select.POLLIN)
        for poll in (keys_or_end, end):
            poll.register(self._end_read, select.POLLIN)
        while True:
            ready = dict(keys_or_end.poll() if self._is_raw else end.poll(PAUSE * 1000))
            if self._end_read in ready:
                return
            if not self._is_raw:
                continue
            try:
                keys = os.read(outer, 1024)
            except OSError:  # the terminal now belongs to another job, or is gone
                self._is_raw = False
                continue
            if not keys:
                return
            try:
                self._report_signal_keys(keys)
                write_all(self.main, keys)
                self._stop_on_ctrl_z(keys)
            except (OSError, termios.error):  # the command's end is closed
                return

    def _report_signal_keys(self, keys: bytes) -> None:
        for key, number in ((termios.VINTR, signal.SIGINT), (termios.VQUIT, signal.SIGQUIT)):
            if self._signals_leader(key, keys):
                self._on_signal_key(number)

    def _signals_leader(self, key: int, keys: bytes) -> bool:
        """Return whether `keys` hold one that signals the command's group."""
        mode = termios.tcgetattr(self.main)
        has_key = mode[tty.LFLAG] & termios.ISIG and mode[tty.CC][key] in keys
        return bool(has_key) and os.tcgetpgrp(self.main) == self._leader

    def _stop_on_ctrl_z(self, keys: bytes) -> None:
        """Stop the command's group if Ctrl-Z was typed.

        The kernel does not: the group is orphaned (POSIX), because nothing in its session could continue it. An
        interactive shell as the command has groups of its own in the foreground, and stops them itself.
        """
        if self._signals_leader(termios.VSUSP, keys):
            os.killpg(self._leader, signal.SIGSTOP)


class OutputCopier:
    """Copy `source` to the descriptor `target` on a thread.

    `on_output` gets `target` and each chunk, or an empty chunk for a pause; it must not block.
    """

    def __init__(self, source: int, target: int, on_output: Callable[[int, bytes], None]) -> None:
        self._source = source
        self._target = target
        self._on_output = on_output
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._work, name="output", daemon=True)

    def start(self) -> None:
        """Start to copy."""
        self._thread.start()

    def finish(self, seconds: float | None = None) -> bool:
        """Copy and write the rest, until a pause; return False after `seconds`."""
        self._ending.set()
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _work(self) -> None:
        try:
            self._copy()
        finally:
            # Also if our own output is closed: the command then gets SIGPIPE, as it would without us.
            os.close(self._source)

    def _copy(self) -> None:
        poll = select.poll()
        poll.register(self._source, select.POLLIN)
        left, ends, is_pause = 0, float("inf"), True
        while left > 0 or time.monotonic() < ends:
            if self._ending.is_set() and ends == float("inf"):
                (left,) = struct.unpack("i", fcntl.ioctl(self._source, termios.FIONREAD, bytes(4)))
                ends = time.monotonic() + MAX_DRAIN
            try:
                if poll.poll(PAUSE * 1000):
                    chunk = os.read(self._source, CHUNK)
                    if not chunk:
                        return
                    left, is_pause = left - len(chunk), False
                    self._on_output(self._target, chunk)
                    write_all(self._target, chunk)
                    continue
            except OSError:  # EIO: a terminal's other end is closed; EPIPE, ENOSPC: our output takes no more
                return
            if ends < float("inf"):  # not `_ending`: the command may have written and ended since the poll
                return
            if not is_pause:  # once: the same unfinished line is not news
                is_pause = True
                self._on_output(self._target, b"")


def write_in_steps(target: int, data: bytes) -> None:
    """Write all of `data`; if nobody reads, signals are still handled soon."""
    for start in range(0, len(data), select.PIPE_BUF):  # a writable pipe has room for this much
        clock.wait_until(partial(signals.is_writable, target), math.inf)
        write_all(target, data[start : start + select.PIPE_BUF])


def write_all(target: int, data: bytes) -> None:
    """Write all of `data`, even if `target` is non-blocking."""
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(target, left) :]
        except BlockingIOError:
            select.select([], [target], [])
