"""Credentials: sent only to their own origin, and never shown."""

from __future__ import annotations

import base64
import io
import json
import os
import shlex
import subprocess
import sys
from types import SimpleNamespace

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from raw import CHILD_ENVIRONMENT
from strategies import nearly

from nemo_jobs_cli.auth import _workload, credentials, token_source
from nemo_jobs_cli.core import deadline, tokens
from nemo_jobs_cli.core.clock import SYSTEM_CLOCK
from nemo_jobs_cli.core.errors import ExitCode, SettingsError
from nemo_jobs_cli.settings import resolve, urls
from nemo_jobs_cli.settings.model import DEFAULT_HOST, Credential, Flags, Settings, Sourced
from nemo_jobs_cli.transport import explain
from nemo_jobs_cli.transport.messages import Response, SendResult

HTTPS = "https://nmp.example.com"
CLEAR = "http://nmp.example.com"
KINDS = ["token", "file", "command", "principal", "workload"]
IN_JOB = {"bound_to": CLEAR, "from_job": True}


@pytest.fixture(autouse=True)
def _no_exchange(monkeypatch):
    """Fail if a token exchange is attempted."""
    monkeypatch.setattr(_workload, "Client", None)


def headers_of(credential, host=HTTPS, *, seconds=10.0, environ=None, **more):
    """Return the headers of a credential for a host."""
    settings = Settings(host=Sourced(host, "--host"), credential=credential, **more)
    limit = deadline.start(seconds, SYSTEM_CLOCK.now(), SYSTEM_CLOCK)
    return credentials.auth_headers(settings, limit, CHILD_ENVIRONMENT if environ is None else environ)


def error_of(credential, host=HTTPS, **more):
    """Return the SettingsError of a credential for a host."""
    with pytest.raises(SettingsError) as caught:
        headers_of(credential, host, **more)
    assert caught.value.exit_code is ExitCode.SETTINGS
    assert caught.value.hint
    return caught.value


def token(secret="t0p", **more):
    """Return the credential of a plain token."""
    return Credential("token", secret, "profile lab", **more)


def bearer(secret):
    """Return the headers of a token."""
    return {"Authorization": f"Bearer {secret}"}


# Bound to an origin -----------------------------------------------------------------------------------------------

SCHEMES = st.sampled_from(["http", "https"])
HOSTS = st.sampled_from(["nmp.example.com", "example.com", "nmp.example.com.evil.org", "10.0.0.1", "[2001:db8::1]"])
PORTS = st.one_of(st.none(), st.integers(1, 65535), st.sampled_from([80, 443, 8080]))
PATHS = st.sampled_from(["", "/", "/prefix", "/a/b/"])
USUAL = {"http": 80, "https": 443}


def url(scheme, host, port, path=""):
    """Return a base URL."""
    return f"{scheme}://{host}{'' if port is None else f':{port}'}{path}"


@given(SCHEMES, HOSTS, PORTS, SCHEMES, HOSTS, PORTS, PATHS, st.sampled_from(KINDS))
@example("https", "example.com", None, "http", "example.com", None, "", "token")
@example("https", "example.com", None, "https", "example.com", 8443, "", "principal")
def test_a_token_of_another_origin_is_not_sent(scheme, host, port, scheme2, host2, port2, path, kind):
    """Scheme, host and port must match; else exit code 3 with both origins, before the secret is read."""
    assume((scheme, host, port or USUAL[scheme]) != (scheme2, host2, port2 or USUAL[scheme2]))
    own, target = url(scheme, host, port), url(scheme2, host2, port2, path)
    secret = '{"id": "s3cret"}' if kind == "principal" else "/s3cret"
    credential = Credential(kind, secret, "profile lab", bound_to=own)
    error = error_of(credential, target, allow_http=Sourced(value=True, source="profile lab"))
    assert str(urls.origin_of(own)) in error.message
    assert str(urls.origin_of(target)) in error.message
    assert "profile lab" in error.message
    assert "--host" in error.message
    assert error.facts == {"belongs_to": str(urls.origin_of(own)), "host": str(urls.origin_of(target))}
    assert "s3cret" not in f"{error.message} {error.hint} {error.facts}"


@pytest.mark.parametrize(
    ("bound_to", "source", "is_forgotten"),
    [
        (DEFAULT_HOST, "profile lab", True),
        (DEFAULT_HOST, "NMP_ACCESS_TOKEN", False),
        ("https://nmp.example.com", "profile lab", False),
        ("http://a.example.com", "profile lab", False),
    ],
)
def test_a_profile_without_a_host_gets_a_hint(bound_to, source, is_forgotten):
    """Its token is bound to the default host, which nobody has chosen."""
    error = error_of(Credential("token", "t", source, bound_to=bound_to), "https://other.example.com")
    assert ("set that profile's host" in error.hint) is is_forgotten


@given(SCHEMES, HOSTS, PORTS, PATHS, PATHS, st.sampled_from([str.upper, str.title, str.lower]))
def test_a_token_of_the_same_origin_is_sent(scheme, host, port, path, path2, case):
    """Case, the default port and a path prefix make no difference."""
    other = USUAL[scheme] if port is None else None if port == USUAL[scheme] else port
    target = url(case(scheme), case(host), other, path2)
    credential = token(bound_to=url(scheme, host, port, path))
    assert headers_of(credential, target, allow_http=Sourced(value=True, source="x")) == bearer("t0p")


@pytest.mark.parametrize("own", ["https://me:pa55@nmp.example.com", "nmp.example.com", "https://nmp:99999", "", "\x1b"])
def test_a_token_bound_to_an_invalid_host_is_not_sent(own):
    """The host is not quoted: it may contain a password."""
    error = error_of(token(bound_to=own))
    assert error.message == "the token from profile lab is not sent: the URL of its host is invalid"


@pytest.mark.parametrize("host", [HTTPS, "https://elsewhere.example.org:8443", "http://localhost:8080"])
def test_an_unbound_token_goes_to_any_host(host, tmp_path):
    """NEMO_JOBS_TOKEN and --token-file are not bound to a host."""
    file = tmp_path / "token"
    file.write_text("t0p", encoding="utf-8")
    cases = [
        (Flags(host=host), {"NEMO_JOBS_TOKEN": "t0p"}),
        (Flags(host=host), {"NEMO_JOBS_TOKEN_FILE": str(file)}),
        (Flags(host=host, token_file=str(file)), {"NMP_ACCESS_TOKEN": "other", "NMP_BASE_URL": "https://other"}),
    ]
    for flags, environ in cases:
        assert headers_of(resolve.load_settings(flags, environ).credential, host) == bearer("t0p")


# In the clear -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["http://localhost:8080", "http://127.0.0.1", "http://[::1]:80"])
def test_plain_http_to_this_machine_is_no_risk(host):
    """The token does not leave it."""
    assert headers_of(token(), host) == bearer("t0p")


@pytest.mark.parametrize(
    "host",
    [CLEAR, "HTTP://nmp.example.com", "http://localhost.example.com", "http://127.0.0.1.example.com", "http://0.0.0.0"],
)
@pytest.mark.parametrize("kind", KINDS)
def test_plain_http_to_elsewhere_needs_consent(host, kind):
    """Anyone on the way could read it; the host and what may be done are named, the secret is not."""
    secret = '{"id": "s3cret"}' if kind == "principal" else "s3cret"
    error = error_of(Credential(kind, secret, "profile lab"), host)
    assert f"is not sent over plain http to {host} (--host)" in error.message
    assert "https://" in error.hint
    assert "allow_http = true" in error.hint
    assert "s3cret" not in error.message + error.hint
    assert headers_of(token(), host, allow_http=Sourced(value=True, source="profile lab")) == bearer("t0p")


@pytest.mark.parametrize(
    ("credential", "host_from_job", "sent"),
    [
        (token(**IN_JOB), True, True),
        (token(**IN_JOB), False, False),
        (token(bound_to=CLEAR), True, False),
        (token(), True, False),
    ],
)
def test_inside_a_job_its_own_host_and_token_may_use_plain_http(credential, host_from_job, sent):
    """Both must be the job's: the platform has set them up so."""
    if sent:
        assert headers_of(credential, CLEAR, host_from_job=host_from_job) == bearer("t0p")
    else:
        assert "plain http" in error_of(credential, CLEAR, host_from_job=host_from_job).message


# Files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["t0p", "t0p\n", "  t0p\r\n\n", "t0p" + "\n" * 500])
def test_a_token_file_is_read_without_surrounding_whitespace(tmp_path, text):
    """Editors end files with a line break."""
    (tmp_path / "token").write_bytes(text.encode())
    assert headers_of(Credential("file", str(tmp_path / "token"), "--token-file")) == bearer("t0p")


def test_a_token_file_may_start_with_a_tilde(tmp_path, monkeypatch):
    """In a profile no shell expands it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "token").write_text("t0p", encoding="utf-8")
    assert headers_of(Credential("file", "~/token", "profile lab")) == bearer("t0p")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the token from --token-file is empty"),
        (b" \n", "the token from --token-file is empty"),
        (b"s3cret word", "spaces or other invalid characters (length 11)"),
        (b"s3cret\nword", "invalid token"),
        (b"\x7fELF\x00s3cret", "invalid token"),
        (b"\xef\xbb\xbfs3cret", "invalid token"),
        (b"s3cret\xff", "invalid token"),
        (b"s3cret" + b"x" * tokens.LONGEST_TOKEN, "more than 65536 characters"),
        (b"s3cret" * 10**6, "more than 65536 characters"),
    ],
)
def test_an_invalid_token_is_refused_and_not_shown(tmp_path, data, message):
    """The wrong file may be a secret too."""
    (tmp_path / "token").write_bytes(data)
    error = error_of(Credential("file", str(tmp_path / "token"), "--token-file"))
    assert message in error.message
    assert "s3cret" not in error.message + error.hint


def test_the_longest_token_is_valid(tmp_path):
    """With any line break after it."""
    secret = "x" * tokens.LONGEST_TOKEN
    (tmp_path / "token").write_text(secret + "\r\n\n", encoding="utf-8")
    assert headers_of(Credential("file", str(tmp_path / "token"), "--token-file")) == bearer(secret)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "Is a directory"),
        ("missing", "No such file or directory"),
        ("missing/token", "No such file or directory"),
        ("a\0b", "invalid path"),
        ("x" * 300, "File name too long"),
        ("~nobody-has-this-name/token", "invalid path"),
    ],
)
def test_an_unreadable_token_file_is_named(tmp_path, name, reason):
    """With the reason and the setting that names it."""
    path = name if name.startswith("~") else f"{tmp_path}/{name}"
    error = error_of(Credential("file", path, "NEMO_JOBS_TOKEN_FILE"))
    assert error.message.startswith("cannot read the token file ")
    assert error.message.endswith(f" (NEMO_JOBS_TOKEN_FILE): {reason}")


def test_a_token_may_come_from_stdin(monkeypatch):
    """`-` is stdin."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"t0p\n")))
    assert headers_of(Credential("file", "-", "--token-file")) == bearer("t0p")


@pytest.mark.parametrize("how", ["closed", "not ready"])
def test_a_stdin_without_input_is_an_error_of_settings(how):
    """Closed, or non-blocking and empty."""
    program = """
from nemo_jobs_cli.auth import _workload, credentials
from nemo_jobs_cli.core import deadline
from nemo_jobs_cli.core.clock import SYSTEM_CLOCK
from nemo_jobs_cli.core.errors import SettingsError
from nemo_jobs_cli.settings.model import Credential, Settings
settings = Settings(credential=Credential("file", "-", "--token-file"))
try:
    credentials.auth_headers(settings, deadline.start(10, SYSTEM_CLOCK.now(), SYSTEM_CLOCK), {})
except SettingsError as error:
    print(error.message)
"""
    words = [sys.executable, "-c", program]
    read, write = os.pipe()
    os.set_blocking(read, False)
    closed = ["sh", "-c", f"exec {shlex.join(words)} <&-"]
    ran = subprocess.run(
        closed if how == "closed" else words, stdin=read, env=CHILD_ENVIRONMENT, capture_output=True, encoding="utf-8"
    )
    os.close(read)
    os.close(write)
    assert (ran.stdout, ran.stderr) == ("cannot read stdin: no input\n", "")


# Commands ---------------------------------------------------------------------------------------------------------


def command(*words, name="profile lab"):
    """Return the credential of a token command: one line or a list of words."""
    text = words[0] if len(words) == 1 else "".join(f"{word}\0" for word in words)
    return Credential("command", text, name)


def test_a_token_command_prints_the_token():
    """It is split as a shell does, with quotes."""
    assert headers_of(command("printf '%s\\n' \"t0p\"")) == bearer("t0p")


def test_a_token_command_is_run_without_a_shell(tmp_path):
    """Semicolons, dollars and redirections are words."""
    out = tmp_path / "out"
    assert headers_of(command(f"printf %s a;b$HOME|>{out}")) == bearer(f"a;b$HOME|>{out}")
    assert not out.exists()


def test_a_list_of_words_is_not_split():
    """A word may contain spaces and quotes."""
    assert headers_of(command("printf", "%s%.0s", "it's", "two words")) == bearer("it's")


def test_a_token_command_reads_no_stdin():
    """Our stdin contains updates."""
    assert headers_of(command("sh", "-c", "cat; echo t0p")) == bearer("t0p")


def test_a_file_or_command_is_read_each_time(tmp_path):
    """Tokens are rotated."""
    file = tmp_path / "token"
    for secret in ("one", "two"):
        file.write_text(secret, encoding="utf-8")
        for credential in (Credential("file", str(file), "--token-file"), command("cat", str(file))):
            assert headers_of(credential) == bearer(secret)


def test_a_token_command_gets_only_the_given_environment():
    """None of our own variables."""
    environ = {**CHILD_ENVIRONMENT, "KEPT": "kept"}
    assert headers_of(command("sh", "-c", 'echo "$KEPT-$HOME"'), environ=environ) == bearer("kept-")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["sh -c 'exit 7'"], "exit code 7, no error message"),
        (["sh", "-c", "printf 'log in\\033[31m\\nfirst' >&2; exit 1"], "exit code 1, log in\\x1b[31m\\nfirst"),
        (["sh", "-c", "printf 'caf\\351' >&2; exit 1"], "exit code 1, caf\ufffd"),
        (["no-such-command-anywhere"], "no program 'no-such-command-anywhere'"),
        (["/"], "Permission denied"),
        (["printf 't0p"], "not a command line"),
        ([""], "not a command line"),
    ],
)
def test_a_failed_token_command_is_explained(words, why):
    """Its error output is escaped, and the setting is named."""
    error = error_of(command(*words))
    assert error.message == f"cannot get a token from the token_command of profile lab: {why}"
    assert "nemo auth login" in error.hint


@pytest.mark.parametrize(
    ("words", "message"),
    [(["true"], "is empty"), (["echo", "s3cret word"], "invalid token"), (["printf", "s3cret\\0"], "invalid token")],
)
def test_output_of_a_token_command_must_be_a_token(words, message):
    """As the text of a file."""
    error = error_of(command(*words))
    assert message in error.message
    assert "s3cret" not in error.message + error.hint


@pytest.mark.parametrize("script", ["sleep 60 & sleep 60", "exec >&- 2>&-; sleep 60"])
def test_a_token_command_is_killed_at_the_deadline(script):
    """Also if a grandchild keeps the pipe open, or if it has closed its output."""
    began = SYSTEM_CLOCK.now()
    error = error_of(command("sh", "-c", script), seconds=0.2)
    assert error.message == "cannot get a token from the token_command of profile lab: it took longer than 0.2 s"
    assert SYSTEM_CLOCK.now() - began < 50


def test_a_token_command_has_its_own_limit(monkeypatch):
    """It may wait for a prompt that is not visible: half a minute is enough."""
    monkeypatch.setattr(token_source, "time", SimpleNamespace(monotonic=iter([1000.0, 1030.0]).__next__))
    assert "took longer than 30 s" in error_of(command("sleep 20"), seconds=600.0).message


# Principals -------------------------------------------------------------------------------------------------------

EVERYTHING = {
    "id": "me",
    "email": "me@example.com",
    "groups": ["a", "b"],
    "on_behalf_of": "you",
    "on_behalf_of_email": "you@example.com",
    "on_behalf_of_groups": ["c"],
    "unknown": "x",
}


def principal(value, product="nmp", **more):
    """Return the credential of a principal."""
    secret = value if isinstance(value, str) else json.dumps(value)
    return Credential("principal", secret, f"{product.upper()}_PRINCIPAL", product=product, **more)


@pytest.mark.parametrize(("product", "prefix"), [("nmp", "X-NMP-"), ("nhx", "X-NHX-")])
def test_a_principal_is_sent_as_headers(product, prefix):
    """Each product has its own names; groups are separated by commas."""
    assert headers_of(principal(EVERYTHING, product)) == {
        f"{prefix}Principal-Id": "me",
        f"{prefix}Principal-Email": "me@example.com",
        f"{prefix}Principal-Groups": "a,b",
        f"{prefix}Principal-On-Behalf-Of": "you",
        f"{prefix}Principal-On-Behalf-Of-Email": "you@example.com",
        f"{prefix}Principal-On-Behalf-Of-Groups": "c",
    }


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ({"id": "me", "groups": []}, {}),
        ({"id": "me", "groups": "a,b"}, {"X-NMP-Principal-Groups": "a,b"}),
        ({"id": "me", "email": None, "on_behalf_of": ""}, {}),
        ({"id": " me ", "email": "  "}, {}),
        ({"id": "me", "email": "é@example.com"}, {"X-NMP-Principal-Email": "é@example.com"}),
    ],
)
def test_empty_values_are_not_sent(value, sent):
    """Spaces around a value would break HTTP."""
    assert headers_of(principal(value)) == {"X-NMP-Principal-Id": "me", **sent}


@pytest.mark.parametrize("value", [{}, {"id": ""}, {"id": None}, {"id": " "}, {"id": "", "groups": ["\n"]}])
@pytest.mark.parametrize("host", [HTTPS, CLEAR, "https://other.example"])
def test_a_principal_without_an_id_sends_no_headers(value, host):
    """To any host."""
    assert headers_of(principal(value, bound_to=HTTPS), host) == {}


@pytest.mark.parametrize(
    "text", ["", "me", "[]", '"s3cret"', "null", "{", '{"id": "s3cret"', "[" * 100_000, "1" * 5000]
)
def test_a_principal_must_be_a_json_object(text):
    """The hint shows the form; the value is not quoted."""
    error = error_of(principal(text))
    assert error.message == "NMP_PRINCIPAL is not a JSON object"
    assert '"id"' in error.hint


@pytest.mark.parametrize(
    "text", ["s3cret\r\nX-Evil: 1", "s3cret\n", "\x00s3cret", "s3cret\x7f", "s3cret\u0100", "\ud800"]
)
@pytest.mark.parametrize("key", [key for key in EVERYTHING if key != "unknown"])
def test_a_principal_cannot_inject_headers(text, key):
    """Line breaks and characters beyond Latin-1 are refused, also in a list."""
    for value in (text, ["a", text]):
        error = error_of(principal({"id": "me", key: value}))
        assert error.message == "NMP_PRINCIPAL contains a character that headers cannot have"


NEARLY = nearly("me", "you@example.com", " a b ", "é", more=st.text(st.characters(max_codepoint=300), max_size=1))


@given(NEARLY, st.dictionaries(st.sampled_from(list(EVERYTHING)), st.none() | NEARLY | st.lists(NEARLY)))
def test_any_principal_is_sent_safely_or_refused(name, value):
    """No header contains a control character."""
    try:
        headers = headers_of(principal({"id": name, **value}))
    except SettingsError:
        return
    for text in headers.values():
        assert text.encode("latin-1")
        assert text == text.strip(" ")
        assert not any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in text)


# Never shown ------------------------------------------------------------------------------------------------------

# Long, and of letters that are in no message, so that a match means a leak.
SECRETS = st.text("QXZ", min_size=12, max_size=40)
SPOILT = st.sampled_from(["", " x", "\n\nx", "\x00", "é", "\x1b[31m", "'", '"', "\ud800"])


@given(SECRETS, SPOILT, st.sampled_from(["token", "principal"]), st.sampled_from([HTTPS, CLEAR, "https://other"]))
def test_no_error_and_no_description_shows_a_secret(secret, spoilt, kind, host):
    """Whether the credential is valid, invalid or for another host."""
    credential = Credential(kind, secret + spoilt, "profile lab", bound_to=HTTPS)
    texts = [credentials.describe(credential), repr(credential), repr(Settings(credential=credential))]
    try:
        headers_of(credential, host)
    except SettingsError as error:
        texts += [error.message, error.hint, repr(error.facts), repr(error.pointer)]
    assert not any(secret in text for text in texts)


@given(st.text(max_size=50))
def test_a_clean_token_is_a_valid_header(text):
    """It consists of visible ASCII."""
    try:
        result = tokens.clean(text, "here")
    except SettingsError:
        return
    assert result == text.strip()
    assert result
    assert all("!" <= letter <= "~" for letter in result)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("token", "token from NMP_X"),
        ("file", "token from NMP_X"),
        ("command", "token from NMP_X"),
        ("workload", "workload identity from NMP_X"),
        ("principal", "principal from NMP_X"),
    ],
)
def test_a_credential_is_described_by_kind_and_source(kind, expected):
    """Errors quote this description."""
    assert credentials.describe(Credential(kind, "s3cret", "NMP_X")) == expected
    assert credentials.describe(None) == "no token"


# Expiry -----------------------------------------------------------------------------------------------------------


def jwt(claims):
    """Return the headers of a token with these claims: JSON text, or raw bytes."""
    part = base64.urlsafe_b64encode(claims.encode() if isinstance(claims, str) else claims).rstrip(b"=")
    return bearer(f"e30.{part.decode()}.c2ln")


@pytest.mark.parametrize("length", range(4))
def test_a_jwt_has_an_expiry(length):
    """With any padding of its base64."""
    assert credentials.token_expiry(jwt(f'{{"exp":1700000000,"s":"{"x" * length}"}}')) == 1_700_000_000


@pytest.mark.parametrize(
    "auth",
    [
        {},
        bearer("opaque"),
        bearer("a.b"),
        bearer("a.b.c.d"),
        bearer("a..c"),
        bearer("a.!!!.c"),
        bearer("a.é.c"),
        bearer("a.b.c"),
        jwt("[]"),
        jwt("null"),
        jwt("{}"),
        jwt(b"\xff\xfe"),
        jwt("[" * 100_000),
        *(
            jwt(f'{{"exp":{exp}}}')
            for exp in ("null", "[]", '"soon"', '"nan"', "NaN", "Infinity", "-Infinity", "1e400", "-1", "253402300800")
        ),
        jwt('{"exp":' + "9" * 400 + "}"),
        jwt('{"exp":' + "9" * 5000 + "}"),
    ],
)
def test_an_invalid_expiry_is_ignored(auth):
    """Only the server decides about a token."""
    assert credentials.token_expiry(auth) is None


@pytest.mark.parametrize("seconds", [0, 253_402_300_799])
def test_an_expiry_is_a_time_until_the_year_9999(seconds):
    """Other times cannot be formatted."""
    assert credentials.token_expiry(jwt(f'{{"exp":{seconds}}}')) == seconds


@pytest.mark.parametrize(("claims", "expires"), [("{}", 5.0), ('{"exp":7}', 7.0)])
def test_the_source_of_a_token_may_name_its_expiry(claims, expires):
    """The token's own claim is stronger; an opaque token has none."""
    credential = Credential("token", "t", "context", expires_at=5.0)
    assert credentials.token_expiry(jwt(claims), credential) == expires
    assert credentials.token_expiry(bearer("opaque"), credential) == 5.0
    assert credentials.token_expiry(bearer("opaque"), token()) is None


@pytest.mark.parametrize(
    ("claims", "scopes"),
    [
        ('{"scope":"openid jobs:read files:write a.b:c:d"}', ("jobs:read", "files:write")),
        ('{"scp":["jobs:read", 7, "email"]}', ("jobs:read",)),
        ('{"scope":"","scp":"jobs:read"}', ("jobs:read",)),
        ('{"scope":{"jobs:read":1}}', ()),
        ("[]", ()),
    ],
)
def test_only_scopes_with_an_area_limit_a_token(claims, scopes):
    """Others are those of the identity provider (the platform's scopes.rego)."""
    assert credentials.token_scopes(jwt(claims)) == scopes


def test_an_access_key_is_recognized_by_its_claim():
    """It is a JWT of the platform itself."""
    assert credentials.is_access_key(jwt('{"nhx_token_type":"access_key"}'))
    for other in ('{"nhx_token_type":"workload"}', '{"nhx_token_type":""}', "{}"):
        assert not credentials.is_access_key(jwt(other))


@given(st.one_of(st.floats(), st.integers(), st.text(), st.none(), st.booleans()))
def test_any_expiry_can_be_formatted(exp):
    """An error about an odd token must not fail itself."""
    expires = credentials.token_expiry(jwt(json.dumps({"exp": exp})))
    settings = Settings(credential=Credential("token", "t", "NEMO_JOBS_TOKEN"))
    context = explain.Context(settings, "token", None if expires is None else expires - 1.7e9, "trace")
    message = explain.explain(SendResult(Response(401)), context).message
    assert message.startswith(f"{settings.host.value} does not accept the token")
    assert len(message) < 120
