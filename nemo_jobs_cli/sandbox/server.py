"""Serve the sandbox over HTTP, on the loopback interface only."""

from __future__ import annotations

import http.server
import random
import socket
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.core.errors import UsageError
from nemo_jobs_cli.sandbox import app, state
from nemo_jobs_cli.sandbox import faults as sandbox_faults
from nemo_jobs_cli.sandbox.app import Rules
from nemo_jobs_cli.sandbox.http import Handler

if TYPE_CHECKING:
    from collections.abc import Callable

    from nemo_jobs_cli.sandbox.app import Asked
    from nemo_jobs_cli.sandbox.faults import Fault, Verdict
    from nemo_jobs_cli.sandbox.wire import Reply

LOOPBACK = "127.0.0.1"
DEFAULT_PORT = 8080
WRITE_WINDOW = 0.05  # seconds: what a PATCH takes on the real server, during which another one loses


@dataclass(frozen=True)
class Options:
    """What kind of sandbox is wanted; `port` 0 is any free one, `seed` None makes every run differ."""

    port: int = 0
    strict: bool = False
    jobs: tuple[str, ...] = ()
    auth: bool = False
    faults: tuple[Fault, ...] = ()
    seed: int | None = None


class Server(http.server.ThreadingHTTPServer):
    """A sandbox that listens; `log` hears a line a request."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, options: Options, log: Callable[[str], None] | None = None) -> None:
        dice = random.Random(options.seed)  # noqa: S311 - faults and ids, nothing to guard
        self.state = state.State(time.time, dice, strict=options.strict)
        self.faults, self.dice, self.log = options.faults, dice, log
        self.lock = threading.Lock()
        self.ended = threading.Event()
        self.rules = Rules(
            auth=options.auth,
            attempts_only=sandbox_faults.has(options.faults, "attempts-only"),
            window=self._window if sandbox_faults.has(options.faults, "conflicts") else None,
        )
        for name in options.jobs:
            state.add(self.state, "default", name, {"source": "nemo-jobs-sandbox", "spec": {}})
        super().__init__((LOOPBACK, options.port), Handler)

    @property
    def url(self) -> str:
        """Return the base URL."""
        return f"http://{LOOPBACK}:{self.server_port}"

    def answer(self, asked: Asked) -> Reply | None:
        """Return the answer to a request, late where delays were asked for; None: cut it off."""
        with self.lock:
            verdict = sandbox_faults.decide(self.faults, asked.method, asked.path, self.dice)
        reply = self._served(asked, verdict)
        if self.log is not None:
            late = f" after {verdict.delay:g} s" if verdict.delay else ""
            self.log(f"{asked.method} {asked.raw_path} -> {reply.status if reply else 'reset'}{late}")
        return reply

    def _served(self, asked: Asked, verdict: Verdict) -> Reply | None:
        self.ended.wait(verdict.delay)
        if verdict.reset or verdict.reply is not None:
            return verdict.reply
        with self.lock:
            return app.answer(self.state, replace(asked, base=self.url), self.rules)

    def _window(self) -> None:
        """Let the other requests in for a while, between a PATCH's read and its write."""
        self.lock.release()
        try:
            time.sleep(WRITE_WINDOW)
        finally:
            self.lock.acquire()

    def server_bind(self) -> None:
        """Bind without asking a name server who we are, as the standard library would."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = LOOPBACK, self.server_address[1]

    def shutdown_request(self, request: Any) -> None:
        """Close a connection without saying goodbye first, so that a reset stays a reset."""
        self.close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the library's signature
        """Stay quiet about clients that went away; a bug of ours still shows in the log."""
        import sys

        error = sys.exc_info()[1]
        if self.log is not None and not isinstance(error, OSError):
            self.log(f"sandbox error: {type(error).__name__}")


def start(options: Options, log: Callable[[str], None] | None = None) -> Server:
    """Open a sandbox and serve it from threads; raise UsageError when its port is taken."""
    try:
        server = Server(options, log)
    except OSError as error:
        raise UsageError(
            f"port {options.port} on {LOOPBACK} can't be used: {error.strerror}",
            "choose another: nemo-jobs sandbox --port 8081 (or --port 0 for any free one)",
        ) from None
    threading.Thread(target=server.serve_forever, args=(0.05,), name="sandbox", daemon=True).start()
    return server


def stop(server: Server) -> None:
    """End a sandbox and give its port back; requests that wait for a delay are let go."""
    server.ended.set()
    server.shutdown()
    server.server_close()
