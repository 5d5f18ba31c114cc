"""Hold the results of checks, and the state that later checks need."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from nemo_jobs_cli.core import deadline
from nemo_jobs_cli.core.clock import SYSTEM_CLOCK
from nemo_jobs_cli.doctor import _partial_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from nemo_jobs_cli.core.deadline import Deadline
    from nemo_jobs_cli.core.errors import NemoJobsError
    from nemo_jobs_cli.settings.model import Flags, Settings

    CheckFunction = Callable[["Diagnosis"], Iterator["Check"]]


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check; only a failure has an `exit_code`.

    `facts` are JSON values, never a token. The level `skip` means not checked.
    """

    name: str
    level: Literal["ok", "warn", "fail", "skip"]
    message: str
    fix: str = ""
    exit_code: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def needs_action(self) -> bool:
        """Return whether it is a warning or a failure."""
        return self.level in {"warn", "fail"}

    @classmethod
    def ok(cls, name: str, message: str, **facts: Any) -> Check:
        """Return the result of a check without problems."""
        return cls(name, "ok", message, facts=facts)

    @classmethod
    def warn(cls, name: str, message: str, fix: str, **facts: Any) -> Check:
        """Return a warning."""
        return cls(name, "warn", message, fix, facts=facts)

    @classmethod
    def fail(cls, name: str, error: NemoJobsError) -> Check:
        """Return a failure, with the message and exit code of an update."""
        trace_id = error.facts.get("trace_id")
        shown = f" (trace id {trace_id})" if trace_id and "trace id" in error.hint else ""
        return cls(name, "fail", f"{error.message}{shown}", error.hint, int(error.exit_code), error.facts)

    @classmethod
    def skip(cls, name: str, reason: str) -> Check:
        """Return the result of a check that was not made."""
        return cls(name, "skip", reason)


def skip_all(names: Iterable[str], reason: str) -> list[Check]:
    """Return the results of checks that were not made."""
    return [Check.skip(name, reason) for name in names]


@dataclass
class Diagnosis:
    """What the checks know so far.

    `error` says why `settings` are partial. `headers` authenticate requests; None until the token was read.
    `auth_enabled` says whether the platform requires a token; `skew` is how far this clock is ahead, in seconds.
    `host_blocked` is why nothing can be sent, `auth_blocked` why nothing can be sent with the token; "" if it can.
    """

    environ: Mapping[str, str] = field(repr=False)
    settings: Settings
    deadline: Deadline
    error: NemoJobsError | None = None
    headers: Mapping[str, str] | None = field(default=None, repr=False)
    auth_enabled: bool | None = None
    anonymous: bool = False
    skew: float = 0.0
    host_blocked: str = ""
    auth_blocked: str = ""

    @classmethod
    def start(cls, flags: Flags, environ: Mapping[str, str], started: float) -> Diagnosis:
        """Resolve the settings; count the deadline from `started`."""
        partial = _partial_settings.resolve(flags, environ)
        limit = deadline.start(partial.settings.deadline.value, started, SYSTEM_CLOCK)._replace(once=True)
        blocked = "" if partial.is_host_known else "host is unknown"
        return cls(
            environ, partial.settings, limit, partial.error,
            anonymous=flags.anonymous, host_blocked=blocked, auth_blocked=blocked,
        )  # fmt: skip

    def block_host(self, check: Check) -> Check:
        """Send nothing more to the host after a failed check."""
        self.host_blocked = f"{check.name} failed"
        return check

    def block_auth(self, check: Check) -> Check:
        """Send nothing more with the token after a failed or skipped check."""
        self.auth_blocked = f"{check.name} {'failed' if check.level == 'fail' else 'is unknown'}"
        return check
