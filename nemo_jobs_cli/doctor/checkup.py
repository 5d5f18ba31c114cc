"""Hold what a check-up knows so far: each check reads of it, adds to it, and yields its lines.

A check is a function from a Case to lines; those of `near` look at this machine, those of `far` at the platform. What
hangs on a failure is skipped, not failed again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nemo_jobs_cli.core import deadline
from nemo_jobs_cli.core.clock import SYSTEM_CLOCK
from nemo_jobs_cli.doctor import partial_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from nemo_jobs_cli.core.deadline import Deadline
    from nemo_jobs_cli.core.errors import NemoJobsError
    from nemo_jobs_cli.doctor.check import Check
    from nemo_jobs_cli.settings.model import Flags, Settings

    Look = Callable[["Case"], Iterator[Check]]


_FAILED = {"fail": "failed", "skip": "is not known"}


@dataclass
class Case:
    """One installation under examination.

    `fault` is what is wrong with its settings, of which the rest is known; `anonymous`: no token is wanted. `auth` are
    the headers that say who asks, None as long as they can't be had. `asks` tells whether the platform wants any, None
    as long as it has not said; `skew` is by how many seconds our clock is ahead of its.
    `stopped` is why no (further) request is worth sending, `barred` why none can be sent as oneself; "" is no reason.
    """

    environ: Mapping[str, str] = field(repr=False)
    settings: Settings
    limit: Deadline
    fault: NemoJobsError | None = None
    auth: Mapping[str, str] | None = field(default=None, repr=False)
    asks: bool | None = None
    anonymous: bool = False
    skew: float = 0.0
    stopped: str = ""
    barred: str = ""

    def stop(self, check: Check) -> Check:
        """Let nothing more be asked of the host, after a check that failed."""
        self.stopped = f"as {check.name} failed"
        return check

    def bar(self, check: Check) -> Check:
        """Let nothing more be asked of the platform as oneself, after a check that failed or could not be made."""
        self.barred = f"as {check.name} {_FAILED[check.level]}"
        return check


def begin(flags: Flags, environ: Mapping[str, str], started: float) -> Case:
    """Return the case of this process; the time of `--deadline` counts from `started`, and nothing is tried twice."""
    found = partial_settings.resolve(flags, environ)
    limit = deadline.start(found.settings.deadline.value, started, SYSTEM_CLOCK)._replace(once=True)
    unknown = "" if found.knows_host else "as the host is not known"
    return Case(environ, found.settings, limit, found.fault, anonymous=flags.anonymous, stopped=unknown, barred=unknown)


def run(case: Case, looks: Sequence[Look]) -> Iterator[Check]:
    """Yield the lines of all checks, as they are found."""
    for look in looks:
        yield from look(case)
