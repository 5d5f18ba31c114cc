"""The way to the platform, the platform, and what one may do there: over real sockets."""

from __future__ import annotations

import base64
import json
import ssl
import time
from email.utils import formatdate

import pytest
import trustme
from raw import read_request, response

from nemo_jobs_cli.doctor import checkup, remote
from nemo_jobs_cli.sandbox import server as sandbox
from nemo_jobs_cli.settings.model import Flags

NOT_FOUND = response(404, '{"detail":"Not Found"}')


def jwt(ends):
    """Return a token that ends then."""
    claims = base64.urlsafe_b64encode(json.dumps({"exp": ends}).encode()).rstrip(b"=").decode()
    return f"e30.{claims}.x"


@pytest.fixture
def begin(tmp_path):
    """Return a function that begins a case whose token is open."""

    def make(url, *, auth=None, deadline="10", **variables):
        case = checkup.begin(Flags(host=url, deadline=deadline), {"HOME": str(tmp_path), **variables}, time.monotonic())
        case.auth = {} if auth is None else {"Authorization": f"Bearer {auth}"}
        return case

    return make


@pytest.fixture
def serve():
    """Return a function that starts a sandbox."""
    running = []

    def start(**options):
        server = sandbox.start(sandbox.Options(**options))
        running.append(server)
        return server

    yield start
    for server in running:
        sandbox.stop(server)


def levels(found):
    """Return the names and levels of lines."""
    return {one.name: one.level for one in found}


def test_a_way_that_is_open(begin, serve):
    """Each stage with its time."""
    found = list(remote.way(begin(serve().url)))
    assert levels(found) == {"dns": "ok", "tcp": "ok", "tls": "skip"}
    assert found[0].says == "127.0.0.1 is an address"
    assert found[1].facts["ms"] >= 0


def test_a_name_is_told_with_its_addresses(begin, serve):
    """They may be the wrong ones."""
    found = next(remote.way(begin(serve().url.replace("127.0.0.1", "localhost"))))
    assert "127.0.0.1" in found.facts["addresses"]
    assert found.says.startswith("localhost is ")


def test_the_stages_after_a_failure_are_skipped(begin):
    """One failure, not four; and nothing further is asked."""
    case = begin("http://nowhere.invalid")
    found = list(remote.way(case))
    assert levels(found) == {"dns": "fail", "tcp": "skip", "tls": "skip"}
    assert (found[0].code, found[1].says, case.stopped) == (7, "as dns failed", "as dns failed")
    assert levels(remote.answer(case)) == dict.fromkeys(remote.ANSWER, "skip")
    assert levels(remote.may(case)) == {"read": "skip", "write": "skip"}


def test_an_unset_host_that_refuses_is_a_matter_of_settings(tmp_path, monkeypatch):
    """Exit code 3, as with an update."""
    monkeypatch.setattr("nemo_jobs_cli.settings.resolve.DEFAULT_HOST", "http://127.0.0.1:9")
    found = list(remote.way(checkup.begin(Flags(), {"HOME": str(tmp_path)}, time.monotonic())))
    assert (found[1].name, found[1].level, found[1].code) == ("tcp", "fail", 3)
    assert "no host is set" in found[1].says


def test_a_certificate_nobody_vouches_for_fails(begin, raw_server):
    """Exit code 3, and the CA file is the fix."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    server = raw_server([response(200)], wrap=lambda plain: context.wrap_socket(plain, server_side=True))
    found = list(remote.way(begin(server.url.replace("http:", "https:"))))
    assert (found[2].name, found[2].level, found[2].code, "--ca-file" in found[2].fix) == ("tls", "fail", 3, True)


def test_a_port_of_plain_http_is_asked_about_first(begin, raw_server):
    """No CA file makes TLS of it."""

    def plain(connection, seen, stop):
        connection.recv(65536)
        connection.sendall(response(400))

    found = list(remote.way(begin(raw_server(plain).url.replace("http:", "https:"))))
    assert (found[2].level, found[2].fix.startswith("is the host plain http://?")) == ("fail", True)


def test_a_certificate_is_told_with_its_end(begin, raw_server, tmp_path):
    """With the CA file that requests use."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server = raw_server([response(200)], wrap=lambda plain: context.wrap_socket(plain, server_side=True))
    case = begin(server.url.replace("http:", "https:"), NEMO_JOBS_CA_FILE=str(tmp_path / "ca.pem"))
    found = list(remote.way(case))
    assert (found[2].level, "certificate until" in found[2].says) == ("ok", True)


def test_a_dead_address_before_a_live_one_is_warned_of(begin, serve, monkeypatch):
    """Each call pays for it."""
    line = remote.probe.Line(remote.probe.socket.socket(), "10.0.0.2", 3.0, ("10.0.0.1",))
    monkeypatch.setattr(remote.probe, "connect", lambda *_: line)
    found = list(remote.way(begin(serve().url)))
    assert (found[1].level, "10.0.0.1, which each call tries first" in found[1].says) == ("warn", True)


def test_a_proxy_goes_the_way_in_our_place(begin, monkeypatch):
    """It is named by its variable alone: its URL may hold a password."""
    monkeypatch.setenv("https_proxy", "http://me:s3cret@proxy.invalid:1")
    found = list(remote.way(begin("https://nmp.example.com", https_proxy="http://me:s3cret@proxy.invalid:1")))
    assert levels(found) == {"dns": "skip", "tcp": "skip", "tls": "skip"}
    assert found[0].says == "through a proxy (https_proxy)"


def test_a_dead_proxy_is_found_by_the_first_request(begin, monkeypatch):
    """And named as what it is; no password shows."""
    monkeypatch.setenv("http_proxy", "http://me:s3cret@127.0.0.1:9")
    case = begin("http://nmp.example.com", http_proxy="http://me:s3cret@127.0.0.1:9")
    found = list(remote.answer(case))
    assert (found[0].name, found[0].level, found[0].code) == ("http", "fail", 7)
    assert "s3cret" not in str(found)


@pytest.mark.parametrize("auth", [False, True])
def test_the_platform_tells_anybody_what_it_is(begin, serve, auth):
    """No token is needed, and none is sent."""
    case = begin(serve(auth=auth).url, auth="s3cret")
    found = list(remote.answer(case))
    assert levels(found) == {"http": "ok", "clock": "ok", "auth": "ok", "version": "ok"}
    assert found[3].says == "NeMo Platform 0.6.0 (revision nemo-jobs-sandbox)"
    assert case.asks is auth


def test_no_token_goes_to_a_server_before_it_is_needed(begin, raw_server):
    """What anybody may ask, nobody asks."""
    server = raw_server([NOT_FOUND])
    list(remote.answer(begin(server.url, auth="s3cret")))
    assert len(server.seen) == 2
    assert not any(b"s3cret" in request for request in server.seen)


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (response(200, "<title>Router</title>", kind="text/html"), 3, "'Router'"),
        (response(302, "", "Location: https://sso/"), 3, "redirects to https://sso/"),
        (response(503, "{}"), 7, "could not serve"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", 7, "does not speak HTTP"),
        (b"", 7, "broke"),
    ],
)
def test_a_first_answer_that_leaves_nothing_to_ask(begin, raw_server, answer, code, words):
    """Something else than the platform, or one that can't serve: the rest is skipped."""
    case = begin(raw_server([answer]).url)
    found = list(remote.answer(case))
    assert (found[0].level, found[0].code, words in found[0].says) == ("fail", code, True)
    assert levels(found[1:]) == {"clock": "skip", "auth": "skip", "version": "skip"}
    assert case.stopped == "as http failed"


def test_a_server_without_discovery_may_be_one(begin, raw_server):
    """A gateway may pass the jobs' routes alone: these decide."""
    case = begin(raw_server([NOT_FOUND]).url)
    assert levels(remote.answer(case)) == {"http": "ok", "clock": "skip", "auth": "skip", "version": "skip"}
    assert (case.stopped, case.asks) == ("", None)
    found = list(remote.may(case))
    assert (found[0].name, found[0].code, "has no jobs API" in found[0].says) == ("read", 3, True)


def test_an_answer_that_does_not_come_ends_with_the_deadline(begin, raw_server):
    """One that drips, too; nothing is tried twice."""

    def drip(connection, seen, stop):
        seen.append(read_request(connection))
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while not stop.wait(0.02):
            connection.sendall(b"x")

    server = raw_server(drip)
    began = time.monotonic()
    found = list(remote.answer(begin(server.url, deadline="0.3")))
    assert (found[0].level, found[0].code, time.monotonic() - began < 50) == ("fail", 7, True)
    assert len(server.seen) <= 1


def test_a_clock_that_is_wrong_is_warned_of_and_counted_with(begin, raw_server):
    """A token that has expired by our clock may hold by the server's, which judges it."""
    date = f"Date: {formatdate(time.time() - 3 * 3600, usegmt=True)}"
    case = begin(raw_server([response(200, '{"auth_enabled":true}', date)]).url, NEMO_JOBS_TOKEN="t")
    case.auth = {"Authorization": f"Bearer {jwt(time.time() - 60)}"}
    assert {one.name: one.level for one in remote.answer(case)}["clock"] == "warn"
    assert 10_000 < case.skew < 11_000
    assert next(remote.expiry(case)).level == "ok"


@pytest.mark.parametrize(
    ("ends", "asks", "level", "barred"),
    [
        (+7200, True, "ok", ""),
        (+600, True, "warn", ""),
        (-60, True, "fail", "as expiry failed"),
        (-60, None, "fail", "as expiry failed"),
        (-60, False, "warn", ""),
    ],
)
def test_a_tokens_end_is_told(begin, ends, asks, level, barred):
    """One that has expired is not sent where it would only be refused."""
    case = begin("https://h", auth=jwt(time.time() + ends), NEMO_JOBS_TOKEN="t")
    case.asks = asks
    made = next(remote.expiry(case))
    assert (made.level, case.barred) == (level, barred)
    assert level == "ok" or "NEMO_JOBS_TOKEN" in made.fix


def test_what_has_no_end_is_skipped(begin):
    """Nobody, a principal, a token that could not be opened."""
    (made,) = remote.expiry(begin("https://h"))
    assert made.says == "no token"
    case = begin("https://h")
    case.auth, case.barred = None, "as token is not known"
    (made,) = remote.expiry(case)
    assert made.says == "as token is not known"
    principal = begin("https://h", NMP_BASE_URL="https://h", NMP_PRINCIPAL='{"id":"me"}')
    assert next(remote.expiry(principal)).says == "a principal does not end"
    case = begin("https://h", NEMO_JOBS_TOKEN="t")
    case.auth, case.barred = None, "as token failed"
    assert next(remote.expiry(case)).says == "as token failed"


def test_a_workload_that_is_not_exchanged_fails_once(begin, serve, tmp_path):
    """And what needs its token is skipped."""
    identity = tmp_path / "identity"
    identity.write_text("s3cret")
    url = serve().url
    case = begin(url, NMP_BASE_URL=url, NMP_WORKLOAD_IDENTITY_TOKEN_FILE=str(identity))
    case.auth = None
    made = next(remote.expiry(case))
    assert (made.level, made.code, case.barred) == ("fail", 3, "as expiry failed")
    assert levels(remote.may(case)) == {"read": "skip", "write": "skip"}


def test_what_one_may_is_found_out_without_a_trace(begin, serve):
    """Not even a sandbox, where a name is enough, has a job more."""
    server = serve(jobs=("train-x",))
    found = list(remote.may(begin(server.url, NEMO_JOBS_JOB="train-x")))
    assert levels(found) == {"read": "ok", "write": "ok", "exists": "ok"}
    assert [one.version for one in server.jobs.values()] == [1]
    assert [name for _, name in server.jobs] == ["train-x"]


@pytest.mark.parametrize(
    ("options", "auth", "job", "told"),
    [
        ({"auth": True}, "sandbox", None, {"read": ("ok", 0), "write": ("ok", 0)}),
        ({"auth": True}, "wrong", None, {"read": ("fail", 4), "write": ("skip", 0)}),
        ({"auth": True}, None, "train-x", {"read": ("fail", 4), "write": ("skip", 0), "exists": ("skip", 0)}),
        ({"strict": True}, None, "train-y", {"read": ("ok", 0), "write": ("ok", 0), "exists": ("fail", 5)}),
        ({"strict": True}, None, "Train Y", {"read": ("ok", 0), "write": ("ok", 0), "exists": ("skip", 0)}),
    ],
)
def test_one_trouble_fails_once(begin, serve, options, auth, job, told):
    """With the code of an update; what hangs on it is skipped."""
    more = {} if job is None else {"NEMO_JOBS_JOB": job}
    found = remote.may(begin(serve(**options).url, auth=auth, **more))
    assert {one.name: (one.level, one.code) for one in found} == told


def test_reading_and_writing_are_two_permissions(begin, raw_server):
    """Who may not read may still write."""

    def answer(connection, seen, stop):
        request = read_request(connection)
        seen.append(request)
        forbidden = request.startswith(b"GET")
        said = '{"detail":"Forbidden"}' if forbidden else "{\"detail\":\"Entity 'x' not found in workspace 'default'\"}"
        connection.sendall(response(403 if forbidden else 404, said))

    found = remote.may(begin(raw_server(answer).url, NEMO_JOBS_JOB="train-x"))
    assert levels(found) == {"read": "fail", "write": "ok", "exists": "skip"}
