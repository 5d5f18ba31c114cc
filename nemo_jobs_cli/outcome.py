"""Hold what commands found out or did: frozen facts that exactly one function prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nemo_jobs_cli.settings import Api


class Update(NamedTuple):
    """What every writing command produces: top-level keys to set in the status details of one job."""

    workspace: str
    job: str
    fields: Mapping[str, Any]


class Delivered(NamedTuple):
    """An update that the server has acknowledged.

    `job` is the name, also where the user gave an id; `attempts` counts PATCHes, `conflicts` the 409s
    among them; `seconds` is wall-clock time; `api` is the route that this server has.
    """

    update: Update
    host: str
    attempts: int
    conflicts: int
    seconds: float
    trace_id: str
    result: Any = None
    api: Api = "jobs"
    warnings: tuple[str, ...] = ()
