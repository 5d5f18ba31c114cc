"""Requests and responses as bytes, for `raw_server`, and the environment of child processes."""

from __future__ import annotations

import os

# For child processes: a path, and coverage if it is measured.
CHILD_ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    **{name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")},
}


def read_request(connection) -> bytes:
    """Read one HTTP request with its body."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return data
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = 0
    for row in head.split(b"\r\n"):
        if row.lower().startswith(b"content-length:"):
            length = int(row.split(b":")[1])
    while len(body) < length and (more := connection.recv(65536)):
        body += more
    return head + b"\r\n\r\n" + body


def hang(connection, seen, stop) -> None:
    """Read a request and never respond: a connection handler of `raw_server`."""
    seen.append(read_request(connection))
    stop.wait()


def response(status: int, body: str | bytes = "null", *headers: str, kind: str = "application/json") -> bytes:
    """Return a complete HTTP response that closes the connection."""
    raw = body.encode() if isinstance(body, str) else body
    rows = [f"HTTP/1.1 {status} X", f"Content-Type: {kind}", f"Content-Length: {len(raw)}", "Connection: close"]
    return "\r\n".join([*rows, *headers]).encode() + b"\r\n\r\n" + raw
