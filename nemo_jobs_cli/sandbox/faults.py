"""Inject faults: parse `--fault` and decide which request a fault hits."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nemo_jobs_cli.core.errors import Pointer, UsageError
from nemo_jobs_cli.core.text import one_line, suggest
from nemo_jobs_cli.sandbox import _wire

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from nemo_jobs_cli.sandbox._wire import Response

_EXAMPLES = "503:0.2, reset:0.1, delay:2, delay:2:0.5, conflict:0.5, conflicts, no-attempt:5"
_NAMES = ("reset", "delay", "conflict", "conflicts", "no-attempt")
_MAX_DELAY = 3600.0

_REASONS = {429: "Too Many Requests", 500: "An unexpected error occurred.", 503: "Service Unavailable"}


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of one `kind`, such as status, reset or delay."""

    kind: str
    rate: float = 1.0
    status: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Effect:
    """The effect of faults on one request: a delay, reset or refusal."""

    delay: float = 0.0
    reset: bool = False
    response: Response | None = None


def parse(specs: Sequence[str]) -> tuple[Fault, ...]:
    """Parse the values of `--fault`, or raise UsageError."""
    return tuple(_parse_one(spec) for spec in specs)


def effect(faults: Sequence[Fault], method: str, path: str, rng: random.Random) -> Effect:
    """Return the effect on a request; `rng` is used once for each fault.

    Only the jobs service has faults. Delays add up; the first reset or refusal wins.
    """
    if not path.startswith("/apis/jobs/"):
        return Effect()
    delay, reset, response = 0.0, False, None
    for fault in faults:
        hit = rng.random() < fault.rate
        if not hit or reset or response:
            continue
        if fault.kind == "delay":
            delay += fault.seconds
        elif fault.kind == "reset":
            reset = True
        elif fault.kind == "status":
            headers = [("retry-after", "1")] if fault.status == 429 else []  # noqa: PLR2004 - Too Many Requests
            reason = _REASONS.get(fault.status, "Injected by the sandbox.")
            response = _wire.RefusedError(fault.status, reason, *headers).response
        elif fault.kind == "conflict" and method == "PATCH":
            response = _wire.conflict("default", "att-sandbox", 1, 2).response
    return Effect(delay, reset, response)


def _parse_one(spec: str) -> Fault:
    kind, *parts = spec.split(":")
    if kind == "conflicts":
        fault, used = Fault(kind), 0
    elif kind == "no-attempt":
        fault, used = Fault(kind, seconds=_number(spec, 1, "time in seconds", _MAX_DELAY)), 1
    elif kind in {"reset", "conflict"}:
        fault, used = Fault(kind, _number(spec, 1, "rate", 1.0)), 1
    elif kind == "delay":
        seconds = _number(spec, 1, "delay in seconds", _MAX_DELAY)
        fault, used = Fault(kind, _number(spec, 2, "rate", 1.0) if parts[1:] else 1.0, seconds=seconds), 2
    elif re.fullmatch(r"[45][0-9]{2}", kind):
        fault, used = Fault("status", _number(spec, 1, "rate", 1.0), status=int(kind)), 1
    else:
        raise _error(spec, 0, f"unknown kind '{one_line(kind, 40)}'" if kind else "the kind is missing")
    if len(parts) > used:
        raise _error(spec, used + 1, f"unexpected value after {':'.join(spec.split(':')[: used + 1])}")
    return fault


def _number(spec: str, index: int, name: str, largest: float) -> float:
    parts = spec.split(":")
    if index >= len(parts):
        raise _error(spec, index, f"the {name} is missing")
    text = parts[index]
    if not text or not re.fullmatch(r"[0-9]{0,9}(\.[0-9]{1,9})?", text) or float(text) > largest:
        raise _error(spec, index, f"the {name} must be a number from 0 to {largest:g}")
    return float(text)


def _error(spec: str, index: int, reason: str) -> UsageError:
    """Return an error that points at the part `index` of a spec."""
    suggestion = suggest(spec.partition(":")[0], _NAMES) if index == 0 else ""
    column = min(len(spec), sum(len(part) + 1 for part in spec.split(":")[:index]))
    return UsageError(
        f"invalid --fault: {reason}",
        f"{suggestion} use one of these forms: {_EXAMPLES}".lstrip(),
        pointer=Pointer("--fault", spec, column),
    )
