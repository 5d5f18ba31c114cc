"""Shared fixtures: raw servers on real sockets, a fake clock, a clean environment."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, settings
from raw import read_request

from nemo_jobs_cli.core.clock import Clock


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch, tmp_path):
    """Hide the developer's settings, proxies and home folder from tests and their child processes."""
    for name in list(os.environ):
        if name.startswith(("NMP_", "NHX_", "NEMO_JOB")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    for name in (
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "NO_COLOR",
        "FORCE_COLOR",
        "GITHUB_ACTIONS",
        "XDG_CONFIG_HOME",
        "XDG_DATA_HOME",
        "XDG_STATE_HOME",
        "XDG_CACHE_HOME",
        "ZDOTDIR",
        "BASH_COMPLETION_USER_DIR",
        "SHELL",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TERM", "xterm-256color")


# Time limits for examples would depend on the machine.
settings.register_profile("busy", suppress_health_check=[HealthCheck.too_slow], deadline=None)
settings.load_profile("busy")


def pytest_configure():
    """Restore signals, also for child processes: a shell starts background jobs without those of keys, nohup without HUP."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGQUIT, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


@dataclass(frozen=True)
class Ran:
    """The result of a command line."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def nemo_jobs(capsys):
    """Return a function that runs a command line in this process."""
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


@dataclass
class RawServer:
    """A server that records the requests in `seen`."""

    url: str
    port: int
    seen: list[bytes]


@pytest.fixture
def raw_server():
    """Return a function that starts a server with a connection handler, or with responses in turn."""
    listeners = []
    stop = threading.Event()

    def start(handler, *, wrap=None) -> RawServer:
        listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        listeners.append(listener)
        port = listener.getsockname()[1]
        seen: list[bytes] = []
        answers = None if callable(handler) else list(handler)

        def serve(connection) -> None:
            try:
                if wrap is not None:
                    connection = wrap(connection)
                if answers is None:
                    handler(connection, seen, stop)
                else:
                    seen.append(read_request(connection))
                    connection.sendall(answers.pop(0) if len(answers) > 1 else answers[0])
            except OSError:
                pass  # the client closed the connection; the test checks what it received
            finally:
                connection.close()

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        return RawServer(f"http://127.0.0.1:{port}", port, seen)

    yield start
    stop.set()
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


REAL_TESTS = pytest.StashKey[int]()


def pytest_deselected(items):
    """Count deselected tests that need a real server."""
    if items:
        stash = items[0].config.stash
        stash[REAL_TESTS] = stash.get(REAL_TESTS, 0) + sum(
            any(item.get_closest_marker(name) for name in ("platform", "helix")) for item in items
        )


def pytest_terminal_summary(terminalreporter, config):
    """Print how to run the deselected tests."""
    count = config.stash.get(REAL_TESTS, 0)
    if count:
        terminalreporter.line(
            f"LEFT OUT: {count} tests on real servers; run them: pytest -m 'platform or helix' tests/contract"
        )
