"""Run a command as a child process: its group, signals, output and exit status."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.core import signals
from nemo_jobs_cli.core.errors import NemoJobsError
from nemo_jobs_cli.core.text import one_line
from nemo_jobs_cli.run.status import STOP_SIGNALS, ExitStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from subprocess import Popen
    from types import FrameType

    from nemo_jobs_cli.run.terminal import OutputCopier, Terminal

# The exit codes of shells for a command that cannot start.
NOT_EXECUTABLE = 126
NOT_FOUND = 127

FORWARDED = (*STOP_SIGNALS, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH)
# A terminal sends these to its whole foreground group: forwarded, they would arrive twice.
_TERMINAL_SIGNALS = frozenset({signal.SIGINT, signal.SIGQUIT, signal.SIGWINCH})


class CommandError(NemoJobsError):
    """The command could not start; `code` is the exit code of a shell for that."""

    def __init__(self, message: str, hint: str, code: int) -> None:
        super().__init__(message, hint)
        self.code = code


@dataclass(frozen=True, slots=True)
class ChildOptions:
    """How to run a command.

    `on_output` gets the number of a stream (1, 2) and a chunk of its output, an empty one for a pause. `grace` is the
    seconds from TERM to KILL. `terminal` gives the command a terminal of its own, if its output is read.
    `signal_handler` gets the signals that come after the command's end; None: the previous handlers.
    """

    on_output: Callable[[int, bytes], None] | None = None
    grace: float | None = None
    terminal: bool = False
    signal_handler: Callable[[int, FrameType | None], Any] | None = None


class Child:
    """A running command, started at once; `wait` returns its exit status.

    With a terminal it shares our process group, so that keys and job control reach it directly; without one it leads
    a group of its own, and the whole group gets the forwarded signals.
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
        self._process: Popen[bytes] | None = None
        self._early_signals: list[int] = []
        self._bell = signals.SignalWakeup()
        self._terminal = _open_terminal() if options.terminal else None
        self._shares_group = self._terminal is None and _foreground_group() is not None
        # An ignored signal (nohup, a shell's background job) stays ignored, for the command too.
        handled = [number for number in FORWARDED if signal.getsignal(number) != signal.SIG_IGN]
        self._old_handlers = {number: signal.signal(number, self._forward) for number in handled}
        try:
            self._start(words, environment)
        except (OSError, ValueError) as error:
            self._close()
            raise _start_error(words[0], error) from None
        for number in self._early_signals:
            self._signal(number)

    def wait(self) -> ExitStatus:
        """Wait for the command's end; return its exit status when all of its output is copied."""
        try:
            status = self._wait()
        finally:
            self._close()
        if os.WIFSIGNALED(status):
            return ExitStatus(signal=os.WTERMSIG(status), stopped=self._is_stopped)
        return ExitStatus(code=os.WEXITSTATUS(status), stopped=self._is_stopped)

    def _start(self, words: Sequence[str], environment: Mapping[str, str]) -> None:
        import subprocess

        more: dict[str, Any] = {} if self._shares_group else {"process_group": 0}
        on_output, terminal = self._options.on_output, self._terminal
        if terminal is not None:
            more = {"start_new_session": True, "preexec_fn": terminal.adopt, "stdout": terminal.side}
            more |= {name: terminal.side for name, number in (("stdin", 0), ("stderr", 2)) if os.isatty(number)}
        elif on_output is not None:
            more["stdout"] = subprocess.PIPE
        if on_output is not None and more.get("stderr") is None:
            more["stderr"] = subprocess.PIPE
        self._process = subprocess.Popen(  # noqa: S603 - running the user's command is the point
            words, env=dict(environment), executable=_find_program(words[0], environment), **more
        )
        if on_output is not None:
            self._copy_output(self._process, on_output)

    def _copy_output(self, process: Popen[bytes], on_output: Callable[[int, bytes], None]) -> None:
        from nemo_jobs_cli.run.terminal import OutputCopier

        streams = [(stream, target) for stream, target in ((process.stdout, 1), (process.stderr, 2)) if stream]
        self._copiers = [OutputCopier(os.dup(stream.fileno()), target, on_output) for stream, target in streams]
        for stream, _ in streams:
            stream.close()
        if self._terminal is not None:
            self._terminal.start(process.pid)
            self._copiers.append(OutputCopier(os.dup(self._terminal.main), 1, on_output))
        for copier in self._copiers:
            copier.start()

    def _wait(self) -> int:
        process = self._process
        assert process is not None  # noqa: S101 - otherwise the constructor has raised
        while True:
            pid, status = os.waitpid(process.pid, os.WNOHANG | (os.WUNTRACED if self._terminal is not None else 0))
            if not pid:
                self._bell.wait()
            elif os.WIFSTOPPED(status) and self._terminal is not None:
                self._terminal.suspend(lambda: self._signal(signal.SIGCONT))
            else:
                process.returncode = os.waitstatus_to_exitcode(status)
                return status

    def _forward(self, number: int, _frame: FrameType | None) -> None:
        process = self._process
        if process is not None and process.returncode is not None:
            return
        if number in STOP_SIGNALS:
            self._is_stopped = True
        if number == signal.SIGWINCH and self._terminal is not None:
            self._terminal.resize()
        elif process is None:
            self._early_signals.append(number)
        elif not (self._shares_group and number in _TERMINAL_SIGNALS and _foreground_group() == os.getpgrp()):
            self._signal(number)
        if number == signal.SIGTERM and self._options.grace is not None and self._kill_timer is None:
            self._kill_timer = threading.Timer(self._options.grace, self._signal, [signal.SIGKILL])
            self._kill_timer.daemon = True
            self._kill_timer.start()

    def _signal(self, number: int) -> None:
        """Send a signal to the command, and to its whole group if that is its own."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        try:
            if self._shares_group:
                os.kill(process.pid, number)
            else:
                os.killpg(process.pid, number)
        except ProcessLookupError:
            pass  # it has just ended

    def _close(self) -> None:
        """Finish the output, then restore the terminal, then the signal handlers."""
        if self._kill_timer is not None:
            self._kill_timer.cancel()
        for copier in self._copiers:
            copier.finish()
        if self._terminal is not None:
            self._terminal.close()
        for number, handler in self._old_handlers.items():
            signal.signal(number, self._options.signal_handler or handler)
        self._bell.close()


def _open_terminal() -> Terminal | None:
    """Open a terminal for a command; None if the machine has none left: pipes are better than an error."""
    from nemo_jobs_cli.run.terminal import Terminal

    try:
        return Terminal()
    except OSError:
        return None


def _foreground_group() -> int | None:
    """Return the process group in the foreground of our terminal; None without a terminal."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return None
    try:
        return os.tcgetpgrp(terminal)
    except OSError:
        return None
    finally:
        os.close(terminal)


def _find_program(word: str, environment: Mapping[str, str]) -> str:
    """Look a program up on the command's PATH, which is not ours."""
    import shutil

    return shutil.which(word, path=environment.get("PATH")) or word


def _start_error(word: str, error: Exception) -> CommandError:
    name = one_line(word, 80)
    if isinstance(error, FileNotFoundError):
        return CommandError(
            f"command not found: '{name}'", "check its spelling and PATH; for shell syntax: sh -c '...'", NOT_FOUND
        )
    reason = one_line(error.strerror or type(error).__name__, 80) if isinstance(error, OSError) else "it contains NUL"
    return CommandError(f"cannot run '{name}': {reason}", "make it executable: chmod +x FILE", NOT_EXECUTABLE)
