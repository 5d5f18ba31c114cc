"""Say where requests go and as whom: frozen values, each with where it came from."""

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

Output = Literal["text", "json", "ndjson"]
Product = Literal["nhx", "nmp"]
CredentialKind = Literal["token", "file", "command", "principal", "workload"]


class Sourced(NamedTuple, Generic[T]):
    """A value and where it came from, as a user would say it: `--host`, `NEMO_JOBS_HOST`, `profile lab`."""

    value: T
    source: str

    @property
    def is_default(self) -> bool:
        """Tell whether nobody set the value."""
        return self.source == "default"


class Credential(NamedTuple):
    """Who is asking, not yet opened: a token or where to get one.

    `kind` says what `secret` is: the token itself (`token`), a file that holds it (`file`, `-` is
    stdin), a command that prints it (`command`, a
    line, or its words each with a NUL behind), a `*_PRINCIPAL` JSON object (`principal`), a workload
    identity file to exchange (`workload`, RFC 8693). `bound_to` is the base URL whose scheme, host and
    port alone may get it; None: it goes where the user points. `from_job` tells that it is the running
    job's own environment.
    """

    kind: CredentialKind
    secret: str
    source: str
    bound_to: str | None = None
    product: Product = "nmp"
    from_job: bool = False

    def __repr__(self) -> str:
        """Return what may be shown: everything but the secret."""
        return f"Credential(kind={self.kind!r}, source={self.source!r}, bound_to={self.bound_to!r})"


class Settings(NamedTuple):
    """Everything a command needs to know besides its own arguments."""

    host: Sourced[str] = Sourced(DEFAULT_HOST, "default")
    workspace: Sourced[str] = Sourced(DEFAULT_WORKSPACE, "default")
    job: Sourced[str] | None = None
    credential: Credential | None = None
    ca_file: Sourced[str] | None = None
    headers: tuple[tuple[str, str], ...] = ()
    allow_http: Sourced[bool] = Sourced(False, "default")
    host_from_job: bool = False
    deadline: Sourced[float] = Sourced(DEFAULT_DEADLINE, "default")
    numbers: Sourced[frozenset[str]] = Sourced(known_keys.NUMBERS, "default")
    api: Sourced[Api] = Sourced("auto", "default")
    proxies: bool = False
    channel: Sourced[str] | None = None
    outbox: Sourced[bool] = Sourced(False, "default")
    outbox_dir: Sourced[str] | None = None
    max_entries: int | None = None
    best_effort: Sourced[bool] = Sourced(False, "default")
    profile: str | None = None
    run_keys: Sourced[Mapping[str, str | bool]] = Sourced(MappingProxyType({}), "default")
    anonymous: bool = False


class Screen(NamedTuple):
    """How a command speaks: the form of its output and how much of it; `annotate`: GitHub Actions reads along."""

    output: Output = "text"
    quiet: bool = False
    verbose: bool = False
    color: bool = False
    terminal: bool = False
    annotate: bool = False
    width: int = 80


class Flags(NamedTuple):
    """What the command line says about settings; None is not said."""

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
    deadline: str | None = None
    number: tuple[str, ...] = ()
    output: str | None = None
    quiet: bool = False
    verbose: bool = False
    no_color: bool = False
