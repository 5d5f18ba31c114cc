"""What a profile will make of the settings, before it is written."""

from __future__ import annotations

import json

import pytest
from raw import response

from nemo_jobs_cli.core.errors import AuthError, NotFoundError, SettingsError, UsageError
from nemo_jobs_cli.settings import resolve
from nemo_jobs_cli.settings.model import Credential, Flags, Settings, Sourced
from nemo_jobs_cli.setup import candidate
from nemo_jobs_cli.setup.questions import Answers, Token

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
    """Return an environment with a home and nothing else."""
    return {"HOME": str(tmp_path)}


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Return a function that writes the configuration file; it isn't there yet."""
    path = tmp_path / ".config" / "nemo-jobs" / "config.toml"
    monkeypatch.setenv("HOME", str(tmp_path))

    def make(text=PROFILES):
        path.parent.mkdir(parents=True)
        path.write_text(text)
        return path

    return make


def answers(host=HOST, token=Token("text", SECRET)):  # noqa: B008 - frozen
    """Return what was answered."""
    return Answers(Sourced(host, "your answer"), Sourced("ws", "--workspace"), token)


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
def test_the_profile_is_the_one_that_would_be_used(write, environ, content, flag, variable, name):
    """The named one, else the default one, made where there is none."""
    if content is not None:
        write(content)
    more = {} if variable is None else {"NEMO_JOBS_PROFILE": variable}
    assert candidate.place(Flags(profile=flag), environ | more).name == name


@pytest.mark.parametrize(("flag", "variable"), [("", "x"), ("\udcff", "x"), (None, "\udcff")])
def test_a_name_that_no_file_can_hold_is_refused(write, environ, flag, variable):
    """Before anything is asked."""
    with pytest.raises(UsageError):
        candidate.place(Flags(profile=flag), environ | {"NEMO_JOBS_PROFILE": variable})


def test_without_a_home_there_is_no_place(monkeypatch):
    """Exit code 3, with the way out, as `config set` has it."""
    monkeypatch.delenv("HOME")
    with pytest.raises(SettingsError, match="no home folder") as caught:
        candidate.place(Flags(), {})
    assert "NEMO_JOBS_CONFIG" in caught.value.hint


def test_what_holds_at_present_is_the_profiles_own(write, environ):
    """Also where a variable would win without the profile's being named."""
    write()
    around = environ | {"NEMO_JOBS_HOST": "https://other", "NEMO_JOBS_PROFILE": "lab"}
    now = candidate.present(candidate.place(Flags(), around), Flags(), around)
    assert now.host == Sourced(HOST, "profile lab (~/.config/nemo-jobs/config.toml)")


def test_a_new_profile_begins_with_what_holds_without_it(write, environ):
    """Variables, the default profile."""
    write()
    around = environ | {"NEMO_JOBS_WORKSPACE": "ws", "NEMO_JOBS_PROFILE": "new"}
    now = candidate.present(candidate.place(Flags(), around), Flags(), around)
    assert (now.host.value, now.workspace) == (HOST, Sourced("ws", "NEMO_JOBS_WORKSPACE"))


@pytest.mark.parametrize("content", [None, 'default_profile = "gone"'])
def test_a_file_that_says_nothing_yet_is_no_error(tmp_path, environ, monkeypatch, content):
    """NEMO_JOBS_CONFIG may name one that is to be made, and a lost default is to be mended."""
    path = tmp_path / "new.toml"
    if content:
        path.write_text(content)
    monkeypatch.setenv("NEMO_JOBS_CONFIG", str(path))
    around = environ | {"NEMO_JOBS_CONFIG": str(path)}
    assert candidate.present(candidate.place(Flags(), around), Flags(), around).host.is_default


@pytest.mark.parametrize(("kind", "credential"), [("text", "token"), ("file", "file"), ("command", "command")])
def test_a_new_token_belongs_to_the_new_host(write, environ, kind, credential):
    """It goes nowhere else, and is who asks."""
    write()
    where = candidate.place(Flags(), environ)
    found = candidate.candidate(where, answers(token=Token(kind, SECRET)), Flags(), environ, allow_http=False)
    assert found.credential == Credential(credential, SECRET, "your answer", bound_to=HOST)
    assert (found.host, found.workspace) == (Sourced(HOST, "your answer"), Sourced("ws", "--workspace"))
    assert found.allow_http.value is False


def test_no_token_is_nobody(write, environ):
    """Although the profile has one."""
    write()
    where = candidate.place(Flags(), environ)
    assert (
        candidate.candidate(where, answers(token=Token("none")), Flags(), environ, allow_http=False).credential is None
    )


def offered(environ, host, **flags):
    """Return what an empty answer to the question for a token means."""
    where = candidate.place(Flags(**flags), environ)
    found = candidate.candidate(where, answers(host, Token("present")), Flags(**flags), environ, allow_http=False)
    return candidate.offer(found, where)


def test_the_profiles_own_token_can_stay(write, environ):
    """For its own host."""
    write()
    offer = offered(environ, HOST + "/prefix")
    assert (offer.token, offer.says, offer.problem) == (Token("present"), "the one that is there", None)


def test_the_profiles_own_token_does_not_move_to_another_host(write, environ):
    """It would be given away; the problem says so in the words that every command has."""
    write()
    offer = offered(environ, "https://evil.example.com")
    assert (offer.token.kind, offer.says) == ("none", f"none, and the one of {HOST} goes")
    assert "is not sent to https://evil.example.com" in offer.problem.message
    assert SECRET not in repr(offer)


def test_a_token_from_elsewhere_can_do(write, environ):
    """A variable's, or that of the official login: it needs none of its own."""
    offer = offered(environ | {"NEMO_JOBS_TOKEN": SECRET}, HOST)
    assert offer.token.kind == "present"
    assert offer.says == "none of its own, there is the token from NEMO_JOBS_TOKEN"


def test_a_token_from_elsewhere_that_does_not_fit_is_none(write, environ):
    """The default profile's is for its own host."""
    write()
    assert offered(environ, "https://other", profile="new")[1:] == ("none", None)
    assert offered({"HOME": "/nowhere"}, "https://other", profile="new")[1:] == ("none", None)


@pytest.mark.parametrize(
    ("own", "flag", "allowed"), [("", False, False), ("allow_http = true", False, True), ("", True, True)]
)
def test_a_token_goes_over_plain_http_only_where_that_is_allowed(write, environ, own, flag, allowed):
    """By the profile itself, or by the flag; else with the same words as elsewhere, and the flag."""
    write(f"[profiles.lab]\n{own}\n[profiles.default]\nallow_http = true\n")
    where = candidate.place(Flags(profile="lab"), environ)
    found = candidate.candidate(where, answers("http://h"), Flags(profile="lab"), environ, allow_http=flag)
    if allowed:
        candidate.check(found)
    else:
        with pytest.raises(SettingsError, match="not sent over plain http to http://h") as caught:
            candidate.check(found)
        assert "--allow-http" in caught.value.hint


def test_nobody_may_go_anywhere():
    """Without a token there is nothing to check."""
    candidate.check(Settings(host=Sourced("http://h", "x")))


def settings(url, token=SECRET):
    """Return settings for a server, with one attempt."""
    credential = Credential("token", token, "your answer", bound_to=url) if token else None
    return Settings(
        host=Sourced(url, "h"), workspace=Sourced("ws", "w"), credential=credential, deadline=Sourced(0.0, "d")
    )


def page(*names):
    """Return a page of things with these names."""
    data = [{"name": name} for name in names]
    return json.dumps({"data": data, "pagination": {"total_pages": 3}})


def test_one_request_tries_it(raw_server):
    """However many jobs there are."""
    server = raw_server([response(200, page("a"))])
    candidate.attempt(settings(server.url))
    (request,) = server.seen
    assert request.startswith(b"GET /apis/jobs/v2/workspaces/ws/jobs?page=1")
    assert f"Bearer {SECRET}".encode() in request


def test_a_workspace_that_is_not_there_comes_with_close_ones(raw_server):
    """Exit code 5."""
    server = raw_server([response(404, '{"detail":"Workspace \'ws\' not found"}'), response(200, page("wss", "zz"))])
    with pytest.raises(NotFoundError) as caught:
        candidate.attempt(settings(server.url))
    assert caught.value.facts["close"] == ["wss"]


@pytest.mark.parametrize(
    ("status", "token", "hint"),
    [
        (401, SECRET, "give one that holds"),
        (401, "", "give one that holds"),
        (403, SECRET, "check the workspace's name"),
    ],
)
def test_a_token_that_is_not_accepted_is_told(raw_server, status, token, hint):
    """Exit code 4, with what helps here; the token is never quoted."""
    server = raw_server([response(status, '{"detail":"no"}')])
    with pytest.raises(AuthError) as caught:
        candidate.attempt(settings(server.url, token))
    assert hint in caught.value.hint
    assert SECRET not in caught.value.message + caught.value.hint


def test_a_page_of_something_else_is_no_platform(raw_server):
    """Exit code 3."""
    server = raw_server([response(200, "<title>Login</title>", kind="text/html")])
    with pytest.raises(SettingsError, match="not as NeMo Platform does"):
        candidate.attempt(settings(server.url))


def overruled(environ, path, name="lab", flags=Flags()):  # noqa: B008 - frozen
    """Return the warnings on a profile that has been written."""
    where = candidate.place(Flags(profile=name), environ)
    return candidate.overruled(where, resolve.resolve(flags, environ), token=True)


def test_what_wins_over_the_profile_is_told(write, environ):
    """Else the profile seems to do nothing."""
    path = write()
    assert overruled(environ, path) == []
    told = overruled(environ | {"NEMO_JOBS_HOST": HOST, "NEMO_JOBS_TOKEN": "t"}, path)
    assert told == [
        "the host of NEMO_JOBS_HOST wins over the profile's",
        "the token of NEMO_JOBS_TOKEN wins over the profile's",
    ]


def test_a_token_of_another_source_that_is_in_the_way_is_told(write, environ):
    """A profile without a token meets that of the default one, which is for another host."""
    path = write()
    (told,) = candidate.overruled(
        candidate.place(Flags(profile="prod"), environ),
        resolve.resolve(Flags(profile="prod", workspace="research"), environ)._replace(
            workspace=Sourced("research", f"profile prod ({'~/.config/nemo-jobs/config.toml'})")
        ),
        token=False,
    )
    assert path.name in told
    assert "is not sent to https://prod.example.com" in told


def test_no_representation_shows_the_file():
    """It may hold tokens."""
    assert "secret" not in repr(candidate.Place(None, {"profiles": {"lab": {"token": "secret"}}}, "lab"))
