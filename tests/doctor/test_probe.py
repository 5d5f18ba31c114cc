"""The stages of a connection, over real sockets: each ends within its limit."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from types import SimpleNamespace

import pytest
import trustme

from nemo_jobs_cli.doctor import _probe
from nemo_jobs_cli.doctor._probe import Handshake
from nemo_jobs_cli.settings.model import Settings, Sourced
from nemo_jobs_cli.transport.messages import Failure

FAMILY = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")


def settings(**more):
    """Return settings for an https host."""
    return Settings(host=Sourced("https://127.0.0.1", "--host"), **more)


@pytest.fixture(scope="module")
def authority():
    """Return a certificate authority."""
    return trustme.CA()


@pytest.fixture
def trusting(authority, tmp_path):
    """Return settings that trust the authority."""
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return settings(ca_file=Sourced(str(path), "--ca-file"))


@pytest.fixture
def connect(raw_server):
    """Return a function that starts a server and connects to it."""
    with contextlib.ExitStack() as stack:

        def connect(handler, wrap=None):
            server = raw_server(handler, wrap=wrap)
            return stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))

        yield connect


def wrap_in_tls(authority, name="127.0.0.1"):
    """Return a function that wraps a server's connection in TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return lambda plain: context.wrap_socket(plain, server_side=True)


def silent(connection, seen, stop):
    """Never respond."""
    stop.wait(60)


@pytest.mark.parametrize("name", ["nowhere.invalid", "a" * 64 + ".example"])
def test_an_unknown_or_invalid_name_is_a_failure(monkeypatch, name):
    """From the resolver or from Python."""
    real = socket.getaddrinfo

    def refuse(host, *words, **more):  # a real network may take a minute for it
        if host == "nowhere.invalid":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real(host, *words, **more)

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    result = _probe.look_up(name, 80, 30)
    assert isinstance(result, Failure)
    assert result.kind == "dns"


def test_the_next_address_is_tried(raw_server):
    """At once after a refusal."""
    server = raw_server(silent)
    closed = ("127.0.0.2", server.port)
    result = _probe.connect([(*FAMILY, closed), (*FAMILY, ("127.0.0.1", server.port))], 5)
    assert (result.address, result.unanswered) == ("127.0.0.1", ())
    result.socket.close()


@pytest.fixture
def blackhole():
    """Return an address that never responds: its backlog is full."""
    with socket.socket() as listener, contextlib.ExitStack() as waiting:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(8):
            plug = waiting.enter_context(socket.socket())
            plug.setblocking(False)
            plug.connect_ex(listener.getsockname())
        yield listener.getsockname()


def test_a_dead_address_takes_only_its_share_of_the_time(blackhole, raw_server):
    """The next one gets the rest."""
    server = raw_server(silent)
    addresses = [(*FAMILY, blackhole), (*FAMILY, ("127.0.0.1", server.port))]
    result, seconds = _probe.timed(lambda: _probe.connect(addresses, 4.0))
    assert (result.address, result.unanswered) == ("127.0.0.1", ("127.0.0.1",))
    assert seconds >= 1.9
    result.socket.close()


def test_each_of_several_addresses_gets_its_share(monkeypatch):
    """The last one gets all that is left."""
    shares, taken = [], [0.0]

    class Plug:
        def __init__(self, *_):
            self.settimeout = shares.append

        def connect(self, where):
            taken.append(where[0])
            raise TimeoutError

        def close(self):
            shares.append("closed")

    monkeypatch.setattr(_probe, "time", SimpleNamespace(monotonic=lambda: 100 + sum(taken)))
    monkeypatch.setattr(_probe, "socket", SimpleNamespace(socket=Plug))
    addresses = [(*FAMILY, (seconds,)) for seconds in (2.0, 1.5, 0.5)]
    result, seconds = _probe.timed(lambda: _probe.connect(addresses, 6.0))
    assert (result.kind, seconds) == ("timeout", 4.0)
    assert shares == [2.0, "closed", 2.0, "closed", 2.5, "closed"]


def test_an_unsupported_address_family_is_a_failure():
    """Not a traceback."""
    assert _probe.connect([(12345, socket.SOCK_STREAM, 0, "", ("x", 1))], 5).kind == "connect"
    assert _probe.connect([], 5).kind == "timeout"


def test_the_timeout_of_the_connection_does_not_limit_the_handshake(connect, authority, trusting):
    """It has a limit of its own."""
    secured, slowly = wrap_in_tls(authority), threading.Event()

    def late(plain):
        slowly.wait(0.1)
        return secured(plain)

    plain = connect(silent, wrap=late)
    plain.settimeout(0.01)
    assert isinstance(_probe.shake_hands(plain, "127.0.0.1", trusting, 10), Handshake)


@pytest.mark.parametrize(
    ("name", "trusts", "text"),
    [
        ("127.0.0.1", False, "unable to get local issuer certificate"),
        ("elsewhere.example", True, "IP address mismatch"),
    ],
)
def test_an_invalid_certificate_is_a_failure(connect, authority, trusting, name, trusts, text):
    """An unknown authority, or another name."""
    plain = connect(silent, wrap=wrap_in_tls(authority, name))
    result = _probe.shake_hands(plain, "127.0.0.1", trusting if trusts else settings(), 10)
    assert (result.kind, text in result.detail) == ("tls", True)


def test_a_slow_handshake_is_shut_down(connect):
    """Each byte would restart a socket's timeout."""
    cut = threading.Event()

    def drip(connection, seen, stop):
        connection.sendall(b"\x16\x03\x03\x40\x00")  # a record of 16 KiB follows
        try:
            while not stop.wait(0.02):
                connection.sendall(b"\0")
        except OSError:
            cut.set()

    assert _probe.shake_hands(connect(drip), "127.0.0.1", settings(), 0.2).kind == "timeout"
    assert cut.wait(60)


@pytest.mark.parametrize(
    ("reply", "kind"), [(b"HTTP/1.1 400 X\r\n\r\n", "tls"), (b"", "reset")], ids=["plain http", "hangs up"]
)
def test_a_server_without_tls_is_a_failure(connect, reply, kind):
    """Plain HTTP is a settings error; a closed connection may be temporary."""

    def reply_once(connection, seen, stop):
        connection.recv(65536)
        connection.sendall(reply)

    assert _probe.shake_hands(connect(reply_once), "127.0.0.1", settings(), 10).kind == kind
