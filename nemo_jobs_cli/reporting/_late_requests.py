"""Find values that a late request has overwritten.

A PATCH without a response may be applied after its successors, at an unknown time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.transport.messages import Failure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nemo_jobs_cli.transport.messages import Response

# After these failures, or a status of 5xx, the server may still apply the request later.
_FAILURES = frozenset({"timeout", "reset", "protocol"})
_FIRST_SERVER_ERROR = 500


class LateRequests:
    """The `acknowledged` fields, and keys of requests that may be late."""

    def __init__(self) -> None:
        self.acknowledged: dict[str, Any] = {}
        self._keys: set[str] = set()

    def __bool__(self) -> bool:
        """Return whether a request may be applied late."""
        return bool(self._keys)

    def acknowledge(self, fields: Mapping[str, Any]) -> None:
        """Note the server's values."""
        self.acknowledged.update(fields)

    def note(self, fields: Mapping[str, Any], last: Response | Failure) -> None:
        """Note the keys of a request that the server may still apply."""
        if last.kind in _FAILURES if isinstance(last, Failure) else last.status >= _FIRST_SERVER_ERROR:
            self._keys.update(fields)

    def overwritten(self, stored: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of late requests that differ from the stored ones."""
        known = self._keys & self.acknowledged.keys()
        return {
            key: self.acknowledged[key] for key in known if key not in stored or stored[key] != self.acknowledged[key]
        }
