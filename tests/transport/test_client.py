"""One request over real sockets: responses, failures, proxies, TLS, and the time limit."""

from __future__ import annotations

import http.server
import re
import select
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time

import httpx
import pytest
import trustme
from raw import CHILD_ENVIRONMENT, hang, read_request, response

from nemo_jobs_cli.core import clock
from nemo_jobs_cli.settings.model import Proxy, Settings, Sourced
from nemo_jobs_cli.transport import _httpx_import
from nemo_jobs_cli.transport import connection as transport
from nemo_jobs_cli.transport.client import Client
from nemo_jobs_cli.transport.messages import Failure, Request, Response


def client(url, auth=None, **more):
    """Return a client for a base URL."""
    return Client(Settings(host=Sourced(url, "--host"), **more), auth or {})


def test_a_request_has_all_headers_of_the_platform(raw_server):
    """It has a credential, a trace id and a user agent, besides its query and body."""
    server = raw_server([response(200)])
    sender = client(server.url + "/prefix", {"Authorization": "Bearer t0p"}, headers=(("X-Team", "llm"),))
    answer = sender.send(Request("PATCH", "/apis/x", query=(("a", "1 2"),), body=b'{"progress":45}'), 5)
    assert isinstance(answer, Response)
    assert (answer.status, answer.json()) == (200, None)
    head, _, body = server.seen[0].partition(b"\r\n\r\n")
    rows = head.decode().split("\r\n")
    assert rows[0] == "PATCH /prefix/apis/x?a=1+2 HTTP/1.1"
    assert body == b'{"progress":45}'
    sent = {name.lower(): value for name, _, value in (row.partition(": ") for row in rows[1:])}
    assert sent["content-type"] == "application/json"
    assert sent["authorization"] == "Bearer t0p"
    assert sent["x-team"] == "llm"
    assert sent["user-agent"].startswith("nemo-jobs/")
    assert re.fullmatch(f"00-{sender.trace_id}-[0-9a-f]{{16}}-01", sent["traceparent"])  # W3C Trace Context
    assert len(sender.trace_id) == 32


def test_a_user_header_replaces_a_default_but_never_the_credential(raw_server):
    """Case does not matter; a header that is given twice is sent twice, and may hold Latin-1 (RFC 9110)."""
    server = raw_server([response(200)])
    headers = (("user-Agent", "me"), ("x-nmp-principal-id", "boss"), ("X-A", "1"), ("x-a", "2"))
    client(server.url, {"X-NMP-Principal-Id": "ren\xe9"}, headers=headers).send(Request("PATCH", "/", body=b"{}"), 5)
    rows = server.seen[0].decode("latin-1").lower().split("\r\n")
    sent = sorted(row for row in rows if row.startswith(("user-agent", "x-")))
    assert sent == ["user-agent: me", "x-a: 1", "x-a: 2", "x-nmp-principal-id: ren\xe9"]


def test_a_redirect_is_not_followed(raw_server):
    """Otherwise a server could send the token to another host."""
    other = raw_server([response(200)])
    server = raw_server([response(307, "", f"Location: {other.url}/")])
    answer = client(server.url, {"Authorization": "Bearer t"}).send(Request("PATCH", "/x", body=b"{}"), 5)
    assert answer.status == 307
    assert answer.headers["location"] == f"{other.url}/"
    assert other.seen == []


def drip(connection, seen, stop):
    """Send a byte of the response every 50 ms, without an end."""
    seen.append(read_request(connection))
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while not stop.wait(0.05):
        connection.sendall(b" ")


KEPT_ALIVE = b"HTTP/1.1 200 X\r\nContent-Type: application/json\r\nContent-Length: 1\r\n\r\n%d"


def keep_alive(connection, seen, stop):
    """Respond to each request and keep the connection open."""
    while read_request(connection):
        connection.sendall(KEPT_ALIVE % 1)


def unread(connection, seen, stop):
    """Do not read the request."""
    stop.wait()


@pytest.mark.parametrize(
    ("server", "detail"),
    [(drip, "the response started but did not end"), (hang, "the request was sent, no response came")],
)
def test_the_limit_is_wall_clock_time(raw_server, server, detail):
    """Single bytes restart the timeout of a socket, not the limit."""
    began = time.monotonic()
    failure = client(raw_server(server).url).send(Request("PATCH", "/x", body=b"{}"), 0.4)
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.detail, failure.is_sent) == ("timeout", detail, True)
    assert 0.39 <= failure.seconds <= time.monotonic() - began


def test_the_limit_holds_while_a_body_is_sent(raw_server):
    """Writing blocks if the buffers of the other side are full."""
    failure = client(raw_server(unread).url).send(Request("PATCH", "/x", body=b"x" * 30_000_000), 0.4)
    assert failure[:2] == ("timeout", "connected, but the request could not be sent")
    assert not failure.is_sent


def test_the_limit_holds_during_a_name_lookup(monkeypatch):
    """Getaddrinfo cannot be interrupted; its thread is abandoned."""
    stop = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: stop.wait() and [])
    failure = client("http://slow.example").send(Request("GET", "/"), 0.3)
    stop.set()
    assert (failure.kind, failure.detail) == ("timeout", "no connection")


@pytest.mark.parametrize("left", [0, -1])
def test_a_request_without_time_left_times_out(raw_server, left):
    """On an open connection too."""

    def handler(connection, seen, stop):
        read_request(connection)
        connection.sendall(KEPT_ALIVE % 1)
        stop.wait()

    sender = client(raw_server(handler).url)
    assert sender.send(Request("GET", "/"), 20).body == b"1"
    assert sender.send(Request("GET", "/"), left).kind == "timeout"


@pytest.mark.parametrize(("connects", "limits"), [(True, [0.4, 0.2]), (False, [0.4])])
def test_only_connecting_has_a_limit_of_its_own(raw_server, monkeypatch, connects, limits):
    """On an open connection a slow server is waited for; a lookup that hangs leaves time for another attempt."""
    waits, stop = [], threading.Event()
    wait_until = clock.wait_until
    monkeypatch.setattr(clock, "wait_until", lambda wait, limit: waits.append(limit) or wait_until(wait, limit))
    monkeypatch.setattr("nemo_jobs_cli.transport.client.SHORTEST_CONNECT", 0)
    if not connects:
        monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: stop.wait(30) and [])
    failure = client(raw_server(hang).url).send(Request("PATCH", "/x", body=b"{}"), 0.6)
    stop.set()
    assert failure.kind == "timeout"
    assert (failure.detail == "no connection") is not connects
    assert waits == [pytest.approx(limit) for limit in limits]


@pytest.mark.parametrize(("seconds", "limit"), [(1, 1), (4, 3), (30, 20)])
def test_connecting_may_take_two_thirds_of_the_time_but_at_least_three_seconds(monkeypatch, seconds, limit):
    """A shorter deadline leaves no time for another attempt anyway."""
    limits, stop = [], threading.Event()
    monkeypatch.setattr(clock, "wait_until", lambda wait, limit: limits.append(limit))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: stop.wait(30) and [])
    assert client("http://slow.example").send(Request("GET", "/"), seconds).kind == "timeout"
    stop.set()
    assert limits == [limit]


def test_a_closed_client_leaves_no_thread(raw_server):
    """A long flow opens many connections."""
    before = set(threading.enumerate())
    sender = client(raw_server(keep_alive).url)
    for _ in range(2):
        assert sender.send(Request("GET", "/"), 20).body == b"1"
    threads = [one for one in set(threading.enumerate()) - before if one.name in {"requests", "watchdog"}]
    assert len(threads) == 2
    sender.close()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


def test_after_a_timeout_the_next_request_uses_a_new_connection(raw_server):
    """The old one belongs to the abandoned thread."""
    handlers = iter([hang, None])

    def handler(connection, seen, stop):
        handle = next(handlers)
        if handle is not None:
            handle(connection, seen, stop)
        else:
            read_request(connection)
            connection.sendall(response(200))

    sender = client(raw_server(handler).url)
    assert sender.send(Request("GET", "/"), 0.3).kind == "timeout"
    assert sender.send(Request("GET", "/"), 5).status == 200


def reset(connection, seen, stop):
    """Reset the connection after the request."""
    read_request(connection)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")


def hang_up(connection, seen, stop):
    """Close the connection without a response."""
    read_request(connection)


def smtp(connection, seen, stop):
    """Send something that is not HTTP."""
    read_request(connection)
    connection.sendall(b"220 smtp.example ESMTP\r\n\r\n")


@pytest.mark.parametrize(("server", "kind"), [(reset, "reset"), (hang_up, "reset"), (smtp, "protocol")])
def test_a_broken_connection_is_named(raw_server, server, kind):
    """A reset and a protocol error have different kinds."""
    assert client(raw_server(server).url).send(Request("GET", "/"), 5).kind == kind


@pytest.mark.parametrize("later", [reset, hang_up])
def test_an_open_connection_that_breaks_is_named(raw_server, later):
    """Not a timeout: the server may be there again at once."""

    def handler(connection, seen, stop):
        seen.append(read_request(connection))
        connection.sendall(KEPT_ALIVE % 1)
        later(connection, seen, stop)

    sender = client(raw_server(handler).url)
    assert sender.send(Request("GET", "/a"), 20).body == b"1"
    assert sender.send(Request("GET", "/b"), 20).kind == "reset"


class Steps(list):
    """The steps of a request on a clock that only they advance, each by a second."""

    def monotonic(self):
        return float(len(self))


@pytest.mark.parametrize("is_refused", [True, False])
def test_the_seconds_are_those_of_the_request_alone(raw_server, monkeypatch, is_refused):
    """A flow pauses nine times as long: our own imports and certificates are not the server's work."""
    steps = Steps()
    url = "http://127.0.0.1:1" if is_refused else raw_server([response(200)]).url
    import_httpx, tls_context = _httpx_import.import_httpx, transport.tls_context
    monkeypatch.setattr(transport, "time", steps)
    monkeypatch.setattr(_httpx_import, "import_httpx", lambda: steps.append("import") or import_httpx())
    monkeypatch.setattr(transport, "tls_context", lambda *given: steps.append("certificates") or tls_context(*given))
    connection = transport.Connection(Settings(host=Sourced(url, "--host")), {})
    result = connection.send(Request("GET", "/"), "", 20, steps)
    assert result.kind == "refused" if is_refused else result.status == 200
    assert result.seconds == len(steps) - steps.index("certificates") - 1 > 0
    connection.close()


ABANDON = """
import socket, sys, threading
from nemo_jobs_cli.settings.model import Settings, Sourced
from nemo_jobs_cli.transport.client import Client
from nemo_jobs_cli.transport.messages import Request
sender = Client(Settings(host=Sourced(sys.argv[1], "--host")), {})
print([sender.send(Request("GET", "/"), 20).status for _ in range(2)])
socket.getaddrinfo = lambda *given, **more: threading.Event().wait()
print(Client(Settings(host=Sourced("http://slow.example", "--host")), {}).send(Request("GET", "/"), 0.1).kind)
"""


def test_neither_an_open_connection_nor_a_hanging_lookup_keeps_the_process(raw_server):
    """Both have threads that never end."""
    words = [sys.executable, "-c", ABANDON, raw_server(keep_alive).url]
    ran = subprocess.run(words, env=CHILD_ENVIRONMENT, capture_output=True, encoding="utf-8", timeout=60)
    assert (ran.stdout, ran.stderr) == ("[200, 200]\ntimeout\n", "")


@pytest.mark.parametrize("requests_before", [0, 1])
def test_a_running_request_can_be_shortened(raw_server, requests_before):
    """By another thread, on a new connection and on an open one."""
    hangs = threading.Event()

    def handler(connection, seen, stop):
        for number in range(requests_before):
            read_request(connection)
            connection.sendall(KEPT_ALIVE % number)
        read_request(connection)
        hangs.set()
        stop.wait()

    sender = client(raw_server(handler).url)
    for _ in range(requests_before):
        sender.send(Request("GET", "/"), 20)
    results = []
    thread = threading.Thread(target=lambda: results.append(sender.send(Request("GET", "/"), 600)), daemon=True)
    thread.start()
    assert hangs.wait(20)
    sender.shorten(1.1)
    thread.join(20)
    assert [result.kind for result in results] == ["timeout"]
    assert results[0].seconds > 1.09


@pytest.mark.parametrize("why", ["too long idle", "closed by the server", "closed by us"])
def test_a_connection_that_httpx_would_replace_is_not_used_directly(raw_server, monkeypatch, why):
    """The watchdog would guard the old socket, and a new connection would have no limit."""
    closing = threading.Event()

    def handler(connection, seen, stop):
        read_request(connection)
        connection.sendall(KEPT_ALIVE % 1)
        closing.wait(20)

    idle = transport.Connection(Settings(host=Sourced(raw_server(handler).url, "--host")), {})
    idle.send(Request("GET", "/"), "", 20, [])
    sock = idle.idle_socket()
    assert sock is not None
    if why == "too long idle":
        assert httpx.Limits().keepalive_expiry > transport.MAX_IDLE
        monkeypatch.setattr(transport, "MAX_IDLE", 0.0)
    if why == "closed by us":
        idle.close()
    closing.set()
    if why == "closed by the server":
        assert select.select([sock], [], [], 20)[0]
    assert idle.idle_socket() is None
    idle.close()


def test_a_slow_first_response_is_waited_for(raw_server):
    """The limit counts from the start of the request, also while it connects."""

    def handler(connection, seen, stop):
        read_request(connection)
        stop.wait(clock.STEP + 0.2)
        connection.sendall(response(200))

    assert client(raw_server(handler).url).send(Request("GET", "/"), 20).status == 200


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_compressed_response_is_a_protocol_failure(raw_server, encoding):
    """It was not requested, and a megabyte may expand to a gigabyte."""
    server = raw_server([response(200, b"not compressed", f"Content-Encoding: {encoding}")])
    assert client(server.url).send(Request("GET", "/"), 5).kind == "protocol"
    assert b"accept-encoding: identity" in server.seen[0].lower()


def test_a_closed_port_and_an_unknown_name_are_told_apart(unused_port):
    """The reserved top-level domain .invalid never resolves (RFC 2606)."""
    assert client(f"http://127.0.0.1:{unused_port}").send(Request("GET", "/"), 5).kind == "refused"
    failure = client("http://nowhere.invalid").send(Request("GET", "/"), 5)
    assert failure.kind == "dns"
    assert not failure.detail.startswith("[Errno")  # the system's reason, without its number


@pytest.mark.parametrize(
    ("error", "detail"),
    [(OSError(101, "Network is unreachable"), "[Errno 101] Network is unreachable"), (OSError(), "ConnectError")],
)
def test_an_unreachable_network_is_a_failure_to_connect(monkeypatch, error, detail):
    """The detail is the system's reason; without one, httpx's name for it."""

    def fail(*_args, **_kwargs):
        raise error

    monkeypatch.setattr(socket, "create_connection", fail)
    failure = client("http://127.0.0.1:9").send(Request("GET", "/"), 5)
    assert (failure.kind, failure.detail) == ("connect", detail)


def test_an_endless_response_is_cut(raw_server, monkeypatch):
    """The limit protects the memory, and reading ends there."""

    def handler(connection, seen, stop):
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 X\r\nContent-Length: 1000000000000\r\n\r\n")
        while True:  # until the client closes the connection
            connection.sendall(b"x" * 100)

    monkeypatch.setattr("nemo_jobs_cli.transport.connection.MAX_RESPONSE_BYTES", 1000)
    answer = client(raw_server(handler).url).send(Request("GET", "/"), 20)
    assert len(answer.body) <= 1000
    whole = client(raw_server([response(200, "x" * 1000)]).url).send(Request("GET", "/"), 20)
    assert len(whole.body) == 1000


def test_a_bug_in_the_thread_reaches_the_caller(monkeypatch):
    """Exceptions of the worker thread are raised again."""
    monkeypatch.setattr("nemo_jobs_cli.transport._httpx_import.import_httpx", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        client("http://127.0.0.1:9").send(Request("GET", "/"), 5)


@pytest.fixture(scope="module")
def authority():
    """Return a new certificate authority."""
    return trustme.CA()


@pytest.fixture
def tls_server(raw_server, authority):
    """Return a function that serves TLS with a certificate for the given name."""

    def start(name="127.0.0.1"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name).configure_cert(context)
        server = raw_server([response(200)], wrap=lambda plain: context.wrap_socket(plain, server_side=True))
        server.url = server.url.replace("http:", "https:")
        return server

    return start


@pytest.fixture
def ca_file(authority, tmp_path):
    """Return the setting of a file with the authority's certificate."""
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return Sourced(str(path), "--ca-file")


def get(url, **more):
    """Send one request with a token."""
    return client(url, {"Authorization": "Bearer t"}, **more).send(Request("GET", "/"), 5)


def test_a_ca_file_is_trusted(tls_server, ca_file):
    """A company may have its own CA."""
    assert get(tls_server().url, ca_file=ca_file).status == 200


@pytest.mark.parametrize(("name", "trusts"), [("127.0.0.1", False), ("elsewhere.example", True)])
@pytest.mark.parametrize("tunnel", [False, True])
def test_no_request_is_sent_to_a_server_that_is_not_trusted(tls_server, ca_file, proxy, name, trusts, tunnel):
    """An unknown authority, a certificate for another name; also inside the tunnel of a proxy."""
    server = tls_server(name)
    through = Proxy(proxy.url, "HTTPS_PROXY") if tunnel else None
    failure = get(server.url, ca_file=ca_file if trusts else None, proxy=through)
    assert failure.kind == "tls"
    assert "certificate" in failure.detail
    assert not failure.detail.startswith("[SSL")  # OpenSSL's reason, without its error codes
    assert server.seen == []
    assert len(proxy.seen) == tunnel


def test_https_to_a_plain_http_port_is_a_tls_failure(raw_server):
    """A wrong scheme is not retried."""

    def plain(connection, seen, stop):
        connection.recv(65536)
        connection.sendall(response(400, "plain"))

    failure = get(raw_server(plain).url.replace("http:", "https:"))
    assert failure.kind == "tls"
    assert failure.detail


def test_without_system_certificates_the_bundled_ones_are_used(monkeypatch):
    """A slim container has no certificate store; certifi is a dependency of httpx."""
    monkeypatch.setenv("SSL_CERT_FILE", "/dev/null/none")  # as OpenSSL finds it there
    monkeypatch.setenv("SSL_CERT_DIR", "/dev/null/none")
    context = transport.tls_context(Settings(host=Sourced("https://x.example", "--host")))
    assert context.cert_store_stats()["x509_ca"] > 50


@pytest.mark.parametrize("source", ["the system", "--ca-file"])
def test_chosen_certificates_are_the_only_ones(authority, tmp_path, monkeypatch, source):
    """A company may have removed the others."""
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    monkeypatch.setenv("SSL_CERT_FILE", str(path) if source == "the system" else "/dev/null/none")
    monkeypatch.setenv("SSL_CERT_DIR", "/dev/null/none")
    ca_file = Sourced(str(path), source) if source == "--ca-file" else None
    context = transport.tls_context(Settings(host=Sourced("https://x.example", "--host"), ca_file=ca_file))
    assert context.cert_store_stats()["x509_ca"] == 1


@pytest.mark.parametrize(
    ("text", "key_log", "reason"),
    [
        ("nothing", None, "cannot use {ca} (NEMO_JOBS_CA_FILE): no certificate in it"),
        (None, None, "cannot use {ca} (NEMO_JOBS_CA_FILE): No such file or directory"),
        ("valid", "/dev/null/keys", "cannot use /dev/null/keys (SSLKEYLOGFILE): Not a directory"),
    ],
)
def test_a_file_that_tls_cannot_use_is_named_with_its_variable(authority, tmp_path, monkeypatch, text, key_log, reason):
    """Neither the server's TLS nor a proxy is to blame; for plain http, neither file is opened."""
    path = tmp_path / "ca.pem"
    if text is not None:
        path.write_bytes(authority.cert_pem.bytes() if text == "valid" else b"nothing")
    if key_log:
        monkeypatch.setenv("SSLKEYLOGFILE", key_log)
    ca_file = Sourced(str(path), "NEMO_JOBS_CA_FILE")
    failure = get("https://127.0.0.1:9", ca_file=ca_file)
    assert (failure.kind, failure.detail) == ("tls-settings", reason.format(ca=path))
    assert get("http://127.0.0.1:9", ca_file=ca_file).kind == "refused"


class ProxyHandler(http.server.BaseHTTPRequestHandler):
    """A forward proxy: absolute URLs and CONNECT tunnels, all of them to 127.0.0.1."""

    def log_message(self, *args):
        """Log nothing."""

    def do_GET(self):
        """Respond without forwarding the request."""
        self.server.seen.append(self.requestline)
        self.wfile.write(self.server.response)

    def do_CONNECT(self):
        """Connect the client with the target."""
        self.server.seen.append(self.requestline)
        if self.server.refuse:
            self.send_error(403)
            return
        assert self.headers["Host"] == self.path
        with socket.create_connection(("127.0.0.1", int(self.path.rpartition(":")[2]))) as target:
            self.send_response(200)
            self.end_headers()
            pair = [self.connection, target]
            while True:
                ready, _, _ = select.select(pair, [], [], 5)
                if not ready:
                    return
                for one in ready:
                    data = one.recv(65536)
                    if not data:
                        return
                    pair[one is self.connection].sendall(data)


@pytest.fixture
def proxy():
    """Return a running forward proxy."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), ProxyHandler)
    server.seen = []
    server.refuse = False
    server.response = response(200)
    server.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_a_request_goes_through_the_proxy(proxy):
    """The proxy looks the host up."""
    assert get("http://platform.invalid/apis", proxy=Proxy(proxy.url, "http_proxy")).status == 200
    assert proxy.seen == ["GET http://platform.invalid/apis/ HTTP/1.1"]


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "nmp.example"])
def test_https_goes_through_a_tunnel_and_is_still_verified(proxy, tls_server, ca_file, host):
    """The CA file is used inside the tunnel; an IPv6 address has brackets in CONNECT (RFC 9110, section 9.3.6)."""
    server = tls_server(host.strip("[]"))
    url = f"https://{host}:{server.port}"
    assert get(url, ca_file=ca_file, proxy=Proxy(proxy.url, "https_proxy")).status == 200
    assert proxy.seen == [f"CONNECT {host}:{server.port} HTTP/1.1"]


def test_a_proxy_may_use_tls_itself(tls_server, ca_file):
    """Its certificate is verified with the same CA file."""
    through = Proxy(tls_server().url, "http_proxy")
    assert get("http://platform.invalid", ca_file=ca_file, proxy=through).status == 200
    assert get("http://platform.invalid", proxy=through).kind == "tls"


@pytest.mark.parametrize(
    ("opens", "detail"),
    [(False, "the proxy did not respond"), (True, "connected, but the request could not be sent")],
)
def test_the_request_for_a_tunnel_is_not_the_request(raw_server, monkeypatch, opens, detail):
    """Nothing of an update has been sent before the TLS handshake in the tunnel."""
    reached = threading.Event()

    def handler(connection, seen, stop):
        read_request(connection)
        if opens:
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            connection.recv(1)  # of the TLS handshake
        reached.set()
        stop.wait()

    monkeypatch.setattr(clock, "wait_until", lambda wait, limit: not reached.wait(60))
    through = Proxy(raw_server(handler).url, "https_proxy")
    failure = client("https://platform.invalid", proxy=through).send(Request("PATCH", "/x", body=b"{}"), 60)
    assert (failure.kind, failure.detail, failure.is_sent) == ("timeout", detail, False)


def test_a_proxy_that_refuses_is_a_proxy_failure(proxy):
    """Its 403 is not the platform's."""
    proxy.refuse = True
    failure = get("https://platform.invalid", proxy=Proxy(proxy.url, "https_proxy"))
    assert (failure.kind, failure.detail) == ("proxy", "403 Forbidden")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://user:s3cret/x@proxy:80", "invalid proxy URL in http_proxy"),
        ("socks9://s3cret@proxy", "invalid proxy URL in http_proxy"),
        ("http://user:s3cret@proxy:port", "invalid proxy URL in http_proxy"),
        (
            "socks5://user:s3cret@proxy:1080",
            "cannot use the SOCKS proxy of http_proxy: the package socksio is not installed",
        ),
    ],
)
def test_an_unusable_proxy_is_named_by_its_variable(url, reason, monkeypatch):
    """Its URL may have a password and is not quoted."""
    monkeypatch.setitem(sys.modules, "socksio", None)
    failure = get("http://platform.invalid", proxy=Proxy(url, "http_proxy"))
    assert failure.kind == "proxy-settings"
    assert reason in failure.detail
    assert "s3cret" not in failure.detail


@pytest.mark.parametrize("location", ["http://[", "http://a\x07b/", "\xff", "", "/elsewhere"])
def test_a_redirect_to_an_invalid_location_is_a_response(raw_server, proxy, location):
    """The location is only shown, with and without a proxy."""
    text = f"Location: {location}"
    proxy.response = response(307, "", text).replace(text.encode(), text.encode("latin-1"))
    for answer in (
        get(raw_server([proxy.response]).url),
        get("http://h.invalid", proxy=Proxy(proxy.url, "http_proxy")),
    ):
        assert isinstance(answer, Response)
        assert (answer.status, answer.headers["location"]) == (307, location)


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://nmp.example.com/prefix", ("nmp.example.com", 443)),
        ("HTTP://NMP.example.com", ("nmp.example.com", 80)),
        ("http://[::1]:8080", ("::1", 8080)),
        ("https://bücher.example:1", ("xn--bcher-kva.example", 1)),
    ],
)
def test_a_host_is_looked_up_as_a_request_would(url, target):
    """It has no brackets, is ASCII, and has the scheme's default port."""
    assert transport.host_and_port(Settings(host=Sourced(url, "--host"))) == target


def test_a_dripping_response_on_an_open_connection_is_cut_off(raw_server):
    """Each byte restarts the timeout of a socket; the next attempt gets a new connection."""

    def handler(connection, seen, stop):
        seen.append(read_request(connection))
        connection.sendall(KEPT_ALIVE % 1)
        if len(seen) == 1:
            seen.append(read_request(connection))
            while not stop.wait(0.05):
                connection.sendall(b"H")

    server = raw_server(handler)
    sender = client(server.url)
    assert sender.send(Request("GET", "/a"), 20).body == b"1"
    failure = sender.send(Request("GET", "/b"), 0.4)
    assert (failure.kind, failure.detail) == ("timeout", "the request was sent, no response came")
    assert sender.send(Request("GET", "/c"), 20).body == b"1"
    assert [request.split()[1] for request in server.seen] == [b"/a", b"/b", b"/c"]
    sender.close()


@pytest.mark.parametrize("proxied", [False, True])
@pytest.mark.parametrize("late", [False, True])
def test_a_second_response_is_not_taken_for_that_of_the_next_request(raw_server, late, proxied):
    """A server or proxy may send one twice; else all later ones of `apply` would be shifted by one."""
    go, sent = threading.Event(), threading.Event()

    def handler(connection, seen, stop):
        while request := read_request(connection):
            seen.append(request)
            reply = KEPT_ALIVE % len(seen)
            connection.sendall(reply if late else reply * 2)
            if late:
                go.wait(20)
                connection.sendall(reply)
                sent.set()

    server = raw_server(handler)
    proxy = Proxy(server.url, "http_proxy") if proxied else None
    sender = client("http://h.invalid" if proxied else server.url, proxy=proxy)
    for number in (b"1", b"2", b"3"):
        assert sender.send(Request("GET", "/"), 20).body == number
        if late:
            go.set()
            assert sent.wait(20)
            go.clear()
            sent.clear()
    sender.close()


def test_a_connection_that_the_server_has_closed_is_not_used_again(raw_server):
    """It costs no failed attempt."""
    closed = threading.Event()

    def handler(connection, seen, stop):
        seen.append(read_request(connection))
        connection.sendall(KEPT_ALIVE % len(seen))
        connection.close()
        closed.set()

    sender = client(raw_server(handler).url)
    assert sender.send(Request("GET", "/a"), 20).body == b"1"
    assert closed.wait(20)
    assert sender.send(Request("GET", "/b"), 20).body == b"2"
    sender.close()


@pytest.mark.parametrize("before", [0, 1, 3])
def test_a_response_that_a_signal_cut_off_is_not_taken_for_the_next_one(raw_server, before):
    """On the first and on later requests of a connection: else a lost update would count as delivered."""
    go = threading.Event()

    def handler(connection, seen, stop):
        while request := read_request(connection):
            seen.append(request)
            if b"/cut" in request:
                signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
                go.wait(20)
            connection.sendall(KEPT_ALIVE % (2 if b"/cut" in request else 1))

    class StopError(BaseException):
        """Raised by the signal handler."""

    def stop(*_):
        raise StopError

    sender = client(raw_server(handler).url)
    old = signal.signal(signal.SIGUSR1, stop)
    try:
        for _ in range(before):
            assert sender.send(Request("GET", "/a"), 20).body == b"1"
        with pytest.raises(StopError):
            sender.send(Request("GET", "/cut"), 20)
    finally:
        signal.signal(signal.SIGUSR1, old)
    go.set()
    assert sender.send(Request("GET", "/next"), 20).body == b"1"
    sender.close()
