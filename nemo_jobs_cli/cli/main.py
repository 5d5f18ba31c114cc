"""Run one command line: the one boundary where errors become words and exit codes."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import typer

from nemo_jobs_cli.cli import app, params
from nemo_jobs_cli.completion.command_line import WRAPPERS
from nemo_jobs_cli.core.errors import BugError, ExitCode, NemoJobsError, OutputError, Stopped, StoppedError
from nemo_jobs_cli.core.text import one_line
from nemo_jobs_cli.output import render
from nemo_jobs_cli.output.screen import guess_output, make_screen
from nemo_jobs_cli.settings.model import Flags

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType


def run(argv: Sequence[str], started: float) -> int:
    """Run one command line and return its exit code; every failure is printed here and nowhere else.

    `started` is when the process began, on the monotonic clock: deadlines count from there.
    """
    words, wrapped = split(argv)
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) != signal.SIG_IGN:  # as nohup and shells with background jobs want it
                signal.signal(number, _stop)
        code = app.app(
            args=words,
            standalone_mode=False,
            prog_name="nemo-jobs",
            complete_var="",  # Typer's own completion, which a variable would switch on, is not ours
            obj=params.Invocation(started, wrapped),
        )
    except NemoJobsError as error:
        return _fail(error, argv)
    except typer.TyperException as error:
        from nemo_jobs_cli.cli import usage_hints

        return _fail(usage_hints.explain(error.format_message(), words, app.COMMANDS, command_name(words)), argv)
    except typer.Abort:
        return _fail(StoppedError(ExitCode.INTERRUPTED, sends=False), argv)
    except Stopped as stop:
        sends = command_name(words) in app.WRITERS
        return _fail(StoppedError(ExitCode(128 + stop.number), sends=sends, kept=stop.kept), argv)
    except SystemExit:
        return ExitCode.OK  # what Typer makes of EPIPE: the reader of our output has seen enough
    except OSError as error:
        # The edges turn their own into NemoJobsErrors: what is left is our output.
        return _fail(unwritable(error), argv)
    except Exception as error:  # noqa: BLE001 - the boundary: no traceback reaches a user
        return _fail(bug(error), argv)
    return code if isinstance(code, int) else ExitCode.OK


def split(argv: Sequence[str]) -> tuple[list[str], tuple[str, ...] | None]:
    """Cut what follows `--` off the commands that run another command; None: there was no `--`.

    Typer would drop the `--` itself.
    """
    words = list(argv)
    if not words or (len(words) == 1 and words[0] in app.GROUPS):
        words.append("--help")
    if "--" in words and command_name(words) in WRAPPERS:
        at = words.index("--")
        return words[:at], tuple(words[at + 1 :])
    return words, None


def command_name(words: Sequence[str]) -> str:
    """Return the command that a command line names, `config set` too; the program's own name when it names none."""
    plain = [word for word in words if not word.startswith("-")]
    if not plain or plain[0] not in app.COMMANDS:
        return "nemo-jobs"
    return " ".join(plain[:2]) if plain[0] in app.GROUPS and len(plain) > 1 else plain[0]


def unwritable(error: OSError) -> OutputError:
    """Return the failure to write our own output (a full disk) as an error."""
    return OutputError(
        f"cannot write the output: {one_line(error.strerror or type(error).__name__, 100)}",
        "free some space, then run it again; what was sent to the platform has been sent",
    )


def bug(error: Exception) -> BugError:
    """Return an unexpected exception as a failure: its kind and place; its message may hold a secret."""
    trace = error.__traceback__
    place = "?"
    while trace is not None:
        code = trace.tb_frame.f_code
        if "nemo_jobs_cli" in code.co_filename:
            place = f"{code.co_filename.rpartition('nemo_jobs_cli')[2].lstrip('/')}:{trace.tb_lineno}"
        trace = trace.tb_next
    return BugError(
        f"nemo-jobs has a bug: {type(error).__name__} at {place}",
        "report this line and what you ran (without tokens) to the project",
    )


def _fail(error: NemoJobsError, argv: Sequence[str]) -> int:
    flags = Flags(output=guess_output(argv), no_color="--no-color" in argv)
    try:
        render.error(error, command_name(argv), make_screen(flags, stderr=True))
    except OSError:  # stdout takes no JSON any more: prose is left
        render.error(error, command_name(argv), make_screen(flags._replace(output="text"), stderr=True))
    return error.exit_code


def _stop(number: int, _frame: FrameType | None) -> Any:
    # Once is enough for a supervisor, as what is left to do is short; a person may press Ctrl-C again to cut it off.
    signal.signal(signal.SIGINT, signal.default_int_handler)  # first: a second one may be on its way already
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Stopped(number)
