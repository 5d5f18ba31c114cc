"""A command's conversation: the credential opened, requests sent until they are answered."""

from __future__ import annotations

import base64
import json

import pytest
from raw import response

from nemo_jobs_cli.api import session
from nemo_jobs_cli.api.session import Session, open_session
from nemo_jobs_cli.auth import credentials
from nemo_jobs_cli.core import deadline, job_lock
from nemo_jobs_cli.core.clock import SYSTEM_CLOCK
from nemo_jobs_cli.core.errors import AuthError, NotDeliveredError, NotFoundError, RejectedError, SettingsError
from nemo_jobs_cli.settings.model import Credential, Settings, Sourced
from nemo_jobs_cli.transport.messages import Failure, Request, Response

ASKED = Request("GET", "/apis/x", (("a", "b"),))
TOKEN = Credential("token", "s3cret", "NEMO_JOBS_TOKEN")
QUICK = SYSTEM_CLOCK._replace(sleep=lambda seconds: None, random=lambda: 0.0)


def settings(url, credential=None, seconds=5.0, **more):
    """Return the settings for a server."""
    return Settings(host=Sourced(url, "--host"), credential=credential, deadline=Sourced(seconds, "--deadline"), **more)


def start(url, credential=None, **more):
    """Return a session that waits for nothing between its tries."""
    notice = more.pop("on_retry", None)
    return open_session(settings(url, credential, **more), SYSTEM_CLOCK.now(), clock=QUICK, on_retry=notice)


def head(request):
    """Return the headers of a request as bytes, names in small letters."""
    rows = request.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
    return {name.lower(): value for name, _, value in (row.partition(b": ") for row in rows)}


def test_success_is_the_answer(raw_server):
    """The request is sent once, as who asks."""
    server = raw_server([response(200, '{"name": "x1"}')])
    talk = start(server.url, TOKEN)
    assert talk.fetch(ASKED).json() == {"name": "x1"}
    (request,) = server.seen
    assert request.startswith(b"GET /apis/x?a=b HTTP/1.1\r\n")
    assert head(request)[b"authorization"] == b"Bearer s3cret"
    assert head(request)[b"traceparent"].split(b"-")[1].decode() == talk.sender.trace_id


def test_a_principal_is_who_asks(raw_server):
    """In a job without tokens."""
    server = raw_server([response(200)])
    start(server.url, Credential("principal", '{"id": "me"}', "NMP_PRINCIPAL")).fetch(ASKED)
    assert head(server.seen[0])[b"x-nmp-principal-id"] == b"me"


def test_without_a_credential_nobody_asks(raw_server):
    """No header says who."""
    server = raw_server([response(200)])
    talk = start(server.url)
    assert talk.fetch(ASKED).json() is None
    assert talk.auth == {}
    assert b"authorization" not in head(server.seen[0])


def test_the_client_of_an_exchange_is_nobodys(raw_server):
    """It must not carry what it is there to get; headers of the user's own it does."""
    server = raw_server([response(200)])
    sender = session._anonymous_client(settings(server.url, TOKEN, headers=(("X-Team", "llm"),)))
    assert sender.send(Request("GET", "/apis/auth/discovery"), 5).status == 200
    assert b"authorization" not in head(server.seen[0])
    assert b"s3cret" not in server.seen[0]
    assert head(server.seen[0])[b"x-team"] == b"llm"


def test_retries_are_heard_of(raw_server):
    """Each with what happened and how long it waits."""
    heard = []
    server = raw_server([response(503, "{}", "Retry-After: 1"), b"", response(200)])
    talk = start(server.url, on_retry=lambda last, wait: heard.append((last, wait)))
    assert talk.fetch(ASKED).status == 200
    (first, wait), (second, _) = heard
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
def test_a_refusal_is_an_error_that_names_job_host_and_trace(raw_server, answer, kind, says):
    """And never the token."""
    server = raw_server([answer])
    talk = start(server.url, TOKEN, seconds=0)
    with pytest.raises(kind, match=says) as caught:
        talk.fetch(ASKED, job="x1")
    facts = caught.value.facts
    assert (facts["host"], facts["job"], facts["trace_id"]) == (server.url, "x1", talk.sender.trace_id)
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
def test_a_refused_jwt_tells_of_its_age(raw_server, exp, says):
    """An expired token is the usual reason; a token that makes no sense is none to crash."""
    claims = base64.urlsafe_b64encode(json.dumps({"exp": exp}).replace('"NaN"', "NaN").encode()).decode().rstrip("=")
    server = raw_server([response(401, '{"detail": "Unauthorized"}')])
    with pytest.raises(AuthError, match=says):
        start(server.url, TOKEN._replace(secret=f"e30.{claims}.c2ln")).fetch(ASKED)


def test_a_token_command_does_not_inherit_other_tokens(raw_server, monkeypatch):
    """A real child sees the rest of the environment, but no token: it may be anybody's program."""
    for name in ("NEMO_JOBS_TOKEN", "NMP_ACCESS_TOKEN", "NHX_ACCESS_TOKEN"):
        monkeypatch.setenv(name, f"{name}-s3cret")
    monkeypatch.setenv("NMP_BASE_URL", "kept")
    script = (
        'printf "%s" "seen:$NEMO_JOBS_TOKEN$NMP_ACCESS_TOKEN$NHX_ACCESS_TOKEN:$NMP_BASE_URL:$(env | grep -c s3cret)"'
    )
    server = raw_server([response(200)])
    start(server.url, Credential("command", f"sh\0-c\0{script}\0", "profile lab")).fetch(ASKED)
    assert head(server.seen[0])[b"authorization"] == b"Bearer seen::kept:0"


def test_a_token_that_must_not_be_sent_opens_no_connection(raw_server):
    """The check comes before the client."""
    server = raw_server([response(200)])
    with pytest.raises(SettingsError, match="belongs to"):
        start(server.url, TOKEN._replace(bound_to="https://nmp.example.com"))
    assert server.seen == []


def test_the_deadline_counts_from_the_start_of_the_command(fake_time):
    """Not from when the session is opened; what a token command takes is part of it."""
    fake_time.now += 3
    talk = open_session(settings("http://localhost", seconds=10.0), fake_time.now - 3, clock=fake_time.clock)
    assert talk.deadline.left() == 7
    once = open_session(settings("http://localhost", seconds=0.0), fake_time.now - 3, clock=fake_time.clock)
    assert once.deadline.once
    assert once.deadline.left() == deadline.ONE_ATTEMPT_LIMIT


def test_a_session_can_be_shown():
    """A log line or a traceback holds no header."""
    talk = start("http://localhost:8080", TOKEN)
    assert talk.auth == {"Authorization": "Bearer s3cret"}
    assert f"{talk!r} {talk}" == "Session('http://localhost:8080') Session('http://localhost:8080')"
    assert isinstance(talk, Session)
    assert talk.lock is job_lock.hold


@pytest.mark.parametrize(("credential", "said"), [(None, "nobody (no token)"), (TOKEN, "token from NEMO_JOBS_TOKEN")])
def test_who_asks_can_be_said(credential, said):
    """By kind and place."""
    assert credentials.describe(settings("http://localhost", credential).credential) == said
