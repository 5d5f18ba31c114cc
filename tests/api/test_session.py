"""A session: the credential is read, and requests are sent with retries."""

from __future__ import annotations

import base64
import json
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from raw import read_request, response

from nemo_jobs_cli.api.session import Session, open_session
from nemo_jobs_cli.core import deadline, job_lock
from nemo_jobs_cli.core.clock import SYSTEM_CLOCK
from nemo_jobs_cli.core.errors import (
    AuthError,
    NemoJobsError,
    NotDeliveredError,
    NotFoundError,
    RejectedError,
    SettingsError,
)
from nemo_jobs_cli.settings import resolve
from nemo_jobs_cli.settings.model import Credential, Flags, Settings, Sourced
from nemo_jobs_cli.transport.client import Client
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


def jwt(claims):
    """Return a token with claims."""
    part = base64.urlsafe_b64encode(json.dumps(claims).replace('"NaN"', "NaN").encode()).decode().rstrip("=")
    return f"e30.{part}.c2ln"


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


@pytest.mark.parametrize("status", [401, 403, 422, 503])
def test_a_token_that_the_server_repeats_is_not_shown(raw_server, status):
    """A key without the form of a token is known only by its value."""
    token = "team-llama-ci-key"
    body = json.dumps({"detail": f"cannot accept {token}"})
    one = start(raw_server([response(status, body)] * 99).url, Credential("token", token, "NEMO_JOBS_TOKEN"), seconds=0)
    with pytest.raises(NemoJobsError, match=r"cannot accept \[token\]") as caught:
        one.fetch(REQUEST)
    assert token not in json.dumps(caught.value.as_dict())


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
    ("answer", "kind", "message"),
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
def test_an_error_names_job_host_and_trace_id(raw_server, answer, kind, message):
    """It never has the token."""
    server = raw_server([answer])
    one = start(server.url, TOKEN, seconds=0)
    with pytest.raises(kind, match=message) as caught:
        one.fetch(REQUEST, job="x1")
    facts = caught.value.facts
    assert (facts["host"], facts["job"], facts["trace_id"]) == (server.url, "x1", one.sender.trace_id)
    assert facts["attempts"] == len(server.seen) == 1
    assert "s3cret" not in f"{caught.value.message} {caught.value.hint} {facts}"


@pytest.mark.parametrize(
    ("exp", "message"),
    [
        (1_000_000_000, r"which expired [0-9]+ d ago \(401"),
        (100_000_000_000, r"valid for another [0-9]+ d \(401"),
        (None, r"does not accept the token from NEMO_JOBS_TOKEN \(401"),
        ("NaN", r"does not accept the token from NEMO_JOBS_TOKEN \(401"),
    ],
)
def test_a_refused_jwt_comes_with_its_expiry(raw_server, exp, message):
    """An invalid `exp` is ignored."""
    server = raw_server([response(401, '{"detail": "Unauthorized"}')])
    with pytest.raises(AuthError, match=message):
        start(server.url, TOKEN._replace(secret=jwt({"exp": exp}))).fetch(REQUEST)


@pytest.mark.parametrize(
    ("kind", "source", "left", "warning"),
    [
        ("token", "NEMO_JOBS_TOKEN", 599, "the token from NEMO_JOBS_TOKEN expires in 9 min; put a new token into"),
        (
            "token",
            "context lab (f)",
            30,
            "the token from context lab (f) expires in 30 s; log in again: nemo auth login",
        ),
        ("token", "NEMO_JOBS_TOKEN", 600, None),
        ("token", "NEMO_JOBS_TOKEN", -5, None),
        ("token", "NEMO_JOBS_TOKEN", None, None),
        ("file", "--token-file", 30, None),
    ],
)
def test_a_token_that_expires_within_minutes_is_a_warning_unless_it_is_renewed(
    tmp_path, monkeypatch, kind, source, left, warning
):
    """A file, a command or an exchange may have a new token in time; an expired one is refused anyway."""
    monkeypatch.setattr("time.time", lambda: 1_000_000.0)
    secret = jwt({} if left is None else {"exp": 1_000_000 + left})
    (tmp_path / "token").write_text(secret, encoding="utf-8")
    credential = Credential(kind, str(tmp_path / "token") if kind == "file" else secret, source)
    warnings = []
    open_session(settings("http://localhost", credential), SYSTEM_CLOCK.now(), on_warning=warnings.append)
    assert [text[: len(warning or "")] for text in warnings] == ([] if warning is None else [warning])
    assert secret not in "".join(warnings)


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


def profile(folder, url, token):
    """Write a profile with a token; return the variables that select it."""
    (folder / "c.toml").write_text(f'[profiles.default]\nhost = "{url}"\ntoken = "{token}"\n', encoding="utf-8")
    return {"NEMO_JOBS_CONFIG": str(folder / "c.toml")}


def other_file(folder, url, token):
    """Write a profile and its token into a file with another name each time, as `init` does."""
    (folder / token).write_text(token, encoding="utf-8")
    (folder / "c.toml").write_text(f'[profiles.default]\nhost = "{url}"\ntoken_file = "{token}"\n', encoding="utf-8")
    return {"NEMO_JOBS_CONFIG": str(folder / "c.toml")}


def context(folder, url, token):
    """Write the official tool's file; return the variables that select it."""
    (folder / "config.yaml").write_text(
        f"current_context: c\nclusters: [{{name: c, base_url: '{url}'}}]\n"
        f"users: [{{name: me, type: oauth, token: {token}}}]\ncontexts: [{{name: c, cluster: c, user: me}}]\n",
        encoding="utf-8",
    )
    return {"NMP_CONFIG_FILE": str(folder / "config.yaml")}


def token_file(folder, url, token):
    """Write a token file; return the variables that name it."""
    (folder / "token").write_text(token, encoding="utf-8")
    return {"NEMO_JOBS_HOST": url, "NEMO_JOBS_TOKEN_FILE": str(folder / "token")}


def token_command(folder, url, token):
    """Write a token file that the command of a profile prints."""
    token_file(folder, url, token)
    (folder / "c.toml").write_text(
        f'[profiles.default]\nhost = "{url}"\ntoken_command = "cat {folder}/token"\n', encoding="utf-8"
    )
    return {"NEMO_JOBS_CONFIG": str(folder / "c.toml")}


@pytest.fixture
def login(raw_server, tmp_path, monkeypatch):
    """Return a server that accepts only the token `new`, and a function that opens a long-lived session with `old`."""

    def accept(connection, seen, _stop):
        seen.append(read_request(connection))
        is_new = head(seen[-1]).get(b"authorization") == b"Bearer new"
        connection.sendall(response(200) if is_new else response(401, '{"detail": "Invalid or expired token"}'))

    server = raw_server(accept)

    def connect(write):
        for name, value in write(tmp_path, server.url, "old").items():
            monkeypatch.setenv(name, value)
        return open_session(resolve.load_settings(Flags()), SYSTEM_CLOCK.now(), clock=QUICK, renews=True)

    return server, connect


@pytest.mark.parametrize("write", [profile, other_file, context, token_file, token_command])
def test_a_refused_login_is_read_again_from_its_source(login, tmp_path, write):
    """Whatever the source is; later requests, and other clients of the session, use the new one."""
    server, connect = login
    one = connect(write)
    write(tmp_path, server.url, "new")
    for _ in range(2):
        result = one.send(REQUEST)
        assert result.last.status == 200
    assert result.attempts == 1
    assert Client(one.settings, one.auth).send(REQUEST, 5).status == 200
    sent = [head(request)[b"authorization"] for request in server.seen]
    assert sent == [b"Bearer old", *[b"Bearer new"] * 3]


def test_a_token_from_stdin_is_read_once(login, monkeypatch):
    """What follows it may be the lines of a stream, or a terminal that waits for input."""
    server, _ = login
    reads = []

    class Stdin:
        class buffer:  # noqa: N801 - its name in sys.stdin
            read = staticmethod(lambda size: reads.append(size) or b"old")

    monkeypatch.setattr(sys, "stdin", Stdin)
    monkeypatch.setenv("NEMO_JOBS_HOST", server.url)
    settings = resolve.load_settings(Flags(token_file="-"))
    one = open_session(settings, SYSTEM_CLOCK.now(), clock=QUICK, renews=True)
    with pytest.raises(AuthError):
        one.fetch(REQUEST)
    assert len(reads) == len(server.seen) == 1


@pytest.mark.parametrize("write", [profile, other_file, context, token_file, token_command])
@pytest.mark.parametrize("change", ["none", "removed", "broken"])
def test_a_login_that_was_not_renewed_is_refused_at_once(login, tmp_path, write, change):
    """Also if its file has no token any more: an anonymous request would not help."""
    server, connect = login
    one = connect(write)
    for file in tmp_path.iterdir() if change != "none" else ():
        file.write_text("" if change == "removed" else "{ broken", encoding="utf-8")
    with pytest.raises(AuthError, match="does not accept the token from"):
        one.fetch(REQUEST)
    assert [head(request)[b"authorization"] for request in server.seen] == [b"Bearer old"]


@pytest.mark.parametrize("write", [profile, other_file, context, token_command])
def test_a_renewed_login_for_another_host_is_not_sent(login, raw_server, tmp_path, write):
    """Neither to the old host nor to the new one."""
    server, connect = login
    other = raw_server([response(200)])
    one = connect(write)
    write(tmp_path, other.url, "new")
    with pytest.raises(AuthError):
        one.fetch(REQUEST)
    assert len(server.seen) == 1
    assert b"Bearer new" not in server.seen[0]
    assert other.seen == []


def test_a_renewed_login_may_not_lose_its_consent_to_plain_http(login, tmp_path, monkeypatch):
    """The profile that now holds the token must allow it, whatever was allowed for the old one."""
    server, connect = login
    monkeypatch.setattr("nemo_jobs_cli.settings.urls.is_loopback", lambda _: False)

    def consenting(folder, url, token):
        variables = profile(folder, url, token)
        with (folder / "c.toml").open("a", encoding="utf-8") as file:
            file.write("allow_http = true\n")
        return variables

    one = connect(consenting)
    profile(tmp_path, server.url, "new")
    with pytest.raises(AuthError):
        one.fetch(REQUEST)
    assert len(server.seen) == 1


def test_a_principal_is_not_sent_beside_a_refused_token(login, tmp_path, monkeypatch):
    """The profile has lost its token, and the next source has a principal."""
    server, connect = login
    for name, value in {"NMP_PRINCIPAL": '{"id": "me"}', "NMP_BASE_URL": server.url}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("NEMO_JOBS_PROFILE", "default")
    one = connect(profile)
    (tmp_path / "c.toml").write_text(f'[profiles.default]\nhost = "{server.url}"\n', encoding="utf-8")
    with pytest.raises(AuthError):
        one.fetch(REQUEST)
    assert [head(request)[b"authorization"] for request in server.seen] == [b"Bearer old"]


@pytest.mark.parametrize("token", ["new", "other"])
def test_a_login_after_the_start_is_used(login, tmp_path, token):
    """The first 401 says how to log in."""
    server, connect = login

    def logged_out(folder, url, _token):
        (folder / "config.yaml").write_text(f"current_context: c\nclusters: [{{name: c, base_url: '{url}'}}]\n"
                                            "contexts: [{name: c, cluster: c}]\n", encoding="utf-8")  # fmt: skip
        return {"NMP_CONFIG_FILE": str(folder / "config.yaml")}

    one = connect(logged_out)
    with pytest.raises(AuthError, match="no token was sent"):
        one.fetch(REQUEST)
    context(tmp_path, server.url, token)
    if token == "new":
        assert one.fetch(REQUEST).status == 200
    else:
        with pytest.raises(AuthError, match="does not accept the token from the context") as caught:
            one.fetch(REQUEST)
        assert caught.value.hint == "log in again: nemo auth login"


def test_threads_read_a_refused_login_once(login, tmp_path):
    """All workers of `apply` are refused at the same time."""
    server, connect = login
    one = connect(token_command)
    script = tmp_path / "script"
    script.write_text(f"#!/bin/sh\necho >> {tmp_path}/runs; echo new\n", encoding="utf-8")
    script.chmod(0o755)
    (tmp_path / "c.toml").write_text(
        f'[profiles.default]\nhost = "{server.url}"\ntoken_command = "{script}"\n', encoding="utf-8"
    )
    sent = dict(one.auth)
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda _: one.renew(sent, one.deadline), range(8)))
    assert (tmp_path / "runs").read_text(encoding="utf-8") == "\n"


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
