"""`nemo-jobs sandbox`: run a local test server, alone or for a command."""

from __future__ import annotations

import gc
import os
import signal
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from nemo_jobs_cli.cli import helptext, params
from nemo_jobs_cli.core import names
from nemo_jobs_cli.core.errors import Pointer, UsageError
from nemo_jobs_cli.core.text import one_line
from nemo_jobs_cli.fields.files import InputReader
from nemo_jobs_cli.output import render
from nemo_jobs_cli.run import child
from nemo_jobs_cli.sandbox import faults
from nemo_jobs_cli.sandbox import server as sandbox
from nemo_jobs_cli.sandbox.server import TOKEN
from nemo_jobs_cli.settings import resolve
from nemo_jobs_cli.settings.model import Sourced
from nemo_jobs_cli.settings.sources import check_choice

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_REMOVED_PREFIXES = ("NMP_", "NHX_", "NEMO_JOB")
MAX_PORT = 65535
_STOP_SIGNALS = {signal.SIGINT, signal.SIGTERM}


@dataclass(frozen=True, slots=True)
class Options:
    """The options of `sandbox`."""

    words: Annotated[
        tuple[str, ...], params.argument("[-- COMMAND...]", "Command to run with the sandbox as its platform")
    ] = ()
    port: Annotated[
        int | None,
        params.option(
            "--port", metavar="N", min=0, max=MAX_PORT, help="Listen on port N", default="8080; with COMMAND a free one"
        ),
    ] = None
    strict: Annotated[bool, params.option("--strict", help="Accept only jobs created by POST or --job")] = False
    api: Annotated[
        str, params.option("--api", metavar="ROUTE", help="Take updates of jobs or of attempts", default="jobs")
    ] = "jobs"
    job: Annotated[tuple[str, ...], params.option("--job", metavar="NAME", help="Create this job; may repeat")] = ()
    log: Annotated[
        tuple[str, ...],
        params.option("--log", metavar="JOB=FILE", help="Create a job with the lines of FILE as its log; may repeat"),
    ] = ()
    auth: Annotated[bool, params.option("--auth", help="Require the token 'sandbox'")] = False
    fault: Annotated[tuple[str, ...], params.option("--fault", metavar="SPEC", help="Inject a fault; may repeat")] = ()
    seed: Annotated[int | None, params.option("--seed", metavar="N", help="Make random faults reproducible")] = None
    verbose: Annotated[bool, params.option("--verbose", "-v", help="Print requests and responses on stderr")] = False


app = helptext.app()


@params.command(app, "sandbox")
def run(options: Options, invocation: params.Invocation) -> int:
    r"""Run a local server that behaves like NeMo Platform 0.6.0.

    It keeps everything in memory and listens on 127.0.0.1 only. Without COMMAND it runs until
    Ctrl-C. With COMMAND it ends with COMMAND, and with its exit code. COMMAND gets the sandbox as
    its platform, empty config, state and cache folders, and none of your settings and tokens.

    \b
    Examples:
      nemo-jobs sandbox -- nemo-jobs update demo progress=45
      nemo-jobs sandbox -- sh -c 'nemo-jobs update x1 step=1; nemo-jobs show x1'
      nemo-jobs sandbox --fault 503:0.2 --fault delay:0.5 -- ./train.sh
      nemo-jobs sandbox --port 8081 --strict --job train-llama
      nemo-jobs sandbox --log demo=train.log -- nemo-jobs logs demo

    \b
    SPEC is one of (RATE is a share of the requests, 0 to 1):
      STATUS:RATE            answer 503, 429 (Retry-After: 1), or any 4xx or 5xx
      reset:RATE             cut the connection without an answer
      delay:SECONDS[:RATE]   answer late
      conflict:RATE          refuse an update with a 409
      conflicts              refuse concurrent updates, as the platform does
      no-attempt:SECONDS     start jobs SECONDS after they are created

    \b
    --api attempts has the routes of NeMo Helix 0.9 to 0.11:
      attempts[/current]           the attempts of a job
      attempts/ID/status-details   takes updates
      rerun                        begins a new attempt
    They follow the public API reference. No real server has been tested.
    """
    server_options = parse(options, invocation.wrapped)
    gc.enable()  # off for short calls; a server may run for days
    log = render.message if options.verbose else None
    if invocation.wrapped is None:
        return serve(server_options, log)
    return wrap(server_options, invocation.wrapped, log)


def parse(options: Options, command: Sequence[str] | None) -> sandbox.Options:
    """Return the options of the server, or raise UsageError."""
    if options.words:
        raise UsageError(
            f"unexpected argument before --: {one_line(options.words[0], 80)}",
            "write -- before the command: nemo-jobs sandbox -- sh -c '...'",
        )
    if command is not None and not command:
        raise UsageError(
            "missing command after --", "name it: nemo-jobs sandbox -- sh -c '...'; or remove -- to only serve"
        )
    if command is not None and not command[0]:
        raise UsageError("the command after -- is empty", "name a program (is a shell variable unset?)")
    default_port = sandbox.DEFAULT_PORT if command is None else 0
    port = default_port if options.port is None else options.port
    jobs = tuple(names.check_job(name, "--job") for name in options.job)
    injected = faults.parse(options.fault)
    has_attempts = check_choice(Sourced(options.api, "--api"), ("jobs", "attempts")).value == "attempts"
    if not has_attempts and any(fault.kind == "no-attempt" for fault in injected):
        raise UsageError("--fault no-attempt needs --api attempts", "add --api attempts")
    logs = tuple(map(read_log, options.log))
    return sandbox.Options(port, options.strict, jobs, options.auth, injected, options.seed, has_attempts, logs)


def read_log(text: str) -> tuple[str, tuple[str, ...]]:
    """Return a job and the lines of its log, or raise UsageError."""
    job, separator, file = text.partition("=")
    if not separator or (job and not file):
        reason = "no file after =" if separator else "no JOB= before the file"
        raise UsageError(f"invalid --log: {reason}", "write --log JOB=FILE", pointer=Pointer("--log", text))
    job = names.check_job(job, "--log")
    lines = InputReader(allow_large=True).read_text(file).split("\n")
    return job, tuple(filter(None, lines))  # the platform stores no empty lines


def serve(options: sandbox.Options, log: Callable[[str], None] | None) -> int:
    """Serve until INT or TERM, the normal end of a server; return 0."""
    # Block the signals before any thread starts, so that only this thread receives them.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    try:
        server = sandbox.start(options, log)
        try:
            token = f" NEMO_JOBS_TOKEN={TOKEN}" if options.auth else ""
            render.line(f"sandbox at {server.url}, until Ctrl-C; in another shell:")
            render.line(f"export NEMO_JOBS_HOST={server.url}{token}", flush=True)  # scripts wait for it
            signal.sigwait(_STOP_SIGNALS)
        finally:
            sandbox.stop(server)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return 0


def wrap(options: sandbox.Options, words: Sequence[str], log: Callable[[str], None] | None) -> int:
    """Run a command with its own sandbox and return its exit code."""
    with tempfile.TemporaryDirectory(prefix="nemo-jobs-sandbox-", ignore_cleanup_errors=True) as folder:
        server = sandbox.start(options, log)
        try:
            base = environment(resolve.environment(), server.url, Path(folder), auth=options.auth)
            return child.Child(words, base).wait().exit_code
        except child.CommandError as error:
            for text in render.error_lines(error):
                render.message(text)
            return error.code
        finally:
            sandbox.stop(server)


def environment(base: Mapping[str, str], url: str, folder: Path, *, auth: bool) -> dict[str, str]:
    """Return the command's environment, with the sandbox as platform.

    Config, state and cache folders are created in `folder`. The official tools read ~/.config if they have no
    folder under XDG_CONFIG_HOME, so they get an empty one.
    """
    environ = {name: value for name, value in base.items() if not name.startswith(_REMOVED_PREFIXES)}
    environ["NEMO_JOBS_HOST"] = url
    if auth:
        environ["NEMO_JOBS_TOKEN"] = TOKEN
    for kind in ("CONFIG", "STATE", "CACHE"):
        place = folder / kind.lower()
        for name in ("nmp", "nhx", "nemo-jobs"):
            (place / name).mkdir(parents=True)
        environ[f"XDG_{kind}_HOME"] = str(place)
    for name in ("NO_PROXY", "no_proxy"):
        environ[name] = ",".join(filter(None, (base.get(name), sandbox.LOOPBACK, "localhost")))
    # Find `nemo-jobs` even if its virtual environment is not activated.
    scripts = str(Path(sys.executable).parent)
    environ["PATH"] = os.pathsep.join(filter(None, (scripts, base.get("PATH", os.defpath))))
    return environ
