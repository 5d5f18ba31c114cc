"""Parse bodies and encode responses as NeMo Platform 0.6.0 does."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.core.text import nan_to_null

if TYPE_CHECKING:
    from collections.abc import Mapping

# The digits of the platform's ids and cursors.
BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

NO_RETRY = ("x-should-retry", "false")

# Measured on 0.6.0: deeper bodies are parsed but cannot be stored (500); much deeper ones are not parsed (400).
_MAX_STORED_DEPTH = 250
_MAX_PARSED_DEPTH = 1200


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request.

    `path` is decoded, `target` is not; `query` has the last value of each key, `headers` lower-case names.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = b""
    target: str = ""


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP response; its body is JSON or empty."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


class RefusedError(Exception):
    """A refused request; its response is FastAPI's `{"detail": ...}`."""

    def __init__(self, status: int, detail: Any, *headers: tuple[str, str]) -> None:
        super().__init__(status)
        self.response = Response(status, encode({"detail": detail}), headers)


def encode(value: Any) -> bytes:
    """Encode JSON as the server does: compact, not escaped.

    Raise ValueError for lone surrogates, NaN and infinities.
    """
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def problem(kind: str, location: tuple[str | int, ...], message: str, value: Any, **context: Any) -> dict[str, Any]:
    """Return one problem of a 422."""
    fields = {"type": kind, "loc": list(location), "msg": message, "input": value}
    return {**fields, "ctx": context} if context else fields


def invalid(*problems: dict[str, Any]) -> RefusedError:
    """Return a 422 with its problems."""
    return RefusedError(422, list(problems))


def check_integers(
    query: Mapping[str, str], *names: str, is_positive: bool = True, most: int | None = None
) -> list[dict[str, Any]]:
    """Return the problems of parameters that must be integers in a range."""
    problems = []
    for name in names:
        location, value = ("query", name), query.get(name)
        if value is None:
            continue
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", value):
            message = "Input should be a valid integer, unable to parse string as an integer"
            problems.append(problem("int_parsing", location, message, value))
        elif is_positive and int(value) < 1:
            problems.append(problem("greater_than", location, "Input should be greater than 0", value, gt=0))
        elif most is not None and int(value) > most:
            message = f"Input should be less than or equal to {most}"
            problems.append(problem("less_than_equal", location, message, value, le=most))
    return problems


def missing_body() -> RefusedError:
    """Return the 422 of an empty body."""
    return invalid(problem("missing", ("body",), "Field required", None))


def unreadable() -> RefusedError:
    """Return the 400 of a body that cannot be parsed at all."""
    return RefusedError(400, "There was an error parsing the body")


def crash() -> RefusedError:
    """Return the 500 of an unhandled exception in the server."""
    return RefusedError(500, "An unexpected error occurred.")


def conflict(workspace: str, entity: str, expected: int, current: int) -> RefusedError:
    """Return the 409 of an update that lost to another one."""
    return RefusedError(
        409,
        f"HTTP 409: Entity '{entity}' of type 'platform_job_attempt' in workspace '{workspace}' was modified by"
        f" another request. Expected version {expected}, but current version is {current}."
        " Please refetch and retry.",
        NO_RETRY,
    )


def parse_body(request: Request) -> Any:
    """Parse a JSON body, None if empty; return other types as text."""
    if not request.body:
        return None
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not re.fullmatch(r"application/(.+\+)?json", content_type):
        try:
            return request.body.decode()
        except UnicodeDecodeError:
            raise crash() from None
    try:
        value = json.loads(request.body)
    except json.JSONDecodeError as error:
        details = problem("json_invalid", ("body", error.pos), "JSON decode error", {}, error=error.msg)
        raise invalid(details) from None
    except (ValueError, RecursionError):  # bad UTF-8, an integer beyond Python's limit, deep nesting
        raise unreadable() from None
    if _depth(value) > _MAX_PARSED_DEPTH:
        raise unreadable()
    return value


def parse_details(request: Request) -> dict[str, Any]:
    """Parse the body of an update."""
    value = parse_body(request)
    if value is None:
        raise missing_body()
    if _depth(value) > _MAX_STORED_DEPTH:
        raise crash()
    try:
        if not isinstance(value, dict):
            raise invalid(problem("dict_type", ("body",), "Input should be a valid dictionary", value))
        details: dict[str, Any] = nan_to_null(value)  # as the server does
        encode(details)
    except ValueError:  # a lone surrogate can never be stored
        raise crash() from None
    return details


def _depth(value: Any) -> int:
    """Return the nesting depth of objects and lists, without recursion."""
    depth, level = 0, [value]
    while level := [item for item in level if isinstance(item, (dict, list))]:
        depth += 1
        level = [child for item in level for child in (item.values() if isinstance(item, dict) else item)]
    return depth
