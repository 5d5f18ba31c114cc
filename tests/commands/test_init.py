"""`nemo-jobs init`: answers from a terminal or from options are tested, then written as a whole or not at all."""

from __future__ import annotations

import io
import os
import stat
import sys
import tomllib
from pathlib import Path

import pytest
from raw import CHILD_ENVIRONMENT, response
from terminals import Terminal

from nemo_jobs_cli.core.files import display_path
from nemo_jobs_cli.sandbox import server as sandbox
from nemo_jobs_cli.sandbox.server import TOKEN
from nemo_jobs_cli.settings import edit

SECRET = "tok-123456789"  # must not appear in any output
EMPTY = '{"data": [], "pagination": {"total_pages": 1}}'


@pytest.fixture
def file():
    """Return the path of the default config file, which does not exist yet."""
    return Path(os.environ["HOME"], ".config", "nemo-jobs", "config.toml")


@pytest.fixture(scope="module")
def guarded():
    """Return the URL of a server that requires the token `sandbox`."""
    server = sandbox.start(sandbox.Options(strict=True, auth=True))
    yield server.url
    sandbox.stop(server)


@pytest.fixture(scope="module")
def free():
    """Return the URL of a server that requires no token."""
    server = sandbox.start(sandbox.Options(strict=True))
    yield server.url
    sandbox.stop(server)


@pytest.fixture
def stdin(monkeypatch):
    """Return a function that sets the text on stdin, a pipe."""

    def put(text=""):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))

    put()
    return put


@pytest.fixture
def screen():
    """Return a function that starts the command on its own terminal."""
    env = {**CHILD_ENVIRONMENT, "HOME": os.environ["HOME"], "TERM": "dumb"}
    return lambda *words, **more: Terminal([sys.executable, "-m", "nemo_jobs_cli", "init", *words], env | more)


def stored(path):
    """Return the parsed TOML of a file."""
    return tomllib.loads(path.read_text(encoding="utf-8"))


def failed(ran, code):
    """Check that a command failed, and return its message and hint."""
    assert (ran.code, ran.out) == (code, "")
    message, hint = ran.err.removesuffix("\n").split("\nnext: ")
    assert SECRET not in ran.err
    return message.removeprefix("error: "), hint


# --- in a script ----------------------------------------------------------------------------------------------------


def test_a_script_gives_every_answer(nemo_jobs, stdin, guarded, file):
    """The profile and the file of the token are private, and the output names both."""
    stdin(TOKEN + "\n")
    ran = nemo_jobs("init", "--host", guarded, "-w", "default", "--token-file", "-")
    token = file.parent / "tokens" / "default"
    assert (ran.code, ran.out) == (0, "")
    assert ran.err.splitlines() == [
        f"connected to {guarded} with the token from stdin; workspace 'default' can be read",
        f"set host, workspace, token_file in profile default ({display_path(file)}); it is the default profile",
        f"stored the token in {display_path(token)}, readable only by you",
        "next: nemo-jobs list",
    ]
    assert stored(file) == {
        "profiles": {"default": {"host": guarded, "workspace": "default", "token_file": "tokens/default"}}
    }
    assert token.read_text(encoding="utf-8") == f"{TOKEN}\n"
    assert [stat.S_IMODE(path.stat().st_mode) for path in (token, file, token.parent, file.parent)] == [
        0o600, 0o600, 0o700, 0o700,
    ]  # fmt: skip
    assert nemo_jobs("list").code == 0


@pytest.mark.parametrize(
    ("words", "changes"),
    [
        ((), "nothing changed in"),
        (("-w", "ws"), "set workspace in"),
        (("--token-command", "echo x"), "set token_command in"),
        (("--allow-http", "-w", "ws"), "set workspace, allow_http in"),
    ],
)
def test_only_changes_are_reported(nemo_jobs, stdin, free, file, words, changes):
    """Of a profile that exists; the other settings are kept."""
    nemo_jobs("init", "--host", free)
    ran = nemo_jobs("init", "--no-test", *words)
    assert f"\n{changes} profile default ({display_path(file)}); it is the default profile\n" in f"\n{ran.err}"


def test_removed_settings_are_reported(nemo_jobs, stdin, free, file):
    """And nothing else, if nothing else has changed."""
    nemo_jobs("init", "--host", free, "--token-command", "echo x")
    assert "\nunset token_command in profile default (" in nemo_jobs("init", "--no-token").err
    nemo_jobs("config", "set", "token_file", str(file))
    ran = nemo_jobs("init", "--no-test", "--token-command", "echo x", "-w", "ws")
    assert ran.err.startswith("set workspace, token_command and unset token_file in profile default (")


def test_json_is_one_object_without_the_token(nemo_jobs, stdin, guarded, file):
    """It holds the paths and keys that were written."""
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


@pytest.mark.parametrize(
    ("words", "kind", "has_file"),
    [(("--token-file", "own"), "file", True), (("--token-command", "echo t"), "command", False), ((), "none", False)],
)
def test_json_names_the_file_of_a_token(nemo_jobs, stdin, free, tmp_path, monkeypatch, words, kind, has_file):
    """Only if it is in one."""
    (tmp_path / "own").write_text(TOKEN, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    result = nemo_jobs("init", "--host", free, "--no-test", "-o", "json", *words).json["result"]
    assert (result["token"], result["token_file"]) == (kind, str(tmp_path / "own") if has_file else None)


def test_quiet_prints_nothing(nemo_jobs, stdin, free):
    """The exit code is enough."""
    assert nemo_jobs("init", "--host", free, "-q").err == ""


def test_a_script_must_name_the_host(nemo_jobs, stdin, file):
    """The default host is only for a terminal, where it can be confirmed."""
    assert failed(nemo_jobs("init"), 2) == ("host is required when not running interactively", "pass --host URL")
    assert not file.exists()


def test_current_settings_are_the_defaults(nemo_jobs, stdin, free, file, monkeypatch):
    """From a variable, and on the next run from the profile."""
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
        (("--host", "nmp.example.com"), "invalid URL in --host"),
        (("--host", "https://h", "-w", "Bad"), "invalid workspace name in --workspace"),
        (("--host", "https://h", "--token-command", ""), "empty"),
        (("--host", "https://h", "--token-file", "-"), "the token from stdin is empty"),
    ],
)
def test_an_invalid_option_is_a_usage_error(nemo_jobs, stdin, file, words, message):
    """Nothing is sent or written."""
    assert message in failed(nemo_jobs("init", *words), 2)[0]
    assert not file.parent.exists()


@pytest.mark.parametrize(
    ("words", "token", "code", "message"),
    [
        ((), SECRET, 4, "does not accept the token from stdin"),
        (("--no-token",), "", 4, "authentication required by"),
        (("-w", "nope"), TOKEN, 5, "no workspace 'nope' on"),
        (("--host", "http://127.0.0.1:1", "--deadline", "0"), TOKEN, 7, "nothing listens on http://127.0.0.1:1"),
        (("--host", "http://nmp.example.com"), TOKEN, 3, "is not sent over plain http"),
        (("--token-file", "/nowhere"), "", 3, "cannot read the token file /nowhere"),
        (("--token-command", "false"), "", 3, "exit code 1"),
    ],
)
@pytest.mark.parametrize("existing", [False, True])
def test_a_failed_test_writes_nothing(nemo_jobs, stdin, guarded, file, words, token, code, message, existing):
    """The exit code names the reason, and an existing profile is unchanged."""
    if existing:
        stdin(TOKEN)
        nemo_jobs("init", "--host", guarded, "--token-file", "-")
    before = [(path, path.read_bytes()) for path in sorted(file.parent.rglob("*")) if path.is_file()]
    stdin(token)
    options = ("--host", guarded, *(("--token-file", "-") if token else ()), *words)
    assert message in failed(nemo_jobs("init", *options), code)[0]
    assert [(path, path.read_bytes()) for path in sorted(file.parent.rglob("*")) if path.is_file()] == before
    assert existing or not file.parent.exists()


def test_in_a_script_the_test_is_tried_until_the_deadline(nemo_jobs, stdin, raw_server):
    """The platform may be starting."""
    server = raw_server([response(503, "{}"), response(200, EMPTY)])
    assert nemo_jobs("init", "--host", server.url).code == 0


def test_no_test_writes_a_host_that_cannot_be_reached(nemo_jobs, stdin, file):
    """For an image that is built elsewhere; a token still needs https or --allow-http."""
    ran = nemo_jobs("init", "--host", "https://nmp.invalid", "--no-test", "-o", "json")
    assert (ran.code, ran.json["result"]["tested"]) == (0, False)
    stdin(TOKEN)
    words = ("--host", "http://nmp.invalid", "--no-test", "--token-file", "-")
    assert "plain http" in failed(nemo_jobs("init", *words), 3)[0]
    stdin(TOKEN)
    assert nemo_jobs("init", *words, "--allow-http").code == 0
    assert stored(file)["profiles"]["default"]["allow_http"] is True


def test_a_token_command_replaces_a_stored_token(nemo_jobs, stdin, guarded, file):
    """The file of the old token is deleted."""
    stdin(TOKEN)
    nemo_jobs("init", "--host", guarded, "--token-file", "-")
    ran = nemo_jobs("init", "--token-command", f"echo {TOKEN}")
    assert ran.code == 0
    assert stored(file)["profiles"]["default"]["token_command"] == f"echo {TOKEN}"
    assert [path.name for path in file.parent.iterdir()] == ["config.toml"]


def test_a_token_file_is_stored_as_its_path(nemo_jobs, stdin, guarded, file, tmp_path):
    """It is read on every call; a file that other users can read causes a warning."""
    own = tmp_path / "own"
    own.write_text(TOKEN, encoding="utf-8")
    own.chmod(0o640)
    ran = nemo_jobs("init", "--host", guarded, "--token-file", str(own))
    assert f"warning: {own} is readable by other users: run chmod 600 on it\n" in ran.err
    assert stored(file)["profiles"]["default"]["token_file"] == str(own)
    assert not (file.parent / "tokens").exists()
    assert nemo_jobs("init", "--no-token", "--no-test").code == 0
    assert own.read_text(encoding="utf-8") == TOKEN


def test_a_ca_file_is_stored_as_an_absolute_path(nemo_jobs, stdin, free, file, tmp_path, monkeypatch):
    """It is valid in any folder."""
    (tmp_path / "ca.pem").touch()
    monkeypatch.chdir(tmp_path)
    assert nemo_jobs("init", "--host", free, "--ca-file", "ca.pem").code == 0
    assert stored(file)["profiles"]["default"]["ca_file"] == str(tmp_path / "ca.pem")


def test_the_current_token_stays_with_its_host(nemo_jobs, stdin, guarded, free, file):
    """It is not sent to another host: exit code 3, with the message of every command."""
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


def test_a_token_in_the_config_file_moves_to_its_own_file(nemo_jobs, stdin, guarded, file):
    """`token = ...` is replaced; comments stay."""
    file.parent.mkdir(parents=True)
    file.write_text(
        f'# mine\n[profiles.default]\nhost = "{guarded}"  # the lab\ntoken = "{SECRET}"\n', encoding="utf-8"
    )
    stdin(TOKEN)
    assert nemo_jobs("init", "--token-file", "-").code == 0
    assert file.read_text(encoding="utf-8") == (
        f'# mine\n[profiles.default]\nhost = "{guarded}"  # the lab\nworkspace = "default"\ntoken_file = "tokens/default"\n'
    )


def test_a_second_profile_becomes_the_default_only_with_use(nemo_jobs, stdin, free, file):
    """The first one always does."""
    assert nemo_jobs("init", "--profile", "a", "--host", free).err.endswith("next: nemo-jobs list\n")
    ran = nemo_jobs("init", "--profile", "b", "--host", free)
    assert ran.err.endswith("next: nemo-jobs list --profile b; or nemo-jobs config use b\n")
    assert stored(file)["default_profile"] == "a"
    nemo_jobs("init", "--profile", "b", "--use")
    assert stored(file)["default_profile"] == "b"
    assert nemo_jobs("init", "--profile", "c", "--host", free, "--no-use").code == 0
    assert stored(file)["default_profile"] == "b"


def test_a_missing_default_profile_is_created(nemo_jobs, stdin, free, file):
    """If default_profile names it."""
    file.parent.mkdir(parents=True)
    file.write_text('default_profile = "gone"\n', encoding="utf-8")
    assert nemo_jobs("init", "--host", free).code == 0
    assert stored(file) == {
        "default_profile": "gone",
        "profiles": {"gone": {"host": free, "workspace": "default"}},
    }


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "実験", "x" * 300, "a\x1b[31m\nb", "-rf"])
def test_a_profile_may_have_any_name(nemo_jobs, stdin, guarded, file, name):
    """Its token stays in the folder of tokens, and no escape code reaches the terminal."""
    stdin(TOKEN)
    ran = nemo_jobs("init", f"--profile={name}", "--host", guarded, "--token-file", "-")
    assert ran.code == 0
    assert "\x1b" not in ran.err
    (token,) = (file.parent / "tokens").iterdir()
    assert stored(file)["profiles"][name]["token_file"] == f"tokens/{token.name}"
    assert nemo_jobs("list", f"--profile={name}").code == 0


def test_without_a_home_folder_a_variable_names_the_file(nemo_jobs, stdin, free, monkeypatch, tmp_path):
    """Exit code 3 with that hint, as for `config set`; the file may be new."""
    monkeypatch.delenv("HOME")
    message, hint = failed(nemo_jobs("init", "--host", free), 3)
    assert message == "cannot locate the config file: no home folder"
    assert hint == "name a file: export NEMO_JOBS_CONFIG=FILE"
    path = tmp_path / "new" / "ci.toml"
    monkeypatch.setenv("NEMO_JOBS_CONFIG", str(path))
    assert nemo_jobs("init", "--host", free).code == 0
    assert stored(path)["profiles"]["default"]["host"] == free


def test_verbose_prints_host_and_credential(nemo_jobs, stdin, guarded):
    """With the trace id, without the token."""
    stdin(TOKEN)
    ran = nemo_jobs("init", "--host", guarded, "--token-file", "-", "-v")
    assert f"\nconnected to {guarded} with token from stdin, trace id " in ran.err


# --- on a terminal --------------------------------------------------------------------------------------------------


def test_a_terminal_is_prompted(screen, guarded, file):
    """The file is named, a host without scheme completed, a refused token can be corrected, and no token is shown."""
    with screen() as terminal:
        terminal.until(b"host [http://localhost:8080] (default): ")
        assert terminal.seen.startswith(
            f"setting up profile default in {display_path(file)}; Ctrl-C cancels\r\n".encode()
        )
        terminal.type(guarded.removeprefix("http://").encode() + b"\n")
        terminal.until(f"next: did you mean {guarded}?\r\nhost [{guarded}]: ".encode())
        terminal.type(b"\n")
        terminal.until(b"workspace [default] (default): ")
        terminal.type(b"\n")
        terminal.until(b"token (input hidden) [none]: ")
        terminal.type(SECRET.encode() + b"\r")
        terminal.until(b"does not accept the token from your answer")
        terminal.until(b"[C/t/k/g]: ")
        terminal.type(b"c\n")
        terminal.until(f"host [{guarded}]: ".encode())
        terminal.type(b"\n")
        terminal.until(b"[the one you entered]: ")
        assert not file.exists()
        terminal.type(TOKEN.encode() + b"\r")
        terminal.until(b"next: nemo-jobs list\r\n")
        assert terminal.end() == 0
        assert SECRET.encode() not in terminal.seen
        assert f"{TOKEN}\r".encode() not in terminal.seen
        assert terminal.mode() == terminal.before
    assert (file.parent / stored(file)["profiles"]["default"]["token_file"]).read_text(encoding="utf-8") == f"{TOKEN}\n"


def test_an_option_replaces_its_question(screen, free, file):
    """A second profile also has the question whether it becomes the default."""
    edit.set_key(file, "lab", "host", free)
    edit.set_default(file, "lab")
    with screen("--profile", "b", "--host", free, "-w", "default", "--no-token") as terminal:
        terminal.until(b"make b the default profile instead of lab? [y/N]: ")
        assert b"host [" not in terminal.seen
        terminal.type(b"y\n")
        assert terminal.end() == 0
    assert stored(file)["default_profile"] == "b"


@pytest.mark.parametrize(("answer", "default"), [(b"\n", "b"), (b"n\n", None)])
def test_the_first_profile_becomes_the_default_unless_refused(screen, free, file, answer, default):
    """Enter means yes."""
    with screen("--profile", "b", "--host", free, "-w", "default", "--no-token") as terminal:
        terminal.until(b"make b the default profile? [Y/n]: ")
        terminal.type(answer)
        assert terminal.end() == 0
    assert stored(file).get("default_profile") == default


@pytest.mark.parametrize(
    ("keys", "code", "message", "question"),
    [(b"\x03", 130, b"error: interrupted", "token"), (b"\x04", 2, b"error: the input ended", "host")],
    ids=["Ctrl-C", "Ctrl-D"],
)
def test_an_interruption_changes_nothing(screen, guarded, file, keys, code, message, question):
    """Neither the files nor the echo of the terminal."""
    edit.set_key(file, "default", "host", guarded)
    before = file.read_bytes()
    with screen() as terminal:
        terminal.until(b"host [")
        if question == "token":
            terminal.type(b"\n\n")
            terminal.until(b"input hidden")
            terminal.until(b"]: ")
        terminal.type(keys)
        assert terminal.end() == code
        assert b"\r\n" + message in terminal.seen
        assert terminal.mode() == terminal.before
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == ["config.toml"]


@pytest.mark.parametrize(("answer", "code"), [(b"g\n", 4), (b"k\n", 0)], ids=["give up", "keep"])
def test_a_failed_test_is_kept_or_given_up(screen, guarded, file, answer, code):
    """With a warning, or with the exit code of the error."""
    with screen("--host", guarded, "-w", "default", "--no-token") as terminal:
        terminal.until(b"[C/t/k/g]: ")
        terminal.type(answer)
        assert terminal.end() == code
        assert (b"warning: the profile was written although its test failed" in terminal.seen) == (code == 0)
        assert (b"aborted: nothing was written" in terminal.seen) == (code != 0)
    assert file.exists() == (code == 0)


def test_on_a_terminal_a_host_that_does_not_answer_is_tried_once(screen):
    """The user can correct it at once."""
    with screen("--host", "http://127.0.0.1:1", "-w", "default", "--no-token") as terminal:
        terminal.until(b"[C/t/k/g]: ")
        assert b"(1 attempt)" in terminal.seen
        terminal.type(b"g\n")
        assert terminal.end() == 7


def test_questions_do_not_appear_in_redirected_output(tmp_path, free):
    """`nemo-jobs init -o json > FILE` asks on the terminal, which also shows a mistake in color."""
    env = {**CHILD_ENVIRONMENT, "HOME": str(tmp_path / "home"), "TERM": "xterm"}
    with (tmp_path / "out").open("w+b") as out:
        words = [sys.executable, "-m", "nemo_jobs_cli", "init", "-o", "json", "--no-token", "--host", free]
        with Terminal(words, env, stdout=out) as terminal:
            terminal.until(b"workspace [default] (default): ")
            terminal.type(b"A b\n")
            terminal.until(b"\x1b[1;31merror:\x1b[0m invalid workspace name")
            terminal.until(b"workspace [a-b]: ")
            terminal.type(b"default\n")
            assert terminal.end() == 0
            assert b"schema" not in terminal.seen
        out.seek(0)
        assert out.read().startswith(b'{"schema": 1, "command": "init", "outcome": "ok"')


def test_yes_asks_nothing_on_a_terminal(nemo_jobs, stdin, screen, free):
    """The option has three names."""
    with screen("-y", "--host", free) as terminal:
        assert terminal.end() == 0
        assert b"]: " not in terminal.seen
    assert [nemo_jobs("init", word).code for word in ("--yes", "--no-input")] == [0, 0]
