"""Speak HTTP/1.1 for the sandbox: requests in, answers out, on one connection."""

from __future__ import annotations

import contextlib
import http.server
import re
import socket
import struct
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

from nemo_jobs_cli import __version__
from nemo_jobs_cli.sandbox import wire as answers
from nemo_jobs_cli.sandbox.app import Asked

if TYPE_CHECKING:
    from nemo_jobs_cli.sandbox.server import Server
    from nemo_jobs_cli.sandbox.wire import Reply


LARGEST_BODY = 256 << 20
LONGEST_ROW = 65536

# How long, in seconds, a refused client may go on talking before it is cut off.
PATIENCE = 2.0

_DIGITS = {10: "[0-9]{1,16}", 16: "[0-9a-fA-F]{1,16}"}  # int() would take signs, blanks and underscores, too


class _UnreadableError(Exception):
    """The end of a body can't be told, or it did not come."""


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
            if body is None:
                self._part()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _answer  # noqa: N815

    def _body(self) -> bytes | None:
        """Return the request's body; None when its length can't be told, is beyond reason, or is not reached."""
        try:
            if self.headers.get("transfer-encoding"):
                return self._chunks()
            said = set(self.headers.get_all("content-length", ["0"]))
            return self._exactly(_size(", ".join(said), 10))
        except _UnreadableError:
            self.close_connection = True
            return None

    def _exactly(self, size: int) -> bytes:
        found = self.rfile.read(size)
        if len(found) < size:
            raise _UnreadableError
        return found

    def _row(self) -> bytes:
        """Return the next row without its end."""
        row = self.rfile.readline(LONGEST_ROW)
        if not row.endswith(b"\n"):
            raise _UnreadableError
        return row.rstrip(b"\r\n")

    def _chunks(self) -> bytes:
        """Return a body sent in chunks (RFC 9112, 7.1)."""
        found = bytearray()
        while size := _size(self._row().partition(b";")[0].strip().decode("latin-1"), 16):
            found += self._exactly(size)
            if self._row() or len(found) > LARGEST_BODY:
                raise _UnreadableError
        while self._row():  # trailers
            pass
        return bytes(found)

    def _part(self) -> None:
        """Hang up so that the refusal is read: closing on unread data sends a reset, which loses the answer."""
        ends = time.monotonic() + PATIENCE
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            while (left := ends - time.monotonic()) > 0:
                self.connection.settimeout(left)
                if not self.connection.recv(65536):
                    return

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


def _size(text: str, base: int) -> int:
    size = int(text, base) if re.fullmatch(_DIGITS[base], text) else LARGEST_BODY + 1
    if size > LARGEST_BODY:
        raise _UnreadableError
    return size


def _reason(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
