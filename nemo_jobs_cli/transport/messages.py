"""Requests, responses and failures as plain data."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

FailureKind = Literal[
    "dns", "refused", "connect", "tls", "timeout", "reset", "protocol", "proxy", "proxy-settings", "tls-settings"
]


class Request(NamedTuple):
    """A request that is safe to repeat."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    content_type: str = "application/json"


class Response(NamedTuple):
    """An HTTP response of any status; header names are lower-case."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = MappingProxyType({})
    seconds: float = 0.0

    def json(self) -> Any:
        """Return the body as JSON, or raise ValueError."""
        import json

        return json.loads(self.body)

    def object(self) -> dict[str, Any]:
        """Return the body as a JSON object; {} for anything else."""
        try:
            value = self.json()
        except (ValueError, RecursionError):
            return {}
        return value if isinstance(value, dict) else {}


class Failure(NamedTuple):
    """A request without an HTTP response; `detail` is the reason.

    `is_sent` is whether a request that has timed out was sent completely.
    """

    kind: FailureKind
    detail: str
    seconds: float = 0.0
    is_sent: bool = False


class SendResult(NamedTuple):
    """The last response or failure, with counts of attempts and conflicts."""

    last: Response | Failure
    attempts: int = 1
    conflicts: int = 0


class Sender(Protocol):
    """The part of a client that retries need."""

    trace_id: str

    def send(self, request: Request, timeout: float) -> Response | Failure:
        """Send one request; errors of the network and the server are returned."""
        ...
