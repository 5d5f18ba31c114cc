"""Serve the sandbox over HTTP, on the loopback interface only."""

from __future__ import annotations

import http.server
import random
import re
import socket
import socketserver
import struct
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

from nemo_jobs_cli import __version__
from nemo_jobs_cli.core.errors import UsageError
from nemo_jobs_cli.core.files import os_reason
from nemo_jobs_cli.sandbox import _app, _wire
from nemo_jobs_cli.sandbox import faults as sandbox_faults
from nemo_jobs_cli.sandbox._database import Database

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nemo_jobs_cli.sandbox._database import Job
    from nemo_jobs_cli.sandbox._wire import Response
    from nemo_jobs_cli.sandbox.faults import Fault

LOOPBACK = "127.0.0.1"
DEFAULT_PORT = 8080
TOKEN = _app.TOKEN

# Seconds between the read and the write of an update on the real server; another one in between wins.
UPDATE_SECONDS = 0.05

# Sizes of a body or a chunk: at most 1 GB and 256 MiB. int() would accept signs, blanks and underscores, too.
_DECIMAL_SIZE = re.compile("[0-9]{1,9}")
_HEX_SIZE = re.compile("[0-9a-fA-F]{1,7}")
_MAX_LINE = 65536


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a sandbox.

    `port` 0 is any free one. `has_attempts`: updates go to an attempt of the job, as in NeMo Helix 0.9. `logs` are jobs
    with the lines of their logs.
    """

    port: int = 0
    strict: bool = False
    jobs: tuple[str, ...] = ()
    auth: bool = False
    faults: tuple[Fault, ...] = ()
    seed: int | None = None
    has_attempts: bool = False
    logs: tuple[tuple[str, tuple[str, ...]], ...] = ()


class _BodyError(Exception):
    """The end of a body is unknown or was not received."""


class Server(socketserver.ThreadingTCPServer):
    """A listening sandbox; `log` is called with one line for each request.

    `faults` may be changed while it runs.
    """

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, options: Options, log: Callable[[str], None] | None = None) -> None:
        self.faults, self._log = options.faults, log
        self._rng = random.Random(options.seed)  # noqa: S311 - faults and ids, nothing secret
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        delay = sum(fault.seconds for fault in options.faults if fault.kind == "no-attempt")
        self._database = Database(time.time, self._rng, strict=options.strict, start_delay=delay)
        self.jobs: Mapping[tuple[str, str], Job] = self._database.jobs  # by workspace and name
        for name in options.jobs:
            self._database.add("default", name)
        for name, lines in options.logs:
            self._database.add_lines("default", name, lines, "train")
        kinds = {fault.kind for fault in options.faults}
        on_update = self._unlock_for_others if "conflicts" in kinds else None
        self._app = _app.App(self._database, options.auth, options.has_attempts, on_update)
        super().__init__((LOOPBACK, options.port), _Handler)
        self.port: int = self.server_address[1]
        self.url = f"http://{LOOPBACK}:{self.port}"

    def add_lines(self, job: str, *lines: str, step: str = "train") -> None:
        """Add lines to the log of a job in the workspace `default`."""
        with self._lock:
            self._database.add_lines("default", job, lines, step)

    def respond(self, request: _wire.Request) -> Response | None:
        """Return the response to a request; None resets the connection."""
        with self._lock:
            effect = sandbox_faults.effect(self.faults, request.method, request.path, self._rng)
        self._stopped.wait(effect.delay)
        response = effect.response
        if response is None and not effect.reset:
            with self._lock:
                response = self._app.respond(request)
        if self._log is not None:
            delay = f" after {effect.delay:g} s" if effect.delay else ""
            self._log(f"{request.method} {request.target} -> {response.status if response else 'reset'}{delay}")
        return response

    def _unlock_for_others(self) -> None:
        self._lock.release()
        try:
            time.sleep(UPDATE_SECONDS)
        finally:
            self._lock.acquire()

    def shutdown_request(self, request: Any) -> None:
        """Close a connection without a FIN, which would hide a reset."""
        self.close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the library's signature
        """Ignore disconnected clients; log other exceptions by name."""
        import sys

        error = sys.exc_info()[1]
        if self._log is not None and not isinstance(error, OSError):
            self._log(f"sandbox error: {type(error).__name__}")

    def server_close(self) -> None:
        """End delays early and release the port."""
        self._stopped.set()
        super().server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    """Read requests from one connection and write their responses."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body leave in one write; the library flushes after each request
    server: Server

    def _handle(self) -> None:
        try:
            body = self._read_body()
        except _BodyError:
            self.close_connection = True
            self._send(_wire.unreadable().response)
            return
        target = self.requestline.split()[1]  # self.path has lost a second leading slash
        path, _, query = target.partition("?")
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = _wire.Request(
            self.command, unquote(path), dict(parse_qsl(query, keep_blank_values=True)), headers, body, target
        )
        response = self.server.respond(request)
        if response is not None:
            self._send(response)
            return
        # With this set, closing sends RST instead of FIN.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _handle  # noqa: N815

    def _read_body(self) -> bytes:
        if not self.headers.get("transfer-encoding"):
            # Different lengths, joined, are not a number: they are refused (RFC 9112, section 6.3).
            length = ",".join(set(self.headers.get_all("content-length", ["0"])))
            return self._read(_parse_size(_DECIMAL_SIZE, length, 10))
        chunks = bytearray()  # RFC 9112, section 7.1
        while size := _parse_size(_HEX_SIZE, self._read_line().partition(b";")[0].strip().decode("latin-1"), 16):
            chunks += self._read(size)
            if self._read_line():
                raise _BodyError
        while self._read_line():  # trailers
            pass
        return bytes(chunks)

    def _read(self, size: int) -> bytes:
        data = self.rfile.read(size)
        if len(data) < size:
            raise _BodyError
        return data

    def _read_line(self) -> bytes:
        line = self.rfile.readline(_MAX_LINE)
        if not line.endswith(b"\n"):
            raise _BodyError
        return line.rstrip(b"\r\n")

    def _send(self, response: Response) -> None:
        self.send_response(response.status)
        self.send_header("content-length", str(len(response.body)))
        if response.body:
            self.send_header("content-type", "application/json")
        for name, value in (*response.headers, ("vary", "Origin")):
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)

    def version_string(self) -> str:
        """Return the Server header."""
        return f"nemo-jobs-sandbox/{__version__}"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Print nothing: the server logs whole exchanges."""


def _parse_size(pattern: re.Pattern[str], text: str, base: int) -> int:
    if not pattern.fullmatch(text):
        raise _BodyError
    return int(text, base)


def start(options: Options, log: Callable[[str], None] | None = None) -> Server:
    """Start a sandbox in threads; raise UsageError if its port cannot be used."""
    try:
        server = Server(options, log)
    except OSError as error:
        raise UsageError(
            f"cannot listen on port {options.port} of {LOOPBACK}: {os_reason(error)}",
            "use another port: nemo-jobs sandbox --port 8081 (or --port 0 for any free one)",
        ) from None
    threading.Thread(target=server.serve_forever, args=(0.05,), name="sandbox", daemon=True).start()
    return server


def stop(server: Server) -> None:
    """Stop a sandbox and release its port."""
    server.shutdown()
    server.server_close()
