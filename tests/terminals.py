"""Run a process on a terminal of its own and be the person before it: type, read, resize."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time

# Takes the terminal on stdin, or that on the number given, as its own, then becomes the words that follow.
TAKE = "import fcntl, os, sys, termios; fcntl.ioctl({}, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"

# How long anything may take here, in seconds: a limit, never a pause.
LIMIT = 60.0


class Terminal:
    """A process that leads a session on a new terminal; `streams` puts something else in the terminal's place."""

    def __init__(self, words, env, *, rows=24, columns=80, cwd=None, **streams):
        self.main, self.side = pty.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(self.side)
        self.seen = b""
        given = {"stdin": self.side, "stdout": self.side, "stderr": self.side} | streams
        number = next(number for number, name in enumerate(("stdin", "stdout", "stderr")) if given[name] == self.side)
        self.process = subprocess.Popen(
            [sys.executable, "-Sc", TAKE.format(number), *words], env=env, cwd=cwd, start_new_session=True, **given
        )

    def until(self, text):
        """Read until `text` has come, and return all that came."""
        ends = time.monotonic() + LIMIT
        while text not in self.seen:
            assert time.monotonic() < ends, self.seen
            if not self.read():
                break
        assert text in self.seen, self.seen
        return self.seen

    def type(self, keys):
        """Press keys."""
        os.write(self.main, keys)

    def resize(self, rows, columns):
        """Change the size, as dragging a window's corner does."""
        fcntl.ioctl(self.main, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def mode(self):
        """Return how the terminal treats keys and output."""
        return termios.tcgetattr(self.side)

    def end(self):
        """Read to the end of the process and return its exit code."""
        ends = time.monotonic() + LIMIT
        while self.process.poll() is None:
            assert time.monotonic() < ends, self.seen
            self.read(0.02)
        while self.read(0):
            pass
        return self.process.returncode

    def close(self):
        """End what is left."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for number in (self.main, self.side):
            os.close(number)

    def __enter__(self):
        """Give the terminal to a `with`."""
        return self

    def __exit__(self, *_):
        """Leave nothing behind."""
        self.close()

    def read(self, seconds=1.0):
        """Read what comes within some time; tell whether something did, or may still."""
        if not select.select([self.main], [], [], seconds)[0]:
            return self.process.poll() is None and seconds > 0
        self.seen += os.read(self.main, 65536)
        return True
