"""Checks of the network, the server and the permissions, over real sockets."""

from __future__ import annotations

import base64
import json
import socket
import ssl
import time
from email.utils import formatdate

import pytest
import trustme
from raw import read_request, response

from nemo_jobs_cli.core import identifiers, names
from nemo_jobs_cli.delivery import deliver
from nemo_jobs_cli.doctor import _probe, remote
from nemo_jobs_cli.doctor.check import Diagnosis
from nemo_jobs_cli.settings.model import Flags
from nemo_jobs_cli.transport.client import Client

JOBS = "/apis/jobs/v2/workspaces/ws/jobs"


def refusal(status, detail):
    """Return an error response of the platform."""
    return response(status, json.dumps({"detail": detail}))


UNAUTHORISED, FORBIDDEN, NO_ROUTE = refusal(401, "Unauthorized"), refusal(403, "Forbidden"), refusal(404, "Not Found")
NO_JOB = refusal(404, "Entity 'nemo-jobs--doctor' not found in workspace 'ws'")
PAGE = response(200, '{"data":[],"pagination":{"total_results":12}}')


@pytest.fixture
def begin(diagnose):
    """Return a function that starts a diagnosis with a token that has been read."""

    def begin(url, *, token=None, deadline="10", workspace=None, **variables):
        diagnosis = diagnose(Flags(host=url, deadline=deadline, workspace=workspace), **variables)
        diagnosis.headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return diagnosis

    return begin


@pytest.fixture
def serve(start_sandbox):
    """Return a function that starts a sandbox."""
    return start_sandbox


def levels(checks):
    """Return the levels of results by name."""
    return {check.name: check.level for check in checks}


# --- the network ----------------------------------------------------------------------------------------------------


def test_a_reachable_host_passes_each_stage(begin, serve):
    """With the times, and the addresses of a host name."""
    named = next(remote.network(begin(serve().url.replace("127.0.0.1", "localhost"))))
    assert ("127.0.0.1" in named.facts["addresses"], named.message.startswith("localhost is ")) == (True, True)
    dns, tcp, tls = remote.network(begin(serve().url))
    assert (dns.level, tcp.level, tls.level) == ("ok", "ok", "skip")
    assert dns.message == "127.0.0.1 is an IP address"
    assert tcp.facts["ms"] >= 0


def test_the_stages_after_a_failure_are_skipped(begin):
    """One failure, and no further requests."""
    diagnosis = begin("http://nowhere.invalid")
    dns, tcp, tls = remote.network(diagnosis)
    assert (dns.level, tcp.level, tls.level) == ("fail", "skip", "skip")
    assert (dns.exit_code, tcp.message, diagnosis.host_blocked) == (7, "dns failed", "dns failed")
    assert levels(remote.server(diagnosis)) == dict.fromkeys(remote.SERVER_CHECKS, "skip")
    assert levels(remote.permissions(diagnosis)) == {"read": "skip", "write": "skip"}


def test_an_unset_host_that_refuses_is_a_settings_failure(tmp_path, monkeypatch):
    """Exit code 3, as for an update."""
    monkeypatch.setattr("nemo_jobs_cli.settings.resolve.DEFAULT_HOST", "http://127.0.0.1:9")
    _, tcp, _ = remote.network(Diagnosis.start(Flags(), {"HOME": str(tmp_path)}, time.monotonic()))
    assert (tcp.name, tcp.level, tcp.exit_code) == ("tcp", "fail", 3)


@pytest.mark.parametrize("trusted", [True, False])
def test_a_certificate_is_checked_as_for_requests(begin, raw_server, tmp_path, trusted):
    """With their CA file; an unknown authority fails with exit code 3."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server = raw_server([response(200)], wrap=lambda plain: context.wrap_socket(plain, server_side=True))
    variables = {"NEMO_JOBS_CA_FILE": str(tmp_path / "ca.pem")} if trusted else {}
    _, _, tls = remote.network(begin(server.url.replace("http:", "https:"), **variables))
    assert (tls.level, tls.exit_code) == (("ok", 0) if trusted else ("fail", 3))
    assert ("certificate valid until" in tls.message) is trusted
    assert ("--ca-file" in tls.fix) is not trusted


def test_plain_http_on_the_port_is_a_tls_failure(begin, raw_server):
    """The fix is the URL, not a CA file."""

    def plain(connection, seen, stop):
        connection.recv(65536)
        connection.sendall(response(400))

    _, _, tls = remote.network(begin(raw_server(plain).url.replace("http:", "https:")))
    assert (tls.level, "http://" in tls.fix.partition("--ca-file")[0]) == ("fail", True)


def test_a_dead_address_before_a_live_one_is_a_warning(begin, serve, monkeypatch):
    """Every request waits for it first."""
    connected = _probe.Connection(socket.socket(), "10.0.0.2", ("10.0.0.1",))
    monkeypatch.setattr(_probe, "connect", lambda *_: connected)
    _, tcp, _ = remote.network(begin(serve().url))
    assert (tcp.level, "every request first tries 10.0.0.1" in tcp.message) == ("warn", True)


def test_with_a_proxy_the_stages_are_skipped(begin):
    """Its variable is shown, not its URL, which may hold a password."""
    checks = list(remote.network(begin("https://nmp.example.com", https_proxy="http://me:s3cret@proxy.invalid:1")))
    assert levels(checks) == {"dns": "skip", "tcp": "skip", "tls": "skip"}
    assert checks[0].message == "uses a proxy (https_proxy)"


# --- the server -----------------------------------------------------------------------------------------------------


def test_a_dead_proxy_fails_at_the_first_request(begin):
    """No password is shown."""
    checks = list(remote.server(begin("http://nmp.example.com", http_proxy="http://me:s3cret@127.0.0.1:9")))
    assert (checks[0].name, checks[0].level, checks[0].exit_code) == ("http", "fail", 7)
    assert "s3cret" not in str(checks)


@pytest.mark.parametrize("auth", [False, True])
def test_the_server_is_checked_without_a_token(begin, serve, auth):
    """Anyone may ask for its version and discovery."""
    diagnosis = begin(serve(auth=auth).url, token="s3cret")
    assert levels(remote.server(diagnosis)) == {"http": "ok", "clock": "ok", "auth": "ok", "version": "ok"}
    assert diagnosis.auth_enabled is auth


def test_no_token_is_sent_before_it_is_needed(begin, raw_server):
    """The server may not be the platform."""
    server = raw_server([NO_ROUTE])
    list(remote.server(begin(server.url, token="s3cret")))
    assert len(server.seen) == 2
    assert not any(b"s3cret" in request for request in server.seen)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (response(200, "<title>Router</title>", kind="text/html"), 3),
        (response(302, "", "Location: https://sso/"), 3),
        (response(503, "{}"), 7),
        (b"SSH-2.0-OpenSSH\r\n\r\n", 7),
        (b"", 7),
    ],
    ids=["html", "redirect", "unavailable", "ssh", "closed"],
)
def test_a_server_that_is_not_usable_fails_once(begin, raw_server, answer, code):
    """The other checks are skipped."""
    diagnosis = begin(raw_server([answer]).url)
    http, *others = remote.server(diagnosis)
    assert (http.level, http.exit_code) == ("fail", code)
    assert levels(others) == {"clock": "skip", "auth": "skip", "version": "skip"}
    assert diagnosis.host_blocked == "http failed"


def test_a_server_without_discovery_may_be_the_platform(begin, raw_server):
    """A gateway may expose only the routes of jobs; the check of permissions decides."""
    diagnosis = begin(raw_server([NO_ROUTE]).url)
    assert levels(remote.server(diagnosis)) == {"http": "ok", "clock": "skip", "auth": "skip", "version": "skip"}
    assert (diagnosis.host_blocked, diagnosis.auth_enabled) == ("", None)
    read = next(remote.permissions(diagnosis))
    assert (read.name, read.exit_code) == ("read", 3)


def test_a_response_that_never_ends_fails_at_the_deadline(begin, raw_server):
    """Nothing is retried."""

    def drip(connection, seen, stop):
        seen.append(read_request(connection))
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while not stop.wait(0.02):
            connection.sendall(b"x")

    server = raw_server(drip)
    began = time.monotonic()
    http = next(remote.server(begin(server.url, deadline="0.3")))
    assert (http.level, http.exit_code, time.monotonic() - began < 50) == ("fail", 7, True)
    assert len(server.seen) <= 1


# --- the token ------------------------------------------------------------------------------------------------------


def jwt(expires):
    """Return a token with an expiry."""
    claims = base64.urlsafe_b64encode(json.dumps({"exp": expires}).encode()).rstrip(b"=").decode()
    return f"e30.{claims}.x"


def test_the_expiry_is_judged_by_the_clock_of_the_server(begin, raw_server):
    """The local clock may be ahead."""
    date = f"Date: {formatdate(time.time() - 3 * 3600, usegmt=True)}"
    url = raw_server([response(200, '{"auth_enabled":true}', date)]).url
    diagnosis = begin(url, token=jwt(time.time() - 60), NEMO_JOBS_TOKEN="t")
    assert levels(remote.server(diagnosis))["clock"] == "warn"
    assert 10_000 < diagnosis.skew < 11_000
    assert next(remote.expiry(diagnosis)).level == "ok"


@pytest.mark.parametrize(
    ("seconds", "auth_enabled", "level", "blocked"),
    [
        (+7200, True, "ok", ""),
        (+600, True, "warn", ""),
        (-60, True, "fail", "expiry failed"),
        (-60, None, "fail", "expiry failed"),
        (-60, False, "warn", ""),
    ],
)
def test_an_expired_token_is_not_sent(begin, seconds, auth_enabled, level, blocked):
    """Unless the platform does not check it."""
    diagnosis = begin("https://h", token=jwt(time.time() + seconds), NEMO_JOBS_TOKEN="t")
    diagnosis.auth_enabled = auth_enabled
    check = next(remote.expiry(diagnosis))
    assert (check.level, diagnosis.auth_blocked) == (level, blocked)
    assert level == "ok" or "NEMO_JOBS_TOKEN" in check.fix


@pytest.mark.parametrize(
    ("variables", "blocked", "message"),
    [
        ({}, "", "no token"),
        ({}, "token is unknown", "token is unknown"),
        ({"NEMO_JOBS_TOKEN": "t"}, "token failed", "token failed"),
        ({"NMP_BASE_URL": "https://h", "NMP_PRINCIPAL": '{"id":"me"}'}, "", "a principal does not expire"),
    ],
)
def test_without_a_token_the_expiry_is_skipped(begin, variables, blocked, message):
    """Also if it could not be read."""
    diagnosis = begin("https://h", **variables)
    if blocked:
        diagnosis.headers, diagnosis.auth_blocked = None, blocked
    (check,) = remote.expiry(diagnosis)
    assert (check.level, check.message) == ("skip", message)


def test_a_failed_token_exchange_blocks_the_permissions(begin, serve, tmp_path):
    """They need the token."""
    identity = tmp_path / "identity"
    identity.write_text("s3cret", encoding="utf-8")
    url = serve().url
    diagnosis = begin(url, NMP_BASE_URL=url, NMP_WORKLOAD_IDENTITY_TOKEN_FILE=str(identity))
    diagnosis.headers = None
    check = next(remote.expiry(diagnosis))
    assert (check.level, check.exit_code, diagnosis.auth_blocked) == ("fail", 3, "expiry failed")
    assert levels(remote.permissions(diagnosis)) == {"read": "skip", "write": "skip"}


# --- permissions ----------------------------------------------------------------------------------------------------


@pytest.fixture
def permissions(begin, raw_server):
    """Return a function that checks permissions on a server with responses to GETs and to PATCHes in turn."""

    def check(gets, patches=(NO_JOB,), job=None):
        left = {b"GET": list(gets), b"PATCH": list(patches)}

        def answer(connection, seen, stop):
            request = read_request(connection)
            seen.append(request)
            responses = left[request.split(b" ")[0]]
            connection.sendall(responses.pop(0) if len(responses) > 1 else responses[0])

        server = raw_server(answer)
        variables = {} if job is None else {"NEMO_JOBS_JOB": job}
        diagnosis = begin(server.url, token="t", workspace="ws", NEMO_JOBS_TOKEN="t", **variables)
        return {result.name: result for result in remote.permissions(diagnosis)}, server.seen

    return check


def test_checking_permissions_changes_nothing(begin, serve):
    """Not even in a sandbox, which creates a job for any valid name."""
    server = serve(jobs=("train-x",))
    checks = list(remote.permissions(begin(server.url, NEMO_JOBS_JOB="train-x")))
    assert levels(checks).items() >= {"read": "ok", "write": "ok", "exists": "ok"}.items()
    assert [job.current.version for job in server.jobs.values()] == [1]
    assert [name for _, name in server.jobs] == ["train-x"]
    assert not identifiers.is_name(deliver.IMPOSSIBLE_JOB)
    assert not names.is_job_id(deliver.IMPOSSIBLE_JOB)


@pytest.mark.parametrize(
    ("options", "token", "job", "expected"),
    [
        ({"auth": True}, "sandbox", None, {"read": ("ok", 0), "write": ("ok", 0)}),
        ({"auth": True}, "wrong", None, {"read": ("fail", 4), "write": ("skip", 0)}),
        ({"auth": True}, None, "train-x", {"read": ("fail", 4), "write": ("skip", 0), "exists": ("skip", 0)}),
        ({"strict": True}, None, "train-y", {"read": ("ok", 0), "write": ("ok", 0), "exists": ("fail", 5)}),
        ({"strict": True}, None, "Train Y", {"read": ("ok", 0), "write": ("ok", 0), "exists": ("skip", 0)}),
    ],
)
def test_one_problem_fails_once(begin, serve, options, token, job, expected):
    """With the exit code of an update."""
    variables = {} if job is None else {"NEMO_JOBS_JOB": job}
    checks = remote.permissions(begin(serve(**options).url, token=token, **variables))
    assert {check.name: (check.level, check.exit_code) for check in checks if check.name != "pace"} == expected


def test_reading_and_writing_are_separate_permissions(permissions):
    """A caller who may not read may still write."""
    checks, _ = permissions([FORBIDDEN], job="train-x")
    assert levels(checks.values()).items() >= {"read": "fail", "write": "ok", "exists": "skip"}.items()


def test_a_missing_job_means_that_updates_are_allowed(permissions):
    """The platform checks permissions first; the body is empty."""
    checks, requests = permissions([PAGE])
    write = checks["write"]
    assert (write.level, write.message, write.facts) == ("ok", "allowed in workspace ws", {"api": "jobs"})
    assert requests[1].startswith(f"PATCH {JOBS}/nemo-jobs--doctor/status-details ".encode())
    assert requests[1].endswith(b"\r\n\r\n{}")


@pytest.mark.parametrize(
    ("seconds", "level", "period", "message"),
    [
        (0.012, "ok", 1, "up to one report each second: the server took 12 ms"),
        (0.1, "ok", 1, "up to one report each second: the server took 100 ms"),
        (0.45, "warn", 4.5, "at most one report each 4.5 s: the server took 450 ms"),
        (60, "warn", 360, "at most one report each 6 min: the server took 1 min"),
    ],
)
def test_the_pace_of_a_flow_is_that_of_the_response(permissions, monkeypatch, seconds, level, period, message):
    """It is slowed if a response takes more than a tenth of the interval; a refusal takes less than an update."""
    send = Client.send
    monkeypatch.setattr(Client, "send", lambda *words: send(*words)._replace(seconds=seconds))
    checks, _ = permissions([PAGE])
    pace = checks["pace"]
    assert (pace.level, bool(pace.fix), pace.facts["period"]) == (level, level == "warn", period)
    assert pace.message == f"run and stream send {message} to refuse an update; storing one takes longer"


def test_the_route_of_attempts_is_tried(permissions):
    """As for an update."""
    checks, requests = permissions([PAGE], [NO_ROUTE, NO_JOB])
    assert (checks["write"].level, checks["write"].facts) == ("ok", {"api": "attempts"})
    assert requests[2].startswith(f"PATCH {JOBS}/nemo-jobs--doctor/attempts/current/status-details ".encode())


@pytest.mark.parametrize(
    ("answer", "code", "text"),
    [
        (UNAUTHORISED, 4, "NEMO_JOBS_TOKEN"),
        (FORBIDDEN, 4, "for the permission jobs.update (role Editor)"),
        (NO_ROUTE, 3, ""),
        (response(503, "busy"), 7, ""),
        (response(302, "", "Location: https://sso"), 3, "https://sso"),
        (b"", 7, ""),
        (response(200), 6, "something other than the platform responds"),
        (response(200, "<html>"), 3, ""),
    ],
    ids=["401", "403", "no route", "503", "redirect", "closed", "accepted", "html"],
)
def test_why_updates_are_not_allowed(permissions, answer, code, text):
    """With the exit code of an update; only the other route is tried, and after a 403 the workspaces are listed."""
    checks, requests = permissions([PAGE], [answer])
    write = checks["write"]
    assert (write.level, write.exit_code) == ("fail", code)
    assert text in f"{write.message}; {write.fix}"
    assert len(requests) == {NO_ROUTE: 3, FORBIDDEN: 4}.get(answer, 2)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('{"pagination":{"total_results":12}}', "allowed in workspace ws, 12 jobs"),
        ('{"pagination":{"total_results":1}}', "allowed in workspace ws, 1 job"),
        ('{"pagination":[]}', "allowed in workspace ws"),
        ("null", "allowed in workspace ws"),
    ],
)
def test_a_list_means_that_reading_is_allowed(permissions, body, message):
    """Even without a number of jobs."""
    read = permissions([response(200, body)])[0]["read"]
    assert (read.level, read.message) == ("ok", message)


@pytest.mark.parametrize(
    ("answer", "code", "text"),
    [
        (UNAUTHORISED, 4, "NEMO_JOBS_TOKEN"),
        (FORBIDDEN, 4, "an unknown one is forbidden too; otherwise ask its owner for the permission jobs.list"),
        (refusal(404, "Workspace 'ws' not found"), 5, "workspace"),
        (NO_ROUTE, 3, ""),
        (response(500, "{}"), 7, ""),
    ],
    ids=["401", "403", "no workspace", "no route", "500"],
)
def test_why_reading_is_not_allowed(permissions, answer, code, text):
    """With the exit code of `list`."""
    read = permissions([answer])[0]["read"]
    assert (read.level, read.exit_code) == ("fail", code)
    assert text in f"{read.message}; {read.fix}"


def test_the_job_is_shown_with_its_state(permissions):
    """Control characters are escaped."""
    job = response(200, '{"name":"train-x","status":"act\\u001bive"}')
    assert permissions([PAGE, job], job="train-x")[0]["exists"].message == "train-x is act\\x1bive"


def test_a_missing_job_comes_with_similar_ones(permissions):
    """As for `show`."""
    missing = refusal(404, "Job 'train-x' not found in workspace 'ws'.")
    listed = response(200, '{"data":[{"name":"train-y"}],"pagination":{"total_pages":1}}')
    exists = permissions([PAGE, missing, listed], job="train-x")[0]["exists"]
    assert (exists.level, exists.exit_code) == ("fail", 5)
    assert "train-y" in exists.fix
