"""Give a child a terminal of its own while its output is read: it stays interactive, with colours and bars."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import threading
import tty
from contextlib import suppress
from typing import TYPE_CHECKING

from nemo_jobs_cli.core import terminals
from nemo_jobs_cli.run import pump

if TYPE_CHECKING:
    from collections.abc import Callable

# How long the thread of keys may take to notice the end, in seconds.
_LAST_KEYS = 1.0


class Terminal:
    """A pseudo-terminal between the child and ours: `side` is the child's end, `main` ours."""

    def __init__(self) -> None:
        self.main, self.side = pty.openpty()
        # In the background (`&`) the keys are somebody else's, and who touches the terminal is stopped.
        self._outer = 0 if os.isatty(0) and terminals.is_in_front(0) else None
        self._raw = False
        self._leader = 0
        self._done, self._end = os.pipe()
        self._thread: threading.Thread | None = None
        self.resize()
        mode = termios.tcgetattr(self.side if self._outer is None else self._outer)
        self._before = list(mode)
        if self._outer is None or not os.isatty(1):
            # Nothing turns \r\n back, or a terminal makes it of \n behind us: what the child writes stays as it is.
            mode[tty.OFLAG] &= ~termios.OPOST
        termios.tcsetattr(self.side, termios.TCSANOW, mode)

    def adopt(self) -> None:
        """Make the child's end the controlling terminal; runs in the child, leader of a new session."""
        fcntl.ioctl(self.side, termios.TIOCSCTTY, 0)

    def begin(self, leader: int) -> None:
        """Leave the child's end to the child, `leader` of its session, and hand it every key, Ctrl-C too."""
        os.close(self.side)
        self.side, self._leader = -1, leader
        if self._outer is not None:
            self._enter()
            self._thread = threading.Thread(target=self._copy_keys, args=[self._outer], name="keys", daemon=True)
            self._thread.start()

    def resize(self) -> None:
        """Give the child's terminal the size of ours; the kernel tells the child."""
        for number in (1, 0, 2):
            with suppress(OSError):
                size = fcntl.ioctl(number, termios.TIOCGWINSZ, struct.pack("HHHH", 0, 0, 0, 0))
                fcntl.ioctl(self.main, termios.TIOCSWINSZ, size)
                return

    def suspend(self, resume: Callable[[], None]) -> None:
        """Stop as the child did (Ctrl-Z), with all of our own job, and wake it when the shell wakes us."""
        self._leave()
        os.kill(0, signal.SIGTSTP)
        self._enter()
        self.resize()
        resume()

    def close(self) -> None:
        """Take the keys back; what is typed from now on is for others."""
        os.close(self._end)
        if self._thread is not None:
            self._thread.join(_LAST_KEYS)
        self._leave()
        if self.side >= 0:
            os.close(self.side)
        if self._thread is None or not self._thread.is_alive():
            os.close(self._done)
            os.close(self.main)

    def _enter(self) -> None:
        if self._outer is not None and terminals.is_in_front(self._outer):
            with suppress(termios.error):  # its window is closed
                tty.setraw(self._outer, termios.TCSADRAIN)
                self._raw = True

    def _leave(self) -> None:
        if self._outer is not None and self._raw:
            self._raw = False
            if terminals.is_in_front(self._outer):
                with suppress(termios.error):
                    termios.tcsetattr(self._outer, termios.TCSADRAIN, self._before)

    def _copy_keys(self, outer: int) -> None:
        # In the background a read fails then, instead of stopping us.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTIN})
        both, end = select.poll(), select.poll()
        both.register(outer, select.POLLIN)
        for one in (both, end):
            one.register(self._done, select.POLLIN)
        while True:
            ready = dict(both.poll() if self._raw else end.poll(pump.PAUSE * 1000))
            if self._done in ready:
                return
            if not self._raw:
                continue
            try:
                typed = os.read(outer, 1024)
            except OSError:  # it is in other hands now, or has gone
                self._raw = False
                continue
            if not typed:
                return
            try:
                pump.write(self.main, typed)
                self._stop_if_asked(typed)
            except (OSError, termios.error):  # the child's end is closed
                return

    def _stop_if_asked(self, typed: bytes) -> None:
        """Stop the child's group where Ctrl-Z was typed.

        The kernel doesn't: nobody of its session could wake it (POSIX calls the group orphaned). An interactive
        shell as the child has groups of its own in front, and stops them itself.
        """
        mode = termios.tcgetattr(self.main)
        asked = mode[tty.LFLAG] & termios.ISIG and mode[tty.CC][termios.VSUSP] in typed
        if asked and os.tcgetpgrp(self.main) == self._leader:
            os.killpg(self._leader, signal.SIGSTOP)
