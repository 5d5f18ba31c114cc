"""Run one command line; turn errors into messages and exit codes."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import typer

from nemo_jobs_cli.cli import app, params
from nemo_jobs_cli.completion.command_line import WRAPPERS
from nemo_jobs_cli.core.errors import ExitCode, NemoJobsError, OutputError, Stopped, StoppedError, bug_error
from nemo_jobs_cli.core.files import os_reason
from nemo_jobs_cli.core.signals import interrupt
from nemo_jobs_cli.output import render
from nemo_jobs_cli.output.screen import guess_output, make_screen
from nemo_jobs_cli.settings.model import Flags

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType


def run(argv: Sequence[str], started: float, signals: Sequence[int] = ()) -> int:
    """Run one command line, print any error, and return the exit code.

    `started` is when the process began, on the monotonic clock: deadlines count from there. `signals` are those that
    have arrived since.
    """
    words, wrapped = split_wrapped(argv)
    try:
        _handle_signals(signals)
        code = app.app(
            args=words,
            standalone_mode=False,
            prog_name="nemo-jobs",
            complete_var="",  # turn off Typer's own completion, which a variable would turn on
            obj=params.Invocation(started, wrapped),
        )
    except NemoJobsError as error:
        return _fail(error, argv)
    except typer.TyperException as error:
        from nemo_jobs_cli.cli import _usage_hints

        return _fail(_usage_hints.explain(error.format_message(), words, app.COMMANDS, command_name(words)), argv)
    except typer.Abort:
        return _fail(StoppedError(ExitCode.INTERRUPTED, sends=False), argv)
    except Stopped as stop:
        sends = command_name(words) in app.WRITERS
        return _fail(StoppedError(ExitCode(128 + stop.number), sends=sends, kept=stop.kept), argv)
    except SystemExit:
        return ExitCode.OK  # Typer exits after EPIPE: the reader, such as `head`, has closed the pipe
    except OSError as error:
        # All other I/O raises NemoJobsErrors, so this is about stdout or stderr.
        hint = "free disk space, then run it again; sent updates stay sent"
        return _fail(OutputError(f"cannot write the output: {os_reason(error)}", hint), argv)
    except Exception as error:  # noqa: BLE001 - no traceback reaches a user
        return _fail(bug_error(error), argv)
    finally:
        _end_on_signals()
    return code if isinstance(code, int) else ExitCode.OK


def split_wrapped(argv: Sequence[str]) -> tuple[list[str], tuple[str, ...] | None]:
    """Split off the command after `--` of `run` and `sandbox`, or None.

    Typer would drop the `--`. A bare `nemo-jobs` or a bare group gets --help.
    """
    words = list(argv)
    if not words or (len(words) == 1 and words[0] in app.GROUPS):
        words.append("--help")
    if "--" in words and command_name(words) in WRAPPERS:
        at = words.index("--")
        return words[:at], tuple(words[at + 1 :])
    return words, None


def command_name(words: Sequence[str]) -> str:
    """Return the command in `words`, such as `config set`, or "nemo-jobs"."""
    plain = [word for word in words if not word.startswith("-")]
    if not plain or plain[0] not in app.COMMANDS:
        return "nemo-jobs"
    return " ".join(plain[:2]) if plain[0] in app.GROUPS and len(plain) > 1 else plain[0]


def _fail(error: NemoJobsError, argv: Sequence[str]) -> int:
    command = command_name(argv)
    output = "text" if command == "run" else guess_output(argv)  # stdout of `run` belongs to its command
    flags = Flags(output=output, no_color="--no-color" in argv)
    try:
        render.error(error, command, make_screen(flags, stderr=True))
    except OSError:  # JSON goes to stdout, which cannot be written: use stderr
        render.error(error, command, make_screen(flags._replace(output="text"), stderr=True))
    return error.exit_code


def _handle_signals(early: Sequence[int]) -> None:
    """Raise Stopped on later signals, StoppedError if one has arrived."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup and shells ignore it for background jobs
            signal.signal(number, _stop)
    if early:
        raise StoppedError(ExitCode(128 + early[0]), sends=False)


def _stop(number: int, _frame: FrameType | None) -> Any:
    # Ignore a second TERM, because the cleanup is short; a second Ctrl-C interrupts the cleanup.
    signal.signal(signal.SIGINT, _interrupt)  # first: a second Ctrl-C may follow at once
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    interrupt(Stopped(number))


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    interrupt(KeyboardInterrupt())


def _end_on_signals() -> None:
    """Let a signal end the process: there is only output left to flush."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) in {_stop, _interrupt}:
            signal.signal(number, signal.SIG_DFL)
