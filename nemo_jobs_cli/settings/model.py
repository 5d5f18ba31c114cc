"""Hold the settings of a command, each value with its source."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Generic, Literal, NamedTuple, TypeVar

from nemo_jobs_cli.core import known_keys

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nemo_jobs_cli.core.outcome import Api

T = TypeVar("T")

DEFAULT_HOST = "http://localhost:8080"
DEFAULT_WORKSPACE = "default"
DEFAULT_DEADLINE = 10.0
FLOW_DEADLINE = 30.0  # for the last report of `run` and `stream`

Output = Literal["text", "json", "ndjson"]
Product = Literal["nhx", "nmp"]
CredentialKind = Literal["token", "file", "command", "principal", "workload"]


class Sourced(NamedTuple, Generic[T]):
    """A value and its source in the user's words, such as `--host`."""

    value: T
    source: str

    @property
    def is_default(self) -> bool:
        """Return whether the value is the built-in default."""
        return self.source == "default"


class Credential(NamedTuple):
    """A token, or where to get one.

    `kind` says what `secret` is: the token itself (`token`), the path of a file (`file`, `-` is stdin), a command
    that prints it (`command`: one line, or words that each end with a NUL), a `*_PRINCIPAL` JSON object
    (`principal`), or the path of a workload identity file to exchange (`workload`, RFC 8693). It is sent only to the
    origin of the base URL `bound_to`; None: to any host. `from_job`: it is from the environment of the running job.
    `expires_at` is its expiry in seconds since 1970, if the source names one.
    """

    kind: CredentialKind
    secret: str
    source: str
    bound_to: str | None = None
    product: Product = "nmp"
    from_job: bool = False
    expires_at: float | None = None

    def __repr__(self) -> str:
        """Return everything but the secret."""
        return f"Credential(kind={self.kind!r}, source={self.source!r}, bound_to={self.bound_to!r})"


class Proxy(NamedTuple):
    """A proxy's URL, which may hold a password, and its variable."""

    url: str
    variable: str

    def __repr__(self) -> str:
        """Return only the variable."""
        return f"Proxy({self.variable!r})"


class Attempt(NamedTuple):
    """The attempt of a job that this process runs in."""

    workspace: str
    job: str
    id: str


class Flags(NamedTuple):
    """The settings given on the command line; None: not given."""

    host: str | None = None
    workspace: str | None = None
    token_file: str | None = None
    anonymous: bool = False
    profile: str | None = None
    ca_file: str | None = None
    header: tuple[str, ...] = ()
    outbox: bool | None = None
    outbox_dir: str | None = None
    max_entries: int | None = None
    best_effort: bool | None = None
    stamp: bool | None = None
    deadline: str | None = None
    number: tuple[str, ...] = ()
    output: str | None = None
    quiet: bool = False
    verbose: bool = False
    no_color: bool = False


class Settings(NamedTuple):
    """The settings that commands share, and the flags behind them."""

    host: Sourced[str] = Sourced(DEFAULT_HOST, "default")
    workspace: Sourced[str] = Sourced(DEFAULT_WORKSPACE, "default")
    job: Sourced[str] | None = None
    credential: Credential | None = None
    ca_file: Sourced[str] | None = None
    headers: tuple[tuple[str, str], ...] = ()
    allow_http: Sourced[bool] = Sourced(False, "default")
    host_from_job: bool = False
    attempt: Attempt | None = None
    cache_dir: str | None = None
    deadline: Sourced[float] = Sourced(DEFAULT_DEADLINE, "default")
    numbers: Sourced[frozenset[str]] = Sourced(known_keys.NUMBERS, "default")
    api: Sourced[Api] = Sourced("auto", "default")
    proxy: Proxy | None = None
    channel: Sourced[str] | None = None
    outbox: Sourced[bool] = Sourced(False, "default")
    outbox_dir: Sourced[str] | None = None
    max_entries: int | None = None
    best_effort: Sourced[bool] = Sourced(False, "default")
    stamp: Sourced[bool] | None = None
    profile: str | None = None
    run_keys: Sourced[Mapping[str, str | bool]] = Sourced(MappingProxyType({}), "default")
    anonymous: bool = False
    flags: Flags = Flags()


class Screen(NamedTuple):
    """Form and amount of output; `annotate` is for GitHub Actions."""

    output: Output = "text"
    quiet: bool = False
    verbose: bool = False
    color: bool = False
    terminal: bool = False
    annotate: bool = False
    width: int = 80
