"""Describe the settings as people read them: name, value and origin, a token never by what it says."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from nemo_jobs_cli.auth import credentials
from nemo_jobs_cli.core.errors import NemoJobsError

if TYPE_CHECKING:
    from nemo_jobs_cli.settings.model import Credential, Settings


def describe(settings: Settings) -> list[tuple[str, str, str]]:
    """Return each setting as name, value and origin; what is not set has the value ""."""
    job, ca_file, credential = settings.job, settings.ca_file, settings.credential
    outbox_dir = settings.outbox_dir
    added = sorted(settings.numbers.value - type(settings)().numbers.value)
    token = ""
    if credential is not None:
        size = f" ({len(credential.secret)} characters)" if credential.kind == "token" else ""
        bound = f", only for {credential.bound_to}" if credential.bound_to else ""
        token = f"{credential.kind}{size}{bound}"
    return [
        ("host", settings.host.value, settings.host.source),
        ("workspace", settings.workspace.value, settings.workspace.source),
        ("job", job.value if job else "", job.source if job else "not set"),
        ("token", token, credential.source if credential else "not set"),
        ("ca_file", ca_file.value if ca_file else "", ca_file.source if ca_file else "not set"),
        ("allow_http", "true" if settings.allow_http.value else "false", settings.allow_http.source),
        ("deadline", f"{settings.deadline.value:g}", settings.deadline.source),
        ("numbers", ",".join(added), settings.numbers.source),
        ("api", settings.api.value, settings.api.source),
        ("outbox", "true" if settings.outbox.value else "false", settings.outbox.source),
        ("outbox_dir", outbox_dir.value if outbox_dir else "", outbox_dir.source if outbox_dir else "not set"),
        ("best_effort", "true" if settings.best_effort.value else "false", settings.best_effort.source),
    ]


def ways(credential: Credential | None) -> list[tuple[str, str, str]]:
    """Return where the token that holds is read from, as name, value and origin: the file, or the command."""
    found = {"token_file": ("", "not set"), "token_command": ("", "not set")}
    if credential is not None and credential.kind == "file":
        found["token_file"] = (credential.secret, credential.source)
    elif credential is not None and credential.kind == "command":
        said = credential.secret
        command = shlex.join(said.split("\0")[:-1]) if "\0" in said else said
        found["token_command"] = (command, credential.source)
    return [(name, *told) for name, told in found.items()]


def misdirected(settings: Settings) -> str:
    """Return a warning where the token that would be used must not go to the host, or ""."""
    if settings.credential is None:
        return ""
    try:
        credentials.check_target(settings, settings.credential)
    except NemoJobsError as error:
        return f"{error.message}; {error.hint}"
    return ""
