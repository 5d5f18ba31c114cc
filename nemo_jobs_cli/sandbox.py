"""Serve the sandbox over HTTP, on the loopback interface only."""

from __future__ import annotations

import http.server
import random
import socket
import struct
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

from nemo_jobs_cli import __version__, sandbox_faults, sandbox_routes, sandbox_state
from nemo_jobs_cli import sandbox_answers as answers
from nemo_jobs_cli.errors import UsageError
from nemo_jobs_cli.sandbox_routes import Asked, Rules

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nemo_jobs_cli.sandbox_answers import Reply
    from nemo_jobs_cli.sandbox_faults import Fault, Verdict

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
        self.state = sandbox_state.State(time.time, dice, strict=options.strict)
        self.faults, self.dice, self.log = options.faults, dice, log
        self.lock = threading.Lock()
        self.ended = threading.Event()
        self.rules = Rules(
            auth=options.auth,
            attempts_only=sandbox_faults.has(options.faults, "attempts-only"),
            window=self._window if sandbox_faults.has(options.faults, "conflicts") else None,
        )
        for name in options.jobs:
            sandbox_state.add(self.state, "default", name, {"source": "nemo-jobs-sandbox", "spec": {}})
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
            return sandbox_routes.answer(self.state, replace(asked, base=self.url), self.rules)

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

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay quiet about clients that went away; a bug of ours still shows in the log."""
        import sys

        error = sys.exception() if sys.version_info >= (3, 12) else sys.exc_info()[1]
        if self.log is not None and not isinstance(error, OSError):
            self.log(f"sandbox error: {type(error).__name__}")


class Handler(http.server.BaseHTTPRequestHandler):
    """Read requests off one connection and write their answers, each in one piece."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def _answer(self) -> None:
        body = self._body()
        raw_path, _, query = self.path.partition("?")
        asked = Asked(
            self.command,
            unquote(raw_path).replace("\0", "%00") if "%2f" not in raw_path.lower() else raw_path,
            query=dict(parse_qsl(query, keep_blank_values=True)),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=body or b"",
            raw_path=self.path,
        )
        reply = answers.unreadable() if body is None else self.server.answer(asked)
        if reply is None:
            # Closing with this set sends RST instead of FIN: the client sees "connection reset".
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
        else:
            self._write(reply)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _answer  # noqa: N815

    def _body(self) -> bytes | None:
        """Return the request's body; None when its length can't be told."""
        if self.headers.get("transfer-encoding"):
            return self._chunks()
        said = self.headers.get("content-length", "0")
        if said.isdecimal() and said.isascii():
            return self.rfile.read(int(said))
        self.close_connection = True
        return None

    def _chunks(self) -> bytes | None:
        """Return a body sent in chunks (RFC 9112, 7.1)."""
        found = bytearray()
        while True:
            try:
                size = int(self.rfile.readline().partition(b";")[0], 16)
            except ValueError:
                self.close_connection = True
                return None
            found += self.rfile.read(size)
            if not size:
                while self.rfile.readline().strip():  # trailers
                    pass
                return bytes(found)
            self.rfile.readline()

    def _write(self, reply: Reply) -> None:
        self.send_response(reply.status)
        self.send_header("content-length", str(len(reply.body)))
        if reply.body:
            self.send_header("content-type", "application/json")
        for name, value in reply.headers:
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("connection", "close")
        self.send_header("vary", "Origin")
        # One write: a head and a body sent apart cost a delayed acknowledgement (40 ms).
        head = b"".join(self._headers_buffer) + b"\r\n"  # type: ignore[attr-defined]
        self._headers_buffer = []
        self.wfile.write(head if self.command == "HEAD" else head + reply.body)

    def version_string(self) -> str:
        """Name the server, without Python's version."""
        return f"nemo-jobs-sandbox/{__version__}"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the standard library's name
        """Say nothing: the server logs whole exchanges."""


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


def names(jobs: Sequence[str]) -> tuple[str, ...]:
    """Return the names given to `--job`, checked."""
    from nemo_jobs_cli.names import check_job

    return tuple(check_job(name, "--job") for name in jobs)
