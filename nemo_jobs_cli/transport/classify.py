"""Classify a response, and read the reason that the server gives."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

from nemo_jobs_cli.core.errors import Problem
from nemo_jobs_cli.core.text import compact_json, one_line

if TYPE_CHECKING:
    from nemo_jobs_cli.transport.messages import Response

ResponseKind = Literal[
    "ok", "foreign", "redirect", "unauthorized", "forbidden", "missing", "no-attempt", "no-route", "conflict",
    "rejected", "transient",
]  # fmt: skip

_BY_STATUS: dict[int, ResponseKind] = {401: "unauthorized", 403: "forbidden", 407: "transient"}
_TRANSIENT = frozenset({408, 425, 429})
_NO_ATTEMPT = re.compile(r"\b(?:no|without)\b[^.]*\battempt")

# At most this many validation errors are read; a body may have a hundred thousand.
MAX_PROBLEMS = 100


def kind(response: Response) -> ResponseKind:
    """Return the kind of a response.

    Only a 200 with `null` or a JSON object is a success. Any other 2xx is foreign: the update is not stored yet (202),
    only a part is sent (206), or a proxy answered.
    """
    status = response.status
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status < 300:  # noqa: PLR2004 - the classes of RFC 9110
        return "ok" if status == 200 and _is_valid(response) else "foreign"  # noqa: PLR2004
    if status < 400:  # noqa: PLR2004
        return "redirect" if response.headers.get("location") and status != 304 else "foreign"  # noqa: PLR2004
    if status == 409:  # noqa: PLR2004
        if _is_write_race(response):
            return "conflict"
        return "no-attempt" if _NO_ATTEMPT.search(_unquoted_detail(response)) else "rejected"
    if status == 404:  # noqa: PLR2004
        raw = _raw_detail(response)
        if raw is None or raw == "Not Found":  # no JSON, or FastAPI's words for a missing route
            return "no-route"
        return "no-attempt" if is_about_attempt(response) else "missing"
    if status == 422 and str(_raw_detail(response)).startswith("Not allowed to "):  # noqa: PLR2004
        return "forbidden"  # of somebody on whose behalf a job acts (NeMo Platform 0.6.0)
    if status in _TRANSIENT or status >= 500:  # noqa: PLR2004
        return "transient"
    return "rejected"


def is_about_attempt(response: Response, attempt: str = "") -> bool:
    """Return whether a 404 or 409 is about an attempt, not the job.

    The API reference does not give the text. It counts if it has the word outside of quotes, which hold names, or the
    id `attempt`.
    """
    if response.status not in {404, 409} or _is_write_race(response):
        return False
    return "attempt" in _unquoted_detail(response) or bool(attempt and attempt in detail(response))


def _unquoted_detail(response: Response) -> str:
    return re.sub(r"'[^']*'|\"[^\"]*\"", "", detail(response)).lower()


def _is_write_race(response: Response) -> bool:
    """Return whether a 409 is about a simultaneous write, not a state.

    One without a reason counts as such: to send an update again does no harm.
    """
    return "modified by another request" in (detail(response) or "modified by another request")


def detail(response: Response) -> str:
    """Return the server's reason as one line, or ""."""
    raw = _raw_detail(response)
    if raw is None or raw in ([], {}):
        return ""
    if isinstance(raw, str):
        return one_line(raw, 300)
    return one_line("; ".join(problem.message for problem in problems(response)) or _json(raw), 300)


def problems(response: Response) -> tuple[Problem, ...]:
    """Return the first validation errors of a 422."""
    return tuple(map(_problem, _validation_errors(response)[:MAX_PROBLEMS]))


def problem_count(response: Response) -> int:
    """Return the number of all validation errors of a 422."""
    return len(_validation_errors(response))


def page_title(response: Response) -> str:
    """Return the title of an HTML page (a gateway's, for example), or ""."""
    match = re.search(rb"<title[^>]*>([^<]{1,200})", response.body[:65536], re.IGNORECASE)
    return one_line(match.group(1).decode("utf-8", "replace").strip(), 100) if match else ""


def _is_valid(response: Response) -> bool:
    try:
        value = response.json()
    except (ValueError, RecursionError):
        return False
    return value is None or isinstance(value, dict)


def _raw_detail(response: Response) -> Any:
    return response.object().get("detail")


def _validation_errors(response: Response) -> list[dict[str, Any]]:
    raw = _raw_detail(response)
    if isinstance(raw, str):
        raw = _json_in_string(raw)
    return [entry for entry in raw if isinstance(entry, dict)] if isinstance(raw, list) else []


def _json(value: Any) -> str:
    """Return a value as JSON, or "" if it is nested too deeply to be encoded."""
    try:
        return compact_json(value)
    except RecursionError:
        return ""


def _json_in_string(text: str) -> Any:
    import json

    try:
        inner = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return inner.get("detail") if isinstance(inner, dict) else inner


def _problem(entry: dict[str, Any]) -> Problem:
    loc = entry.get("loc")
    parts = tuple(part for part in loc if isinstance(part, (str, int))) if isinstance(loc, list) else ()
    says = str(entry.get("msg") or entry.get("type") or "not accepted")
    context = entry.get("ctx")
    error = context.get("error") if isinstance(context, dict) else None
    if isinstance(error, str):
        says = f"{says}: {error}"
    value = "" if entry.get("input") is None else str(entry["input"])
    return Problem(parts, one_line(says, 200), one_line(value, 60))
