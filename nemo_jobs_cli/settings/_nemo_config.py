"""Read the configuration file of the official command line: a foreign YAML file, never written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from nemo_jobs_cli.core.errors import SettingsError
from nemo_jobs_cli.core.files import display_path
from nemo_jobs_cli.core.text import one_line
from nemo_jobs_cli.settings.model import DEFAULT_HOST, Credential, Product, Sourced
from nemo_jobs_cli.settings.profiles import text_of
from nemo_jobs_cli.settings.sources import Source

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class _Foreign(BaseModel):
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)


class Cluster(_Foreign):
    """Where a platform is."""

    name: str
    base_url: str | None = None
    certificate_authority: str | None = None


class User(_Foreign):
    """Who one is; any type but `oauth`, or a missing one, means no authentication."""

    name: str
    type: str | None = None
    token: SecretStr | None = None


class Context(_Foreign):
    """A cluster, a user and a workspace by name."""

    name: str
    cluster: str | None = None
    user: str | None = None
    workspace: str | None = None


class OfficialConfig(_Foreign):
    """The whole file."""

    current_context: str | None = None
    clusters: list[Cluster] = Field(default_factory=list)
    users: list[User] = Field(default_factory=list)
    contexts: list[Context] = Field(default_factory=list)


def load(path: Path, product: Product, context: str | None, *, must_exist: bool) -> Source:
    """Return what the current context of the file says, or the one named by `context`."""
    document = _read(path, must_exist=must_exist)
    if document is None:
        return Source()
    try:
        config = OfficialConfig.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        said = f"{one_line(place, 100)}: {one_line(first['msg'], 100)}" if place else "not a mapping"
        raise _unusable(path, said) from None
    wanted = context or config.current_context
    if not wanted:
        return Source()
    chosen = _named(config.contexts, wanted)
    if chosen is None:
        raise _unusable(path, f"there is no context {one_line(wanted, 60)!r}")
    cluster, user = _named(config.clusters, chosen.cluster), _named(config.users, chosen.user)
    # Guessing would send a login to the default host: the official tool refuses both, too.
    for kind, name, found in (("cluster", chosen.cluster, cluster), ("user", chosen.user, user)):
        if name and found is None:
            said = f"context {one_line(wanted, 60)!r} names the {kind} {one_line(name, 60)!r}"
            raise _unusable(path, f"{said}, which is not there")
    return _source(chosen, cluster, user, product, f"context {one_line(wanted, 60)} ({display_path(path)})")


def _source(chosen: Context, cluster: Cluster | None, user: User | None, product: Product, source: str) -> Source:
    host = cluster.base_url.rstrip("/") if cluster is not None and cluster.base_url else None
    found = {
        "host": host,
        "workspace": chosen.workspace,
        "ca_file": cluster.certificate_authority if cluster is not None else None,
    }
    values = {name: Sourced(value, source) for name, value in found.items() if value}
    token = user.token.get_secret_value() if user is not None and user.type == "oauth" and user.token else ""
    credential = Credential("token", token, source, host or DEFAULT_HOST, product) if token else None
    return Source(values, credential)


def _named(entries: Sequence[Any], name: str | None) -> Any:
    return next((entry for entry in entries if entry.name == name), None)


def _read(path: Path, *, must_exist: bool) -> Any:
    import yaml

    try:
        text = text_of(path)
    except (FileNotFoundError, NotADirectoryError):
        if must_exist:
            raise SettingsError(
                f"there is no file {display_path(path)}, which a *_CONFIG_FILE variable names",
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
        # PyYAML lets a value that its tag does not fit (`!!int ""`, `!!bool x`) end in whatever Python says of it.
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
        raise _unusable(path, f"not YAML{place}") from None


def _unusable(path: Path, why: str) -> SettingsError:
    return SettingsError(
        f"the official tool's configuration {display_path(path)} can't be used: {why}",
        "correct it with: nemo config; or give --host, -w and --token-file here",
    )
