"""Declare the shared options, and the parameters of a command.

A command states its options once, as the fields of its `Options`:

    class Options(NamedTuple):
        job: Annotated[str | None, params.argument("[JOB]", "The job")] = None
        curl: Annotated[bool, params.option("--curl", help="Print a curl command")] = False

    @params.command(app, "update", *params.CONNECTION, *params.OUTPUT)
    def update(options: Options, invocation: params.Invocation) -> None: ...
"""

from __future__ import annotations

import inspect
import signal
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

import typer

from nemo_jobs_cli.cli import helptext
from nemo_jobs_cli.core import times
from nemo_jobs_cli.core.errors import Stopped, UsageError
from nemo_jobs_cli.settings.model import Flags

if TYPE_CHECKING:
    from collections.abc import Callable

    from nemo_jobs_cli.api.session import Session
    from nemo_jobs_cli.settings.model import Screen, Settings

Function = TypeVar("Function", bound="Callable[..., int | None]")


class Invocation(NamedTuple):
    """What a command gets besides its own options.

    `started` is when the process began, on the monotonic clock; `wrapped` are the words after `--` of `run` and
    `sandbox`, None without `--`.
    """

    started: float
    wrapped: tuple[str, ...] | None = None
    flags: Flags = Flags()

    def connect(self, settings: Settings, screen: Screen, *, follows: bool = False) -> Session:
        """Open the session of a command that reads.

        `follows`: it may run for days. Its view reports an outage once, and only --verbose prints each retry.
        """
        from nemo_jobs_cli.api.session import open_session
        from nemo_jobs_cli.output import render

        session = open_session(
            settings,
            self.started,
            on_retry=partial(render.retry, screen=screen) if screen.verbose or not follows else None,
            renews=follows,
            on_warning=(lambda text: render.warnings([text], screen)) if follows else None,
        )
        if screen.verbose:
            render.message(f"connecting to {session.describe()}")
        return session


def option(*names: str, help: str, default: str = "", env: str = "", **more: Any) -> Any:  # noqa: A002 - Typer's name
    """Declare an option; its help ends with default and variable."""
    notes = (f"[default: {default}]" if default else "", f"[env: {env}]" if env else "")
    return typer.Option(*names, help=" ".join(filter(None, (help, *notes))), show_default=False, **more)


def duration(name: str, **more: Any) -> Any:
    """Declare an option for a time span; the command gets seconds."""
    return option(name, metavar="TIME", parser=lambda text: times.parse_duration(str(text), name), **more)


def argument(metavar: str, help: str = "") -> Any:  # noqa: A002 - Typer's name
    """Declare a positional argument."""
    return typer.Argument(metavar=metavar, help=help, show_default=False)


Job = Annotated[str | None, argument("[JOB]", "Job name or id [default: the job this runs in] [env: NEMO_JOBS_JOB]")]
Match = Annotated[
    tuple[str, ...],
    option(
        "--match",
        metavar="REGEX",
        help="Find fields in text: a regex with named groups, or bars: tqdm, rich, tqdm:DESCRIPTION; may repeat",
    ),
]
Interval = Annotated[float, duration("--interval", help="Send at most once per TIME", default="1s")]
AllowLarge = Annotated[bool, option("--allow-large", help="Allow an update of more than 4 MiB")]
AllRanks = Annotated[bool, option("--all-ranks", help="Report from every process of a launch, not only from rank 0")]

DELIVERY = ("outbox", "outbox_dir", "max_entries", "best_effort", "stamp")
CONNECTION = ("host", "workspace", "token_file", "anonymous", "profile", "ca_file", "header", "deadline", "verbose")
PROSE = ("quiet", "no_color")
OUTPUT = ("output", *PROSE)

# By the field of `Flags` that holds the value.
_SHARED: dict[str, Any] = {
    "number": Annotated[
        tuple[str, ...],
        option("--number", metavar="KEY", help="Send KEY as a number; may repeat", env="NEMO_JOBS_NUMBERS"),
    ],
    "outbox": Annotated[
        bool | None,
        option("--outbox/--no-outbox", help="Store undelivered updates, and deliver them later; implies --stamp",
               default="off", env="NEMO_JOBS_OUTBOX"),
    ],
    "outbox_dir": Annotated[
        str | None,
        option("--outbox-dir", metavar="DIR", help="Folder of the outbox", env="NEMO_JOBS_OUTBOX_DIR"),
    ],
    "max_entries": Annotated[
        int | None,
        option("--max-entries", metavar="N", help="Store at most N updates, merging those of a job first",
               default="10000"),
    ],
    "best_effort": Annotated[
        bool | None,
        option("--best-effort/--no-best-effort", help="Exit 0 even if the update could not be delivered",
               default="off", env="NEMO_JOBS_BEST_EFFORT"),
    ],
    "stamp": Annotated[
        bool | None,
        option("--stamp/--no-stamp", help="Send lastUpdated, the current time (UTC), with each update",
               default="on for run and stream, else off", env="NEMO_JOBS_STAMP"),
    ],
    "host": Annotated[
        str | None,
        option("--host", metavar="URL", help="Base URL of the platform", default="http://localhost:8080",
               env="NEMO_JOBS_HOST"),
    ],
    "workspace": Annotated[
        str | None,
        option("--workspace", "-w", metavar="NAME", help="Workspace of the job", default="default",
               env="NEMO_JOBS_WORKSPACE"),
    ],
    "token_file": Annotated[
        str | None,
        option("--token-file", metavar="FILE", help="Read the bearer token from FILE (- is stdin)",
               env="NEMO_JOBS_TOKEN_FILE"),
    ],
    "anonymous": Annotated[bool, option("--anonymous", help="Send no token")],
    "profile": Annotated[
        str | None,
        option("--profile", metavar="NAME", help="Use this profile of the config file", env="NEMO_JOBS_PROFILE"),
    ],
    "ca_file": Annotated[
        str | None,
        option("--ca-file", metavar="FILE", help="Trust the certificates in FILE (PEM)", env="NEMO_JOBS_CA_FILE"),
    ],
    "header": Annotated[
        tuple[str, ...], option("--header", metavar="K:V", help="Add a request header; may repeat")
    ],
    "deadline": Annotated[
        str | None,
        option("--deadline", metavar="TIME", help="Stop retrying after TIME (10s, 500ms, 2m; 0 is one attempt)",
               default="10s; 30s for run and stream", env="NEMO_JOBS_DEADLINE"),
    ],
    "output": Annotated[
        str | None,
        option("--output", "-o", metavar="FORMAT", help="Print text, json or ndjson", default="text",
                env="NEMO_JOBS_OUTPUT"),
    ],
    "quiet": Annotated[bool, option("--quiet", "-q", help="Print only errors and requested values")],
    "verbose": Annotated[bool, option("--verbose", "-v", help="Print requests and retries")],
    "no_color": Annotated[bool, option("--no-color", help="Disable colors", env="NO_COLOR")],
}  # fmt: skip

# By the metavar of a parameter that takes a path.
_PATHS = {"FILE": "file", "DIR": "folder"}

_PANELS = {helptext.DELIVERY: DELIVERY, helptext.CONNECTION: CONNECTION, helptext.OUTPUT: (*OUTPUT, "verbose")}
for _title, _names in _PANELS.items():
    for _name in _names:
        get_args(_SHARED[_name])[1].rich_help_panel = _title


def command(app: typer.Typer, name: str, *shared: str, hidden: bool = False) -> Callable[[Function], Function]:
    """Add a function to `app` as the command `name`.

    Its parameter `options` is built from the fields of its type; `invocation` holds the values of the `shared`
    options; every other parameter is an option or argument by itself.
    """

    def register(function: Function) -> Function:
        hints = get_type_hints(function)
        own = _parameters(function)
        fields = _parameters(hints["options"]) if "options" in hints else {}
        flags = {flag: (kind, Flags._field_defaults[flag]) for flag, kind in _SHARED.items() if flag in shared}
        parameters = {**fields, **own, **flags}
        metavars = {name: get_args(kind)[1].metavar for name, (kind, _) in parameters.items()}
        paths = {name: _PATHS[metavar] for name, metavar in metavars.items() if metavar in _PATHS}
        repeated = [name for name, (kind, _) in parameters.items() if get_origin(get_args(kind)[0]) is tuple]

        def call(context: typer.Context, **values: Any) -> int | None:
            for key, noun in paths.items():
                if values[key] == "":
                    parameter = next(parameter for parameter in context.command.params if parameter.name == key)
                    flag = parameter.opts[0] if parameter.param_type_name == "option" else parameter.metavar
                    raise UsageError(f"{flag} is empty", f"name a {noun} (is a shell variable unset?)")
            values |= {name: tuple(values[name] or ()) for name in repeated}
            arguments = {name: values[name] for name in own}
            if fields:
                arguments["options"] = hints["options"](**{name: values[name] for name in fields})
            if "invocation" in hints:
                arguments["invocation"] = context.obj._replace(flags=Flags(**{name: values[name] for name in flags}))
            try:
                return function(**arguments)
            except KeyboardInterrupt:  # a second Ctrl-C, which Typer would turn into an exit code without a message
                raise Stopped(signal.SIGINT) from None

        call.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [
                inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context),
                *(_for_typer(name, kind, default) for name, (kind, default) in parameters.items()),
            ]
        )
        text = helptext.keep_line_breaks(function.__doc__ or "")
        app.command(name, cls=helptext.Command, help=text, hidden=hidden)(call)
        return function

    return register


def _parameters(function: Callable[..., Any]) -> dict[str, tuple[Any, Any]]:
    """Return the parameters of a function, or the fields of a record."""
    hints = get_type_hints(function, include_extras=True)
    return {
        name: (hints[name], parameter.default)
        for name, parameter in inspect.signature(function).parameters.items()
        if get_origin(hints[name]) is Annotated
    }


def _for_typer(name: str, kind: Any, default: Any) -> inspect.Parameter:
    """Return a parameter in the form that Typer reads."""
    base, declared = get_args(kind)
    if get_origin(base) is tuple:
        kind, default = Annotated[list[str] | None, declared], None
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
