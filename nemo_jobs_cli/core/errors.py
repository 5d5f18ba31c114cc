"""Every way to fail: one class an exit code, each with the next step."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class ExitCode(IntEnum):
    """Name what the process's exit status means (the table of README)."""

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
    TERMINATED = 143


WORST_FIRST = (
    ExitCode.BUG,
    ExitCode.SETTINGS,
    ExitCode.USAGE,
    ExitCode.AUTH,
    ExitCode.REJECTED,
    ExitCode.NOT_FOUND,
    ExitCode.NOT_DELIVERED,
    ExitCode.OK,
)


def worst_exit_code(codes: Iterable[int]) -> int:
    """Return the worst of several exit codes, 0 if there is none."""
    present = set(codes)
    return next((int(code) for code in WORST_FIRST if code in present), int(ExitCode.OK))


class Pointer(NamedTuple):
    """Where in what the user wrote the trouble is.

    `label` names the place ("argument 2", "m.json:3:7"), `line` is the text shown, `column` the
    0-based offset in it that `^` marks (None: the whole line).
    """

    label: str
    line: str
    column: int | None = None


class Problem(NamedTuple):
    """One thing the server does not accept: `loc` is its path into the request (`body`, `query`, ...)."""

    loc: tuple[str | int, ...]
    says: str
    value: str


class NemoJobsError(Exception):
    """Report a failure: what happened in one sentence, and what to do next.

    `facts` holds what `-o json` adds to the message (statuses, names, a trace id): plain JSON values,
    never a token.
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
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.pointer = pointer
        self.facts = dict(facts or {})

    def as_dict(self) -> dict[str, Any]:
        """Return what `-o json` shows under `error`."""
        return {"message": self.message, "hint": self.hint, **self.facts}


class UsageError(NemoJobsError):
    """The command line or an input file is wrong."""

    exit_code = ExitCode.USAGE


class SettingsError(NemoJobsError):
    """The settings can't work: host, profile, TLS, a token for another host."""

    exit_code = ExitCode.SETTINGS


class AuthError(NemoJobsError):
    """The server does not accept who is asking (401, 403)."""

    exit_code = ExitCode.AUTH


class NotFoundError(NemoJobsError):
    """There is no such job, workspace or field."""

    exit_code = ExitCode.NOT_FOUND


class RejectedError(NemoJobsError):
    """The server refuses the update itself (400, 422, ...); `problems` is what it complains of."""

    exit_code = ExitCode.REJECTED
    outcome = "rejected"
    problems: tuple[Problem, ...] = ()


class NotDeliveredError(NemoJobsError):
    """The update did not reach the server in time; sending it again later is right."""

    exit_code = ExitCode.NOT_DELIVERED


class JobFailedError(NemoJobsError):
    """The job that was waited for ended in error or was cancelled."""

    exit_code = ExitCode.JOB_FAILED


class WaitedError(NemoJobsError):
    """The job did not get there within `--timeout`."""

    exit_code = ExitCode.WAITED


class OutputError(NemoJobsError):
    """What was found out can't be written (a full disk)."""


class BugError(NemoJobsError):
    """The program itself is wrong."""


class Stopped(BaseException):
    """A signal asks to end: no Exception, as KeyboardInterrupt, so that nothing on the way takes it for a failure.

    `kept` tells that what was being sent has been put into the outbox meanwhile.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number
        self.kept = False


class StoppedError(NemoJobsError):
    """A signal ended the command before it was done; `sends` tells that it was one that writes."""

    def __init__(self, exit_code: ExitCode, *, sends: bool, kept: bool = False) -> None:
        hint = "what was being sent may have arrived or not; sending it again is safe" if sends else "run it again"
        super().__init__(
            "interrupted" if exit_code is ExitCode.INTERRUPTED else "terminated",
            "it is kept, and goes with the next update of the job, or: nemo-jobs outbox flush" if kept else hint,
        )
        self.exit_code = exit_code
