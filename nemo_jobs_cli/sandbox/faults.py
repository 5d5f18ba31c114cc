"""Misbehave on purpose: what `--fault` means, and which request it hits."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nemo_jobs_cli.core.errors import Pointer, UsageError
from nemo_jobs_cli.core.text import one_line
from nemo_jobs_cli.sandbox import wire as answers

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from nemo_jobs_cli.sandbox.wire import Reply

KINDS = "503:0.2, reset:0.1, delay:2, delay:2:0.5, conflict:0.5, conflicts, attempts-only"
LONGEST_DELAY = 3600.0

_REASONS = {429: "Too Many Requests", 500: "An unexpected error occurred.", 503: "Service Unavailable"}


@dataclass(frozen=True)
class Fault:
    """One way to misbehave: `kind` is status, reset, delay, conflict, conflicts or attempts-only."""

    kind: str
    rate: float = 1.0
    status: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Verdict:
    """What happens to one request: first it waits, then it is cut off, refused, or (all false) served."""

    delay: float = 0.0
    reset: bool = False
    reply: Reply | None = None


def parse(specs: Sequence[str]) -> tuple[Fault, ...]:
    """Return the faults that the words of `--fault` describe; raise UsageError, pointing at the part."""
    return tuple(_one(spec) for spec in specs)


def _one(spec: str) -> Fault:
    kind, *rest = spec.split(":")
    if kind in {"conflicts", "attempts-only"}:
        return _full(spec, Fault(kind), rest, 0)
    if kind in {"reset", "conflict"}:
        return _full(spec, Fault(kind, _rate(spec, rest, 0)), rest, 1)
    if kind == "delay":
        seconds = _number(spec, rest, 0, "delay in seconds", LONGEST_DELAY)
        rate = _rate(spec, rest, 1) if len(rest) > 1 else 1.0
        return _full(spec, Fault(kind, rate, seconds=seconds), rest, 2)
    if re.fullmatch(r"[45][0-9]{2}", kind):
        return _full(spec, Fault("status", _rate(spec, rest, 0), status=int(kind)), rest, 1)
    raise _wrong(spec, 0, f"'{one_line(kind, 40)}' is no kind of fault" if kind else "the fault has no kind", kind)


def _full(spec: str, fault: Fault, rest: Sequence[str], most: int) -> Fault:
    if len(rest) > most:
        raise _wrong(spec, _start(spec, most), f"{spec.split(':', 1)[0]} takes no more than this")
    return fault


def _rate(spec: str, rest: Sequence[str], index: int) -> float:
    return _number(spec, rest, index, "rate", 1.0)


def _number(spec: str, rest: Sequence[str], index: int, what: str, most: float) -> float:
    if index >= len(rest):
        raise _wrong(spec, len(spec), f"the {what} is missing")
    said = rest[index]
    if not re.fullmatch(r"[0-9]{0,9}(\.[0-9]{1,9})?", said) or not said or float(said) > most:
        raise _wrong(spec, _start(spec, index), f"the {what} is a number from 0 to {most:g}")
    return float(said)


def _start(spec: str, index: int) -> int:
    """Return the offset of the part after the colon number `index`."""
    return sum(len(part) + 1 for part in spec.split(":")[: index + 1])


def _wrong(spec: str, column: int, says: str, kind: str = "") -> UsageError:
    import difflib

    close = difflib.get_close_matches(kind, ("reset", "delay", "conflict", "conflicts", "attempts-only"), n=1)
    near = f"did you mean {close[0]}? " if close else ""
    return UsageError(
        f"--fault can't be understood: {says}",
        f"{near}say it like one of these: {KINDS}",
        pointer=Pointer("--fault", spec, column),
    )


def has(faults: Sequence[Fault], kind: str) -> bool:
    """Tell whether a fault of this kind was asked for."""
    return any(fault.kind == kind for fault in faults)


def decide(faults: Sequence[Fault], method: str, path: str, dice: random.Random) -> Verdict:
    """Return what happens to a request of the jobs service; the dice are thrown once a fault, in order.

    Delays add up; the first fault that refuses wins.
    """
    if not path.startswith("/apis/jobs/"):
        return Verdict()
    delay, reset, reply = 0.0, False, None
    for fault in faults:
        hit = dice.random() < fault.rate
        if not hit or reset or reply:
            continue
        if fault.kind == "delay":
            delay += fault.seconds
        elif fault.kind == "reset":
            reset = True
        elif fault.kind == "status":
            reply = _refusal(fault.status)
        elif fault.kind == "conflict" and method == "PATCH":
            reply = answers.conflict("default", "att-sandbox", 1, 2)
    return Verdict(delay, reset, reply)


def _refusal(status: int) -> Reply:
    more = (("retry-after", "1"),) if status == 429 else ()  # noqa: PLR2004 - the status that means "slower"
    return answers.detail(status, _REASONS.get(status, "The sandbox was asked to fail."), *more)
