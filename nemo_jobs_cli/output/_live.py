"""Redraw a terminal frame in place, writing only changed lines.

The cursor rests, hidden, at the start of the frame's first line: a resize moves it with that line, so the rest can
always be erased. Lines are overwritten, not erased first: tmux keeps the lines of an erased screen in its scrollback.
"""

from __future__ import annotations

import os
import signal
import sys
import termios
import threading
import time
import tty
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, Self

from nemo_jobs_cli.core.signals import is_readable, start_thread
from nemo_jobs_cli.core.terminal import has_foreground

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType, TracebackType

# Seconds between two frames: half of the smallest unit that a frame shows.
TICK = 0.5

# A slow frame (50 steps) is drawn less often, so that drawing takes at most 1/20 of the time.
SHARE = 20

HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"

# A character that the terminal draws wider than expected must not push the next line down.
_NO_WRAP, _WRAP = "\x1b[?7l", "\x1b[?7h"

_ERASE_LINE, _ERASE_BELOW = "\x1b[K", "\x1b[J"
_DIM, _PLAIN = "\x1b[2m", "\x1b[0m"


class Frame(NamedTuple):
    """Lines and a footer; a low window cuts the footer's end last."""

    lines: Sequence[str] = ()
    footer: Sequence[str] = ()


class LiveDisplay:
    """Show `draw(columns)` until the `with` block ends.

    One thread draws and writes, so an interrupt never splits a line, and times go on while the platform is slow.
    The cursor is hidden and echo is off: Enter would move the frame. In the background (`bg`, `&`) nothing is drawn
    until the end. rich.live has no such job control, and writes all lines of a frame if one changes.
    """

    def __init__(self, draw: Callable[[int], Frame], width: int) -> None:
        self._draw = draw
        self._width = width
        self._shown: Sequence[str] = ()
        self._size: tuple[int, int | None] | None = None  # None: the cursor is not at the start of a frame
        self._hidden = False
        self._writing = threading.RLock()  # re-entrant: a second Ctrl-Z may come inside the first
        self._failure: Exception | None = None
        self._done = False
        self._out = self._in = -1
        self._thread = threading.Thread(target=self._run, name="live-display", daemon=True)
        self._handlers: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}
        self._mode: list[int | list[bytes | int]] | None = None

    def refresh(self) -> None:
        """Draw soon; raise the exception that stopped the drawing thread."""
        if self._failure is not None:
            raise self._failure
        self._wake()

    def __enter__(self) -> Self:
        """Handle the signals and start the thread."""
        self._out, self._in = os.pipe()
        try:
            for end in (self._out, self._in):
                os.set_blocking(end, False)
            self._handle(signal.SIGWINCH, lambda *_: self._wake())
            self._handle(signal.SIGTSTP, self._suspend)
            start_thread(self._thread)
        except BaseException:
            self._restore()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        """Leave the last frame, and restore the terminal."""
        try:
            self._done = True
            self._wake()
            self._thread.join()
            if self._failure is None:
                self._finish()
            elif kind is None:
                raise self._failure
        finally:
            self._restore()

    def _restore(self) -> None:
        """Restore handlers and terminal, also after a second Ctrl-C."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._restore_terminal()
        if not self._thread.is_alive():  # else it would read from the next owner of the descriptor
            os.close(self._out)
            os.close(self._in)

    def _wake(self) -> None:
        with suppress(BlockingIOError):  # the pipe is full: the thread is awake
            os.write(self._in, b".")

    def _handle(self, number: signal.Signals, handler: Callable[[int, FrameType | None], object]) -> None:
        if signal.getsignal(number) != signal.SIG_IGN:
            self._handlers[number] = signal.signal(number, handler)

    def _run(self) -> None:
        try:
            while not self._done:
                began = time.monotonic()
                with self._writing:
                    self._paint()
                is_readable(self._out, max(TICK, SHARE * (time.monotonic() - began)))
                while is_readable(self._out, 0):
                    os.read(self._out, 512)
        except Exception as error:  # noqa: BLE001 - raised again by refresh() or __exit__()
            self._failure = error

    def _paint(self) -> None:
        """Write the changed lines, or all lines after a resize."""
        if not _is_foreground():
            self._show_cursor()
            self._size = None
            return
        self._take_terminal()
        size = columns, rows = _size(self._width)
        # One column stays free: terminals differ in what they do after the last one.
        lines = fit(self._draw(columns - 1), rows)
        if self._done:  # __exit__ writes the whole last frame, unless it was interrupted
            return
        if lines or self._shown:
            _write(patch(self._shown, lines) if size == self._size else redraw(lines))
            self._shown, self._size = lines, size

    def _finish(self) -> None:
        """Write the whole last frame, which may scroll, and move below it."""
        size = _size(self._width)
        lines = [line for part in self._draw(size[0] - 1) for line in part]
        if not _is_foreground():  # the position of the cursor is unknown
            _write("".join(f"{line}\n" for line in lines))
        elif lines == self._shown and size == self._size:
            _write("\n" * len(lines))
        else:
            _write(leave(lines))

    def _take_terminal(self) -> None:
        """Hide the cursor, and turn echo off if the keys are for this process."""
        if self._hidden:
            return
        self._hidden = True
        _write(HIDE_CURSOR)
        if sys.stdin is not None and sys.stdin.isatty() and has_foreground(sys.stdin.fileno()):
            with suppress(termios.error):  # the window was closed
                mode = termios.tcgetattr(sys.stdin)
                self._mode = self._mode or list(mode)
                mode[tty.LFLAG] &= ~termios.ECHO
                termios.tcsetattr(sys.stdin, termios.TCSADRAIN, mode)

    def _restore_terminal(self) -> None:
        self._show_cursor()
        if self._mode is not None and has_foreground(sys.stdin.fileno()):
            with suppress(termios.error):  # the window was closed
                termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._mode)
            self._mode = None

    def _show_cursor(self) -> None:
        if self._hidden:
            _write(SHOW_CURSOR)
            self._hidden = False

    def _suspend(self, number: int, _frame: FrameType | None) -> None:
        """Stop on Ctrl-Z with the terminal restored, and continue below."""
        with self._writing:
            if self._size is not None:
                _write("\n" * len(self._shown))
                self._size = None
            self._restore_terminal()
            handler = signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            signal.signal(number, handler)
        self._wake()


def patch(before: Sequence[str], after: Sequence[str]) -> str:
    """Return the text that changes the lines `before` into `after`, or "".

    No line may reach the last column.
    """
    if before == after:
        return ""
    after = after or [""]  # so that the first line is overwritten, too
    text, row = [_NO_WRAP], 0
    for number, line in enumerate(after):
        if number < len(before) and before[number] == line:
            continue
        # The cursor moves to an existing line; line feeds make a new one, and scroll if needed.
        existing = min(number, max(len(before) - 1, row))
        text += [_move(existing - row, "B"), "\n" * (number - existing), "\r", line, _ERASE_LINE]
        row = number
    if len(after) < len(before):
        text += [_move(len(after) - row, "B"), "\r", _ERASE_BELOW]
        row = len(after)
    return "".join([*text, _move(row, "A"), "\r", _WRAP])


def redraw(lines: Sequence[str]) -> str:
    """Return the text that draws `lines` after a resize of the terminal."""
    return f"{_NO_WRAP}{_overwrite(lines)}{_move(len(lines) - 1, 'A')}\r{_WRAP}"


def leave(lines: Sequence[str]) -> str:
    """Return the text that leaves `lines`, with the cursor below them."""
    return "".join([_NO_WRAP, _overwrite(lines), "\n" if lines else "", _WRAP])


def fit(frame: Frame, rows: int | None) -> list[str]:
    """Cut the lines of a frame to `rows`, with a note on the rest.

    A frame higher than the screen cannot be redrawn: its top is out of reach.
    """
    lines, footer = frame
    if rows is None or len(lines) + len(footer) <= rows:
        return [*lines, *footer]
    if not lines:
        return [*footer[-rows:]]
    footer = footer[-max(1, rows - 2) :]
    room = max(1, rows - len(footer) - 1)
    note = f"{_DIM}  +{len(lines) - room} lines: a taller window shows more{_PLAIN}"
    return [*lines[:room], note, *footer][: max(1, rows)]


def _overwrite(lines: Sequence[str]) -> str:
    """Return the text that writes lines and erases the screen below."""
    # Erased from its start, a line also forgets that it was wrapped: else the next resize joins it with another.
    return "\n".join(f"\r{_ERASE_LINE}{line}" for line in lines or [""]) + _ERASE_BELOW


def _move(rows: int, direction: str) -> str:
    return f"\x1b[{rows}{direction}" if rows > 0 else ""


def _is_foreground() -> bool:
    """Return whether this process may write to the terminal.

    True if stdout is not a terminal.
    """
    try:
        return has_foreground(sys.stdout.fileno())
    except (OSError, ValueError):
        return True


def _size(width: int) -> tuple[int, int | None]:
    """Return columns and rows of the terminal; `width` and None if unknown."""
    try:
        columns, rows = os.get_terminal_size(sys.stdout.fileno())
    except (OSError, ValueError):
        columns, rows = 0, 0
    return columns or width, rows or None


def _write(text: str) -> None:
    if text:
        sys.stdout.write(text)
        sys.stdout.flush()
