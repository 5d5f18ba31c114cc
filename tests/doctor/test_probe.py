"""The way to a host, stage by stage, over real sockets: each ends in time, whatever is on the other side."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time

import pytest
import trustme

from nemo_jobs_cli.doctor import probe
from nemo_jobs_cli.doctor.probe import Handshake, Line, Lookup
from nemo_jobs_cli.settings.model import Settings, Sourced
from nemo_jobs_cli.transport.messages import Failure

FAMILY = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")


def settings(**more):
    """Return settings for an https host."""
    return Settings(host=Sourced("https://127.0.0.1", "--host"), **more)


@pytest.fixture(scope="module")
def authority():
    """Return a certificate authority of our own."""
    return trustme.CA()


@pytest.fixture
def trusting(authority, tmp_path):
    """Return settings that trust it."""
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return settings(ca_file=Sourced(str(path), "--ca-file"))


@pytest.fixture
def line(raw_server):
    """Return a function that starts a server and connects to it."""
    with contextlib.ExitStack() as stack:

        def open_line(handler, wrap=None):
            server = raw_server(handler, wrap=wrap)
            return stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))

        yield open_line


def speaking_tls(authority, name="127.0.0.1"):
    """Return what makes TLS of a server's connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return lambda plain: context.wrap_socket(plain, server_side=True)


def silent(connection, seen, stop):
    """Take everything, say nothing."""
    stop.wait(60)


def test_an_address_and_a_name_are_looked_up():
    """In the order in which they would be tried."""
    found = probe.look_up("127.0.0.1", 80, 5)
    assert isinstance(found, Lookup)
    assert found.shown == ["127.0.0.1"]
    assert "127.0.0.1" in probe.look_up("localhost", 80, 5).shown


@pytest.mark.parametrize("name", ["nowhere.invalid", "a" * 64 + ".example"])
def test_a_name_that_is_none_is_a_failure(monkeypatch, name):
    """Whether the network says so or Python."""
    real = socket.getaddrinfo

    def refuse(host, *words, **more):  # a real network may take a minute for it
        if host == "nowhere.invalid":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real(host, *words, **more)

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    found = probe.look_up(name, 80, 30)
    assert isinstance(found, Failure)
    assert found.kind == "dns"


def test_a_lookup_that_does_not_end_is_left_behind(monkeypatch):
    """Nothing can interrupt getaddrinfo."""
    end = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: end.wait(60))
    began = time.monotonic()
    found = probe.look_up("slow.example", 80, 0.05)
    assert (found.kind, time.monotonic() - began < 50) == ("timeout", True)
    end.set()


def test_a_connection_tells_its_address(raw_server):
    """And its time."""
    server = raw_server(silent)
    found = probe.connect([(*FAMILY, ("127.0.0.1", server.port))], 5)
    assert isinstance(found, Line)
    assert (found.address, found.unheard) == ("127.0.0.1", ())
    found.plug.close()


def test_the_next_address_is_tried(raw_server):
    """A refusal costs no time."""
    server = raw_server(silent)
    closed = ("127.0.0.2", server.port)
    found = probe.connect([(*FAMILY, closed), (*FAMILY, ("127.0.0.1", server.port))], 5)
    assert (found.address, found.unheard) == ("127.0.0.1", ())
    found.plug.close()


@pytest.fixture
def blackhole():
    """Give an address that takes packets and never answers: its queue of connections is full."""
    with socket.socket() as listener, contextlib.ExitStack() as waiting:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(8):
            plug = waiting.enter_context(socket.socket())
            plug.setblocking(False)
            plug.connect_ex(listener.getsockname())
        yield listener.getsockname()


def test_a_blackhole_takes_its_share_of_the_time(blackhole, raw_server):
    """An address behind it gets the rest, and the dead one is named."""
    server = raw_server(silent)
    found = probe.connect([(*FAMILY, blackhole), (*FAMILY, ("127.0.0.1", server.port))], 2.0)
    assert (found.address, found.unheard) == ("127.0.0.1", ("127.0.0.1",))
    assert found.seconds >= 0.9
    found.plug.close()


def test_of_several_addresses_each_may_take_its_share(monkeypatch):
    """The last one may take all that is left."""
    shares, now = [], iter([100.0, 100.0, 102.0, 103.5, 104.0])
    monkeypatch.setattr(probe.time, "monotonic", lambda: next(now))

    class Plug:
        def __init__(self, *_):
            self.settimeout = shares.append

        def connect(self, where):
            raise TimeoutError

        def close(self):
            shares.append("closed")

    monkeypatch.setattr(probe.socket, "socket", Plug)
    found = probe.connect([(*FAMILY, (name,)) for name in "abc"], 6.0)
    assert (found.kind, found.seconds) == ("timeout", 4.0)
    assert shares == [2.0, "closed", 2.0, "closed", 2.5, "closed"]


def test_a_blackhole_alone_is_a_timeout(blackhole):
    """It ends with the limit."""
    began = time.monotonic()
    found = probe.connect([(*FAMILY, blackhole)], 0.1)
    assert (found.kind, time.monotonic() - began < 50) == ("timeout", True)


def test_a_refusal_is_named():
    """Nothing listens there."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        where = listener.getsockname()
    assert probe.connect([(*FAMILY, where)], 5).kind == "refused"


def test_a_family_that_this_machine_lacks_is_a_failure():
    """And no traceback."""
    assert probe.connect([(12345, socket.SOCK_STREAM, 0, "", ("x", 1))], 5).kind == "connect"
    assert probe.connect([], 5).kind == "timeout"


def test_a_handshake_tells_the_version_and_the_certificates_end(line, authority, trusting):
    """With the trust that requests have."""
    plug = line(silent, wrap=speaking_tls(authority))
    found = probe.shake_hands(plug, "127.0.0.1", trusting, 10)
    assert isinstance(found, Handshake)
    assert found.version.startswith("TLSv1.")
    assert found.ends > time.time()


def test_the_time_that_connecting_had_does_not_bound_the_handshake(line, authority, trusting):
    """A server may be slow; its limit is that of the stage."""
    secured, slowly = speaking_tls(authority), threading.Event()

    def late(plain):
        slowly.wait(0.1)
        return secured(plain)

    plug = line(silent, wrap=late)
    plug.settimeout(0.01)
    assert isinstance(probe.shake_hands(plug, "127.0.0.1", trusting, 10), Handshake)


@pytest.mark.parametrize(
    ("name", "trusts", "says"),
    [
        ("127.0.0.1", False, "unable to get local issuer certificate"),
        ("elsewhere.example", True, "IP address mismatch"),
    ],
)
def test_a_certificate_that_proves_nothing_is_named(line, authority, trusting, name, trusts, says):
    """An unknown authority, or another's name."""
    plug = line(silent, wrap=speaking_tls(authority, name))
    found = probe.shake_hands(plug, "127.0.0.1", trusting if trusts else settings(), 10)
    assert (found.kind, says in found.detail) == ("tls", True)


def test_a_server_that_drips_is_cut_off(line):
    """Each byte would start a socket's timeout anew."""
    cut = threading.Event()

    def drip(connection, seen, stop):
        connection.sendall(b"\x16\x03\x03\x40\x00")  # a record of 16 KiB follows
        try:
            while not stop.wait(0.02):
                connection.sendall(b"\0")
        except OSError:
            cut.set()

    assert probe.shake_hands(line(drip), "127.0.0.1", settings(), 0.2).kind == "timeout"
    assert cut.wait(60)


@pytest.mark.parametrize(
    ("said", "kind"), [(b"HTTP/1.1 400 X\r\n\r\n", "tls"), (b"", "reset")], ids=["plain http", "hangs up"]
)
def test_what_is_no_tls_is_named(line, said, kind):
    """https:// to a port of http:// is a matter of settings; an end in mid-handshake may pass."""

    def other(connection, seen, stop):
        connection.recv(65536)
        connection.sendall(said)

    assert probe.shake_hands(line(other), "127.0.0.1", settings(), 10).kind == kind


def test_a_ca_file_without_a_certificate_is_named(line, tmp_path):
    """As a request names it."""
    path = tmp_path / "ca.pem"
    path.write_text("nothing")
    found = probe.shake_hands(line(silent), "127.0.0.1", settings(ca_file=Sourced(str(path), "--ca-file")), 10)
    assert found.kind == "proxy-settings"
