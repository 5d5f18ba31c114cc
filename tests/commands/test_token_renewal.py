"""A token that is replaced in its file while a command works, which may take longer than a token is valid."""

from __future__ import annotations

import json
import time

import pytest
from in_process import run_here
from raw import CHILD_ENVIRONMENT, read_request, response

from nemo_jobs_cli.delivery.entry import Entry
from nemo_jobs_cli.delivery.outbox import Outbox

UPDATE = json.dumps({"job": "x1", "status_details": {"a": 1}}).encode()


@pytest.mark.parametrize(
    ("words", "data"),
    [
        (("run", "x1", "--", "true"), b""),
        (("stream", "x1"), b"a=1\n"),
        (("apply", "-"), UPDATE),
        (("outbox", "flush"), b""),
    ],
)
def test_a_new_token_in_the_file_is_used(raw_server, tmp_path, words, data):
    """After a 401 for the old one nothing is lost."""
    token = tmp_path / "token"
    token.write_text("old", encoding="utf-8")

    def serve(connection, seen, stop):
        seen.append(read_request(connection))
        if b"Bearer new\r\n" in seen[-1]:
            connection.sendall(response(200))
        else:
            token.write_text("new", encoding="utf-8")
            connection.sendall(response(401, '{"detail": "Invalid or expired token"}'))

    server = raw_server(serve)
    if words[0] == "outbox":
        Outbox(tmp_path / "box").store(Entry(server.url, "default", "x1", {"a": 1}, time.time()))
    env = CHILD_ENVIRONMENT | {
        "HOME": str(tmp_path),
        "TMPDIR": str(tmp_path),
        "NEMO_JOBS_HOST": server.url,
        "NEMO_JOBS_OUTBOX_DIR": str(tmp_path / "box"),
        "NEMO_JOBS_TOKEN_FILE": str(token),
    }
    assert run_here(env, *words, input=data).returncode == 0
    assert b"Bearer old\r\n" in server.seen[0]
    assert server.seen[-1].startswith(b"PATCH ")
    assert b"Bearer new\r\n" in server.seen[-1]
