"""The exchange of a workload identity, with a real server as platform and token endpoint."""

from __future__ import annotations

import json
import ssl
from urllib.parse import parse_qs

import pytest
import trustme
from raw import read_request, response

from nemo_jobs_cli.auth import _workload, credentials
from nemo_jobs_cli.core import deadline
from nemo_jobs_cli.core.clock import SYSTEM_CLOCK
from nemo_jobs_cli.core.errors import AuthError, ExitCode, NotDeliveredError, SettingsError
from nemo_jobs_cli.settings.model import Credential, Proxy, Settings, Sourced
from nemo_jobs_cli.transport.client import Client
from nemo_jobs_cli.transport.messages import Response

SUBJECT = "subject-s3cret"
GIVEN = response(200, '{"access_token": "acc3ss", "token_type": "Bearer"}')
SOON = SYSTEM_CLOCK._replace(sleep=lambda seconds: None, random=lambda: 0.0)


class Platform:
    """The responses of the platform and the token endpoint, and the requests that each received."""

    def __init__(self, raw_server):
        self.discovery, self.answers = {}, [GIVEN]
        self.of_discovery = None  # other bytes than the discovery's JSON
        self.discovered, self.exchanged = [], []
        self.url = raw_server(self._serve).url
        self.tells()

    def tells(self, **oidc):
        """Set the identity provider of the discovery."""
        endpoint = {"workload_token_exchange_enabled": True, "workload_token_endpoint": f"{self.url}/oauth/token"}
        self.discovery = {"auth_enabled": True, "oidc": {**endpoint, **oidc}}

    def _serve(self, connection, seen, stop):
        request = read_request(connection)
        head = request.split(b" ", 2)
        if head[:2] == [b"GET", b"/apis/auth/discovery"]:
            self.discovered.append(request)
            connection.sendall(self.of_discovery or response(200, json.dumps(self.discovery)))
        else:
            self.exchanged.append(request)
            connection.sendall(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])

    @property
    def asked_for(self):
        """Return the method and path of the last request to the endpoint."""
        return b" ".join(self.exchanged[-1].split(b" ", 2)[:2]).decode()

    @property
    def head(self):
        """Return the headers of the last request to the endpoint, with lower-case names."""
        rows = self.exchanged[-1].partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
        return {name.lower(): value for name, _, value in (row.partition(": ") for row in rows)}

    @property
    def form(self):
        """Return the form of the last request to the endpoint."""
        body = self.exchanged[-1].partition(b"\r\n\r\n")[2].decode()
        return {name: value for name, (value,) in parse_qs(body, strict_parsing=True).items()}


@pytest.fixture
def platform(raw_server):
    """Return a platform that exchanges tokens."""
    return Platform(raw_server)


@pytest.fixture
def identity(tmp_path):
    """Return the file with the workload identity token."""
    file = tmp_path / "identity"
    file.write_text(f"{SUBJECT}\n", encoding="utf-8")
    return file


@pytest.fixture
def ask(platform, identity):
    """Return a function that opens the credential and returns its headers."""

    def opened(*, seconds=5.0, url=None, environ=None, **more):
        settings = Settings(
            host=Sourced(url or platform.url, "NMP_BASE_URL"),
            credential=Credential("workload", str(identity), "NMP_WORKLOAD_IDENTITY_TOKEN_FILE"),
            **more,
        )
        limit = deadline.start(seconds, SOON.now(), SOON)
        return credentials.auth_headers(settings, limit, environ or {})

    return opened


def failing(ask, kind, **more):
    """Return the error of an exchange; it never contains the identity."""
    with pytest.raises(kind) as caught:
        ask(**more)
    assert type(caught.value) is kind
    assert caught.value.hint
    assert SUBJECT not in f"{caught.value.message} {caught.value.hint} {caught.value.facts}"
    return caught.value


def test_the_identity_is_exchanged_for_a_token(platform, ask):
    """Discovery names the endpoint; requests carry the token that it returns."""
    assert ask() == {"Authorization": "Bearer acc3ss"}
    assert platform.asked_for == "POST /oauth/token"
    assert platform.form == {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token": SUBJECT,
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
    }
    assert platform.head["content-type"] == _workload.FORM
    assert platform.head["accept"] == "application/json"


@pytest.mark.parametrize(
    ("subject", "kind"),
    [
        ("nmp_obo_v1.abc.s3cret", "urn:nvidia:nemo:params:oauth:token-type:docker-opaque-workload-proof"),
        ("nhx_obo_v1.abc.s3cret", "urn:nvidia:nemo:params:oauth:token-type:docker-opaque-workload-proof"),
        ("nmp_obo_v1", "urn:ietf:params:oauth:token-type:jwt"),
        ("eyJh.nmp_obo_v1.c", "urn:ietf:params:oauth:token-type:jwt"),
    ],
)
def test_the_proof_of_a_docker_job_has_a_type_of_its_own(platform, ask, identity, subject, kind):
    """It is no JWT: with that type the endpoint answers 400."""
    identity.write_text(subject, encoding="utf-8")
    ask()
    assert (platform.form["subject_token"], platform.form["subject_token_type"]) == (subject, kind)


def test_the_form_has_the_values_of_discovery(platform, ask):
    """Client, audience and scope; the values for workloads come first."""
    platform.tells(client_id="cli", workload_client_id="w&=é", workload_audience="nmp", workload_scope="a b")
    ask()
    assert {key: platform.form.get(key) for key in ("client_id", "audience", "scope")} == {
        "client_id": "w&=é",
        "audience": "nmp",
        "scope": "a b",
    }
    platform.tells(client_id="cli", workload_audience="", workload_scope=None)
    ask()
    assert platform.form["client_id"] == "cli"
    assert not {"audience", "scope"} & platform.form.keys()


def test_the_general_endpoint_is_the_fallback(platform, ask):
    """`token_endpoint` is the second choice."""
    platform.tells(workload_token_endpoint=None, token_endpoint=f"{platform.url}/t")
    ask()
    assert platform.asked_for == "POST /t"


@pytest.mark.parametrize("path", ["", "/", "/a/b?tenant=x&policy=a%20b", "?p=/a"])
def test_any_path_of_an_endpoint_is_kept(platform, ask, path):
    """A query is part of an endpoint (RFC 6749, 3.2)."""
    platform.tells(workload_token_endpoint=platform.url + path)
    ask()
    assert platform.asked_for == f"POST {path if path.startswith('/') else '/' + path}"


def test_the_identity_is_sent_only_to_the_endpoint(platform, ask, raw_server):
    """Discovery is anonymous, and the user's headers go only to the platform."""
    elsewhere = raw_server([GIVEN])
    platform.tells(workload_token_endpoint=f"{elsewhere.url}/token")
    ask(headers=(("X-Team", "llm"),))
    (discovered,) = platform.discovered
    assert SUBJECT.encode() not in discovered
    assert b"authorization" not in discovered.lower()
    assert b"X-Team: llm" in discovered
    (exchanged,) = elsewhere.seen
    assert exchanged.count(SUBJECT.encode()) == 1
    assert b"authorization" not in exchanged.lower()
    assert b"X-Team" not in exchanged
    assert platform.exchanged == []


def test_an_unreadable_identity_sends_no_request(platform, ask, identity):
    """The file is read first."""
    identity.unlink()
    assert "(NMP_WORKLOAD_IDENTITY_TOKEN_FILE): " in failing(ask, SettingsError).message
    assert platform.discovered == []


@pytest.mark.parametrize(
    "discovery",
    [
        {"auth_enabled": False},
        {"oidc": None},
        {"oidc": []},
        {"oidc": {"workload_token_endpoint": "https://idp.example/token"}},
        {"oidc": {"workload_token_endpoint": "https://idp.example/token", "workload_token_exchange_enabled": False}},
    ],
)
def test_a_platform_without_the_exchange_is_an_error(platform, ask, discovery):
    """The hint is to unset the variable."""
    platform.discovery = discovery
    error = failing(ask, SettingsError)
    assert error.message == "this platform does not exchange workload identity tokens"
    assert platform.exchanged == []


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://idp.example.com/token",
        "http://127.0.0.1.example.com/token",
        "ftp://idp.example.com/token",
        "https://",
        "https:///token",
        "https://me:pw@idp.example.com/token",
        "https://idp.example.com:99999/token",
        "https://idp.example.com/token#part",
        "https://idp.example.com/token?a=\r\nX: 1",
        "https://idp.example.com/a b",
        "idp.example.com",
        "\x1b[31m",
        "",
        None,
        7,
        {"url": "https://idp.example.com"},
    ],
)
def test_an_unencrypted_endpoint_gets_no_request(platform, ask, endpoint):
    """The identity goes over https or to loopback."""
    platform.tells(workload_token_endpoint=endpoint)
    error = failing(ask, SettingsError)
    assert error.exit_code is ExitCode.SETTINGS
    assert error.message.startswith("the token endpoint is not an https URL: ")
    assert error.message.isprintable()
    assert platform.exchanged == []


@pytest.mark.parametrize(
    ("url", "host", "path"),
    [
        ("https://idp.example.com/token", "https://idp.example.com", "/token"),
        ("HTTPS://IDP.example.com:443", "https://idp.example.com", "/"),
        ("https://idp.example.com:8443/a?b", "https://idp.example.com:8443", "/a?b"),
        ("http://[::1]:5/token", "http://[::1]:5", "/token"),
    ],
)
def test_an_endpoint_is_split_into_base_url_and_path(platform, ask, monkeypatch, url, host, path):
    """As the client needs it."""
    opened = []

    def open_client(settings, auth):
        opened.append(settings.host.value)
        return Endpoint() if settings.host.source == _workload.DISCOVERED else Client(settings, auth)

    class Endpoint:
        trace_id = "t"

        def send(self, request, timeout):
            opened.append(request.path)
            return Response(200, b'{"access_token": "acc3ss"}')

    platform.tells(workload_token_endpoint=url)
    monkeypatch.setattr(_workload, "Client", open_client)
    assert ask() == {"Authorization": "Bearer acc3ss"}
    assert opened == [platform.url, host, path]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (response(400, '{"error": "invalid_grant", "error_description": "too old"}'), "400 too old"),
        (response(401, '{"error": "invalid_client"}'), "401 invalid_client"),
        (response(403, "{}"), "403 no reason given"),
        (response(404, "<html>", kind="text/html"), "404 no reason given"),
        (response(400, "[" * 100_000), "400 no reason given"),
        (response(400, '{"error": "\\u001b[31m"}'), "400 \\x1b[31m"),
        (response(400, '{"error": {"code": 7}}'), "400 {'code': 7}"),
        (response(400, json.dumps({"error_description": f"bad token {SUBJECT}!"})), "400 bad token ...!"),
        (response(400, json.dumps({"error": "x" * 5000})), f"400 {'x' * 199}…"),
    ],
)
def test_a_refused_identity_is_an_auth_error(platform, ask, answer, reason):
    """Exit code 4 with the endpoint's reason, escaped; one attempt."""
    platform.answers = [answer]
    error = failing(ask, AuthError)
    assert error.message == f"the token endpoint {platform.url} refused the workload identity ({reason})"
    assert len(platform.exchanged) == 1


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, "{}"),
        (200, '{"access_token": null}'),
        (200, '{"access_token": ""}'),
        (200, '{"access_token": {"a": 1}}'),
        (200, "<html><title>Log in</title>"),
        (200, '["access_token"]'),
        (204, ""),
        (300, '{"access_token": "acc3ss"}'),
        (302, '{"access_token": "acc3ss"}'),
    ],
)
def test_a_response_without_a_token_is_an_auth_error(platform, ask, status, body):
    """Also a redirect, which is never followed."""
    other = f"Location: {platform.url}/elsewhere"
    platform.answers = [response(status, body, other)]
    error = failing(ask, AuthError)
    assert error.message == f"the token endpoint {platform.url} returned {status} without an access token"
    assert len(platform.exchanged) == 1


@pytest.mark.parametrize("token", ["two words", "acc3ss\n\nx", "é"])
def test_an_invalid_token_of_the_endpoint_is_an_error(platform, ask, token):
    """It names the endpoint."""
    platform.answers = [response(200, json.dumps({"access_token": token}))]
    assert failing(ask, SettingsError).message.startswith("invalid token from the token endpoint")


@pytest.mark.parametrize("first", [response(503, "{}"), response(429, "{}"), response(409, "{}"), b"", b"HTTP/1.1 2"])
def test_transient_failures_are_retried(platform, ask, first):
    """Of the platform and of the endpoint."""
    platform.answers = [first, GIVEN]
    assert ask() == {"Authorization": "Bearer acc3ss"}
    assert len(platform.exchanged) == 2
    assert platform.exchanged[0].partition(b"\r\n\r\n")[2] == platform.exchanged[1].partition(b"\r\n\r\n")[2]
    assert platform.head["content-type"] == _workload.FORM


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (response(500, "{}"), "returned 500 (1 attempt)"),
        (response(503, "<html>", kind="text/html"), "returned 503 (1 attempt)"),
        (response(429, "{}"), "returned 429 (1 attempt)"),
        (b"", "Server disconnected"),
        (b"SSH-2.0-x\r\n\r\n", "invalid HTTP response"),
    ],
)
def test_a_failing_endpoint_is_not_delivered(platform, ask, answer, message):
    """Exit code 7; with --deadline 0 there is one attempt."""
    platform.answers = [answer]
    error = failing(ask, NotDeliveredError, seconds=0)
    assert message in error.message
    assert platform.url in error.message
    assert len(platform.exchanged) == 1


def test_an_endpoint_that_does_not_listen_is_named(platform, ask):
    """And the source of its address."""
    platform.tells(workload_token_endpoint="http://127.0.0.1:1/token")
    error = failing(ask, NotDeliveredError, seconds=0)
    assert "nothing listens on http://127.0.0.1:1" in error.message
    assert "the platform's auth discovery" in error.hint
    assert "nothing listens on" in failing(ask, NotDeliveredError, seconds=0, url="http://127.0.0.1:2").message


def test_a_hung_endpoint_ends_at_the_deadline(platform, ask, raw_server):
    """The deadline includes the exchange."""

    def never(connection, seen, stop):
        read_request(connection)
        stop.wait()

    platform.tells(workload_token_endpoint=raw_server(never).url)
    began = SYSTEM_CLOCK.now()
    error = failing(ask, NotDeliveredError, seconds=0.5)
    assert "no response from" in error.message
    assert SYSTEM_CLOCK.now() - began < 50


def test_an_untrusted_certificate_of_the_endpoint_is_an_error(platform, ask, raw_server):
    """Exit code 3 without a retry, and the identity is not sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    server = raw_server([GIVEN], wrap=lambda connection: context.wrap_socket(connection, server_side=True))
    platform.tells(workload_token_endpoint=server.url.replace("http://", "https://"))
    assert "cannot establish TLS with" in failing(ask, SettingsError).message
    assert server.seen == []


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (response(200, "<title>Log in</title>", kind="text/html"), SettingsError, "a page titled 'Log in'"),
        (response(200, "null"), SettingsError, "unexpected response from"),
        (response(200, "[]"), SettingsError, "unexpected response from"),
        (response(404, '{"detail":"Not Found"}'), SettingsError, "has no jobs API"),
        (
            response(307, "", "Location: https://sso.example.com/"),
            SettingsError,
            "redirects to https://sso.example.com/",
        ),
        (response(401, '{"detail":"Unauthorized"}'), AuthError, "no token was sent"),
        (
            response(502, "<title>Bad Gateway</title>"),
            NotDeliveredError,
            "could not serve the request (502 Bad Gateway",
        ),
        (b"\r\n", NotDeliveredError, ""),
    ],
)
def test_a_host_without_discovery_is_explained(platform, ask, answer, kind, message):
    """As any wrong host."""
    platform.of_discovery = answer
    error = failing(ask, kind, seconds=0)
    assert message in error.message
    assert platform.url in error.message
    assert platform.exchanged == []


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy"])
def test_a_loopback_endpoint_is_asked_without_a_proxy(platform, ask, raw_server, variable):
    """An identity over plain http must not leave the machine."""
    proxy = raw_server([response(200, json.dumps(platform.discovery))])
    environ = {variable: proxy.url}
    in_job = {"proxy": Proxy(proxy.url, variable), "allow_http": Sourced(value=True, source="profile lab")}
    assert ask(url="http://platform.invalid", environ=environ, **in_job) == {"Authorization": "Bearer acc3ss"}
    assert proxy.seen[0].startswith(b"GET http://platform.invalid/apis/auth/discovery ")
    assert len(proxy.seen) == len(platform.exchanged) == 1


def test_a_remote_endpoint_has_its_own_proxy(platform, ask, raw_server):
    """The platform itself may need none."""
    proxy = raw_server([b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"])
    platform.tells(workload_token_endpoint="https://idp.invalid/token")
    error = failing(ask, NotDeliveredError, seconds=0, environ={"https_proxy": proxy.url})
    assert "proxy refused the connection to https://idp.invalid" in error.message
    assert proxy.seen[0].startswith(b"CONNECT idp.invalid:443 ")
