"""Install and run the real NeMo Platform, for the suite that holds the sandbox to it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

VERSION = "0.6.0"
PACKAGE = f"nemo-platform[all]=={VERSION}"
PYTHONS = ((3, 12), (3, 13))
# The suite's fixtures hide the developer's environment from the tests; the server needs it.
ENVIRONMENT = dict(os.environ)
INSTALL_SECONDS = 900
START_SECONDS = 180


class MissingError(Exception):
    """The real server can't be had on this machine; the message says why."""


def python() -> str:
    """Return a Python that the platform supports, 3.12 before 3.13; raise MissingError."""
    paths = [sys.executable, *(shutil.which(f"python{major}.{minor}") for major, minor in PYTHONS)]
    paths += map(str, Path.home().glob(".pyenv/versions/3.1[23]*/bin/python"))
    for wanted in PYTHONS:
        for path in filter(None, paths):
            if _version(path) == wanted:
                return path
    uv = _uv()
    for wanted in PYTHONS if uv else ():
        found = subprocess.run([uv, "python", "find", "{}.{}".format(*wanted)], capture_output=True, text=True)
        path = found.stdout.strip()
        if found.returncode == 0 and _version(path) == wanted:
            return path
    raise MissingError("no Python 3.12 or 3.13 was found, which the platform needs")


def _uv() -> str | None:
    """Return the path of a uv that works; a shim without a version behind it doesn't."""
    found = shutil.which("uv")
    if found and subprocess.run([found, "--version"], capture_output=True).returncode == 0:
        return found
    return None


def _version(path: str) -> tuple[int, ...]:
    code = "import sys; print(*sys.version_info[:2])"
    try:
        ran = subprocess.run([path, "-c", code], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return tuple(int(part) for part in ran.stdout.split()) if ran.returncode == 0 else ()


def command() -> str:
    """Return the path of the `nemo` command, installing the package once; raise MissingError."""
    said = ENVIRONMENT.get("NEMO_JOBS_PLATFORM_VENV")
    if said and (Path(said) / "bin/nemo").exists():
        return str(Path(said) / "bin/nemo")
    interpreter = python()
    cache = Path(ENVIRONMENT.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    name = "{}-py{}.{}".format(VERSION, *_version(interpreter))
    folder = Path(said) if said else cache / "nemo-jobs-tests" / f"platform-{name}"
    complete = folder / ".complete"
    if not complete.exists():
        _install(folder, interpreter)
        complete.touch()
    return str(folder / "bin/nemo")


def _install(folder: Path, interpreter: str) -> None:
    uv, target = _uv(), str(folder / "bin/python")
    if uv:
        steps = [
            [uv, "venv", "--clear", "--python", interpreter, str(folder)],
            [uv, "pip", "install", "--compile-bytecode", "--python", target, PACKAGE],
        ]
    else:
        steps = [
            [interpreter, "-m", "venv", "--clear", str(folder)],
            [target, "-m", "pip", "install", "--quiet", PACKAGE],
        ]
    for words in steps:
        try:
            ran = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True, timeout=INSTALL_SECONDS)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise MissingError(f"{PACKAGE} could not be installed: {type(error).__name__}") from error
        if ran.returncode:
            last = (ran.stderr.strip() or "no reason given").splitlines()[-1][:300]
            raise MissingError(f"{PACKAGE} could not be installed: {last}")


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def running(*, auth: bool = False, controllers: bool = False):
    """Run the platform with a home of its own and give its URL; raise MissingError, or when it won't start.

    With `controllers` it really runs the steps of jobs.
    """
    nemo, port = command(), free_port()
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(prefix="nemo-platform-", ignore_cleanup_errors=True) as home:
        env = {name: ENVIRONMENT[name] for name in ("PATH", "LANG", "TMPDIR") if name in ENVIRONMENT}
        env |= {"HOME": home, "NEMO_TELEMETRY_ENABLED": "false"}
        if auth:
            env |= {
                "NMP_AUTH_ENABLED": "true",
                "NMP_AUTH_ALLOW_UNSIGNED_JWT": "true",
                "NMP_AUTH_POLICY_DECISION_POINT_BASE_URL": url,
            }
        words = [nemo, "services", "run", "--services", "entities,jobs,auth,secrets,files", "--port", str(port)]
        words += ["--controllers", "jobs"] if controllers else []
        log = Path(home) / "server.log"
        with log.open("wb") as out:
            server = subprocess.Popen(
                words, env=env, cwd=home, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )
        try:
            _wait(server, url, log)
            yield url
        finally:
            _end(server)


def _wait(server: subprocess.Popen, url: str, log: Path) -> None:
    ends = time.monotonic() + START_SECONDS
    while time.monotonic() < ends:
        with contextlib.suppress(httpx.HTTPError):
            # With auth on, /openapi.json asks for a token.
            answer = httpx.get(f"{url}/openapi.json", timeout=5, trust_env=False)
            if answer.status_code in {200, 401}:
                return
        if server.poll() is not None:
            break
        time.sleep(0.3)
    raise RuntimeError(f"the platform did not start:\n{log.read_text(errors='replace')[-3000:]}")


def _end(server: subprocess.Popen) -> None:
    """End the server and everything it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGTERM)
    try:
        server.wait(15)
    except subprocess.TimeoutExpired:
        pass
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()
