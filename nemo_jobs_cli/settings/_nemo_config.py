"""Read the official tool's config file (YAML); never write it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.core import schema
from nemo_jobs_cli.core.errors import SettingsError
from nemo_jobs_cli.core.files import display_path
from nemo_jobs_cli.core.text import one_line
from nemo_jobs_cli.settings.model import DEFAULT_HOST, Credential, Product, Sourced
from nemo_jobs_cli.settings.profiles import LONGEST_READ, read_text
from nemo_jobs_cli.settings.sources import Source

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Cluster:
    """The address of a platform."""

    name: str
    base_url: str | None = None
    certificate_authority: str | None = None


@dataclass(frozen=True, slots=True)
class User:
    """A login of type `oauth` or `api-key`; others have no token."""

    name: str
    type: str | None = None
    token: str | None = field(default=None, repr=False)
    api_key: str | None = field(default=None, repr=False)
    expires_at: Any = None

    @property
    def secret(self) -> str:
        """Return the bearer token, "" without one.

        The official tool, too, sends an API key as a bearer.
        """
        if self.api_key is not None:
            return self.api_key.strip()
        return (self.token or "") if self.type == "oauth" else ""


@dataclass(frozen=True, slots=True)
class Context:
    """A cluster, a user and a workspace by name."""

    name: str
    cluster: str | None = None
    user: str | None = None
    workspace: str | None = None


@dataclass(frozen=True, slots=True)
class OfficialConfig:
    """The whole file."""

    current_context: str | None = None
    clusters: tuple[Cluster, ...] = ()
    users: tuple[User, ...] = ()
    contexts: tuple[Context, ...] = ()


def load(path: Path, product: Product, context: str | None, *, must_exist: bool, limit: float = LONGEST_READ) -> Source:
    """Return the settings of the context `context`, or of the current one."""
    document = _read(path, must_exist=must_exist, limit=limit)
    if document is None:
        return Source()
    try:
        config = schema.parse(OfficialConfig, document)
    except ValueError as error:
        location, reason = error.args
        reason = f"{one_line(location, 100)}: {one_line(reason, 100)}" if location else "not a mapping"
        raise _unusable(path, reason) from None
    name = context or config.current_context
    if not name:
        return Source()
    selected = _find(config.contexts, name)
    quoted = one_line(name, 60)
    if selected is None:
        raise _unusable(path, f"no context {quoted!r}")
    cluster, user = _find(config.clusters, selected.cluster), _find(config.users, selected.user)
    # As the official tool: a guess would send a login to the default host.
    for kind, reference, entry in (("cluster", selected.cluster, cluster), ("user", selected.user, user)):
        if reference and entry is None:
            raise _unusable(path, f"context {quoted!r} names a missing {kind} {one_line(reference, 60)!r}")
    return _source(selected, cluster, user, product, f"context {quoted} ({display_path(path)})")


def _source(context: Context, cluster: Cluster | None, user: User | None, product: Product, source: str) -> Source:
    host = cluster.base_url.rstrip("/") if cluster is not None and cluster.base_url else None
    entries = {
        "host": host,
        "workspace": context.workspace,
        "ca_file": cluster.certificate_authority if cluster is not None else None,
    }
    values = {name: Sourced(value, source) for name, value in entries.items() if value}
    if user is None or not user.secret:
        return Source(values)
    expires_at = float(user.expires_at) if isinstance(user.expires_at, int | float) else None
    return Source(
        values, Credential("token", user.secret, source, host or DEFAULT_HOST, product, expires_at=expires_at)
    )


def _find(entries: Sequence[Any], name: str | None) -> Any:
    return next((entry for entry in entries if entry.name == name), None)


def _read(path: Path, *, must_exist: bool, limit: float) -> Any:
    import yaml

    try:
        text = read_text(path, limit)
    except (FileNotFoundError, NotADirectoryError):
        if must_exist:
            raise SettingsError(
                f"cannot read {display_path(path)}, which a *_CONFIG_FILE variable names: no such file",
                "correct the variable or unset it",
            ) from None
        return None
    except UnicodeDecodeError:
        raise _unusable(path, "not UTF-8 text") from None
    except OSError as error:
        raise _unusable(path, error.strerror or "unreadable") from None
    try:
        return yaml.safe_load(text) or {}
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError) as error:
        # PyYAML does not catch Python's own errors for a value that does not fit its tag (`!!int ""`, `!!bool x`).
        mark = getattr(error, "problem_mark", None)
        location = f" at line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
        raise _unusable(path, f"invalid YAML{location}") from None


def _unusable(path: Path, reason: str) -> SettingsError:
    return SettingsError(
        f"cannot use the official config file {display_path(path)}: {reason}",
        "correct it with: nemo config; or pass --host, -w and --token-file",
    )
