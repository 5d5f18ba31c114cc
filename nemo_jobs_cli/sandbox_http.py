"""Speak HTTP/1.1 for the sandbox: requests in, answers out, on one connection."""

from __future__ import annotations

import http.server
import socket
import struct
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

from nemo_jobs_cli import __version__
from nemo_jobs_cli import sandbox_answers as answers
from nemo_jobs_cli.sandbox_routes import Asked

if TYPE_CHECKING:
    from nemo_jobs_cli.sandbox import Server
    from nemo_jobs_cli.sandbox_answers import Reply


class Handler(http.server.BaseHTTPRequestHandler):
    """Read requests off one connection and write their answers, each in one piece."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def _answer(self) -> None:
        body = self._body()
        # Not self.path: the library takes two leading slashes for one, the platform's routes don't.
        target = self.requestline.split()[1]
        raw_path, _, query = target.partition("?")
        asked = Asked(
            self.command,
            unquote(raw_path),
            query=dict(parse_qsl(query, keep_blank_values=True)),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=body or b"",
            raw_path=target,
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
        headers = [
            ("date", self.date_time_string()),
            ("server", f"nemo-jobs-sandbox/{__version__}"),
            ("content-length", str(len(reply.body))),
            *([("content-type", "application/json")] if reply.body else []),
            *reply.headers,
            ("vary", "Origin"),
            *([("connection", "close")] if self.close_connection else []),
        ]
        rows = [f"HTTP/1.1 {reply.status} {_reason(reply.status)}", *(f"{name}: {value}" for name, value in headers)]
        head = "".join(f"{row}\r\n" for row in rows).encode("latin-1", "replace") + b"\r\n"
        # One write: a head and a body sent apart cost a delayed acknowledgement (40 ms).
        self.wfile.write(head if self.command == "HEAD" else head + reply.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the standard library's name
        """Say nothing: the server logs whole exchanges."""


def _reason(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
