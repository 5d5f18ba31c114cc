"""The sandbox on real sockets: HTTP as it is spoken, and every fault as it is felt."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import deque

import httpx
import pytest

from nemo_jobs_cli.core.errors import UsageError
from nemo_jobs_cli.sandbox import faults as sandbox_faults
from nemo_jobs_cli.sandbox import http
from nemo_jobs_cli.sandbox import server as sandbox

JOB = "/apis/jobs/v2/workspaces/default/jobs/demo"


@pytest.fixture
def start():
    """Return a function that starts a sandbox with these faults."""
    servers = []

    def started(*faults: str, log=None, **options):
        server = sandbox.start(sandbox.Options(faults=sandbox_faults.parse(faults), **options), log)
        servers.append(server)
        return server

    yield started
    for server in servers:
        sandbox.stop(server)


@pytest.fixture
def client():
    """Give an HTTP client that knows no proxies."""
    with httpx.Client(timeout=10, trust_env=False) as made:
        yield made


def talk(server, data: bytes) -> bytes:
    """Send bytes and return all that comes back until the server hangs up."""
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as connection:
        connection.sendall(data)
        found = b""
        while more := connection.recv(65536):
            found += more
        return found


def test_it_listens_on_the_loopback_interface_only(start):
    """Nobody else on the network reaches it."""
    server = start()
    assert server.socket.getsockname()[0] == "127.0.0.1"
    assert server.url == f"http://127.0.0.1:{server.server_port}"


def test_connections_are_kept(start, client):
    """Requests one after the other share a connection, and none waits for a delayed acknowledgement."""
    server = start()
    stream = []
    for number in range(20):
        answer = client.patch(server.url + JOB + "/status-details", json={"a": number})
        stream.append(answer.extensions["network_stream"].get_extra_info("client_addr"))
    assert (answer.status_code, answer.text, answer.http_version) == (200, "null", "HTTP/1.1")
    assert len(set(stream)) == 1


def test_an_answer_comes_in_one_piece(start):
    """Head and body arrive with the first read."""
    server = start()
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as connection:
        connection.sendall(b"GET /apis/auth/discovery HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(65536).endswith(b'{"auth_enabled":false,"oidc":null}')


def test_a_body_in_chunks_is_read(start, client):
    """A client that doesn't know the length yet sends chunks."""
    server = start()

    def body():
        yield b'{"a":'
        yield b"1}"

    headers = {"content-type": "application/json"}
    assert client.patch(server.url + JOB + "/status-details", content=body(), headers=headers).text == "null"
    assert client.get(server.url + JOB + "/status").json()["status_details"] == {"a": 1}


@pytest.mark.parametrize("head", [b"Content-Length: x", b"Content-Length: \xb2", b"Transfer-Encoding: chunked"])
def test_a_body_without_length_is_refused(start, head):
    """What can't be read to its end is a 400, and the connection is over."""
    answer = talk(start(), b"PATCH /x HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\nzz\r\n")
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"connection: close" in answer


HEAD = b"PATCH " + JOB.encode() + b"/status-details HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "data",
    [
        HEAD + b"Content-Length: 100\r\n\r\n{}",
        HEAD + b"Content-Length: 3\r\n\r\n",
        CHUNKED + b"100\r\n{}",
        CHUNKED + b"2\r\n{}",
        CHUNKED + b"2\r\n{}\r\n",
        CHUNKED + b"2\r\n{}\r\n0\r\n",
        CHUNKED + b"2\r\n{}\r\n0\r\nX-Sum: 1\r\n",
    ],
)
def test_a_body_that_ends_early_is_not_stored(start, data):
    """Half a body may be JSON all the same: it is refused, and nothing has happened."""
    server = start()
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(65536).startswith(b"HTTP/1.1 400 ")
    assert not server.state.jobs


@pytest.mark.parametrize(
    "data",
    [
        HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n{}",
        HEAD + b"Content-Length: 100000000000\r\n\r\n{}",
        HEAD + b"Content-Length: -2\r\n\r\n{}",
        HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        CHUNKED + b"-2\r\n{}\r\n0\r\n\r\n",
        CHUNKED + b"+2\r\n{}\r\n0\r\n\r\n",
        CHUNKED + b"0x2\r\n{}\r\n0\r\n\r\n",
        CHUNKED + b"1_0\r\n{}\r\n0\r\n\r\n",
        CHUNKED + b"FFFFFFFFFFFF\r\n{}\r\n0\r\n\r\n",
        CHUNKED + b"9" * 5000 + b"\r\n{}\r\n0\r\n\r\n",
        CHUNKED + b"9" * 100_000 + b"\r\n{}\r\n0\r\n\r\n",
        CHUNKED + b"1\r\n{}\r\n0\r\n\r\n",
    ],
    ids=[
        "digits",
        "huge",
        "negative",
        "two",
        "chunk-negative",
        "plus",
        "0x",
        "_",
        "chunk-huge",
        "row",
        "line",
        "short",
    ],
)
def test_a_length_beyond_reason_is_refused(start, data):
    """With an answer: what the client has still to say does not cut it off."""
    server = start()
    answer = talk(server, data)
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert not server.state.jobs


def test_a_refused_client_that_goes_on_talking_hears_why(start):
    """Megabytes that nobody reads would turn the answer into a reset."""
    answer = talk(start(), HEAD + b"Content-Length: 100000000000\r\n\r\n" + b"x" * 20_000_000)
    assert answer.startswith(b"HTTP/1.1 400 ")


def test_a_refused_client_that_stays_is_left(start, monkeypatch):
    """The thread is not held for ever by who neither reads nor leaves."""
    monkeypatch.setattr(http, "PATIENCE", 0.05)
    server = start()
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as connection:
        connection.sendall(HEAD + b"Content-Length: x\r\n\r\n")
        with pytest.raises(OSError, match=r"(?i)broken pipe|reset"):
            deque((connection.sendall(b"x") for _ in range(10_000_000)), maxlen=0)


def test_trailers_are_skipped(start):
    """Fields after the last chunk are no part of the next request."""
    head = b"PATCH " + JOB.encode() + b"/status-details HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    body = b"Transfer-Encoding: chunked\r\n\r\n2;x=y\r\n{}\r\n0\r\nX-Sum: 1\r\n\r\n"
    answer = talk(start(), head + body + b"GET /nope HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.count(b"HTTP/1.1 ") == 2
    assert b"HTTP/1.1 404 Not Found" in answer


def test_head_has_no_body(start):
    """HEAD is refused where GET isn't asked for, without a body that would confuse the connection."""
    answer = talk(start(), b"HEAD /openapi.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 405 ")
    assert answer.endswith(b"\r\n\r\n")


def test_a_client_that_goes_away_does_no_harm(start, client):
    """A connection that is cut in the middle of a request leaves the server as it was."""
    said = []
    server = start(log=said.append)
    with socket.create_connection(("127.0.0.1", server.server_port)) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        connection.sendall(b"PATCH /x HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc")
    assert client.get(server.url + "/apis/auth/discovery").status_code == 200
    assert not [one for one in said if "error" in one]


def test_a_bug_shows_in_the_log(start, client, monkeypatch):
    """An exception of the server's own ends the connection and is named in the log, without a traceback."""
    said = []
    server = start(log=said.append)
    monkeypatch.setattr(server, "faults", None)
    with pytest.raises(httpx.RemoteProtocolError):
        client.get(server.url + JOB)
    assert said == ["sandbox error: TypeError"]


def test_the_log_has_a_line_a_request(start, client):
    """With -v each request and its answer is one line."""
    said = []
    server = start("delay:0.01", log=said.append)
    client.get(server.url + JOB + "/status?x=1")
    assert said == [f"GET {JOB}/status?x=1 -> 200 after 0.01 s"]


def test_created_jobs(start, client):
    """Jobs named in the options exist from the start, also in a strict sandbox."""
    server = start(strict=True, jobs=("demo",))
    assert client.get(server.url + JOB + "/status").status_code == 200
    assert client.get(server.url + JOB + "x/status").status_code == 404


def test_a_taken_port(start):
    """A port in use is a usage error that names another."""
    taken = start()
    with pytest.raises(UsageError, match=f"port {taken.server_port} ") as caught:
        start(port=taken.server_port)
    assert "--port" in caught.value.hint


def test_a_stopped_sandbox_gives_its_port_back(start):
    """After its end the same port can be had again."""
    server = sandbox.start(sandbox.Options())
    sandbox.stop(server)
    assert start(port=server.server_port).server_port == server.server_port


@pytest.mark.parametrize(
    ("status", "phrase"), [(503, "Service Unavailable"), (429, "Too Many Requests"), (499, "Unknown")]
)
def test_fault_status(start, client, status, phrase):
    """STATUS:1 answers every request of the jobs service so."""
    server = start(f"{status}:1")
    answer = client.get(server.url + JOB + "/status")
    assert (answer.status_code, answer.reason_phrase) == (status, phrase)
    assert answer.headers.get("retry-after") == ("1" if status == 429 else None)
    assert client.get(server.url + "/apis/auth/discovery").status_code == 200


def test_fault_reset(start, client):
    """reset:1 cuts the connection with RST, and nothing is written."""
    server = start("reset:1")
    with pytest.raises(httpx.ReadError, match=r"(?i)reset"):
        client.patch(server.url + JOB + "/status-details", json={"a": 1})
    assert not server.state.jobs


def test_fault_delay(start, client):
    """delay:S answers that much later; the others don't wait for it."""
    server = start("delay:0.5")
    before = time.monotonic()
    threads = [threading.Thread(target=client.get, args=(server.url + JOB,)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 0.5 <= time.monotonic() - before < 2.4  # one after the other would take 2.5


def test_a_delayed_request_does_not_hold_up_the_end(client):
    """Stopping lets go of requests that wait for a long delay."""
    server = sandbox.start(sandbox.Options(faults=sandbox_faults.parse(["delay:60"])))
    thread = threading.Thread(target=lambda: client.get(server.url + JOB))
    thread.start()
    time.sleep(0.1)  # the request is under way
    before = time.monotonic()
    sandbox.stop(server)
    thread.join(5)
    assert not thread.is_alive()
    assert time.monotonic() - before < 3


def test_fault_conflict(start, client):
    """conflict:1 refuses every update, and no read."""
    server = start("conflict:1")
    answer = client.patch(server.url + JOB + "/status-details", json={})
    assert (answer.status_code, answer.headers["x-should-retry"]) == (409, "false")
    assert client.get(server.url + JOB + "/status").status_code == 200


def test_fault_conflicts(start, client):
    """With conflicts whoever was overtaken is refused: of 20 updates at once some are lost, the others all there."""
    server = start("conflicts")
    answers, together = {}, threading.Barrier(20)

    def send(number: int) -> None:
        together.wait()
        answers[number] = client.patch(server.url + JOB + "/status-details", json={f"k{number}": number}).status_code

    threads = [threading.Thread(target=send, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(answers.values()) == {200, 409}
    kept = client.get(server.url + JOB + "/status").json()["status_details"]
    assert kept == {f"k{number}": number for number, status in answers.items() if status == 200}


def test_without_conflicts_none_is_lost(start, client):
    """A plain sandbox takes updates at the same time, one after the other."""
    server = start()
    threads = [
        threading.Thread(
            target=client.patch, args=(server.url + JOB + "/status-details",), kwargs={"json": {str(n): n}}
        )
        for n in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.get(server.url + JOB + "/status").json()["status_details"].keys() == {str(n) for n in range(20)}


def test_fault_attempts_only(start, client):
    """attempts-only answers the old path as a route that isn't there."""
    server = start("attempts-only")
    old = client.patch(server.url + JOB + "/status-details", json={"a": 1})
    assert (old.status_code, old.json()) == (404, {"detail": "Not Found"})
    assert client.patch(server.url + JOB + "/attempts/current/status-details", json={"a": 1}).text == "null"


def test_the_same_seed_misbehaves_the_same_way(start, client):
    """Two sandboxes of one seed fail the same requests."""

    def failures() -> list[int]:
        server = start("503:0.5", seed=5)
        return [client.get(server.url + JOB + "/status").status_code for _ in range(20)]

    first = failures()
    assert set(first) == {200, 503}
    assert failures() == first


def test_names_are_decoded_once(start, client):
    """A percent sign that was encoded is a percent sign, and the text comes back as it was."""
    answer = client.get(start().url + "/apis/jobs/v2/workspaces/default/jobs/a%2525/status")
    assert json.loads(answer.text)["detail"] == "Job 'a%25' not found in workspace 'default'."
