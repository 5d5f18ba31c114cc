"""`nemo-jobs init`: asked on a terminal or told by options, tested, and written as a whole or not at all."""

from __future__ import annotations

import io
import os
import stat
import sys
import tomllib

import pytest
from raw import CHILD_ENVIRONMENT, response
from terminals import Terminal

from nemo_jobs_cli.sandbox import server as sandbox
from nemo_jobs_cli.sandbox.server import TOKEN
from nemo_jobs_cli.settings import edit

SECRET = "tok-123456789"  # what must not show in any output
EMPTY = '{"data": [], "pagination": {"total_pages": 1}}'


@pytest.fixture
def file(tmp_path):
    """Return the path of the usual configuration file; it isn't there yet."""
    return tmp_path / "home" / ".config" / "nemo-jobs" / "config.toml"


@pytest.fixture(scope="module")
def guarded():
    """Give the URL of a server that asks for the token `sandbox`."""
    server = sandbox.start(sandbox.Options(strict=True, auth=True))
    yield server.url
    sandbox.stop(server)


@pytest.fixture(scope="module")
def free():
    """Give the URL of a server that asks for none."""
    server = sandbox.start(sandbox.Options(strict=True))
    yield server.url
    sandbox.stop(server)


@pytest.fixture
def stdin(monkeypatch):
    """Return a function that puts text on stdin, which is a pipe."""

    def put(text=""):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))

    put()
    return put


@pytest.fixture
def screen(tmp_path):
    """Return a function that starts the command on a terminal of its own."""
    env = {**CHILD_ENVIRONMENT, "HOME": str(tmp_path / "home"), "TERM": "dumb"}
    return lambda *words, **more: Terminal([sys.executable, "-m", "nemo_jobs_cli", "init", *words], env | more)


def stored(path):
    """Return what a file holds."""
    return tomllib.loads(path.read_text())


def failed(ran, code):
    """Check that a command failed in our way, and return its message and its hint."""
    assert (ran.code, ran.out) == (code, "")
    message, hint = ran.err.removesuffix("\n").split("\nnext: ")
    assert SECRET not in ran.err
    return message.removeprefix("error: "), hint


# --- in a script ----------------------------------------------------------------------------------------------------


def test_a_script_gives_every_answer(nemo_jobs, stdin, guarded, file):
    """The profile and the token's file are written, both private, and what was done is told."""
    stdin(TOKEN + "\n")
    ran = nemo_jobs("init", "--host", guarded, "-w", "default", "--token-file", "-")
    token = file.parent / "tokens" / "default"
    assert (ran.code, ran.out) == (0, "")
    assert ran.err.splitlines() == [
        f"{guarded} answers, workspace default can be read with the token from stdin",
        f"wrote profile default, now the default: host, workspace, token_file ({file})",
        f"wrote the token, readable by you only ({token})",
        "next: nemo-jobs list",
    ]
    assert stored(file) == {
        "profiles": {"default": {"host": guarded, "workspace": "default", "token_file": "tokens/default"}}
    }
    assert token.read_text() == f"{TOKEN}\n"
    assert [stat.S_IMODE(path.stat().st_mode) for path in (token, file, token.parent, file.parent)] == [
        0o600, 0o600, 0o700, 0o700,
    ]  # fmt: skip
    assert nemo_jobs("list").code == 0


def test_json_is_one_object_without_the_token(nemo_jobs, stdin, guarded, file):
    """With what was written where."""
    stdin(TOKEN)
    ran = nemo_jobs("init", "--profile", "lab", "--host", guarded, "--token-file", "-", "-o", "json")
    assert ran.err == ""
    assert ran.json == {
        "schema": 1, "command": "init", "outcome": "ok", "exit_code": 0,
        "result": {
            "profile": "lab", "path": str(file), "keys": ["host", "workspace", "token_file"], "host": guarded,
            "workspace": "default", "token": "stored", "token_file": str(file.parent / "tokens" / "lab"),
            "default": True, "tested": True, "next": "nemo-jobs list",
        },
        "warnings": [],
    }  # fmt: skip


def test_quiet_says_nothing(nemo_jobs, stdin, free):
    """The exit code does."""
    assert nemo_jobs("init", "--host", free, "-q").err == ""


def test_without_a_host_the_option_is_named(nemo_jobs, stdin, file):
    """Nobody means localhost without saying so."""
    assert failed(nemo_jobs("init"), 2) == ("host is required when not running interactively", "pass --host URL")
    assert not file.exists()


def test_what_holds_already_is_the_default(nemo_jobs, stdin, free, file, monkeypatch):
    """A variable, and on the next run the profile itself."""
    monkeypatch.setenv("NEMO_JOBS_HOST", free)
    ran = nemo_jobs("init")
    assert "warning: the host from NEMO_JOBS_HOST overrides the profile's\n" in ran.err
    monkeypatch.delenv("NEMO_JOBS_HOST")
    edit.set_key(file, "default", "deadline", "3s")
    assert nemo_jobs("init", "-y").code == 0
    assert stored(file)["profiles"]["default"] == {"host": free, "workspace": "default", "deadline": "3s"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--host", "nmp.example.com"), "host is not a base URL"),
        (("--host", ""), "host is not a base URL"),
        (("--host", "https://h", "-w", "Bad"), "workspace is not a workspace name"),
        (("--host", "https://h", "--profile", ""), "--profile is empty"),
        (("--host", "https://h", "--token-command", ""), "empty"),
        (("--host", "https://h", "--no-token", "--token-command", "x"), "at most one token"),
        (("--host", "https://h", "--token-file", "-"), "the token from stdin is empty"),
    ],
)
def test_a_wrong_option_is_a_usage_error(nemo_jobs, stdin, file, words, message):
    """Nothing is sent or written."""
    assert message in failed(nemo_jobs("init", *words), 2)[0]
    assert not file.parent.exists()


def test_a_token_is_no_option(nemo_jobs, stdin):
    """It would show in ps."""
    assert "keep tokens off the command line" in failed(nemo_jobs("init", "--token", SECRET), 2)[1]


@pytest.mark.parametrize(
    ("words", "token", "code", "message"),
    [
        ((), SECRET, 4, "does not accept the token from stdin"),
        (("--no-token",), "", 4, "authentication required by"),
        (("-w", "nope"), TOKEN, 5, "no workspace 'nope' on"),
        (("--host", "http://127.0.0.1:1", "--deadline", "0"), TOKEN, 7, "nothing listens on http://127.0.0.1:1"),
        (("--host", "http://nmp.example.com"), TOKEN, 3, "is not sent over plain http"),
        (("--token-file", "/nowhere"), "", 3, "can't be read"),
        (("--token-command", "false"), "", 3, "exited with 1"),
    ],
)
@pytest.mark.parametrize("there", [False, True])
def test_what_fails_is_not_written(nemo_jobs, stdin, guarded, file, words, token, code, message, there):
    """The exit code says why, and a profile of before stays as it was."""
    if there:
        stdin(TOKEN)
        nemo_jobs("init", "--host", guarded, "--token-file", "-")
    before = [(path, path.read_bytes()) for path in sorted(file.parent.rglob("*")) if path.is_file()]
    stdin(token)
    given = ("--host", guarded, *(("--token-file", "-") if token else ()), *words)
    assert message in failed(nemo_jobs("init", *given), code)[0]
    assert [(path, path.read_bytes()) for path in sorted(file.parent.rglob("*")) if path.is_file()] == before
    assert there or not file.parent.exists()


def test_a_redirect_to_a_login_page_is_no_platform(nemo_jobs, stdin, raw_server, file):
    """Exit code 3."""
    server = raw_server([response(302, "", "Location: https://login.example.com/")])
    assert "redirects to https://login.example.com/" in failed(nemo_jobs("init", "--host", server.url), 3)[0]
    assert not file.exists()


def test_a_host_that_is_away_can_be_written_untested(nemo_jobs, stdin, file):
    """For an image that is built elsewhere; a token still must not go there in the clear."""
    ran = nemo_jobs("init", "--host", "https://nmp.invalid", "--no-test", "-o", "json")
    assert (ran.code, ran.json["result"]["tested"]) == (0, False)
    stdin(TOKEN)
    words = ("--host", "http://nmp.invalid", "--no-test", "--token-file", "-")
    assert "plain http" in failed(nemo_jobs("init", *words), 3)[0]
    stdin(TOKEN)
    assert nemo_jobs("init", *words, "--allow-http").code == 0
    assert stored(file)["profiles"]["default"]["allow_http"] is True


def test_a_command_is_stored_and_asked(nemo_jobs, stdin, guarded, file):
    """In place of the token that was there, whose file goes."""
    stdin(TOKEN)
    nemo_jobs("init", "--host", guarded, "--token-file", "-")
    ran = nemo_jobs("init", "--token-command", f"echo {TOKEN}")
    assert ran.code == 0
    assert stored(file)["profiles"]["default"]["token_command"] == f"echo {TOKEN}"
    assert [path.name for path in file.parent.iterdir()] == ["config.toml"]


def test_a_file_is_referred_to(nemo_jobs, stdin, guarded, file, tmp_path):
    """It is read on each call; one that others can read is warned of."""
    own = tmp_path / "own"
    own.write_text(TOKEN)
    own.chmod(0o640)
    ran = nemo_jobs("init", "--host", guarded, "--token-file", str(own))
    assert f"warning: {own} is readable by other users: run chmod 600 on it\n" in ran.err
    assert stored(file)["profiles"]["default"]["token_file"] == str(own)
    assert not (file.parent / "tokens").exists()
    assert nemo_jobs("init", "--no-token", "--no-test").code == 0
    assert own.read_text() == TOKEN


def test_a_ca_file_is_stored_so_that_it_holds_anywhere(nemo_jobs, stdin, free, file, tmp_path, monkeypatch):
    """With its whole path."""
    (tmp_path / "ca.pem").touch()
    monkeypatch.chdir(tmp_path)
    assert nemo_jobs("init", "--host", free, "--ca-file", "ca.pem").code == 0
    assert stored(file)["profiles"]["default"]["ca_file"] == str(tmp_path / "ca.pem")


def test_the_token_that_is_there_stays_with_its_host(nemo_jobs, stdin, guarded, free, file):
    """Another host is not given it: exit code 3, in the words of every command."""
    stdin(TOKEN)
    nemo_jobs("init", "--host", guarded, "--token-file", "-")
    stdin()
    ran = nemo_jobs("init", "-o", "json")
    assert (ran.code, ran.json["result"]["token"]) == (0, "kept")
    before = file.read_bytes()
    message, _ = failed(nemo_jobs("init", "--host", free), 3)
    assert f"belongs to {guarded} and is not sent to {free} (--host)" in message
    assert file.read_bytes() == before
    assert nemo_jobs("init", "--host", free, "--no-token").code == 0
    assert stored(file)["profiles"]["default"] == {"host": free, "workspace": "default"}


def test_a_token_in_the_configuration_moves_out(nemo_jobs, stdin, guarded, file):
    """`token = ...` is replaced; comments stay."""
    file.parent.mkdir(parents=True)
    file.write_text(f'# mine\n[profiles.default]\nhost = "{guarded}"  # the lab\ntoken = "{SECRET}"\n')
    stdin(TOKEN)
    assert nemo_jobs("init", "--token-file", "-").code == 0
    assert file.read_text() == (
        f'# mine\n[profiles.default]\nhost = "{guarded}"  # the lab\nworkspace = "default"\ntoken_file = "tokens/default"\n'
    )


def test_a_second_profile_becomes_the_default_only_when_asked(nemo_jobs, stdin, free, file):
    """The first does by itself."""
    assert nemo_jobs("init", "--profile", "a", "--host", free).err.endswith("next: nemo-jobs list\n")
    ran = nemo_jobs("init", "--profile", "b", "--host", free)
    assert ran.err.endswith("next: nemo-jobs list --profile b; or nemo-jobs config use b\n")
    assert stored(file)["default_profile"] == "a"
    nemo_jobs("init", "--profile", "b", "--use")
    assert stored(file)["default_profile"] == "b"
    assert nemo_jobs("init", "--profile", "c", "--host", free, "--no-use").code == 0
    assert stored(file)["default_profile"] == "b"


def test_a_lost_default_is_mended(nemo_jobs, stdin, free, file):
    """The profile that it names is made."""
    file.parent.mkdir(parents=True)
    file.write_text('default_profile = "gone"\n')
    assert nemo_jobs("init", "--host", free).code == 0
    assert stored(file) == {
        "default_profile": "gone",
        "profiles": {"gone": {"host": free, "workspace": "default"}},
    }


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "実験", "x" * 300, "a\x1b[31m\nb", "-rf"])
def test_a_profile_may_be_called_anything(nemo_jobs, stdin, guarded, file, name):
    """Its token's file stays in its folder, and the screen unharmed."""
    stdin(TOKEN)
    ran = nemo_jobs("init", f"--profile={name}", "--host", guarded, "--token-file", "-")
    assert ran.code == 0
    assert "\x1b" not in ran.err
    (token,) = (file.parent / "tokens").iterdir()
    assert stored(file)["profiles"][name]["token_file"] == f"tokens/{token.name}"
    assert nemo_jobs("list", f"--profile={name}").code == 0


def test_without_a_home_a_file_can_be_named(nemo_jobs, stdin, free, monkeypatch, tmp_path):
    """Exit code 3 with that hint, as with `config set`; the file may be new."""
    monkeypatch.delenv("HOME")
    message, hint = failed(nemo_jobs("init", "--host", free), 3)
    assert message == "there is no home folder to keep a configuration in"
    assert hint == "name a file: export NEMO_JOBS_CONFIG=FILE"
    path = tmp_path / "new" / "ci.toml"
    monkeypatch.setenv("NEMO_JOBS_CONFIG", str(path))
    assert nemo_jobs("init", "--host", free).code == 0
    assert stored(path)["profiles"]["default"]["host"] == free


def test_a_configuration_that_can_not_be_written_leaves_no_token(nemo_jobs, stdin, guarded, file, monkeypatch):
    """Exit code 3, and no orphan."""

    def full(*_):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(edit.os, "fsync", full)
    stdin(TOKEN)
    message, _ = failed(nemo_jobs("init", "--host", guarded, "--token-file", "-"), 3)
    assert "No space left on device" in message
    assert list(file.parent.iterdir()) == []


def test_verbose_says_who_was_asked_as_whom(nemo_jobs, stdin, guarded):
    """With the trace id, never with the token."""
    stdin(TOKEN)
    ran = nemo_jobs("init", "--host", guarded, "--token-file", "-", "-v")
    assert f"\nasked {guarded} as token from stdin, trace id " in ran.err


def test_settings_that_do_not_hold_afterwards_are_told(nemo_jobs, stdin, free, file, monkeypatch):
    """The profile is written; something else is in the way."""
    edit.set_key(file, "lab", "host", free)
    edit.set_default(file, "lab")
    monkeypatch.setenv("NEMO_JOBS_PROFILE", "other")
    ran = nemo_jobs("init", "--profile", "lab")
    assert ran.code == 0
    assert "warning: there is no profile 'other' in " in ran.err


def test_a_url_without_its_option_is_told_with_it(nemo_jobs):
    """And its password is not repeated."""
    ran = nemo_jobs("init", "https://me:s3cret@h")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(
        "error: unexpected argument: https://***@h\nnext: did you mean: nemo-jobs init --host https://h?"
    )


# --- on a terminal --------------------------------------------------------------------------------------------------


def test_a_person_is_asked(screen, guarded, file):
    """A bare name is offered with its scheme, a wrong token asked for again; no token ever shows."""
    with screen() as one:
        one.until(b"host [http://localhost:8080] (default): ")
        one.type(guarded.removeprefix("http://").encode() + b"\n")
        one.until(f"next: did you mean {guarded}?\r\nhost [{guarded}]: ".encode())
        one.type(b"\n")
        one.until(b"workspace [default] (default): ")
        one.type(b"\n")
        one.until(b"token (input hidden) [none]: ")
        one.type(SECRET.encode() + b"\r")
        one.until(b"does not accept the token from your answer")
        one.until(b"[C/t/k/g]: ")
        one.type(b"c\n")
        one.until(f"host [{guarded}]: ".encode())
        one.type(b"\n")
        one.until(b"[the one you entered]: ")
        assert not file.exists()
        one.type(TOKEN.encode() + b"\r")
        one.until(b"next: nemo-jobs list\r\n")
        assert one.end() == 0
        assert SECRET.encode() not in one.seen
        assert f"{TOKEN}\r".encode() not in one.seen
        assert one.mode() == one.before
    assert (file.parent / stored(file)["profiles"]["default"]["token_file"]).read_text() == f"{TOKEN}\n"


def test_what_is_given_is_not_asked(screen, free, file):
    """The rest is, and a second profile whether it is the default one."""
    edit.set_key(file, "lab", "host", free)
    edit.set_default(file, "lab")
    with screen("--profile", "b", "--host", free, "-w", "default", "--no-token") as one:
        one.until(b"profile lab is the default one; use this one instead? [y/N]: ")
        assert b"host [" not in one.seen
        one.type(b"y\n")
        assert one.end() == 0
    assert stored(file)["default_profile"] == "b"


@pytest.mark.parametrize(("answer", "default"), [(b"\n", "b"), (b"n\n", None)])
def test_the_first_profile_is_the_default_one_unless_it_should_not_be(screen, free, file, answer, default):
    """Enter says yes."""
    with screen("--profile", "b", "--host", free, "-w", "default", "--no-token") as one:
        one.until(b"use profile b if none is named? [Y/n]: ")
        one.type(answer)
        assert one.end() == 0
    assert stored(file).get("default_profile") == default


@pytest.mark.parametrize(
    ("keys", "code", "says"),
    [(b"\x03", 130, b"error: interrupted"), (b"\x04", 2, b"error: the answers ended")],
    ids=["Ctrl-C", "Ctrl-D"],
)
@pytest.mark.parametrize("question", ["host", "token"])
def test_leaving_leaves_everything_as_it_was(screen, guarded, file, keys, code, says, question):
    """The files, and the terminal's echo."""
    edit.set_key(file, "default", "host", guarded)
    before = file.read_bytes()
    with screen() as one:
        one.until(b"host [")
        if question == "token":
            one.type(b"\n\n")
            one.until(b"input hidden")
            one.until(b"]: ")
        one.type(keys)
        assert one.end() == code
        assert b"\r\n" + says in one.seen
        assert one.mode() == one.before
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == ["config.toml"]


@pytest.mark.parametrize(("answer", "code"), [(b"g\n", 4), (b"k\n", 0)], ids=["give up", "keep"])
def test_what_failed_is_kept_or_given_up(screen, guarded, file, answer, code):
    """With the error's exit code, or with a warning."""
    with screen("--host", guarded, "-w", "default", "--no-token") as one:
        one.until(b"[C/t/k/g]: ")
        one.type(answer)
        assert one.end() == code
        assert (b"warning: kept although the test failed" in one.seen) == (code == 0)
        assert (b"aborted: nothing was written" in one.seen) == (code != 0)
    assert file.exists() == (code == 0)


def test_data_stays_apart_from_questions(tmp_path, free):
    """`nemo-jobs init -o json > FILE` asks on the terminal."""
    env = {**CHILD_ENVIRONMENT, "HOME": str(tmp_path / "home"), "TERM": "dumb"}
    with (tmp_path / "out").open("w+b") as out:
        words = [sys.executable, "-m", "nemo_jobs_cli", "init", "-o", "json", "--no-token", "--host", free]
        with Terminal(words, env, stdout=out) as one:
            one.until(b"workspace [default] (default): ")
            one.type(b"\n")
            assert one.end() == 0
            assert b"schema" not in one.seen
        out.seek(0)
        assert out.read().startswith(b'{"schema": 1, "command": "init", "outcome": "ok"')


def test_yes_asks_nothing_on_a_terminal_either(screen, free):
    """Also as --no-input."""
    for word in ("-y", "--yes", "--no-input"):
        with screen(word, "--host", free) as one:
            assert one.end() == 0
            assert b"]: " not in one.seen
