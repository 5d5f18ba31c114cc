"""Keep a picture on the terminal up to date: time passes, windows are resized, and nothing flickers."""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import threading
import time
import tty
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, Self

from nemo_jobs_cli.core.terminal import has_foreground
from nemo_jobs_cli.output import _repaint

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType, TracebackType

# How often the picture is drawn anew in memory, in seconds: half of the smallest unit that it shows.
TICK = 0.5

# A picture that takes long to draw (fifty steps) is drawn less often, so that watching costs one part in so many.
SHARE = 20


class Picture(NamedTuple):
    """Lines, and those below them that stay where a small screen cuts the others."""

    lines: Sequence[str] = ()
    foot: Sequence[str] = ()


class Live:
    """Shows what `draw` returns for a width, in columns, until the `with` is left; then the last picture stays, whole.

    Only a thread of its own draws and writes, so that an interrupt never cuts a line in two, and time goes on while
    the platform is slow to answer. Meanwhile the cursor is hidden and keys are not shown: Enter would move the picture.
    In the background (`bg`, `&`) the screen is the shell's: nothing is drawn there until the end.
    """

    def __init__(self, draw: Callable[[int], Picture], width: int) -> None:
        self._draw = draw
        self._width = width
        self._shown: Sequence[str] = ()
        self._size: tuple[int, int | None] | None = None  # None: the cursor is not at the start of a picture
        self._hidden = False
        self._writing = threading.RLock()  # two quick Ctrl-Z stop twice
        self._failure: Exception | None = None
        self._done = False
        self._out = self._in = -1
        self._thread = threading.Thread(target=self._work, name="picture", daemon=True)
        self._handlers: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}
        self._keys: list[int | list[bytes | int]] | None = None

    def changed(self) -> None:
        """Draw soon; raise what has kept the picture from being drawn."""
        if self._failure is not None:
            raise self._failure
        self._wake()

    def __enter__(self) -> Self:
        """Begin."""
        self._out, self._in = os.pipe()
        try:
            for end in (self._out, self._in):
                os.set_blocking(end, False)
            self._hear(signal.SIGWINCH, lambda *_: self._wake())
            self._hear(signal.SIGTSTP, self._suspend)
            self._thread.start()
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        """Leave the last picture and the terminal as it was."""
        try:
            self._done = True
            self._wake()
            self._thread.join()
            if self._failure is None:
                self._finish()
            elif kind is None:
                raise self._failure
        finally:
            self._leave()

    def _leave(self) -> None:
        """Give everything back, however far the beginning and the end came: a second Ctrl-C may cut them off."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._give_back()
        if not self._thread.is_alive():  # else it still reads there, and soon from whoever gets the number next
            os.close(self._out)
            os.close(self._in)

    def _wake(self) -> None:
        with suppress(BlockingIOError):  # woken often enough
            os.write(self._in, b".")

    def _hear(self, number: signal.Signals, handler: Callable[[int, FrameType | None], object]) -> None:
        if signal.getsignal(number) != signal.SIG_IGN:
            self._handlers[number] = signal.signal(number, handler)

    def _work(self) -> None:
        try:
            while not self._done:
                began = time.monotonic()
                with self._writing:
                    self.paint()
                select.select([self._out], [], [], max(TICK, SHARE * (time.monotonic() - began)))
                while select.select([self._out], [], [], 0)[0]:
                    os.read(self._out, 512)
        except Exception as error:  # noqa: BLE001 - raised where it can be told
            self._failure = error

    def paint(self) -> None:
        """Write what has changed since the last time; all of it where the screen's size has, or others wrote."""
        if not _in_front():
            self._show_cursor()
            self._size = None
            return
        self._take()
        size = columns, rows = _size(self._width)
        # One column stays free: what is written into the last one makes terminals differ.
        lines = _repaint.cut(*self._draw(columns - 1), rows)
        if self._done:  # the last one is drawn whole, if nobody was too impatient for it
            return
        if lines or self._shown:
            _write(_repaint.patch(self._shown, lines) if size == self._size else _repaint.afresh(lines))
            self._shown, self._size = lines, size

    def _finish(self) -> None:
        """Write the last picture whole, and go below it; what doesn't fit scrolls."""
        size = _size(self._width)
        lines = [line for part in self._draw(size[0] - 1) for line in part]
        if not _in_front():  # where the cursor is, nobody knows
            _write("".join(f"{line}\n" for line in lines))
        elif lines == self._shown and size == self._size:
            _write("\n" * len(lines))
        else:
            _write(_repaint.whole(lines))

    def _take(self) -> None:
        """Hide the cursor, and keys where they are ours."""
        if self._hidden:
            return
        self._hidden = True
        _write(_repaint.HIDE_CURSOR)
        if sys.stdin is not None and sys.stdin.isatty() and has_foreground(sys.stdin.fileno()):
            with suppress(termios.error):  # its window is closed
                self._keys = self._keys or termios.tcgetattr(sys.stdin)
                mode = termios.tcgetattr(sys.stdin)
                mode[tty.LFLAG] &= ~termios.ECHO
                termios.tcsetattr(sys.stdin, termios.TCSADRAIN, mode)

    def _give_back(self) -> None:
        self._show_cursor()
        if self._keys is not None and has_foreground(sys.stdin.fileno()):
            with suppress(termios.error):  # as above
                termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._keys)
            self._keys = None

    def _show_cursor(self) -> None:
        if self._hidden:
            _write(_repaint.SHOW_CURSOR)
            self._hidden = False

    def _suspend(self, number: int, _frame: FrameType | None) -> None:
        """Stop, as Ctrl-Z asks, with the terminal as it was; go on below whatever was done there meanwhile."""
        with self._writing:
            if self._size is not None:
                _write("\n" * len(self._shown))
                self._size = None
            self._give_back()
            handler = signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            signal.signal(number, handler)
        self._wake()


def _in_front() -> bool:
    """Tell whether the screen is ours; what is no terminal, or does not say, is."""
    try:
        return has_foreground(sys.stdout.fileno())
    except (OSError, ValueError):
        return True


def _size(width: int) -> tuple[int, int | None]:
    """Return the columns and rows of the terminal; `width` and None where it does not say."""
    try:
        columns, rows = os.get_terminal_size(sys.stdout.fileno())
    except (OSError, ValueError):
        columns, rows = 0, 0
    return columns or width, rows or None


def _write(text: str) -> None:
    if text:
        sys.stdout.write(text)
        sys.stdout.flush()
