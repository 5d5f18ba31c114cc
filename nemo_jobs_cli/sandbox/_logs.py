"""Store log lines, and answer queries for them as NeMo Platform 0.6.0."""

from __future__ import annotations

import bisect
import hashlib
import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from nemo_jobs_cli.sandbox import _wire

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_MAX_LINES = 10_000
_DEFAULT_LINES = "100"
_FILTERS = {"step_id": "step", "task_id": "task"}
_FILTER_VALUE = re.compile(r"[A-Za-z0-9._:-]{1,128}")


class Source(NamedTuple):
    """The part of a job that has printed a line."""

    attempt: str
    step: str
    task: str


class Line(NamedTuple):
    """A line of a log.

    Lines are ordered by time; as on the platform, those of the same time are ordered by a hash, not as they arrived.
    """

    timestamp: datetime
    digest: str
    number: int
    source: Source
    message: str


def append(log: list[Line], timestamp: datetime, source: Source, message: str) -> None:
    """Add a line; its time is in UTC, without a zone."""
    text = f"{timestamp}\x1f{source}\x1f{message}"
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    bisect.insort(log, Line(timestamp, digest, len(log), source, message))


def to_time(seconds: float) -> datetime:
    """Return seconds since 1970 as the time of a line."""
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)


def parse_upload(body: Any) -> Iterator[tuple[str, datetime, Source, str]]:
    """Yield the job, time, source and text of each line of an OTLP upload."""
    for resource in body["resourceLogs"]:
        labels = {item["key"]: item["value"]["stringValue"] for item in resource["resource"]["attributes"]}
        source = Source(*(labels[f"job_{name}"] for name in Source._fields))
        for scope in resource["scopeLogs"]:
            for record in scope["logRecords"]:
                job, message = labels["job"], record["body"]["stringValue"]
                if not all(isinstance(text, str) for text in (job, *source, message)):
                    raise TypeError("not a text")
                yield job, to_time(int(record["timeUnixNano"]) / 1e9), source, message


def check_query(query: Mapping[str, str]) -> None:
    """Raise RefusedError if the parameters are invalid."""
    problems = _wire.check_integers(query, "limit", "tail", most=_MAX_LINES)
    problems += _wire.check_integers(query, "attempt_id", is_positive=False)
    if problems:
        raise _wire.invalid(*problems)
    if "tail" in query and "limit" in query:
        message = "tail cannot be combined with limit; tail controls the returned log window size."
        raise _wire.RefusedError(400, message)
    if "tail" in query and "page_cursor" in query:
        message = "tail cannot be combined with page_cursor; pass the returned prev_page as page_cursor without tail."
        raise _wire.RefusedError(400, message)


def page(log: Sequence[Line], job: str, attempt: str, query: Mapping[str, str]) -> dict[str, Any]:
    """Return a page of the lines of an attempt.

    Pages forward are counted, pages backward (from `tail`) begin before a line.
    """
    selection = {"attempt": query.get("attempt_id", attempt)}
    selection |= {name: query[key] for key, name in _FILTERS.items() if query.get(key)}
    if not all(map(_FILTER_VALUE.fullmatch, selection.values())):
        raise _query_error()
    lines = [line for line in log if all(getattr(line.source, name) == value for name, value in selection.items())]
    cursor = decode_cursor(query["page_cursor"], selection) if query.get("page_cursor") else 1
    size = int(query.get("tail") or query.get("limit") or _DEFAULT_LINES)
    following = previous = None
    if "tail" in query or isinstance(cursor, Line):
        end = bisect.bisect_left(lines, cursor) if isinstance(cursor, Line) else len(lines)
        start = max(0, end - size)
        if start:
            first = lines[start]
            boundary = {"t": first.timestamp.isoformat(), "r": first.digest, "n": first.number}
            previous = encode_cursor({"v": 1, **boundary, "q": selection})
    else:
        start = (cursor - 1) * size
        end = start + size
        following = encode_cursor([cursor + 1, 0]) if end < len(lines) else None
        previous = encode_cursor([cursor - 1, 0]) if start else None
    data = [
        {
            "timestamp": line.timestamp.isoformat(),
            "job": job,
            "job_step": line.source.step,
            "job_task": line.source.task,
            "message": line.message,
        }
        for line in lines[start:end]
    ]
    return {"data": data, "total": len(lines) if data else 0, "next_page": following, "prev_page": previous}


def _query_error() -> _wire.RefusedError:
    """Return the error for an invalid cursor or filter: a 500, as in 0.6.0."""
    return _wire.RefusedError(500, "Failed to query job logs")


def encode_cursor(cursor: Any) -> str:
    """Return a cursor as the platform writes it: JSON in base58."""
    number = int.from_bytes(json.dumps(cursor).encode())
    digits = []
    while number:
        number, digit = divmod(number, 58)
        digits.append(_wire.BASE58[digit])
    return "".join(reversed(digits))


def decode_cursor(text: str, selection: Mapping[str, str]) -> int | Line:
    """Return a cursor's page number (forward) or boundary line (backward)."""
    try:
        number = 0
        for digit in text:
            number = number * 58 + _wire.BASE58.index(digit)
        cursor = json.loads(number.to_bytes((number.bit_length() + 7) // 8))
        if isinstance(cursor, dict) and cursor["q"] == selection:
            moment = datetime.fromisoformat(cursor["t"]).replace(tzinfo=None)
            return Line(moment, str(cursor["r"]), int(cursor["n"]), Source("", "", ""), "")
        page_number, offset = cursor
        if offset == 0:
            return int(page_number)
    except (KeyError, TypeError, ValueError, OverflowError):
        raise _query_error() from None
    raise _query_error()
