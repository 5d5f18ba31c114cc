"""Hold what came back from the network: an answer or a failure, as plain data."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


Kind = Literal["dns", "refused", "connect", "tls", "timeout", "reset", "protocol", "proxy", "proxy-settings"]


class Response(NamedTuple):
    """An HTTP response, whatever its status; header names are lower-case."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = MappingProxyType({})
    seconds: float = 0.0

    def json(self) -> Any:
        """Return the body as JSON; raise ValueError for anything else (a gateway's HTML, say)."""
        import json

        return json.loads(self.body)


class Failure(NamedTuple):
    """No HTTP response: what happened on the way, in one phrase.

    `kind` decides what happens next: all but `tls` and `proxy-settings` are worth another attempt.
    """

    kind: Kind
    detail: str
    seconds: float = 0.0
