"""Read the sources of settings: environment variables and profiles."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from nemo_jobs_cli.core.errors import UsageError
from nemo_jobs_cli.core.text import one_line, suggest
from nemo_jobs_cli.settings.model import DEFAULT_HOST, Attempt, Credential, CredentialKind, Product, Sourced

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nemo_jobs_cli.settings.profiles import Profile


# The variables that hold a token itself, not the path of a token file.
SECRETS = frozenset({"NEMO_JOBS_TOKEN", "NHX_ACCESS_TOKEN", "NMP_ACCESS_TOKEN"})


# Settings that a variable turns on or off.
SWITCHES = ("outbox", "best_effort", "stamp")
_ON, _OFF = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


class Source(NamedTuple):
    """The settings of one source by name, and at most one credential."""

    values: Mapping[str, Sourced[Any]] = MappingProxyType({})
    credential: Credential | None = None

    def __repr__(self) -> str:
        """Return only the names: values may be tokens."""
        return f"Source({sorted(self.values)}, {self.credential!r})"


def first(sources: Sequence[Source], name: str) -> Sourced[Any] | None:
    """Return the setting `name` of the first source that has it, else None."""
    return next((source.values[name] for source in sources if name in source.values), None)


def from_own_variables(environ: Mapping[str, str]) -> Source:
    """Read `NEMO_JOBS_*`; their token is not bound to a host."""
    credential = None
    if environ.get("NEMO_JOBS_TOKEN"):
        credential = Credential("token", environ["NEMO_JOBS_TOKEN"], "NEMO_JOBS_TOKEN")
    elif environ.get("NEMO_JOBS_TOKEN_FILE"):
        credential = Credential("file", environ["NEMO_JOBS_TOKEN_FILE"], "NEMO_JOBS_TOKEN_FILE")
    names = ("host", "workspace", "job", "ca_file", "deadline", "numbers", "api", "output", "channel")
    variables = {name: f"NEMO_JOBS_{name.upper()}" for name in (*names, "outbox_dir", *SWITCHES)}
    values = _values(environ, variables)
    return Source(values | {name: _switch(values[name]) for name in SWITCHES if name in values}, credential)


def from_official_variables(environ: Mapping[str, str], fallback_host: str | None = None) -> Source:
    """Read the variables of jobs and official tools.

    `NHX_*` count as one set, else `NMP_*`. A credential is bound to the base URL of the same set, else to
    `fallback_host` (the official tool's current context), else to the default. Inside a job it comes from the job, and
    may be sent over plain http.
    """
    own_product = product(environ)
    prefix = own_product.upper()
    host = next((f"{prefix}_{name}" for name in ("BASE_URL", "JOBS_URL") if environ.get(f"{prefix}_{name}")), None)
    workspace = next((name for name in ("NEMO_JOB_WORKSPACE", f"{prefix}_WORKSPACE") if environ.get(name)), None)
    job = "NEMO_JOB_ID" if is_in_job(environ) else None
    variables = {"host": host, "workspace": workspace, "ca_file": f"{prefix}_{_CA_FILE}", "job": job}
    bound_to = environ[host] if host else fallback_host or DEFAULT_HOST
    for name, kind in _CREDENTIALS:
        variable = f"{prefix}_{name}"
        if environ.get(variable):
            from_job = is_in_job(environ)
            credential = Credential(kind, environ[variable], variable, bound_to, own_product, from_job=from_job)
            break
    else:
        credential = None
    return Source(_values(environ, variables), credential)


def product(environ: Mapping[str, str]) -> Product:
    """Return the product of the variables that are set."""

    def is_set(prefix: str, *names: str) -> bool:
        return any(environ.get(f"{prefix}_{name}") for name in names)

    if is_set("NHX", *_OFFICIAL) or (is_set("NHX", _CA_FILE) and not is_set("NMP", *_OFFICIAL, _CA_FILE)):
        return "nhx"
    return "nmp"


def from_profile(profile: Profile) -> Source:
    """Read a profile; its token is bound to its own host."""
    values = {name: Sourced(value, profile.source) for name, value in profile.values.items()}
    bound_to = profile.values.get("host", DEFAULT_HOST)
    for name, kind in _PROFILE_CREDENTIALS:
        if name in profile.values:
            secret = profile.values[name]
            text = secret if isinstance(secret, str) else "".join(f"{word}\0" for word in secret)
            return Source(values, Credential(kind, text, profile.source, bound_to))
    return Source(values)


def _switch(text: Sourced[Any]) -> Sourced[bool]:
    """Return the value of an on-or-off variable, or raise UsageError."""
    return Sourced(check_choice(text._replace(value=text.value.lower()), (*_ON, *_OFF)).value in _ON, text.source)


def is_in_job(environ: Mapping[str, str]) -> bool:
    """Return whether this process runs in a job.

    Elsewhere the platform sets `unknown-job-id` and the like.
    """
    name = environ.get("NEMO_JOB_ID", "")
    return bool(name) and not name.startswith("unknown")


def own_attempt(environ: Mapping[str, str], workspace: str) -> Attempt | None:
    """Return the attempt that this process runs in, or None.

    `workspace` is that of the settings; the platform sets it for every step.
    """
    attempt = environ.get("NEMO_JOB_ATTEMPT_ID", "")
    if not is_in_job(environ) or not attempt or attempt.startswith("unknown"):
        return None
    return Attempt(environ.get("NEMO_JOB_WORKSPACE") or workspace, environ["NEMO_JOB_ID"], attempt)


def check_choice(value: Sourced[Any], choices: Sequence[str]) -> Sourced[Any]:
    """Return `value` if it is one of `choices`, else raise UsageError."""
    if value.value not in choices:
        allowed = f"{', '.join(choices[:-1])} or {choices[-1]}"
        separator = " " if value.source.startswith("--") else "="
        raise UsageError(
            f"invalid {value.source} {one_line(value.value, 60)!r}: use {allowed}",
            suggest(str(value.value), choices) or f"write, for example: {value.source}{separator}{choices[0]}",
        )
    return value


_CA_FILE = "CLIENT_SSL_CERT_FILE"
_OFFICIAL = ("BASE_URL", "JOBS_URL", "WORKSPACE", "ACCESS_TOKEN", "PRINCIPAL", "WORKLOAD_IDENTITY_TOKEN_FILE")
_CREDENTIALS: tuple[tuple[str, CredentialKind], ...] = (
    ("ACCESS_TOKEN", "token"),
    ("WORKLOAD_IDENTITY_TOKEN_FILE", "workload"),
    ("PRINCIPAL", "principal"),
)
_PROFILE_CREDENTIALS: tuple[tuple[str, CredentialKind], ...] = (
    ("token", "token"),
    ("token_file", "file"),
    ("token_command", "command"),
)
PROFILE_TOKENS = tuple(name for name, _ in _PROFILE_CREDENTIALS)


def _values(environ: Mapping[str, str], variables: Mapping[str, str | None]) -> dict[str, Sourced[Any]]:
    """Return the values of the variables that are set and not empty."""
    return {
        name: Sourced(environ[variable], variable)
        for name, variable in variables.items()
        if variable is not None and environ.get(variable)
    }
