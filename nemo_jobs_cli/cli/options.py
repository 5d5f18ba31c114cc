"""Declare the options that every command shares, once."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nemo_jobs_cli.settings.model import Flags

if TYPE_CHECKING:
    from collections.abc import Callable

_PANEL = "Options of every command"


def _option(*names: str, help: str, metavar: str | None = None) -> Any:  # noqa: A002 - Typer's own word
    return typer.Option(*names, help=help, metavar=metavar, show_default=False, rich_help_panel=_PANEL)


_TYPES: dict[str, Any] = {
    "host": Annotated[str | None, _option("--host", metavar="URL", help="Base URL of the platform.")],
    "workspace": Annotated[str | None, _option("--workspace", "-w", metavar="NAME", help="Workspace of the job.")],
    "token_file": Annotated[
        str | None,
        _option("--token-file", metavar="FILE", help="Read the bearer token from FILE (- is stdin)."),
    ],
    "anonymous": Annotated[bool, _option("--anonymous", help="Send no token, whatever the settings say.")],
    "profile": Annotated[
        str | None, _option("--profile", metavar="NAME", help="Use this profile of the configuration file.")
    ],
    "ca_file": Annotated[
        str | None, _option("--ca-file", metavar="FILE", help="Trust the certificates in FILE (PEM).")
    ],
    "header": Annotated[list[str] | None, _option("--header", metavar="K:V", help="Send one more header; may repeat.")],
    "deadline": Annotated[
        str | None,
        _option("--deadline", metavar="TIME", help="Give up after TIME (10s, 500ms, 2m; 0 = one attempt)."),
    ],
    "output": Annotated[str | None, _option("--output", "-o", metavar="FORM", help="text, json or ndjson.")],
    "quiet": Annotated[bool, _option("--quiet", "-q", help="Say nothing but errors and what was asked for.")],
    "verbose": Annotated[bool, _option("--verbose", "-v", help="Say what is sent, where, and each retry.")],
    "no_color": Annotated[bool, _option("--no-color", help="Use no colours.")],
}

_SWITCHES = frozenset({"anonymous", "quiet", "verbose", "no_color"})

# What only commands that write have: whether an update that can't be delivered is kept, or let go.
_KEEPING: dict[str, Any] = {
    "outbox": Annotated[
        bool | None,
        _option("--outbox/--no-outbox", help="Keep what can't be delivered, and deliver it later; implies --stamp."),
    ],
    "outbox_dir": Annotated[str | None, _option("--outbox-dir", metavar="DIR", help="Keep it in DIR.")],
    "max_entries": Annotated[
        int | None, _option("--max-entries", metavar="N", help="Keep at most N, folding those of a job first (10000).")
    ],
    "best_effort": Annotated[
        bool | None,
        _option("--best-effort/--no-best-effort", help="Exit 0 although it could not be delivered in time."),
    ],
}


def with_flags(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the shared options; they reach `function` together, as its parameter `flags`."""
    return _with(function, _TYPES)


def with_keeping_flags(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command that writes the shared options and those for what can't be delivered."""
    return _with(function, {**_KEEPING, **_TYPES})


def with_outbox_flags(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command on the outbox itself the shared options and the folder."""
    return _with(function, {"outbox_dir": _KEEPING["outbox_dir"], **_TYPES})


def with_few_flags(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command that talks to nobody the shared options that mean something there."""
    return _with(function, {name: _TYPES[name] for name in ("profile", "output", "quiet", "no_color")})


def with_output_flags(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command that needs no settings the shared options on how to speak."""
    return _with(function, {name: _TYPES[name] for name in ("output", "quiet", "no_color")})


def _with(function: Callable[..., Any], kinds: dict[str, Any]) -> Callable[..., Any]:
    own = inspect.signature(function, eval_str=True)
    shared = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=False if name in _SWITCHES else None,
            annotation=kind,
        )
        for name, kind in kinds.items()
    ]

    @functools.wraps(function)
    def command(**values: Any) -> Any:
        said = {name: values.pop(name) for name in kinds}
        said["header"] = tuple(said.get("header") or ())
        number = tuple(values.get("number") or ())
        return function(**values, flags=Flags(**said, number=number))

    kept = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own.parameters.values() if p.name != "flags"]
    command.__signature__ = own.replace(parameters=[*kept, *shared])  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in [*kept, *shared]}
    del command.__wrapped__
    return command
