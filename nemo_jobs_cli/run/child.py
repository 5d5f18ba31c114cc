"""Run a command as a child: its group, its signals, its output, its end."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from nemo_jobs_cli.core import signals
from nemo_jobs_cli.core.errors import NemoJobsError
from nemo_jobs_cli.core.text import one_line
from nemo_jobs_cli.run.status import ExitStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from subprocess import Popen
    from types import FrameType

    from nemo_jobs_cli.run.terminal import Terminal

NOT_EXECUTABLE = 126  # as shells say it
NOT_FOUND = 127
STOPS = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
PASSED_ON = (*STOPS, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH)
# What a terminal sends to everybody in its foreground by itself: passed on, it would come twice.
_FROM_TERMINAL = frozenset({signal.SIGINT, signal.SIGQUIT, signal.SIGWINCH})


class CommandError(NemoJobsError):
    """The command could not be started; the exit code is the one that shells use."""

    def __init__(self, message: str, hint: str, code: int) -> None:
        super().__init__(message, hint)
        self.code = code


class Plan(NamedTuple):
    """How to run a command: `listen` hears its output, `grace` is how long TERM may take before KILL (seconds).

    `listen` gets the number of a stream (1, 2) and a piece, an empty one in a pause. `terminal` asks for a
    terminal of the command's own where its output is listened to. `after` hears the signals that come when the
    command is over; None: what heard them before it.
    """

    listen: Callable[[int, bytes], None] | None = None
    grace: float | None = None
    terminal: bool = False
    after: Callable[[int, FrameType | None], Any] | None = None


class Child:
    """A running command. It starts at once; `wait` returns how it ended.

    Where we have a terminal it shares our process group, so that keys and job control reach it by themselves; else it
    leads a group of its own, and all of that gets the signals that are passed on.
    """

    def __init__(self, words: Sequence[str], environment: Mapping[str, str], plan: Plan = Plan()) -> None:  # noqa: B008 - frozen
        self._plan = plan
        self._terminal: Terminal | None = None
        self._pumps: list[Any] = []
        self._stopped = False
        self._killer: threading.Timer | None = None
        self._process: Popen[bytes] | None = None
        self._early: list[int] = []
        self._bell = signals.Bell()
        if plan.terminal:
            self._terminal = _open_terminal()
        self._shares_group = self._terminal is None and _terminal_group() is not None
        # What is ignored (nohup, a shell's background jobs) stays so, for the command too.
        heard = [number for number in PASSED_ON if signal.getsignal(number) != signal.SIG_IGN]
        self._before = {number: signal.signal(number, self._pass_on) for number in heard}
        try:
            self._start(words, environment)
        except (OSError, ValueError) as error:
            self._close()
            raise _unstartable(words[0], error) from None
        for number in self._early:
            self._signal(number)

    def wait(self) -> ExitStatus:
        """Wait for the command's end and return it, all of its output passed on."""
        try:
            status = self._wait()
        finally:
            self._close()
        if os.WIFSIGNALED(status):
            return ExitStatus(signal=os.WTERMSIG(status), stopped=self._stopped)
        return ExitStatus(code=os.WEXITSTATUS(status), stopped=self._stopped)

    def _start(self, words: Sequence[str], environment: Mapping[str, str]) -> None:
        import subprocess

        more: dict[str, Any] = {} if self._shares_group else {"process_group": 0}
        listen, terminal = self._plan.listen, self._terminal
        if terminal is not None:
            more = {"start_new_session": True, "preexec_fn": terminal.adopt, "stdout": terminal.side}
            more |= {name: terminal.side for name, number in (("stdin", 0), ("stderr", 2)) if os.isatty(number)}
        elif listen is not None:
            more["stdout"] = subprocess.PIPE
        if listen is not None and more.get("stderr") is None:
            more["stderr"] = subprocess.PIPE
        self._process = subprocess.Popen(  # noqa: S603 - running the user's command is the point
            words, env=dict(environment), executable=_find(words[0], environment), **more
        )
        if listen is not None:
            self._listen(self._process, listen)

    def _listen(self, process: Popen[bytes], listen: Callable[[int, bytes], None]) -> None:
        from nemo_jobs_cli.run.pump import Pump

        streams = [(stream, target) for stream, target in ((process.stdout, 1), (process.stderr, 2)) if stream]
        self._pumps = [Pump(os.dup(stream.fileno()), target, listen) for stream, target in streams]
        for stream, _ in streams:
            stream.close()
        if self._terminal is not None:
            self._terminal.begin(process.pid)
            self._pumps.append(Pump(os.dup(self._terminal.main), 1, listen))
        for one in self._pumps:
            one.start()

    def _wait(self) -> int:
        process = self._process
        assert process is not None  # noqa: S101 - the constructor has raised otherwise
        while True:
            found, status = os.waitpid(process.pid, os.WNOHANG | (os.WUNTRACED if self._terminal is not None else 0))
            if not found:
                self._bell.wait()
            elif os.WIFSTOPPED(status) and self._terminal is not None:
                self._terminal.suspend(lambda: self._signal(signal.SIGCONT))
            else:
                process.returncode = os.waitstatus_to_exitcode(status)
                return status

    def _pass_on(self, number: int, _frame: FrameType | None) -> None:
        process = self._process
        if process is not None and process.returncode is not None:
            return
        if number in STOPS:
            self._stopped = True
        if number == signal.SIGWINCH and self._terminal is not None:
            self._terminal.resize()
        elif process is None:
            self._early.append(number)
        elif not (self._shares_group and number in _FROM_TERMINAL and _in_foreground()):
            self._signal(number)
        if number == signal.SIGTERM and self._plan.grace is not None and self._killer is None:
            self._killer = threading.Timer(self._plan.grace, self._signal, [signal.SIGKILL])
            self._killer.daemon = True
            self._killer.start()

    def _signal(self, number: int) -> None:
        """Send a signal to the command, and to all of its group where that is its own."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        try:
            if self._shares_group:
                os.kill(process.pid, number)
            else:
                os.killpg(process.pid, number)
        except ProcessLookupError:
            pass  # it has ended this very moment

    def _close(self) -> None:
        """Give everything back: output first, then the terminal, then the signals."""
        if self._killer is not None:
            self._killer.cancel()
        for one in self._pumps:
            one.stop()
        if self._terminal is not None:
            self._terminal.close()
        for number, handler in self._before.items():
            signal.signal(number, self._plan.after or handler)
        self._bell.close()


def _open_terminal() -> Terminal | None:
    """Return a terminal for a command; None where the machine has none to give: running beats looking good."""
    from nemo_jobs_cli.run.terminal import Terminal

    try:
        return Terminal()
    except OSError:
        return None


def _in_foreground() -> bool:
    """Tell whether we are what the terminal's keys go to."""
    return _terminal_group() == os.getpgrp()


def _terminal_group() -> int | None:
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


def _find(word: str, environment: Mapping[str, str]) -> str:
    """Return the program that a word names on the child's PATH, which isn't ours."""
    import shutil

    return shutil.which(word, path=environment.get("PATH")) or word


def _unstartable(word: str, error: Exception) -> CommandError:
    shown = one_line(word, 80)
    if isinstance(error, FileNotFoundError):
        return CommandError(
            f"there is no command '{shown}'", "check its spelling and PATH; for shell syntax: sh -c '...'", NOT_FOUND
        )
    why = one_line(error.strerror or type(error).__name__, 80) if isinstance(error, OSError) else "a NUL in it"
    return CommandError(f"'{shown}' can't be run: {why}", "is it a program, and executable (chmod +x)?", NOT_EXECUTABLE)
