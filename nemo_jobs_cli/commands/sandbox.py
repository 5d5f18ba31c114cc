"""`nemo-jobs sandbox`: a server to try things on, by itself or around a command."""

from __future__ import annotations

import gc
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nemo_jobs_cli.core import names
from nemo_jobs_cli.core.errors import UsageError
from nemo_jobs_cli.core.text import one_line
from nemo_jobs_cli.output import render, sandbox_view
from nemo_jobs_cli.run import child
from nemo_jobs_cli.sandbox import faults
from nemo_jobs_cli.sandbox import server as sandbox
from nemo_jobs_cli.sandbox.server import TOKEN
from nemo_jobs_cli.settings import resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

FOREIGN = ("NMP_", "NHX_", "NEMO_JOB")
LARGEST_PORT = 65535
_ENDS = {signal.SIGINT, signal.SIGTERM}


def command(
    context: typer.Context,
    stray: Annotated[
        list[str] | None, typer.Argument(metavar="[-- COMMAND...]", help="What to run on the sandbox.")
    ] = None,
    *,
    port: Annotated[
        int | None,
        typer.Option(
            "--port",
            metavar="N",
            min=0,
            max=LARGEST_PORT,
            help="Listen on port N (else 8080, or any free one with COMMAND).",
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Only jobs that were created exist (POST, or --job).")
    ] = False,
    job: Annotated[list[str] | None, typer.Option("--job", metavar="NAME", help="Create this job; may repeat.")] = None,
    auth: Annotated[bool, typer.Option("--auth", help="Ask for a token: the word sandbox.")] = False,
    fault: Annotated[
        list[str] | None, typer.Option("--fault", metavar="SPEC", help="Misbehave on purpose; may repeat.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", metavar="N", help="Let faults strike the same way every time.")
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Say each request and its answer on stderr.")
    ] = False,
) -> None:
    r"""Run a local server that behaves like NeMo Platform 0.6.0, and COMMAND on it.

    It keeps everything in memory and listens on 127.0.0.1 only. With COMMAND it ends when
    that does, with its exit code; COMMAND sees the sandbox as its platform, none of your own
    settings and tokens, and configuration, state and cache folders of its own.

    \b
    Examples:
      nemo-jobs sandbox -- nemo-jobs update demo progress=45
      nemo-jobs sandbox -- sh -c 'nemo-jobs update x1 step=1; nemo-jobs show x1'
      nemo-jobs sandbox --fault 503:0.2 --fault delay:0.5 -- ./train.sh
      nemo-jobs sandbox --port 8081 --strict --job train-llama

    \b
    What SPEC can be (RATE is a share of the requests, 0 to 1):
      STATUS:RATE            answer 503, 429 (Retry-After: 1), or any 4xx or 5xx
      reset:RATE             cut the connection without an answer
      delay:SECONDS[:RATE]   answer late
      conflict:RATE          refuse an update with a 409
      conflicts              refuse updates at the same time, as the platform does
      attempts-only          take updates at attempts/current/status-details only
    """
    words: list[str] | None = context.obj["command"]
    if stray:
        raise UsageError(
            f"'{one_line(stray[0], 80)}' stands before --",
            "write -- before the command: nemo-jobs sandbox -- sh -c '...'",
        )
    options = parse(words, port, strict=strict, job=job or (), auth=auth, fault=fault or (), seed=seed)
    gc.enable()  # off for one-shot calls, but a server may run for days
    log = render.message if verbose else None
    raise typer.Exit(serve(options, log) if words is None else wrap(options, words, log))


def parse(
    words: Sequence[str] | None,
    port: int | None = None,
    *,
    strict: bool = False,
    job: Sequence[str] = (),
    auth: bool = False,
    fault: Sequence[str] = (),
    seed: int | None = None,
) -> sandbox.Options:
    """Return the options as values; raise UsageError where they or the command are wrong."""
    if words is not None and not words:
        raise UsageError(
            "no command stands after --",
            "say which: nemo-jobs sandbox -- sh -c '...'; without -- the sandbox just serves",
        )
    if words is not None and not words[0]:
        raise UsageError("the command after -- is empty", "name a program (is a shell variable unset?)")
    chosen = (sandbox.DEFAULT_PORT if words is None else 0) if port is None else port
    jobs = tuple(names.check_job(name, "--job") for name in job)
    return sandbox.Options(chosen, strict, jobs, auth, faults.parse(fault), seed)


def serve(options: sandbox.Options, log: Callable[[str], None] | None) -> int:
    """Serve until INT or TERM, the normal end of a server: return 0."""
    # Blocked before any thread starts, so that only this waiting thread hears them.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDS)
    try:
        server = sandbox.start(options, log)
        try:
            sandbox_view.serving(server.url, TOKEN if options.auth else None)
            signal.sigwait(_ENDS)
        finally:
            sandbox.stop(server)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return 0


def wrap(options: sandbox.Options, words: Sequence[str], log: Callable[[str], None] | None) -> int:
    """Run a command on a sandbox of its own and return its exit code."""
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
    """Return the command's environment: pointing at the sandbox, without a trace of the user's settings.

    Folders are made in `folder`. The official tools read ~/.config where they have no folder under
    XDG_CONFIG_HOME, so they get an empty one.
    """
    found = {name: value for name, value in base.items() if not name.startswith(FOREIGN)}
    found["NEMO_JOBS_HOST"] = url
    if auth:
        found["NEMO_JOBS_TOKEN"] = TOKEN
    for kind in ("CONFIG", "STATE", "CACHE"):
        place = folder / kind.lower()
        for name in ("nmp", "nhx", "nemo-jobs"):
            (place / name).mkdir(parents=True, exist_ok=True)
        found[f"XDG_{kind}_HOME"] = str(place)
    for name in ("NO_PROXY", "no_proxy"):
        found[name] = ",".join(filter(None, (base.get(name), sandbox.LOOPBACK, "localhost")))
    # So that `nemo-jobs` is found where its virtual environment isn't activated.
    here = str(Path(sys.executable).parent)
    found["PATH"] = os.pathsep.join(filter(None, (here, base.get("PATH", os.defpath))))
    return found
