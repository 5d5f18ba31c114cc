"""Know the states that the platform gives a job; one that is new or odd means that the job goes on."""

from __future__ import annotations

TERMINAL = frozenset({"completed", "error", "cancelled"})

# The first ten are in NeMo Platform 0.6.0's schema, the rest in its successors'.
KNOWN = (
    "created",
    "pending",
    "active",
    "cancelled",
    "cancelling",
    "error",
    "completed",
    "paused",
    "pausing",
    "resuming",
    "queued",
    "creation_pending",
    "deletion_pending",
)
