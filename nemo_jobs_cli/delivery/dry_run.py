"""Describe the request of an update as data or as a curl command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.delivery import deliver
from nemo_jobs_cli.transport.route_memory import RouteMemory

if TYPE_CHECKING:
    from nemo_jobs_cli.fields.compose import ComposedUpdate
    from nemo_jobs_cli.settings.model import Settings

TOKEN_VARIABLE = "NEMO_JOBS_TOKEN"  # noqa: S105 - the name of a variable


def url(composed: ComposedUpdate, settings: Settings) -> str:
    """Return the URL of the first attempt."""
    known = RouteMemory(settings.host.value, settings.cache_dir).api
    _, first = deliver.requests(composed.update, composed.body, settings, known)[0]
    return settings.host.value + first.path


def facts(composed: ComposedUpdate, settings: Settings, credential: str) -> dict[str, Any]:
    """Return request, settings and the parsed values as JSON values."""
    return {
        "request": {"method": "PATCH", "url": url(composed, settings), "body": dict(composed.update.fields)},
        "job": composed.update.job,
        "settings": {
            "host": {"value": settings.host.value, "origin": settings.host.source},
            "workspace": {"value": settings.workspace.value, "origin": settings.workspace.source},
            "credential": credential,
        },
        "fields": [
            {"key": key, "value": part.value, "kind": part.kind, "where": part.locate(()).label}
            for key, part in composed.parts.items()
        ],
    }


def curl(composed: ComposedUpdate, settings: Settings) -> str:
    """Return the request as a curl command, with a variable as token."""
    import json
    import shlex

    words = [["curl", "--fail-with-body", "-X", "PATCH", shlex.quote(url(composed, settings))]]
    if settings.ca_file is not None:
        words.append(["--cacert", shlex.quote(settings.ca_file.value)])
    headers = [("Content-Type", "application/json"), *settings.headers]
    # For curl, `Name:` removes a header; `Name;` sends an empty one.
    words += [["-H", shlex.quote(f"{name}: {value}" if value else f"{name};")] for name, value in headers]
    if settings.credential is not None and settings.credential.kind != "principal":
        words.append(["-H", f'"Authorization: Bearer ${TOKEN_VARIABLE}"'])
    # ASCII only, so that the command survives every terminal and locale.
    words.append(["--data-binary", shlex.quote(json.dumps(dict(composed.update.fields)))])
    return " \\\n  ".join(" ".join(group) for group in words)
