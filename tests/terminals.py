"""Run a process on a pseudo-terminal: type, read, resize."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from pathlib import Path

from waiting import LIMIT

# The first terminal that a session leader opens becomes the controlling one.
TAKE_TERMINAL = ': <> "$0"; exec "$@"'


class Terminal:
    """A session leader on a new terminal; `streams` replaces standard streams."""

    def __init__(self, words, env, *, rows=24, columns=80, cwd=None, **streams):
        self.main, self.side = pty.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(self.side)
        self.seen = b""
        streams = {"stdin": self.side, "stdout": self.side, "stderr": self.side} | streams
        self.process = subprocess.Popen(
            ["sh", "-c", TAKE_TERMINAL, os.ttyname(self.side), *words],
            env=env,
            cwd=cwd,
            start_new_session=True,
            **streams,
        )

    def until(self, text):
        """Read until `text` has been printed; return all output."""
        ends = time.monotonic() + LIMIT
        while text not in self.seen:
            assert time.monotonic() < ends, self.seen
            if not self.read():
                break
        assert text in self.seen, self.seen
        return self.seen

    def type(self, keys):
        """Type keys."""
        os.write(self.main, keys)

    def resize(self, rows, columns):
        """Change the size of the window."""
        fcntl.ioctl(self.main, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def mode(self):
        """Return the terminal attributes."""
        return termios.tcgetattr(self.side)

    def end(self):
        """Read until the process ends; return its exit code."""
        ends = time.monotonic() + LIMIT
        while self.process.poll() is None:
            assert time.monotonic() < ends, self.seen
            self.read(0.02)
        while self.read(0):
            pass
        return self.process.returncode

    def close(self):
        """Kill the process and all others of its session."""
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdecimal() and os.getsid(int(entry.name)) == self.process.pid:
                    os.kill(int(entry.name), signal.SIGKILL)
        self.process.wait()
        for number in (self.main, self.side):
            os.close(number)

    def __enter__(self):
        """Return the terminal."""
        return self

    def __exit__(self, *_):
        """Close the terminal."""
        self.close()

    def read(self, seconds=1.0):
        """Read output within some seconds; return whether there was or may be more."""
        is_running = self.process.poll() is None  # first: it may print and end between a look at the terminal and this
        if not select.select([self.main], [], [], seconds)[0]:
            return is_running and seconds > 0
        self.seen += os.read(self.main, 65536)
        return True
