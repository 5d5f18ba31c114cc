"""Define the errors: one class per exit code, each with a next step."""

from __future__ import annotations

import sys
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class ExitCode(IntEnum):
    """The exit codes of a command (the table in docs/delivery.md)."""

    OK = 0
    BUG = 1
    USAGE = 2
    SETTINGS = 3
    AUTH = 4
    NOT_FOUND = 5
    REJECTED = 6
    NOT_DELIVERED = 7
    JOB_FAILED = 8
    WAITED = 9
    INTERRUPTED = 130
    READER_LEFT = 141
    TERMINATED = 143


_WORST_FIRST = (1, 3, 2, 4, 6, 5, 7, 0)


def worst_exit_code(codes: Iterable[int]) -> int:
    """Return the worst of several exit codes, 0 if there is none."""
    present = set(codes)
    return next((code for code in _WORST_FIRST if code in present), 0)


class Pointer(NamedTuple):
    """The location of an error in the user's input.

    `label` names it ("argument 2", "m.json:3:7"), `line` is the text to print, `column` the 0-based offset that `^`
    marks (None: the whole line).
    """

    label: str
    line: str
    column: int | None = None


class Problem(NamedTuple):
    """A validation error of the server; `loc` is the path in the request."""

    loc: tuple[str | int, ...]
    message: str
    value: str


class NemoJobsError(Exception):
    """A failure: a message of one sentence and a hint for the next step.

    `facts` holds the further values that `-o json` shows (statuses, names, a trace id), never a token. What looks like
    one is hidden: users put a token where a name, a path or a URL belongs.
    """

    exit_code = ExitCode.BUG
    outcome = "failed"

    def __init__(
        self,
        message: str,
        hint: str,
        *,
        pointer: Pointer | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        from nemo_jobs_cli.core.text import hide_tokens

        super().__init__(hide_tokens(message))
        self.message = hide_tokens(message)
        self.hint = hide_tokens(hint)
        self.pointer = pointer
        if pointer is not None and hide_tokens(pointer.line) != pointer.line:
            self.pointer = pointer._replace(line=hide_tokens(pointer.line), column=None)
        self.facts = dict(facts or {})

    def as_dict(self) -> dict[str, Any]:
        """Return the `error` object of `-o json`."""
        from nemo_jobs_cli.core.text import hide_tokens

        facts = {key: hide_tokens(fact) if isinstance(fact, str) else fact for key, fact in self.facts.items()}
        return {"message": self.message, "hint": self.hint, **facts}


class UsageError(NemoJobsError):
    """The command line or an input file is wrong."""

    exit_code = ExitCode.USAGE


class SettingsError(NemoJobsError):
    """A setting is invalid: host, profile, TLS, a token for another host."""

    exit_code = ExitCode.SETTINGS


class AuthError(NemoJobsError):
    """The server refuses the credential (401, 403)."""

    exit_code = ExitCode.AUTH


class NotFoundError(NemoJobsError):
    """There is no such job, workspace or field."""

    exit_code = ExitCode.NOT_FOUND


class RejectedError(NemoJobsError):
    """The server rejects the update (400, 422, ...); see `problems`."""

    exit_code = ExitCode.REJECTED
    outcome = "rejected"
    problems: tuple[Problem, ...] = ()


class SupersededAttemptError(RejectedError):
    """A newer attempt of the job has superseded this process's attempt."""


class NotDeliveredError(NemoJobsError):
    """The update was not delivered in time; it can be sent again later."""

    exit_code = ExitCode.NOT_DELIVERED


class JobFailedError(NemoJobsError):
    """The awaited job ended in error or was cancelled."""

    exit_code = ExitCode.JOB_FAILED


class WaitedError(NemoJobsError):
    """The job did not reach the awaited condition within `--timeout`."""

    exit_code = ExitCode.WAITED


class OutputError(NemoJobsError):
    """The result cannot be written (a full disk)."""


class BugError(NemoJobsError):
    """The program has a bug."""


def bug_error(error: Exception) -> BugError:
    """Return the error for an unexpected exception, without its message.

    The message may hold a secret, except that of a library that is missing.
    """
    if isinstance(error, ImportError):
        return BugError(
            f"cannot load nemo-jobs: {type(error).__name__}: {error} (Python {sys.version.split()[0]})",
            "reinstall nemo-jobs in an environment of its own, with Python 3.11 or newer",
        )
    trace = error.__traceback__
    place = "?"
    while trace is not None:
        code = trace.tb_frame.f_code
        if "nemo_jobs_cli" in code.co_filename:
            place = f"{code.co_filename.rpartition('nemo_jobs_cli')[2].lstrip('/')}:{trace.tb_lineno}"
        trace = trace.tb_next
    return BugError(
        f"nemo-jobs has a bug: {type(error).__name__} at {place}",
        "report this line and your command, without tokens, to the project",
    )


class Stopped(BaseException):
    """A signal stops the command.

    Like KeyboardInterrupt it is not an Exception, so no handler treats it as a failure. `kept`: the update that was
    being sent has been stored in the outbox.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number
        self.kept = False


class StoppedError(NemoJobsError):
    """A signal stopped the command early; `sends`: the command sends updates."""

    def __init__(self, exit_code: ExitCode, *, sends: bool, kept: bool = False) -> None:
        hint = "run it again: that is safe, even if the last update has arrived" if sends else "run it again"
        super().__init__(
            "interrupted" if exit_code is ExitCode.INTERRUPTED else "terminated",
            "the update is in the outbox; the next update of the job delivers it, or: nemo-jobs outbox flush"
            if kept
            else hint,
        )
        self.exit_code = exit_code
