"""Install and run the real NeMo Platform and NeMo Helix for the contract tests."""

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
from dataclasses import dataclass
from pathlib import Path

import httpx

PYTHONS = ((3, 12), (3, 13))
# Before fixtures hide it: the server needs the developer's environment.
ENVIRONMENT = dict(os.environ)
HOME = Path.home()
INSTALL_SECONDS = 900
START_SECONDS = 180


class MissingError(Exception):
    """The product cannot be installed on this machine."""


@dataclass(frozen=True)
class Product:
    """A product that serves the API: its package, its version, and the prefix of its variables."""

    name: str
    distribution: str
    version: str
    prefix: str

    @property
    def package(self) -> str:
        """The requirement that pip and uv install."""
        return f"{self.distribution}[all]=={self.version}"

    def variable(self, name: str) -> str | None:
        """Return the developer's variable, such as NEMO_JOBS_PLATFORM_VENV."""
        return ENVIRONMENT.get(f"NEMO_JOBS_{self.name.upper()}_{name}")


PLATFORM = Product("platform", "nemo-platform", "0.6.0", "NMP")
HELIX = Product("helix", "nemo-helix", "0.8.1", "NHX")
PRODUCTS = {product.name: product for product in (PLATFORM, HELIX)}


def python() -> str:
    """Return the path of a supported Python, 3.12 before 3.13; raise MissingError."""
    paths = [sys.executable, *(shutil.which(f"python{major}.{minor}") for major, minor in PYTHONS)]
    paths += map(str, HOME.glob(".pyenv/versions/3.1[23]*/bin/python"))
    for wanted in PYTHONS:
        for path in filter(None, paths):
            if _version(path) == wanted:
                return path
    uv = _uv()
    for wanted in PYTHONS if uv else ():
        words = [uv, "python", "find", "{}.{}".format(*wanted)]
        result = subprocess.run(words, env=ENVIRONMENT, capture_output=True, encoding="utf-8")
        path = result.stdout.strip()
        if result.returncode == 0 and _version(path) == wanted:
            return path
    raise MissingError("it needs Python 3.12 or 3.13, and none was found")


def _uv() -> str | None:
    """Return the path of uv if it runs; a shim may not."""
    uv = shutil.which("uv")
    return (
        uv if uv and subprocess.run([uv, "--version"], env=ENVIRONMENT, capture_output=True).returncode == 0 else None
    )


def _version(path: str) -> tuple[int, ...]:
    code = "import sys; print(*sys.version_info[:2])"
    try:
        result = subprocess.run([path, "-c", code], env=ENVIRONMENT, capture_output=True, encoding="utf-8", timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return tuple(int(part) for part in result.stdout.split()) if result.returncode == 0 else ()


def command(product: Product) -> str:
    """Return the path of `nemo`; install the package if needed. Raise MissingError."""
    venv = product.variable("VENV")
    if venv and (Path(venv) / "bin/nemo").exists():
        return str(Path(venv) / "bin/nemo")
    interpreter = python()
    cache = Path(ENVIRONMENT.get("XDG_CACHE_HOME") or HOME / ".cache")
    name = "{}-{}-py{}.{}".format(product.name, product.version, *_version(interpreter))
    folder = Path(venv) if venv else cache / "nemo-jobs-tests" / name
    complete = folder / ".complete"
    if not complete.exists():
        _install(product, folder, interpreter)
        complete.touch()
    return str(folder / "bin/nemo")


def _install(product: Product, folder: Path, interpreter: str) -> None:
    uv, target, package = _uv(), str(folder / "bin/python"), product.package
    if uv:
        steps = [
            [uv, "venv", "--clear", "--python", interpreter, str(folder)],
            # Two packages of Helix pin different versions of certifi.
            [uv, "pip", "install", "--compile-bytecode", "--override", "-", "--python", target, package],
        ]
    else:
        steps = [
            [interpreter, "-m", "venv", "--clear", str(folder)],
            [target, "-m", "pip", "install", "--quiet", package],
        ]
    for words in steps:
        try:
            result = subprocess.run(
                words,
                env=ENVIRONMENT,
                input="certifi\n",
                capture_output=True,
                encoding="utf-8",
                timeout=INSTALL_SECONDS,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise MissingError(f"cannot install {package}: {type(error).__name__}") from error
        if result.returncode:
            last = (result.stderr.strip() or "no reason given").splitlines()[-1][:300]
            raise MissingError(f"cannot install {package}: {last}")


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def running(product: Product = PLATFORM, *, auth: bool = False, controllers: bool = False):
    """Run the product with its own home folder; yield its URL. Raise MissingError or RuntimeError.

    With `controllers`, it runs the steps of jobs.
    """
    nemo, port, prefix = command(product), free_port(), product.prefix
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(prefix=f"{product.distribution}-", ignore_cleanup_errors=True) as home:
        env = {name: ENVIRONMENT[name] for name in ("PATH", "LANG", "TMPDIR") if name in ENVIRONMENT}
        env |= {"HOME": home, "NEMO_TELEMETRY_ENABLED": "false"}
        if auth:
            env |= {
                f"{prefix}_AUTH_ENABLED": "true",
                f"{prefix}_AUTH_ALLOW_UNSIGNED_JWT": "true",
                f"{prefix}_AUTH_POLICY_DECISION_POINT_BASE_URL": url,
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
            _stop(server)


def _wait(server: subprocess.Popen, url: str, log: Path) -> None:
    ends = time.monotonic() + START_SECONDS
    while time.monotonic() < ends:
        with contextlib.suppress(httpx.HTTPError):
            # With authentication, /openapi.json of Platform is a 401.
            response = httpx.get(f"{url}/openapi.json", timeout=5, trust_env=False)
            if response.status_code in {200, 401}:
                return
        if server.poll() is not None:
            break
        time.sleep(0.3)
    raise RuntimeError(f"the server did not start:\n{log.read_text(errors='replace', encoding='utf-8')[-3000:]}")


def _stop(server: subprocess.Popen) -> None:
    """Stop the server and its child processes."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGTERM)
    try:
        server.wait(15)
    except subprocess.TimeoutExpired:
        pass
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()
