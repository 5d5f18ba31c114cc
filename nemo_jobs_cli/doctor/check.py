"""Hold what a check-up finds: one check a line, with its fix and the exit code that the same trouble has elsewhere."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from nemo_jobs_cli.core import worst

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nemo_jobs_cli.core.errors import NemoJobsError

Level = Literal["ok", "warn", "fail", "skip"]


class Check(NamedTuple):
    """One thing that was looked at; `facts` are what `-o json` adds: plain JSON values, never a token.

    `skip` says that it could not be looked at, or that there is nothing to look at. Only a failure has a `code`.
    """

    name: str
    level: Level
    says: str
    fix: str = ""
    code: int = 0
    facts: Mapping[str, Any] = MappingProxyType({})

    @property
    def is_trouble(self) -> bool:
        """Tell whether somebody should do something."""
        return self.level in {"warn", "fail"}


def ok(name: str, says: str, **facts: Any) -> Check:
    """Return a check that finds nothing wrong."""
    return Check(name, "ok", says, facts=facts)


def warn(name: str, says: str, fix: str, **facts: Any) -> Check:
    """Return a check that finds what may become trouble."""
    return Check(name, "warn", says, fix, facts=facts)


def failed(name: str, error: NemoJobsError) -> Check:
    """Return a check that finds what makes an update fail, in the words that the update would use."""
    trace = error.facts.get("trace_id")
    says = f"{error.message} (trace id {trace})" if trace and "trace id" in error.hint else error.message
    return Check(name, "fail", says, error.hint, int(error.exit_code), error.facts)


def skip(name: str, why: str) -> Check:
    """Return a check that was not made."""
    return Check(name, "skip", why)


def skipped(names: Iterable[str], why: str) -> list[Check]:
    """Return several checks that were not made for one reason."""
    return [skip(name, why) for name in names]


def exit_code(found: Iterable[Check]) -> int:
    """Return the worst code of the checks that failed, 0 where none did."""
    return worst.of(check.code for check in found if check.level == "fail")


def summary(found: Iterable[Check]) -> str:
    """Return how many checks failed or warn, as a sentence."""
    levels = [check.level for check in found]
    failures, warnings = levels.count("fail"), levels.count("warn")
    if not failures and not warnings:
        return "nothing wrong was found"
    parts = (f"{failures} failed" if failures else "", f"{warnings} to look at" if warnings else "")
    return ", ".join(filter(None, parts))
