"""One request over real sockets: responses, failures, proxies, TLS, and the time limit."""

from __future__ import annotations

import http.server
import select
import socket
import ssl
import threading
import time

import pytest
import trustme
from raw import read_request, response

from nemo_jobs_cli.settings.model import Settings, Sourced
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
    assert sent["traceparent"].split("-")[1] == sender.trace_id


def test_a_user_header_replaces_a_default_but_never_the_credential(raw_server):
    """Case does not matter; a header that is given twice is sent twice."""
    server = raw_server([response(200)])
    headers = (("user-Agent", "me"), ("x-nmp-principal-id", "boss"), ("X-A", "1"), ("x-a", "2"))
    client(server.url, {"X-NMP-Principal-Id": "me"}, headers=headers).send(Request("PATCH", "/", body=b"{}"), 5)
    rows = server.seen[0].decode().split("\r\n")
    found = sorted(row.lower() for row in rows if row.lower().startswith(("user-agent", "x-")))
    assert found == ["user-agent: me", "x-a: 1", "x-a: 2", "x-nmp-principal-id: me"]


def test_a_header_may_hold_latin_1(raw_server):
    """RFC 9110 allows it; an e-mail address may have an accent."""
    server = raw_server([response(200)])
    assert (
        client(server.url, {"X-NMP-Principal-Email": "ren\xe9@x"}).send(Request("PATCH", "/", body=b"{}"), 5).status
        == 200
    )
    assert b"ren\xe9@x" in server.seen[0]


def test_a_redirect_is_not_followed(raw_server):
    """Otherwise a server could send the token to another host."""
    other = raw_server([response(200)])
    server = raw_server([response(307, "", f"Location: {other.url}/")])
    answer = client(server.url, {"Authorization": "Bearer t"}).send(Request("PATCH", "/x", body=b"{}"), 5)
    assert answer.status == 307
    assert answer.headers["location"] == f"{other.url}/"
    assert other.seen == []


def test_a_client_can_send_two_requests(raw_server):
    """A closed connection is replaced; closing twice is allowed."""
    server = raw_server([response(503, "{}"), response(200)])
    sender = client(server.url)
    assert [sender.send(Request("GET", "/"), 5).status for _ in range(2)] == [503, 200]
    sender.close()
    sender.close()


def drip(connection, seen, stop):
    """Send a byte of the response every 50 ms, without an end."""
    seen.append(read_request(connection))
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while not stop.wait(0.05):
        connection.sendall(b" ")


def never(connection, seen, stop):
    """Read the request and send no response."""
    seen.append(read_request(connection))
    stop.wait(30)


def unread(connection, seen, stop):
    """Do not read the request."""
    stop.wait(30)


@pytest.mark.parametrize(
    ("server", "detail"),
    [(drip, "the response started but did not end"), (never, "the request was sent, no response came")],
)
def test_the_limit_is_wall_clock_time(raw_server, server, detail):
    """Single bytes restart the timeout of a socket, not the limit."""
    began = time.monotonic()
    failure = client(raw_server(server).url).send(Request("PATCH", "/x", body=b"{}"), 0.4)
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.detail) == ("timeout", detail)
    assert time.monotonic() - began < 1.5


def test_the_limit_holds_while_a_body_is_sent(raw_server):
    """Writing blocks if the buffers of the other side are full."""
    failure = client(raw_server(unread).url).send(Request("PATCH", "/x", body=b"x" * 30_000_000), 0.4)
    assert (failure.kind, failure.detail) == ("timeout", "connected, but the request could not be sent")


def test_the_limit_holds_during_a_name_lookup(monkeypatch):
    """Getaddrinfo cannot be interrupted; its thread is abandoned."""
    stop = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: stop.wait(30) and [])
    began = time.monotonic()
    failure = client("http://slow.example").send(Request("GET", "/"), 0.3)
    stop.set()
    assert (failure.kind, failure.detail) == ("timeout", "no connection")
    assert time.monotonic() - began < 1.5


def test_after_a_timeout_the_next_request_uses_a_new_connection(raw_server):
    """The old one belongs to the abandoned thread."""
    handlers = iter([never, None])

    def handler(connection, seen, stop):
        hang = next(handlers)
        if hang is not None:
            hang(connection, seen, stop)
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


def test_a_compressed_response_is_a_protocol_failure(raw_server):
    """It was not requested, and a megabyte may expand to a gigabyte."""
    server = raw_server([response(200, b"not gzip", "Content-Encoding: gzip")])
    assert client(server.url).send(Request("GET", "/"), 5).kind == "protocol"
    assert b"accept-encoding: identity" in server.seen[0].lower()


def test_a_closed_port_is_refused():
    """It has a kind of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert client(f"http://127.0.0.1:{port}").send(Request("GET", "/"), 5).kind == "refused"


def test_an_unknown_name_is_a_failure_of_dns():
    """The reserved top-level domain .invalid never resolves (RFC 2606)."""
    assert client("http://nowhere.invalid").send(Request("GET", "/"), 5).kind == "dns"


def test_an_unreachable_network_is_a_failure_to_connect(monkeypatch):
    """The detail is the system's reason."""

    def fail(*_args, **_kwargs):
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(socket, "create_connection", fail)
    failure = client("http://127.0.0.1:9").send(Request("GET", "/"), 5)
    assert (failure.kind, "unreachable" in failure.detail) == ("connect", True)


def test_an_endless_response_is_cut(raw_server, monkeypatch):
    """The limit protects the memory."""
    monkeypatch.setattr("nemo_jobs_cli.transport.connection.MAX_RESPONSE_BYTES", 1000)
    answer = client(raw_server([response(200, "x" * 100_000)]).url).send(Request("GET", "/"), 5)
    assert len(answer.body) <= 1000


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
    """Return the path of the authority's certificate."""
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)


def test_a_ca_file_is_trusted(tls_server, ca_file):
    """A company may have its own CA."""
    answer = client(tls_server().url, ca_file=Sourced(ca_file, "--ca-file")).send(Request("GET", "/"), 5)
    assert answer.status == 200


def test_ssl_cert_file_is_honoured_by_the_system_store(tls_server, ca_file, monkeypatch):
    """OpenSSL's variable works without --ca-file."""
    monkeypatch.setenv("SSL_CERT_FILE", ca_file)
    assert client(tls_server().url).send(Request("GET", "/"), 5).status == 200


def test_an_unknown_authority_is_a_tls_failure(tls_server):
    """The request is not sent."""
    server = tls_server()
    failure = client(server.url, {"Authorization": "Bearer t"}).send(Request("GET", "/"), 5)
    assert failure.kind == "tls"
    assert server.seen == []


def test_a_certificate_for_another_name_is_a_tls_failure(tls_server, ca_file):
    """A trusted certificate is valid only for its name."""
    server = tls_server("elsewhere.example")
    failure = client(server.url, ca_file=Sourced(ca_file, "--ca-file")).send(Request("GET", "/"), 5)
    assert failure.kind == "tls"


def test_https_to_a_plain_http_port_is_a_tls_failure(raw_server):
    """A wrong scheme is not retried."""

    def plain(connection, seen, stop):
        connection.recv(65536)
        connection.sendall(response(400, "plain"))

    server = raw_server(plain)
    assert client(server.url.replace("http:", "https:")).send(Request("GET", "/"), 5).kind == "tls"


def test_without_system_certificates_the_bundled_ones_are_used(monkeypatch):
    """A slim container has no certificate store; certifi is a dependency of httpx."""
    from nemo_jobs_cli.transport import connection

    monkeypatch.setenv("SSL_CERT_FILE", "/nonexistent")
    monkeypatch.setenv("SSL_CERT_DIR", "/nonexistent")
    context = connection.tls_context(Settings(host=Sourced("https://x.example", "--host")))
    assert context.cert_store_stats()["x509_ca"] > 50


class Proxy(http.server.BaseHTTPRequestHandler):
    """A forward proxy: absolute URLs and CONNECT tunnels."""

    def log_message(self, *args):
        """Log nothing."""

    def do_GET(self):
        """Respond without forwarding the request."""
        self.server.seen.append(self.requestline)
        self.send_response(200)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"null")

    def do_CONNECT(self):
        """Connect the client with the target."""
        self.server.seen.append(self.requestline)
        if self.server.refuse:
            self.send_error(403)
            return
        host, _, port = self.path.partition(":")
        with socket.create_connection((host, int(port))) as target:
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
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    server.seen = []
    server.refuse = False
    server.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_a_request_goes_through_the_proxy_that_the_environment_names(proxy, monkeypatch):
    """The proxy looks the host up."""
    monkeypatch.setenv("http_proxy", proxy.url)
    answer = client("http://platform.invalid", proxies=True).send(Request("GET", "/apis/x"), 5)
    assert answer.status == 200
    assert proxy.seen == ["GET http://platform.invalid/apis/x HTTP/1.1"]


def test_https_goes_through_a_tunnel_and_is_still_verified(proxy, tls_server, ca_file, monkeypatch):
    """The CA file is used inside the tunnel."""
    server = tls_server()
    monkeypatch.setenv("https_proxy", proxy.url)
    monkeypatch.setenv("no_proxy", "")
    answer = client(server.url, proxies=True, ca_file=Sourced(ca_file, "--ca-file")).send(Request("GET", "/"), 5)
    assert answer.status == 200
    assert proxy.seen == [f"CONNECT 127.0.0.1:{server.port} HTTP/1.1"]


def test_no_proxy_exempts_a_host(proxy, raw_server, monkeypatch):
    """The request is sent directly."""
    server = raw_server([response(200)])
    monkeypatch.setenv("http_proxy", proxy.url)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert client(server.url, proxies=True).send(Request("GET", "/"), 5).status == 200
    assert proxy.seen == []


def test_a_proxy_that_refuses_is_a_proxy_failure(proxy, monkeypatch):
    """Its 403 is not the platform's."""
    proxy.refuse = True
    monkeypatch.setenv("https_proxy", proxy.url)
    failure = client("https://platform.invalid", proxies=True).send(Request("GET", "/"), 5)
    assert (failure.kind, failure.detail) == ("proxy", "403 Forbidden")


@pytest.mark.parametrize("value", ["http://user:s3cret/x@proxy:80", "socks9://proxy", "http://user:s3cret@proxy:port"])
def test_an_invalid_proxy_variable_is_not_quoted(value, monkeypatch):
    """A proxy's URL may have a password."""
    monkeypatch.setenv("http_proxy", value)
    failure = client("http://platform.invalid", proxies=True).send(Request("GET", "/"), 5)
    assert failure.kind == "proxy-settings"
    assert "s3cret" not in failure.detail


@pytest.mark.parametrize("location", ["http://[", "http://a\x07b/", "\xff", "", "/elsewhere"])
def test_a_redirect_to_an_invalid_location_is_a_response(raw_server, monkeypatch, location):
    """The location is only shown, with and without a proxy."""
    server = raw_server(
        [response(307, "", f"Location: {location}").replace(location.encode(), location.encode("latin-1"))]
    )
    monkeypatch.setenv("http_proxy", server.url)
    for sender in (client(server.url), client("http://h.invalid", proxies=True)):
        answer = sender.send(Request("GET", "/x"), 5)
        assert isinstance(answer, Response)
        assert (answer.status, answer.headers["location"]) == (307, location)
