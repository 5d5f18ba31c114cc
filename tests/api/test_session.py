"""A session: the credential is read, and requests are sent with retries."""

from __future__ import annotations

import base64
import json

import pytest
from raw import response

from nemo_jobs_cli.api.session import Session, open_session
from nemo_jobs_cli.core import deadline, job_lock
from nemo_jobs_cli.core.clock import SYSTEM_CLOCK
from nemo_jobs_cli.core.errors import AuthError, NotDeliveredError, NotFoundError, RejectedError, SettingsError
from nemo_jobs_cli.settings.model import Credential, Settings, Sourced
from nemo_jobs_cli.transport.messages import Failure, Request, Response

REQUEST = Request("GET", "/apis/x", (("a", "b"),))
TOKEN = Credential("token", "s3cret", "NEMO_JOBS_TOKEN")
QUICK = SYSTEM_CLOCK._replace(sleep=lambda seconds: None, random=lambda: 0.0)


def settings(url, credential=None, seconds=5.0, **more):
    """Return the settings for a server."""
    return Settings(host=Sourced(url, "--host"), credential=credential, deadline=Sourced(seconds, "--deadline"), **more)


def start(url, credential=None, **more):
    """Return a session that does not sleep between attempts."""
    on_retry = more.pop("on_retry", None)
    return open_session(settings(url, credential, **more), SYSTEM_CLOCK.now(), clock=QUICK, on_retry=on_retry)


def head(request):
    """Return the headers of a request as bytes, names in lower case."""
    rows = request.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
    return {name.lower(): value for name, _, value in (row.partition(b": ") for row in rows)}


@pytest.mark.parametrize(
    ("credential", "authorization", "principal"),
    [
        (TOKEN, b"Bearer s3cret", None),
        (Credential("principal", '{"id": "me"}', "NMP_PRINCIPAL"), None, b"me"),
        (None, None, None),
    ],
)
def test_a_request_is_sent_once_with_the_credential(raw_server, credential, authorization, principal):
    """A job has a principal instead of a token; the server's logs name the request by the session's trace id."""
    server = raw_server([response(200, '{"name": "x1"}')])
    one = start(server.url, credential)
    assert one.fetch(REQUEST).json() == {"name": "x1"}
    (request,) = server.seen
    assert request.startswith(b"GET /apis/x?a=b HTTP/1.1\r\n")
    assert (head(request).get(b"authorization"), head(request).get(b"x-nmp-principal-id")) == (authorization, principal)
    assert head(request)[b"traceparent"].split(b"-")[1].decode() == one.sender.trace_id


def test_retries_are_reported(raw_server):
    """Each comes with the response or failure and the pause."""
    retries = []
    server = raw_server([response(503, "{}", "Retry-After: 1"), b"", response(200)])
    one = start(server.url, on_retry=lambda last, wait: retries.append((last, wait)))
    assert one.fetch(REQUEST).status == 200
    (first, wait), (second, _) = retries
    assert isinstance(first, Response)
    assert (first.status, wait) == (503, 1.0)
    assert isinstance(second, Failure)
    assert second.kind == "reset"


@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        (response(401, '{"detail": "Invalid or expired token"}'), AuthError, "the token from NEMO_JOBS_TOKEN"),
        (response(404, '{"detail": "Job \'x1\' not found"}'), NotFoundError, "no job 'x1' in workspace 'default' on"),
        (response(422, '{"detail": [{"loc": ["body"], "msg": "odd"}]}'), RejectedError, "odd"),
        (response(302, "", "Location: https://sso.example"), SettingsError, "redirects to https://sso.example"),
        (response(200, "<title>Log in</title>"), SettingsError, "a page titled 'Log in'"),
        (response(500, "{}"), NotDeliveredError, "could not serve job 'x1'"),
        (b"", NotDeliveredError, "failed"),
    ],
)
def test_an_error_names_job_host_and_trace_id(raw_server, answer, kind, says):
    """It never has the token."""
    server = raw_server([answer])
    one = start(server.url, TOKEN, seconds=0)
    with pytest.raises(kind, match=says) as caught:
        one.fetch(REQUEST, job="x1")
    facts = caught.value.facts
    assert (facts["host"], facts["job"], facts["trace_id"]) == (server.url, "x1", one.sender.trace_id)
    assert facts["attempts"] == len(server.seen) == 1
    assert "s3cret" not in f"{caught.value.message} {caught.value.hint} {facts}"


@pytest.mark.parametrize(
    ("exp", "says"),
    [
        (1_000_000_000, r"which expired [0-9]+ d ago \(401"),
        (100_000_000_000, r"valid for another [0-9]+ d \(401"),
        (None, r"does not accept the token from NEMO_JOBS_TOKEN \(401"),
        ("NaN", r"does not accept the token from NEMO_JOBS_TOKEN \(401"),
    ],
)
def test_a_refused_jwt_comes_with_its_expiry(raw_server, exp, says):
    """An invalid `exp` is ignored."""
    claims = base64.urlsafe_b64encode(json.dumps({"exp": exp}).replace('"NaN"', "NaN").encode()).decode().rstrip("=")
    server = raw_server([response(401, '{"detail": "Unauthorized"}')])
    with pytest.raises(AuthError, match=says):
        start(server.url, TOKEN._replace(secret=f"e30.{claims}.c2ln")).fetch(REQUEST)


def test_a_token_command_does_not_inherit_other_tokens(raw_server, monkeypatch):
    """The child process gets the rest of the environment."""
    for name in ("NEMO_JOBS_TOKEN", "NMP_ACCESS_TOKEN", "NHX_ACCESS_TOKEN"):
        monkeypatch.setenv(name, f"{name}-s3cret")
    monkeypatch.setenv("NMP_BASE_URL", "kept")
    script = (
        'printf "%s" "seen:$NEMO_JOBS_TOKEN$NMP_ACCESS_TOKEN$NHX_ACCESS_TOKEN:$NMP_BASE_URL:$(env | grep -c s3cret)"'
    )
    server = raw_server([response(200)])
    start(server.url, Credential("command", f"sh\0-c\0{script}\0", "profile lab")).fetch(REQUEST)
    assert head(server.seen[0])[b"authorization"] == b"Bearer seen::kept:0"


def test_a_token_that_must_not_be_sent_opens_no_connection(raw_server):
    """The check comes before the connection."""
    server = raw_server([response(200)])
    with pytest.raises(SettingsError, match="belongs to"):
        start(server.url, TOKEN._replace(bound_to="https://nmp.example.com"))
    assert server.seen == []


def test_the_deadline_counts_from_the_start_of_the_command(fake_time):
    """It includes the time of a token command."""
    fake_time.now += 3
    one = open_session(settings("http://localhost", seconds=10.0), fake_time.now - 3, clock=fake_time.clock)
    assert one.deadline.left() == 7
    once = open_session(settings("http://localhost", seconds=0.0), fake_time.now - 3, clock=fake_time.clock)
    assert once.deadline.once
    assert once.deadline.left() == deadline.ONE_ATTEMPT_LIMIT


def test_a_session_prints_only_its_host():
    """Headers stay out of logs and tracebacks."""
    one = start("http://localhost:8080", TOKEN)
    assert one.auth == {"Authorization": "Bearer s3cret"}
    assert f"{one!r} {one}" == "Session('http://localhost:8080') Session('http://localhost:8080')"
    assert isinstance(one, Session)
    assert one.lock is job_lock.hold
