"""The settings that a profile will give, before it is written."""

from __future__ import annotations

import json

import pytest
from raw import response

from nemo_jobs_cli.core.errors import AuthError, SettingsError, UsageError
from nemo_jobs_cli.settings.model import Credential, Flags, Settings, Sourced
from nemo_jobs_cli.setup import candidate
from nemo_jobs_cli.setup.interview import Answers, Token

SECRET = "tok-123456789"
HOST = "https://nmp.example.com"
PROFILES = f"""
default_profile = "lab"
[profiles.lab]
host = "{HOST}"
workspace = "research"
token = "{SECRET}"
[profiles.prod]
host = "https://prod.example.com"
"""


@pytest.fixture
def environ(tmp_path):
    """Return an environment with only a home folder."""
    return {"HOME": str(tmp_path)}


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Return a function that writes the config file."""
    path = tmp_path / ".config" / "nemo-jobs" / "config.toml"
    monkeypatch.setenv("HOME", str(tmp_path))

    def write(text=PROFILES):
        path.parent.mkdir(parents=True)
        path.write_text(text, encoding="utf-8")

    return write


def current(environ, **flags):
    """Return the settings of the target profile as it is now."""
    flags = Flags(**flags)
    return candidate.current_settings(candidate.target_profile(flags, environ), flags, environ)


def candidate_settings(environ, host=HOST, token=Token("text", SECRET), *, allow_http=False, **flags):  # noqa: B008 - frozen
    """Return the target profile, and the settings with these answers."""
    flags = Flags(**flags)
    profile = candidate.target_profile(flags, environ)
    answers = Answers(Sourced(host, "your answer"), Sourced("ws", "--workspace"), token)
    return profile, candidate.candidate_settings(profile, answers, flags, environ, allow_http=allow_http)


@pytest.mark.parametrize(
    ("content", "flag", "variable", "name"),
    [
        (None, None, None, "default"),
        (PROFILES, None, None, "lab"),
        (PROFILES, None, "prod", "prod"),
        (PROFILES, "new", "prod", "new"),
        ('default_profile = "gone"', None, None, "gone"),
    ],
)
def test_the_target_is_the_named_or_the_default_profile(write, environ, content, flag, variable, name):
    """It may be new."""
    if content is not None:
        write(content)
    environ |= {} if variable is None else {"NEMO_JOBS_PROFILE": variable}
    assert candidate.target_profile(Flags(profile=flag), environ).name == name


@pytest.mark.parametrize(("flag", "variable"), [("", "x"), ("\udcff", "x"), (None, "\udcff")])
def test_an_invalid_profile_name_is_a_usage_error(environ, flag, variable):
    """Before anything is asked."""
    with pytest.raises(UsageError):
        candidate.target_profile(Flags(profile=flag), environ | {"NEMO_JOBS_PROFILE": variable})


def test_the_current_settings_are_those_of_the_profile(write, environ):
    """Even if a variable overrides a profile that no flag names; a new profile starts with the other sources."""
    write()
    variables = {"NEMO_JOBS_HOST": "https://other", "NEMO_JOBS_PROFILE": "lab"}
    assert current(environ | variables).host == Sourced(HOST, "profile lab (~/.config/nemo-jobs/config.toml)")
    settings = current(environ | {"NEMO_JOBS_WORKSPACE": "ws", "NEMO_JOBS_PROFILE": "new"})
    assert (settings.host.value, settings.workspace) == (HOST, Sourced("ws", "NEMO_JOBS_WORKSPACE"))


@pytest.mark.parametrize("content", [None, 'default_profile = "gone"'])
def test_a_file_without_profiles_is_not_an_error(tmp_path, environ, content):
    """NEMO_JOBS_CONFIG may name a new file; a missing default profile can be created."""
    path = tmp_path / "new.toml"
    if content:
        path.write_text(content, encoding="utf-8")
    assert current(environ | {"NEMO_JOBS_CONFIG": str(path)}).host.is_default


@pytest.mark.parametrize(("kind", "credential"), [("text", "token"), ("file", "file"), ("command", "command")])
def test_a_new_token_is_bound_to_the_new_host(write, environ, kind, credential):
    """It is not sent anywhere else."""
    write()
    _, settings = candidate_settings(environ, token=Token(kind, SECRET))
    assert settings.credential == Credential(credential, SECRET, "your answer", bound_to=HOST)
    assert (settings.host, settings.workspace) == (Sourced(HOST, "your answer"), Sourced("ws", "--workspace"))
    assert settings.allow_http.value is False
    assert candidate_settings(environ, token=Token("none"))[1].credential is None


def token_default(environ, host=HOST, **flags):
    """Return what an empty answer to the question for a token means."""
    profile, settings = candidate_settings(environ, host, Token("current"), **flags)
    return candidate.token_default(settings, profile)


@pytest.mark.parametrize(
    ("content", "more", "host", "profile", "token", "description"),
    [
        (PROFILES, {}, HOST + "/prefix", None, "current", "keep the current one"),
        (PROFILES, {}, "https://evil.example.com", None, "none", f"none; the token for {HOST} is removed"),
        ("", {"NEMO_JOBS_TOKEN": SECRET}, HOST, None, "current", "none in the profile; use the token from NEMO_JOBS_TOKEN"),
        (PROFILES, {}, "https://other", "new", "none", "none"),
        ("", {}, "https://other", "new", "none", "none"),
    ],
    ids=["same host", "another host", "another source", "another profile", "no token"],
)  # fmt: skip
def test_an_empty_answer_keeps_a_token_only_for_its_host(
    write, environ, content, more, host, profile, token, description
):
    """Otherwise the error is the one of every command, without the token."""
    write(content)
    default = token_default(environ | more, host, profile=profile)
    assert (default.token.kind, default.description) == (token, description)
    assert (default.error is not None) is ("is removed" in description)
    assert default.error is None or host in default.error.message
    assert SECRET not in repr(default)


@pytest.mark.parametrize(
    ("values", "flag", "allowed"), [("", False, False), ("allow_http = true", False, True), ("", True, True)]
)
def test_plain_http_must_be_allowed_for_a_token(write, environ, values, flag, allowed):
    """By this profile or by the flag, which the hint names."""
    write(f"[profiles.lab]\n{values}\n[profiles.default]\nallow_http = true\n")
    _, settings = candidate_settings(environ, "http://h", profile="lab", allow_http=flag)
    if allowed:
        candidate.check(settings)
    else:
        with pytest.raises(SettingsError, match="plain http") as caught:
            candidate.check(settings)
        assert "--allow-http" in caught.value.hint


def verify(url, token=SECRET):
    """Verify settings for a server, with one attempt."""
    credential = Credential("token", token, "your answer", bound_to=url) if token else None
    settings = Settings(
        host=Sourced(url, "h"), workspace=Sourced("ws", "w"), credential=credential, deadline=Sourced(0.0, "d")
    )
    return candidate.verify(settings, None)


def page(*names):
    """Return a page of jobs or workspaces with these names."""
    return json.dumps({"data": [{"name": name} for name in names], "pagination": {"total_pages": 3}})


def test_verifying_needs_one_request(raw_server):
    """Regardless of the number of jobs."""
    server = raw_server([response(200, page("a"))])
    verify(server.url)
    (request,) = server.seen
    assert request.startswith(b"GET /apis/jobs/v2/workspaces/ws/jobs?page=1")
    assert f"Bearer {SECRET}".encode() in request


@pytest.mark.parametrize(
    ("status", "token", "hint"), [(401, SECRET, "--token-file FILE"), (401, "", "--token-file"), (403, SECRET, "name")]
)
def test_a_refused_token_is_an_auth_error(raw_server, status, token, hint):
    """Exit code 4; the hint helps in `init`, and the token is never quoted."""
    server = raw_server([response(status, '{"detail":"no"}')])
    with pytest.raises(AuthError) as caught:
        verify(server.url, token)
    assert hint in caught.value.hint
    assert SECRET not in caught.value.message + caught.value.hint


@pytest.mark.parametrize(
    ("status", "detail", "warns"),
    [(404, "Entity 'x' not found in workspace 'ws'", False), (403, "Forbidden", True), (503, "busy", False)],
)
def test_a_token_that_may_only_read_is_a_warning(raw_server, status, detail, warns):
    """An empty update of a job that cannot exist changes nothing."""
    server = raw_server([response(200, page("a")), response(status, json.dumps({"detail": detail}))])
    warning = candidate.read_only_warning(verify(server.url))
    assert (warning is not None) is warns
    assert server.seen[1].startswith(b"PATCH /apis/jobs/v2/workspaces/ws/jobs/nemo-jobs--doctor/status-details ")
    assert not warns or "permission jobs.update (role Editor)" in warning


@pytest.mark.parametrize(
    ("name", "variables", "expected"),
    [
        ("lab", {}, []),
        (
            "lab",
            {"NEMO_JOBS_HOST": HOST, "NEMO_JOBS_TOKEN": "t"},
            ["the host from NEMO_JOBS_HOST overrides", "the token from NEMO_JOBS_TOKEN overrides"],
        ),
        ("prod", {}, ["is not sent to https://prod.example.com"]),
        ("lab", {"NEMO_JOBS_PROFILE": "gone"}, ["no profile 'gone' in"]),
    ],
    ids=["none", "variables", "a token for another host", "a missing profile"],
)
def test_settings_that_override_the_profile_are_warned_about(write, environ, monkeypatch, name, variables, expected):
    """Otherwise the profile would seem to have no effect."""
    write(PROFILES + 'workspace = "research"\n')
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    warnings = candidate.override_warnings(candidate.target_profile(Flags(profile=name), environ))
    assert [text in warning for text, warning in zip(expected, warnings, strict=True)] == [True] * len(expected)


def test_no_repr_shows_the_file():
    """It may hold tokens."""
    assert "secret" not in repr(candidate.TargetProfile(None, {"profiles": {"lab": {"token": "secret"}}}, "lab"))
