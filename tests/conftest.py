"""Shared fixtures: raw servers on real sockets, a fake clock, a clean environment."""

from __future__ import annotations

import faulthandler
import functools
import itertools
import json
import math
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

import output_schema
import pytest
import typer
from hypothesis import HealthCheck, settings
from raw import read_request
from waiting import LIMIT

from nemo_jobs_cli.core.clock import Clock

# What the tests and their child processes need of the caller's environment: programs, temporary files, measuring.
INHERITED = {"PATH", "TMPDIR", "LD_LIBRARY_PATH", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX"}
INHERITED_PREFIXES = ("COVERAGE_", "PYTEST_", "HYPOTHESIS_")


@pytest.fixture(scope="session", autouse=True)
def _clean_environment():
    """Hide the caller's environment from tests and their child processes."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name not in INHERITED and not name.startswith(INHERITED_PREFIXES):
                patch.delenv(name)
        patch.setenv("TERM", "xterm-256color")
        patch.setenv("HOME", "")
        yield


@pytest.fixture(scope="session", autouse=True)
def _commands_built_once():
    """Let Typer build each command once, not for each command line that a test runs in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.main, "get_command", functools.cache(typer.main.get_command))
        yield


HOMES = itertools.count()


@pytest.fixture(autouse=True)
def _own_home(_clean_environment, tmp_path_factory):
    """Give each test a home folder of its own, which does not exist yet."""
    os.environ["HOME"] = f"{tmp_path_factory.getbasetemp()}/home-{next(HOMES)}"


# Time limits for examples would depend on the machine. nox runs the thorough profile.
settings.register_profile("thorough", suppress_health_check=[HealthCheck.too_slow], deadline=None)
settings.register_profile("quick", settings.get_profile("thorough"), max_examples=30)
settings.load_profile("quick")


# Longer paths are cut in messages, and the path of a socket has at most 107 bytes.
LONGEST_TEMPORARY_FOLDER = 60


def pytest_configure(config):
    """Restore signals and the temporary folder, also for child processes.

    A shell starts background jobs without the signals of keys, nohup without HUP.
    """
    if len(tempfile.gettempdir()) > LONGEST_TEMPORARY_FOLDER:
        os.environ["TMPDIR"] = tempfile.tempdir = "/tmp"
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGQUIT, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    config.stash[WATCHDOG] = Watchdog(os.dup(sys.__stderr__.fileno()))


@dataclass
class Watchdog:
    """Print all stacks if tests hang; pytest's own watchdog starts a thread for each test."""

    stderr: int
    started: float = -math.inf

    def restart(self, now: float) -> None:
        """Restart the time limit, at most once a minute."""
        if now - self.started > 60:
            self.started = now
            faulthandler.dump_traceback_later(LONGEST_TEST, file=self.stderr)


WATCHDOG = pytest.StashKey[Watchdog]()
LONGEST_TEST = 600


def pytest_runtest_setup(item):
    """Restart the watchdog."""
    item.config.stash[WATCHDOG].restart(time.monotonic())


def pytest_unconfigure(config):
    """Stop the watchdog."""
    faulthandler.cancel_dump_traceback_later()
    os.close(config.stash[WATCHDOG].stderr)


@dataclass(frozen=True)
class Ran:
    """The result of a command line."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        """Return the output as JSON, and check it against docs/output.schema.json."""
        document = json.loads(self.out)
        output_schema.check(document)
        return document


@pytest.fixture
def nemo_jobs(capsys):
    """Return a function that runs a command line in this process, with the environment and the stdin of the test.

    `run_here` gives a command an environment, a stdin and signals of its own.
    """
    from nemo_jobs_cli.cli import main

    def run(*words: str) -> Ran:
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            code = main.run(list(words), time.monotonic())
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        return Ran(int(code), *capsys.readouterr())

    return run


@dataclass
class FakeTime:
    """A clock that only sleeping advances, with a constant random number."""

    now: float = 1000.0
    dice: float = 0.5
    slept: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    @property
    def clock(self) -> Clock:
        return Clock(lambda: self.now, self.sleep, lambda: self.dice)


@pytest.fixture
def fake_time():
    """Return a clock that only sleeping advances."""
    return FakeTime()


class RawServer:
    """A server with a connection handler, or with responses in turn; it records the requests in `seen`."""

    def __init__(self, handler, wrap=None) -> None:
        self.seen: list[bytes] = []
        self._handler = handler if callable(handler) else self._respond
        self._responses = [] if callable(handler) else list(handler)
        self._wrap = wrap
        self._stop = threading.Event()
        self._connections: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def close(self) -> None:
        """End all handlers, also those of abandoned requests."""
        self._stop.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join(LIMIT)
        self._listener.close()
        for connection in self._connections:
            with suppress(OSError):  # it is closed
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(LIMIT)
            assert not thread.is_alive(), "a handler does not end"

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            self._threads.append(threading.Thread(target=self._serve, args=[connection], daemon=True))
            self._threads[-1].start()

    def _serve(self, connection) -> None:
        try:
            if self._wrap is not None:
                connection = self._wrap(connection)
                self._connections.append(connection)
            self._handler(connection, self.seen, self._stop)
        except OSError:
            pass  # the client closed the connection; the test checks what it received
        finally:
            connection.close()

    def _respond(self, connection, seen, _stop) -> None:
        seen.append(read_request(connection))
        connection.sendall(self._responses.pop(0) if len(self._responses) > 1 else self._responses[0])


@pytest.fixture
def raw_server():
    """Return a function that starts a server."""
    servers = []

    def start(handler, *, wrap=None) -> RawServer:
        servers.append(RawServer(handler, wrap))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def start_sandbox():
    """Return a function that starts a sandbox with these faults; its `rows` are what it logs."""
    from nemo_jobs_cli.sandbox import faults as sandbox_faults
    from nemo_jobs_cli.sandbox import server as sandbox

    servers = []

    def start(*faults, **options):
        rows = []
        servers.append(sandbox.start(sandbox.Options(faults=sandbox_faults.parse(faults), **options), rows.append))
        servers[-1].rows = rows
        return servers[-1]

    yield start
    for server in servers:
        sandbox.stop(server)


@pytest.fixture
def unused_port():
    """Return a port where nothing listens, unless the test starts a server that reuses addresses."""
    with socket.socket() as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """Start two workers for each processor with `-n auto`: many tests wait for processes and terminals."""
    return 2 * min(4, os.cpu_count() or 1)


LEFT_OUT = pytest.StashKey[Counter[str]]()


def pytest_deselected(items):
    """Count the tests that the default `-m` of pyproject.toml leaves out, all slow or on a real server."""
    config, kinds = items[0].config, []
    for item in items:
        is_real = any(map(item.get_closest_marker, ("platform", "helix")))
        kinds.append("real" if is_real else "slow" if item.get_closest_marker("slow") else "")
    if config.option.markexpr == config.getini("addopts")[-1] and all(kinds):  # `-k` leaves out others too
        config.stash.setdefault(LEFT_OUT, Counter()).update(kinds)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    """Tell the main process what a worker has left out."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = dict(session.config.stash.get(LEFT_OUT, {}))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    """Remember what a worker has left out; all workers leave out the same."""
    node.config.stash[LEFT_OUT] = Counter(getattr(node, "workeroutput", {}).get("left_out"))


def pytest_terminal_summary(terminalreporter, config):
    """Print how to run the deselected tests, and how to repeat the order of a run that failed."""
    counts = config.stash.get(LEFT_OUT, Counter())
    if counts["slow"]:
        terminalreporter.line(
            f"LEFT OUT: {counts['slow']} slow tests; run them: pytest -m 'slow and not platform and not helix'"
        )
    if counts["real"]:
        terminalreporter.line(
            f"LEFT OUT: {counts['real']} tests on real servers; run them: pytest -m 'platform or helix' tests/contract"
        )
    seed = config.getoption("randomly_seed", None)
    if seed is not None and terminalreporter.stats.keys() & {"failed", "error"}:
        terminalreporter.line(f"ORDER: run the tests in the same order: pytest --randomly-seed={seed}")
