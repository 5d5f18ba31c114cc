"""Read one source of settings at a time: the variables of the environment, a profile."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from nemo_jobs_cli.core.errors import UsageError
from nemo_jobs_cli.core.text import one_line, suggest
from nemo_jobs_cli.settings import urls
from nemo_jobs_cli.settings.model import DEFAULT_HOST, Credential, CredentialKind, Product, Sourced

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nemo_jobs_cli.settings.profiles import Profile


# The variables that hold a token themselves, not the place of one.
SECRETS = frozenset({"NEMO_JOBS_TOKEN", "NHX_ACCESS_TOKEN", "NMP_ACCESS_TOKEN"})


# Settings that are on or off.
SWITCHES = ("outbox", "best_effort")
_ON, _OFF = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


class Source(NamedTuple):
    """What one place says: values by the name of the setting, and at most one credential."""

    values: Mapping[str, Sourced[Any]] = MappingProxyType({})
    credential: Credential | None = None

    def __repr__(self) -> str:
        """Return the names alone: values may be tokens."""
        return f"Source({sorted(self.values)}, {self.credential!r})"


def first(sources: Sequence[Source], name: str) -> Sourced[Any] | None:
    """Return the value of the first source that has one."""
    return next((source.values[name] for source in sources if name in source.values), None)


def from_own_variables(environ: Mapping[str, str]) -> Source:
    """Read `NEMO_JOBS_*`; a token from there goes where the user points."""
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
    """Read what the platform gives its jobs and the official tools: `NHX_*` as one set, else `NMP_*`.

    A credential goes to the base URL of the same set, else to `fallback_host` (the official tool's own
    context) or the default. Inside a job both are the job's environment, and may go over plain http.
    """
    which = product(environ)
    prefix = which.upper()
    host = next((f"{prefix}_{name}" for name in ("BASE_URL", "JOBS_URL") if environ.get(f"{prefix}_{name}")), None)
    workspace = next((name for name in ("NEMO_JOB_WORKSPACE", f"{prefix}_WORKSPACE") if environ.get(name)), None)
    job = "NEMO_JOB_ID" if is_in_job(environ) else None
    named = {"host": host, "workspace": workspace, "ca_file": f"{prefix}_{_CA_FILE}", "job": job}
    bound_to = environ[host] if host else fallback_host or DEFAULT_HOST
    for name, kind in _CREDENTIALS:
        variable = f"{prefix}_{name}"
        if environ.get(variable):
            credential = Credential(kind, environ[variable], variable, bound_to, which, from_job=is_in_job(environ))
            break
    else:
        credential = None
    return Source(_values(environ, named), credential)


def product(environ: Mapping[str, str]) -> Product:
    """Return whose set of variables counts; a CA file says neither where nor who, so it only breaks a tie."""

    def says(prefix: str, *names: str) -> bool:
        return any(environ.get(f"{prefix}_{name}") for name in names)

    if says("NHX", *_OFFICIAL) or (says("NHX", _CA_FILE) and not says("NMP", *_OFFICIAL, _CA_FILE)):
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


def _switch(said: Sourced[Any]) -> Sourced[bool]:
    """Return what a variable says that is on or off; raise UsageError for what is neither."""
    return Sourced(check_choice(said._replace(value=said.value.lower()), (*_ON, *_OFF)).value in _ON, said.source)


def is_in_job(environ: Mapping[str, str]) -> bool:
    """Tell whether this process runs inside a job; the platform writes sentinels like `unknown-job-id` elsewhere."""
    name = environ.get("NEMO_JOB_ID", "")
    return bool(name) and not name.startswith("unknown")


def check_choice(value: Sourced[Any], choices: Sequence[str]) -> Sourced[Any]:
    """Return a value that is one of `choices`, else raise UsageError."""
    if value.value not in choices:
        raise UsageError(
            f"{value.source} is none of {', '.join(choices)}: {one_line(value.value, 60)!r}",
            suggest(str(value.value), choices) or f"choose one of {', '.join(choices)}",
        )
    return value


def needs_proxy(host: str, environ: Mapping[str, str]) -> bool:
    """Tell whether proxy variables may apply to `host`; loopback never goes through one.

    A plain reading that only saves the time of a finer one: httpx decides in the end. Upper-case HTTP_PROXY
    counts only outside of CGI, where a request header could set it (httpoxy).
    """
    scheme = urls.origin_of(host).scheme
    names = {f"{scheme}_proxy", "all_proxy"}
    found = [
        name
        for name, value in environ.items()
        if value and name.lower() in names and not (name == "HTTP_PROXY" and "REQUEST_METHOD" in environ)
    ]
    return bool(found) and not urls.is_loopback(host)


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
    """Return the values of variables that are set; an empty one counts as unset."""
    return {
        name: Sourced(environ[variable], variable)
        for name, variable in variables.items()
        if variable is not None and environ.get(variable)
    }
