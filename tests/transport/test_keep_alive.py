"""Connections that are kept open between requests: used again, unless a response may be left in them."""

from __future__ import annotations

import signal
import threading
import time

import pytest
from raw import read_request

from nemo_jobs_cli.settings.model import Settings, Sourced
from nemo_jobs_cli.transport.client import Client
from nemo_jobs_cli.transport.messages import Request

KEPT_ALIVE = b"HTTP/1.1 200 X\r\nContent-Type: application/json\r\nContent-Length: 1\r\n\r\n%d"


def client(url):
    """Return a client of a server."""
    return Client(Settings(host=Sourced(url, "--host")), {})


def test_a_dripping_response_on_an_open_connection_is_cut_off(raw_server):
    """Each byte restarts the timeout of a socket; the next attempt gets a new connection."""

    def handler(connection, seen, stop):
        seen.append(read_request(connection))
        connection.sendall(KEPT_ALIVE % 1)
        if len(seen) == 1:
            seen.append(read_request(connection))
            for byte in KEPT_ALIVE * 10:
                connection.sendall(bytes([byte]))
                if stop.wait(0.05):
                    return

    server = raw_server(handler)
    sender = client(server.url)
    assert sender.send(Request("GET", "/a"), 20).body == b"1"
    started = time.monotonic()
    failure = sender.send(Request("GET", "/b"), 0.4)
    assert (failure.kind, failure.detail) == ("timeout", "the request was sent, no response came")
    assert 0.3 < time.monotonic() - started < 2
    assert sender.send(Request("GET", "/c"), 20).body == b"1"
    assert [request.split()[1] for request in server.seen] == [b"/a", b"/b", b"/c"]
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
