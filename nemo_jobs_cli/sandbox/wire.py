"""Word the sandbox's answers as NeMo Platform 0.6.0 does; every text here was measured there."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Reply:
    """One HTTP answer: the body's bytes are JSON, or empty."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


NO_RETRY = ("x-should-retry", "false")


def encode(value: Any) -> bytes:
    """Return JSON as the server writes it, compact and not escaped.

    Raise ValueError for what it can't write: lone surrogates, NaN, infinities.
    """
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def ok(value: Any, status: int = 200) -> Reply:
    """Return a success with a JSON body."""
    return Reply(status, encode(value))


def detail(status: int, said: Any, *headers: tuple[str, str]) -> Reply:
    """Return a refusal: FastAPI's `{"detail": ...}`."""
    return Reply(status, encode({"detail": said}), headers)


def invalid(*problems: dict[str, Any]) -> Reply:
    """Return a 422 with its list of problems."""
    return detail(422, list(problems))


def problem(kind: str, loc: tuple[str | int, ...], says: str, value: Any, **context: Any) -> dict[str, Any]:
    """Return one problem of a 422."""
    found = {"type": kind, "loc": list(loc), "msg": says, "input": value}
    return {**found, "ctx": context} if context else found


def no_route() -> Reply:
    """Return the 404 of a path that no service answers."""
    return detail(404, "Not Found")


def wrong_method(allow: str) -> Reply:
    """Return the 405 of a path that takes another method."""
    return detail(405, "Method Not Allowed", ("allow", allow))


def crash() -> Reply:
    """Return the 500 that the server makes of what it can't handle."""
    return detail(500, "An unexpected error occurred.")


def unreadable() -> Reply:
    """Return the 400 for a body whose bytes can't be parsed at all."""
    return detail(400, "There was an error parsing the body")


def redirect(location: str) -> Reply:
    """Return the 307 that a trailing slash gets."""
    return Reply(307, b"", (("location", location),))


def no_entity(workspace: str, job: str) -> Reply:
    """Return the 404 of a PATCH: no such job, or no such workspace."""
    return detail(404, f"Entity '{job}' not found in workspace '{workspace}'")


def no_job(workspace: str, job: str) -> Reply:
    """Return the 404 of a job that is read."""
    return detail(404, f"Job '{job}' not found in workspace '{workspace}'.")


def no_workspace(workspace: str) -> Reply:
    """Return the 404 of a list in a workspace that isn't there."""
    return detail(404, f"Workspace '{workspace}' not found")


def conflict(workspace: str, entity: str, expected: int, current: int) -> Reply:
    """Return the 409 of a PATCH that another one overtook."""
    return detail(
        409,
        f"HTTP 409: Entity '{entity}' of type 'platform_job_attempt' in workspace '{workspace}' was modified by"
        f" another request. Expected version {expected}, but current version is {current}."
        " Please refetch and retry.",
        NO_RETRY,
    )
