"""Run a command as a child: its group, signals, output and status."""

from __future__ import annotations

import errno
import math
import os
import signal
import threading
from collections import deque
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.core import clock, signals
from nemo_jobs_cli.core.errors import NemoJobsError
from nemo_jobs_cli.core.terminal import foreground_group
from nemo_jobs_cli.run import _program
from nemo_jobs_cli.run._guard import Guard
from nemo_jobs_cli.run.status import STOP_SIGNALS, ExitStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import FrameType

    from nemo_jobs_cli.run.terminal import OutputCopier, Terminal

FORWARDED = (*STOP_SIGNALS, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH)
# A terminal sends these to its whole foreground group: forwarded, they would arrive twice.
_TERMINAL_SIGNALS = frozenset({signal.SIGINT, signal.SIGQUIT, signal.SIGWINCH})

# After one of these KILL may follow soon. (An INT at the end of the command may be the Ctrl-C that has ended it.)
_URGENT = frozenset({signal.SIGTERM, signal.SIGHUP})

# What runs a script without an interpreter line.
_SHELL = "/bin/sh"

# A command must not inherit that.
_IGNORED_BY_PYTHON = frozenset({signal.SIGPIPE, signal.SIGXFSZ})


class CommandError(NemoJobsError):
    """The command could not start; `code` is a shell's exit code."""

    def __init__(self, message: str, hint: str, code: int) -> None:
        super().__init__(message, hint)
        self.code = code


@dataclass(frozen=True, slots=True)
class ChildOptions:
    """How to run a command.

    `on_output` gets the number of a stream (1, 2) and a chunk of its output, an empty one for a pause. `on_signal` gets
    each signal, except WINCH, that reaches the command. `grace` is the seconds from TERM to KILL. `terminal` gives the
    command a terminal of its own, if its output is read. `signal_handler` gets the signals that come after the
    command's end; None: the previous handlers. `channel` is the path of the command's channel.
    """

    on_output: Callable[[int, bytes], None] | None = None
    on_signal: Callable[[int], None] = lambda _: None
    grace: float | None = None
    terminal: bool = False
    signal_handler: Callable[[int, FrameType | None], Any] | None = None
    channel: str = ""


class Child:
    """A running command, started at once; `wait` returns its exit status.

    With a terminal it shares our process group, so that keys and job control reach it directly; without one it leads
    a group of its own, and the whole group gets the forwarded signals. If we are killed, so is the command.
    """

    def __init__(
        self,
        words: Sequence[str],
        environment: Mapping[str, str],
        options: ChildOptions = ChildOptions(),
    ) -> None:
        self._options = options
        self._copiers: list[OutputCopier] = []
        self._is_stopped = False
        self._kill_timer: threading.Timer | None = None
        self._pid: int | None = None
        self._is_spawned = self._is_over = self._is_urgent = False
        self._arrived: deque[tuple[int, bool]] = deque()
        self._wakeup = signals.SignalWakeup()
        # An ignored signal (nohup, a shell's background job) stays ignored, for the command too.
        handled = [number for number in FORWARDED if signal.getsignal(number) != signal.SIG_IGN]
        self._old_handlers = {number: signal.signal(number, self._handle) for number in handled}
        # After the handlers: a signal that ended us here would leave our terminal in raw mode.
        self._terminal = self._open_terminal() if options.terminal else None
        # A terminal with keys goes back to the shell if the command stops, and the command continues with us.
        self._is_suspendable = self._terminal is not None and self._terminal.has_keys
        self._shares_group = self._terminal is None and foreground_group() is not None
        # The caller may block signals: that is for the command, not for us who pass them on and wait for its end.
        self._mask = signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD, *handled})
        self._guard: Guard | None = None
        with suppress(OSError):  # the system has no process left for it: the command is more important
            self._guard = Guard(watches_group=not self._is_suspendable, fifo=options.channel)
        try:
            self._start(words, environment)
        except (OSError, ValueError) as error:
            self._dismiss_guard()
            self._close()
            raise CommandError(*_program.explain(words[0], error)) from None

    def wait(self) -> ExitStatus:
        """Wait for the command and its output; return its exit status."""
        try:
            status = self._wait()
        finally:
            self._close()
        code = os.waitstatus_to_exitcode(status)  # -N after signal N
        return ExitStatus(code=max(code, 0), signal=max(-code, 0), stopped=self._is_stopped)

    def _open_terminal(self) -> Terminal | None:
        """Open a terminal for the command; None if there is none left."""
        from nemo_jobs_cli.run.terminal import Terminal

        with ExitStack() as closing, suppress(OSError, RuntimeError):
            terminal = Terminal(self._note_key)
            closing.callback(terminal.close)
            self._copy_output(os.dup(terminal.main), 1)
            closing.pop_all()
            return terminal
        return None

    def _copy_output(self, source: int, target: int) -> None:
        """Copy output on a thread; raise RuntimeError if none can be started."""
        from nemo_jobs_cli.run.terminal import OutputCopier

        assert self._options.on_output is not None  # noqa: S101 - the caller has looked
        copier = OutputCopier(source, target, self._options.on_output)
        with ExitStack() as closing:
            closing.callback(os.close, source)
            copier.start()
            closing.pop_all()
        self._copiers.append(copier)

    def _start(self, words: Sequence[str], environment: Mapping[str, str]) -> None:
        terminal = self._terminal
        more: dict[str, Any] = {}
        actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = []
        if terminal is not None:
            more = {"setsid": True}  # so that the first terminal to open becomes the controlling one
            actions.append((os.POSIX_SPAWN_OPEN, 1, terminal.name, os.O_RDWR, 0))
            actions += [(os.POSIX_SPAWN_DUP2, 1, number) for number in (0, 2) if os.isatty(number)]
        elif not self._shares_group:
            more = {"setpgroup": 0}
        with ExitStack() as writers:
            for number in (1, 2) if self._options.on_output is not None else ():
                if terminal is None or (number != 1 and not os.isatty(number)):
                    with suppress(OSError, RuntimeError):  # no descriptor or thread is left: it goes where ours goes
                        reader, writer = os.pipe()
                        writers.callback(os.close, writer)
                        self._copy_output(reader, number)
                        actions.append((os.POSIX_SPAWN_DUP2, writer, number))
            program = _program.find(words[0], environment)
            more |= {"file_actions": actions, "setsigmask": self._mask, "setsigdef": _IGNORED_BY_PYTHON}
            if self._guard is not None:
                self._guard.wait_until_ready()
            self._is_spawned = True  # from here on the command may exist
            try:
                self._pid = os.posix_spawn(program, tuple(words), environment, **more)
            except OSError as error:
                if error.errno != errno.ENOEXEC or not _program.is_text(program):
                    raise
                self._pid = os.posix_spawn(_SHELL, (_SHELL, program, *words[1:]), environment, **more)
        if self._guard is not None:
            self._guard.watch(self._pid)
        if terminal is not None:
            terminal.start(self._pid)

    def _wait(self) -> int:
        assert self._pid is not None  # noqa: S101 - otherwise the constructor has raised
        while True:
            self._pass_signals_on()
            pid, status = os.waitpid(self._pid, os.WNOHANG | (os.WUNTRACED if self._is_suspendable else 0))
            if not pid:
                self._wakeup.wait()
            elif os.WIFSTOPPED(status) and self._terminal is not None:
                self._terminal.suspend()
                self._signal(signal.SIGCONT)
            else:
                self._is_over = True
                if any(number in _URGENT for number, _ in self._arrived):
                    self._is_urgent = True
                self._dismiss_guard()
                self._pass_signals_on()  # nothing is sent any more
                return status

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        """Queue a signal, and whether the terminal sent it to the command too."""
        is_key = self._is_spawned and self._shares_group and number in _TERMINAL_SIGNALS
        self._arrived.append((number, is_key and foreground_group() == os.getpgrp()))
        if self._is_over and number in _URGENT:
            self._is_urgent = True

    def _note_key(self, number: int) -> None:
        """Queue the signal of a key that the command's own terminal sends."""
        self._arrived.append((number, True))
        self._wakeup.wake()

    def _pass_signals_on(self) -> None:
        while self._arrived:
            number, is_key = self._arrived.popleft()
            self._is_stopped |= number in STOP_SIGNALS
            if number != signal.SIGWINCH:
                self._options.on_signal(number)  # first: the command may answer at once
            if number == signal.SIGWINCH and self._terminal is not None:
                self._terminal.resize()
            elif not is_key:
                self._signal(number)
            if number == signal.SIGTERM and self._options.grace is not None and self._kill_timer is None:
                self._kill_timer = threading.Timer(self._options.grace, self._signal, [signal.SIGKILL])
                self._kill_timer.start()

    def _signal(self, number: int) -> None:
        """Send a signal to the command, and to its whole group if that is its own."""
        if self._pid is None or self._is_over:
            return
        with suppress(ProcessLookupError, PermissionError):  # it has just ended, or runs as another user
            os.kill(self._pid if self._shares_group else -self._pid, number)

    def _dismiss_guard(self) -> None:
        if self._guard is not None:
            self._guard.dismiss()

    def _close(self) -> None:
        """Finish the output, then restore the terminal, then the signal handlers."""
        if self._kill_timer is not None:
            self._kill_timer.cancel()
        self._finish_output()
        if self._terminal is not None:
            self._terminal.close()
        for number, handler in self._old_handlers.items():
            signal.signal(number, self._options.signal_handler or handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
        self._wakeup.close()
        if self._guard is not None:
            self._guard.close()

    def _finish_output(self) -> None:
        """Copy the rest of the output, for MAX_DRAIN seconds after TERM.

        Nobody may read it, and the end of the command is still to be reported.
        """
        if not self._copiers:
            return  # before the import, for which no descriptor may be left
        from nemo_jobs_cli.run.terminal import MAX_DRAIN

        def is_finished(seconds: float) -> bool:
            return all(copier.finish(seconds) for copier in self._copiers)

        clock.wait_until(lambda seconds: self._is_urgent or is_finished(seconds), math.inf)
        clock.wait_until(is_finished, MAX_DRAIN)
