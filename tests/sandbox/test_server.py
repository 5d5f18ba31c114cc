"""The sandbox on real sockets: HTTP/1.1, and every fault as a client sees it."""

from __future__ import annotations

import socket
import threading
import time

import httpx
import pytest
from waiting import LIMIT

from nemo_jobs_cli.core.errors import UsageError
from nemo_jobs_cli.sandbox import server as sandbox

JOB = "/apis/jobs/v2/workspaces/default/jobs/demo"
DETAILS = f"{JOB}/status-details"


@pytest.fixture
def start(start_sandbox):
    """Return a function that starts a sandbox with these faults."""
    return start_sandbox


@pytest.fixture
def client():
    """Give an HTTP client that uses no proxy."""
    with httpx.Client(timeout=60, trust_env=False) as made:
        yield made


def connect(server) -> socket.socket:
    """Open a connection."""
    return socket.create_connection(("127.0.0.1", server.port), timeout=60)


def exchange(server, data: bytes) -> bytes:
    """Send bytes and return everything until the server closes the connection."""
    with connect(server) as connection:
        connection.sendall(data)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def in_threads(function, *calls) -> None:
    """Call a function with each of `calls` at the same time."""
    threads = [threading.Thread(target=function, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# HTTP --------------------------------------------------------------------------------------------------------------


def test_it_listens_on_the_loopback_interface_only(start):
    """Other machines cannot reach it."""
    server = start()
    assert server.socket.getsockname()[0] == "127.0.0.1"
    assert server.url == f"http://127.0.0.1:{server.port}"


def test_connections_are_kept_alive(start, client):
    """Requests one after the other share a connection."""
    server = start()
    peers = set()
    for number in range(20):
        response = client.patch(server.url + DETAILS, json={"a": number})
        peers.add(response.extensions["network_stream"].get_extra_info("client_addr"))
    assert (response.status_code, response.text, response.http_version) == (200, "null", "HTTP/1.1")
    assert response.headers["server"].startswith("nemo-jobs-sandbox/")
    assert len(peers) == 1


def test_a_response_is_one_write(start):
    """Head and body arrive with the first read."""
    with connect(start()) as connection:
        connection.sendall(b"GET /apis/auth/discovery HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(65536).endswith(b'{"auth_enabled":false,"oidc":null}')


def test_a_chunked_body_is_read(start, client):
    """A client that does not know the length of a body sends chunks."""
    server = start()
    headers = {"content-type": "application/json"}
    assert client.patch(server.url + DETAILS, content=iter([b'{"a":', b"1}"]), headers=headers).text == "null"
    assert server.jobs["default", "demo"].details == {"a": 1}


HEAD = f"PATCH {DETAILS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n".encode()
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "data",
    [
        HEAD + b"Content-Length: 100\r\n\r\n{}",
        HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ",
        CHUNKED + b"100\r\n{}",
        CHUNKED + b"2\r\n{}\r\n",
        CHUNKED + b"2\r\n{}\r\n0\r\nX-Sum: 1\r\n",
        CHUNKED + b"1\r\n{}\r\n0\r\n\r\n",
        CHUNKED + b"-2\r\n{}\r\n0\r\n\r\n",
        CHUNKED + b"0x2\r\n{}\r\n0\r\n\r\n",
        CHUNKED + b"FFFFFFFFFFFF\r\n{}\r\n0\r\n\r\n",
        CHUNKED + b"9" * 5000 + b"\r\n{}\r\n0\r\n\r\n",
        *(HEAD + b"Content-Length: " + size + b"\r\n\r\n{}" for size in (b"x", b"-2", b"\xb2", b"100000000000")),
    ],
)
def test_a_body_without_a_readable_end_is_refused(start, data):
    """An invalid length or a body that ends early is a 400 that closes the connection; nothing is stored."""
    server = start()
    with connect(server) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        response = connection.recv(65536)
    assert response.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"connection: close" in response
    assert not server.jobs


def test_trailers_are_skipped(start):
    """Fields after the last chunk are not part of the next request."""
    body = b"2;x=y\r\n{}\r\n0\r\nX-Sum: 1\r\n\r\n"
    response = exchange(start(), CHUNKED + body + b"GET /nope HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert response.count(b"HTTP/1.1 ") == 2
    assert b"HTTP/1.1 404 Not Found" in response


def test_head_has_no_body(start):
    """A body after HEAD would break the connection."""
    response = exchange(start(), b"HEAD /openapi.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert response.startswith(b"HTTP/1.1 405 ")
    assert response.endswith(b"\r\n\r\n")


def test_paths(start, client):
    """A path is decoded once, two leading slashes are not one, and a trailing slash is redirected."""
    server = start()
    response = client.get(f"{server.url}/apis/jobs/v2/workspaces/default/jobs/a%2525/status")
    assert response.json()["detail"] == "Job 'a%25' not found in workspace 'default'."
    assert exchange(server, b"GET //openapi.json HTTP/1.1\r\nConnection: close\r\n\r\n").startswith(b"HTTP/1.1 404 ")
    response = client.get(f"{server.url}{JOB}/?a=%25")
    assert (response.status_code, response.headers["location"]) == (307, f"{server.url}{JOB}?a=%25")


def test_a_disconnect_does_no_harm(start, client):
    """A connection that is reset in the middle of a request leaves the server as it was."""
    server = start()
    with connect(server) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        connection.sendall(b"PATCH /x HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc")
    assert client.get(server.url + "/apis/auth/discovery").status_code == 200
    assert not [line for line in server.rows if "error" in line]


# Start, log, stop --------------------------------------------------------------------------------------------------


def test_a_bug_is_logged(start, client, monkeypatch):
    """An exception in the server closes the connection and is logged by name, without a traceback."""
    server = start()
    monkeypatch.setattr(server, "faults", None)
    with pytest.raises(httpx.RemoteProtocolError):
        client.get(server.url + JOB)
    assert server.rows == ["sandbox error: TypeError"]


def test_the_log_has_a_line_for_each_request(start, client):
    """With the response's status and the delay."""
    server = start("delay:0.01")
    client.get(server.url + JOB + "/status?x=1")
    assert server.rows == [f"GET {JOB}/status?x=1 -> 200 after 0.01 s"]


def test_created_jobs(start, client):
    """Jobs in the options exist from the start, also in a strict sandbox."""
    server = start(strict=True, jobs=("demo",))
    assert client.get(server.url + JOB + "/status").status_code == 200
    assert client.get(server.url + JOB + "x/status").status_code == 404


def test_a_port_in_use(start):
    """The error names another port."""
    server = start()
    with pytest.raises(UsageError, match=f"port {server.port} ") as caught:
        start(port=server.port)
    assert "--port" in caught.value.hint


def test_a_stopped_sandbox_releases_its_port(start):
    """Another sandbox can use it at once."""
    server = sandbox.start(sandbox.Options())
    sandbox.stop(server)
    assert start(port=server.port).port == server.port


# Faults ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "phrase"), [(503, "Service Unavailable"), (429, "Too Many Requests"), (499, "")])
def test_fault_status(start, client, status, phrase):
    """STATUS:1 is the response to every request of the jobs service, and of no other."""
    server = start(f"{status}:1")
    response = client.get(server.url + JOB + "/status")
    assert (response.status_code, response.reason_phrase) == (status, phrase)
    assert response.headers.get("retry-after") == ("1" if status == 429 else None)
    assert client.get(server.url + "/apis/auth/discovery").status_code == 200


def test_fault_reset(start, client):
    """reset:1 resets the connection, and nothing is stored."""
    server = start("reset:1")
    with pytest.raises(httpx.ReadError, match=r"(?i)reset"):
        client.patch(server.url + DETAILS, json={"a": 1})
    assert not server.jobs
    assert server.rows == [f"PATCH {DETAILS} -> reset"]


def test_fault_delay(start, client):
    """delay:S delays each response by S; requests do not wait for each other."""
    server = start("delay:1")
    times = []

    def get(url):
        began = time.monotonic()
        client.get(url)
        times.append((began, time.monotonic()))

    in_threads(get, *[server.url + JOB] * 20)
    assert all(ended - began >= 1 for began, ended in times)
    assert max(ended for _, ended in times) - min(began for began, _ in times) < 20


def test_a_delay_ends_with_the_sandbox(start, client):
    """A long delay does not keep the sandbox from stopping."""
    server, received = start("delay:3600"), threading.Event()
    respond = server.respond
    server.respond = lambda request: received.set() or respond(request)
    thread = threading.Thread(target=client.get, args=(server.url + JOB,), daemon=True)
    thread.start()
    assert received.wait(LIMIT)
    sandbox.stop(server)
    thread.join(50)
    assert not thread.is_alive()


@pytest.mark.parametrize("faults", [(), ("conflicts",)])
def test_fault_conflicts(start, client, monkeypatch, faults):
    """With conflicts, some of 20 simultaneous updates are refused and all others stored; without, none is refused."""
    monkeypatch.setattr(sandbox, "UPDATE_SECONDS", 1)
    server = start(*faults)
    statuses, together = {}, threading.Barrier(20)

    def send(key: str) -> None:
        together.wait()
        statuses[key] = client.patch(server.url + DETAILS, json={key: 1}).status_code

    in_threads(send, *(f"k{number}" for number in range(20)))
    assert set(statuses.values()) == ({200, 409} if faults else {200})
    assert server.jobs["default", "demo"].details == {key: 1 for key, status in statuses.items() if status == 200}


def test_the_attempts_api(start, client):
    """It takes updates at an attempt's path only, which the OpenAPI document shows."""
    server = start(has_attempts=True)
    response = client.patch(server.url + DETAILS, json={"a": 1})
    assert (response.status_code, response.json()) == (404, {"detail": "Not Found"})
    assert client.patch(server.url + JOB + "/attempts/current/status-details", json={"a": 1}).text == "null"
    path = "/apis/jobs/v2/workspaces/{workspace}/jobs/{name}/attempts/{attempt}/status-details"
    assert path in client.get(server.url + "/openapi.json").json()["paths"]


def test_fault_no_attempt(start, client):
    """A job has its first attempt so long after its creation, and until then a status but no place for updates."""
    server = start("no-attempt:0.3", has_attempts=True)
    began = time.monotonic()
    response = client.patch(server.url + JOB + "/attempts/current/status-details", json={"a": 1})
    assert (response.status_code, response.json()["detail"]) == (404, "Job 'demo' has no current attempt.")
    assert client.get(server.url + JOB + "/status").json()["status"] == "created"
    while client.patch(server.url + JOB + "/attempts/current/status-details", json={"a": 1}).status_code != 200:
        time.sleep(0.02)
    assert time.monotonic() - began >= 0.3


def test_the_same_seed_fails_the_same_requests(start, client):
    """Faults with a seed are reproducible."""

    def statuses() -> list[int]:
        server = start("503:0.5", seed=5)
        return [client.get(server.url + JOB + "/status").status_code for _ in range(20)]

    first = statuses()
    assert set(first) == {200, 503}
    assert statuses() == first
