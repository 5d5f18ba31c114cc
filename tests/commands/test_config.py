"""`nemo-jobs config`: list settings with their sources, and edit profiles."""

from __future__ import annotations

import io
import os
import pwd
import sys
import tomllib
from pathlib import Path

import pytest

from nemo_jobs_cli.core.files import display_path
from nemo_jobs_cli.settings import edit, profiles, token_store
from nemo_jobs_cli.settings.edit import Change

SECRET = "tok-123456789"  # must not appear in any output
LONGEST = "x" * 65_535 + "y"
KEYS = [
    "host",
    "workspace",
    "job",
    "token",
    "ca_file",
    "allow_http",
    "deadline",
    "numbers",
    "api",
    "outbox",
    "outbox_dir",
    "best_effort",
    "stamp",
]


@pytest.fixture
def file():
    """Return the path of the default config file, which does not exist yet."""
    return Path(os.environ["HOME"], ".config", "nemo-jobs", "config.toml")


@pytest.fixture
def write(file):
    """Return a function that writes the config file."""

    def make(text):
        file.parent.mkdir(parents=True)
        file.write_text(text, encoding="utf-8")

    return make


@pytest.fixture
def stdin(monkeypatch):
    """Return a function that sets the bytes on stdin."""

    def put(data):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))

    return put


def stored(path):
    """Return the profiles of a file."""
    return tomllib.loads(path.read_text(encoding="utf-8"))["profiles"]


def failed(ran, code):
    """Check that a command failed, and return its message and hint."""
    assert (ran.code, ran.out) == (code, "")
    message, hint = ran.err.removesuffix("\n").split("\nnext: ")
    assert message.startswith("error: ")
    assert SECRET not in ran.err
    return message.removeprefix("error: "), hint


FULL = f"""
default_profile = "lab"
[profiles.lab]
host = "https://lab.example.com"
workspace = "research"
token = "{SECRET}"
deadline = "2m"
numbers = ["f1", "bleu"]
api = "jobs"
allow_http = true
ca_file = "ca.pem"
[profiles.prod]
host = "https://nmp.example.com"
token_file = "~/token"
[profiles.login]
host = "https://nmp.example.com"
token_command = ["nemo", "auth", "token", "{SECRET}"]
"""


def default_outbox_dir():
    """Return the default folder of the outbox."""
    return str(Path(os.environ["HOME"], ".local/state/nemo-jobs/outbox"))


def test_without_configuration_every_setting_is_a_default(nemo_jobs):
    """One line per setting: name, value, source."""
    ran = nemo_jobs("config", "list")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        "host\thttp://localhost:8080\tdefault",
        "workspace\tdefault\tdefault",
        "job\t\tnot set",
        "token\t\tnot set",
        "ca_file\t\tnot set",
        "allow_http\tfalse\tdefault",
        "deadline\t10\tdefault",
        "numbers\t\tdefault",
        "api\tauto\tdefault",
        "outbox\tfalse\tdefault",
        f"outbox_dir\t{default_outbox_dir()}\tdefault",
        "best_effort\tfalse\tdefault",
        "stamp\t\tnot set",
    ]


def test_the_source_of_a_profile_names_its_file(nemo_jobs, write, file):
    """Of a token only the length and its host are printed."""
    write(FULL)
    file.with_name("ca.pem").touch()
    ran = nemo_jobs("config", "list")
    assert (ran.code, ran.err) == (0, "")
    origin = "profile lab (~/.config/nemo-jobs/config.toml)"
    assert [tuple(line.split("\t")) for line in ran.out.splitlines()] == [
        ("host", "https://lab.example.com", origin),
        ("workspace", "research", origin),
        ("job", "", "not set"),
        ("token", "token (13 characters), only for https://lab.example.com", origin),
        ("ca_file", str(file.with_name("ca.pem")), origin),
        ("allow_http", "true", origin),
        ("deadline", "120", origin),
        ("numbers", "bleu,f1", origin),
        ("api", "jobs", origin),
        ("outbox", "false", "default"),
        ("outbox_dir", default_outbox_dir(), "default"),
        ("best_effort", "false", "default"),
        ("stamp", "", "not set"),
    ]


@pytest.mark.parametrize(
    ("profile", "token"),
    [("prod", "file, only for https://nmp.example.com"), ("login", "command, only for https://nmp.example.com")],
)
def test_another_profile_is_chosen_by_name(nemo_jobs, write, profile, token):
    """Of a token file or command only the kind is printed."""
    write(FULL.replace('ca_file = "ca.pem"\n', ""))
    ran = nemo_jobs("config", "list", "--profile", profile, "-o", "json")
    result = ran.json["result"]
    assert result["token"] == {"value": token, "origin": f"profile {profile} (~/.config/nemo-jobs/config.toml)"}
    assert result["host"]["value"] == "https://nmp.example.com"
    assert result["workspace"]["origin"] == "profile lab (~/.config/nemo-jobs/config.toml)"
    assert SECRET not in ran.out


def test_flags_and_variables_are_sources(nemo_jobs, monkeypatch):
    """Named as the user wrote them; a token from a variable is sent to any host."""
    monkeypatch.setenv("NEMO_JOBS_TOKEN", SECRET)
    monkeypatch.setenv("NEMO_JOBS_JOB", "train-x")
    monkeypatch.setenv("NEMO_JOBS_NUMBERS", "f1")
    document = nemo_jobs("config", "list", "--host", "https://h", "-w", "research", "-o", "json").json
    assert (document["command"], document["outcome"], document["exit_code"]) == ("config list", "ok", 0)
    assert document["warnings"] == []
    assert list(document["result"]) == KEYS
    assert {name: tuple(fact.values()) for name, fact in document["result"].items() if fact["origin"] != "default"} == {
        "host": ("https://h", "--host"),
        "workspace": ("research", "--workspace"),
        "job": ("train-x", "NEMO_JOBS_JOB"),
        "token": ("token (13 characters)", "NEMO_JOBS_TOKEN"),
        "ca_file": ("", "not set"),
        "numbers": ("f1", "NEMO_JOBS_NUMBERS"),
        "stamp": ("", "not set"),
    }


def test_the_login_of_the_official_tool_is_a_source(nemo_jobs):
    """It needs no profile of nemo-jobs."""
    path = Path(os.environ["HOME"], ".config", "nmp", "config.yaml")
    path.parent.mkdir(parents=True)
    path.write_text(
        f"""current_context: a
clusters: [{{name: a, base_url: https://nmp.example.com/}}]
users: [{{name: a, type: oauth, token: {SECRET}}}]
contexts: [{{name: a, cluster: a, user: a, workspace: research}}]
""",
        encoding="utf-8",
    )
    ran = nemo_jobs("config", "list")
    origin = "context a (~/.config/nmp/config.yaml)"
    assert f"host\thttps://nmp.example.com\t{origin}\n" in ran.out
    assert f"token\ttoken (13 characters), only for https://nmp.example.com\t{origin}\n" in ran.out
    assert SECRET not in ran.out


@pytest.mark.parametrize(
    ("words", "warning"),
    [
        (("--host", "https://other"), "belongs to https://lab.example.com and is not sent to https://other (--host)"),
        (("--host", "http://lab.example.com"), "is not sent to http://lab.example.com"),
        (("--profile", "alone"), "; set that profile's host: nemo-jobs config set host URL --profile NAME; or pass"),
    ],
)
def test_a_token_of_another_host_is_a_warning(nemo_jobs, write, words, warning):
    """The settings are printed anyway; a profile without a host has the default one, which is rarely meant."""
    write(
        f'[profiles.default]\nhost = "https://lab.example.com"\ntoken = "{SECRET}"\n'
        f'[profiles.alone]\ntoken = "{SECRET}"\n'
    )
    ran = nemo_jobs("config", "list", *words)
    assert (ran.code, len(ran.out.splitlines())) == (0, len(KEYS))
    assert ran.err.startswith("warning: the token from profile ")
    assert warning in ran.err
    assert nemo_jobs("config", "list", *words, "-q").err == ""
    ran = nemo_jobs("config", "list", *words, "-o", "json")
    assert ran.err == ""
    assert warning in ran.json["warnings"][0]
    assert SECRET not in ran.out


def test_a_token_over_plain_http_is_a_warning(nemo_jobs, monkeypatch):
    """An update would fail."""
    monkeypatch.setenv("NEMO_JOBS_TOKEN", SECRET)
    assert "not sent over plain http" in nemo_jobs("config", "list", "--host", "http://h").err
    assert nemo_jobs("config", "list", "--host", "http://h", "--anonymous").err == ""


def test_a_broken_file_is_an_error_for_every_command(nemo_jobs, write, file):
    """Exit code 3, with the position; a broken file is never overwritten."""
    write("[profiles.lab\n")
    for words in (("list",), ("get", "host"), ("set", "host", "https://h"), ("unset", "host")):
        message, hint = failed(nemo_jobs("config", *words), 3)
        assert "invalid TOML" in message
        assert hint == "correct it in an editor"
    assert file.read_text(encoding="utf-8") == "[profiles.lab\n"


@pytest.mark.parametrize(
    ("words", "hint"),
    [(("--profile", "lub"), "did you mean lab?"), (("--profile", "zzz"), "use one of: lab, login, prod")],
)
def test_an_unknown_profile_is_an_error(nemo_jobs, write, words, hint):
    """Exit code 3; the hint names profiles."""
    write(FULL)
    message, next_step = failed(nemo_jobs("config", "list", *words), 3)
    assert "no profile" in message
    assert next_step == hint


HOSTILE = "a\\u001b]0;owned\\u0007\\n\\u202eb"


@pytest.mark.parametrize("words", [("list",), ("get", "ca_file"), ("unset", "host"), ("list", "--profile", "z")])
@pytest.mark.parametrize("form", ["text", "json"])
def test_control_characters_of_the_file_never_reach_the_screen(nemo_jobs, write, file, words, form):
    """Neither in names and values nor in error messages."""
    write(f'default_profile = "{HOSTILE}"\n[profiles."{HOSTILE}"]\nca_file = "{HOSTILE}"\nworkspace = "ws"\n')
    open(os.fsencode(file.parent) + "/a\x1b]0;owned\x07\n\u202eb".encode(), "wb").close()  # in any locale
    ran = nemo_jobs("config", *words, "-o", form)
    assert "owned" in ran.out + ran.err
    assert not set("\x1b\x07\u202e") & set(ran.out + ran.err)


def test_path_prints_the_path_even_without_a_file(nemo_jobs, file, write):
    """Also that of a broken file, which can then be corrected."""
    assert nemo_jobs("config", "path").out == f"{file}\n"
    assert nemo_jobs("config", "path", "-o", "json").json["result"] == {"path": str(file), "exists": False}
    write("[")
    assert nemo_jobs("config", "path", "-o", "json").json["result"] == {"path": str(file), "exists": True}


@pytest.mark.parametrize("name", ["/elsewhere/c.toml", "relative.toml", "/" + "x" * 5000])
def test_a_variable_names_another_file(nemo_jobs, monkeypatch, name):
    """It is printed unchanged, even if no such file can exist."""
    monkeypatch.setenv("NEMO_JOBS_CONFIG", name)
    assert nemo_jobs("config", "path", "-o", "json").json["result"] == {"path": name, "exists": False}


@pytest.mark.parametrize(
    "words", [("path",), ("set", "host", "https://h"), ("set", "token", "-"), ("unset", "host")], ids=" ".join
)
def test_without_a_home_folder_there_is_no_file(nemo_jobs, monkeypatch, stdin, words):
    """Exit code 3; the hint names the variable."""
    monkeypatch.delenv("HOME")
    stdin(b"")
    message, hint = failed(nemo_jobs("config", *words), 3)
    assert message == "cannot locate the config file: no home folder"
    assert hint == "name a file: export NEMO_JOBS_CONFIG=FILE"


def test_without_a_home_folder_the_file_of_the_variable_is_used(nemo_jobs, monkeypatch, tmp_path):
    """Even if the user has no entry in /etc/passwd; a config.toml in the current folder is ignored."""

    def unknown(_uid):
        raise KeyError

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.toml").write_text('[profiles.default]\nhost = "https://evil"\n', encoding="utf-8")
    assert "host\thttp://localhost:8080\tdefault\n" in nemo_jobs("config", "list").out
    path = tmp_path / "c.toml"
    monkeypatch.setenv("NEMO_JOBS_CONFIG", str(path))
    assert nemo_jobs("config", "set", "host", "https://h").err == f"set host in profile default ({path})\n"
    assert nemo_jobs("config", "get", "host").out == "https://h\n"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("host", "https://lab.example.com"),
        ("workspace", "research"),
        ("token", "token (13 characters), only for https://lab.example.com"),
        ("allow_http", "true"),
        ("deadline", "120"),
        ("numbers", "bleu,f1"),
        ("api", "jobs"),
    ],
)
def test_get_prints_only_the_value(nemo_jobs, write, key, value):
    """For a script; -o json also has the source."""
    write(FULL.replace('ca_file = "ca.pem"\n', ""))
    ran = nemo_jobs("config", "get", key)
    assert (ran.code, ran.out, ran.err) == (0, f"{value}\n", "")
    document = nemo_jobs("config", "get", key, "-o", "json").json
    assert document["command"] == "config get"
    assert document["result"] == {
        "key": key,
        "value": value,
        "origin": "profile lab (~/.config/nemo-jobs/config.toml)",
    }


@pytest.mark.parametrize(
    ("key", "stored_value", "value"),
    [
        ("token_file", "'~/tok'", "{home}/tok"),
        ("token_command", "'nemo auth token'", "nemo auth token"),
        ("token_command", "['nemo', 'auth token']", "nemo 'auth token'"),
    ],
)
def test_get_prints_the_source_of_the_token(nemo_jobs, write, file, key, stored_value, value):
    """A path is no secret; the other key is not set."""
    write(f"[profiles.default]\n{key} = {stored_value}\n")
    assert nemo_jobs("config", "get", key).out == value.format(home=file.parents[2]) + "\n"
    (other,) = {"token_file", "token_command"} - {key}
    assert failed(nemo_jobs("config", "get", other), 5)[0] == f"{other} is not set"


@pytest.mark.parametrize(
    "words",
    [("set", "run", "x"), ("set", "run.keys.status", "phase"), ("get", "run"), ("unset", "run.keys")],
)
def test_the_table_of_run_needs_an_editor(nemo_jobs, file, words):
    """The hint names the file."""
    message, hint = failed(nemo_jobs("config", *words), 2)
    assert message == "cannot set run on the command line: it is a table"
    assert "nemo-jobs config path" in hint
    assert not file.exists()


@pytest.mark.parametrize("words", [("unset", "token_file"), ("set", "token_file", "/mine")])
def test_a_stored_token_is_deleted_with_its_key(nemo_jobs, file, words):
    """No unused secret stays on disk."""
    kept = token_store.save(file, "default", Change({"host": "https://h"}), SECRET)
    assert kept.read_text(encoding="utf-8") == f"{SECRET}\n"
    assert nemo_jobs("config", *words).code == 0
    assert not kept.exists()


def test_get_prints_the_current_value(nemo_jobs, write):
    """A flag overrides the file."""
    write(FULL.replace('ca_file = "ca.pem"\n', ""))
    assert nemo_jobs("config", "get", "host", "--host", "https://h").out == "https://h\n"
    assert nemo_jobs("config", "get", "host", "--profile", "prod").out == "https://nmp.example.com\n"


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("job", "export NEMO_JOBS_JOB=JOB"),
        ("token", "config set token_file FILE"),
        ("ca_file", "config set ca_file VALUE"),
        ("numbers", "config set numbers VALUE"),
    ],
)
def test_get_of_an_unset_key_is_an_error(nemo_jobs, key, hint):
    """Exit code 5, for scripts, with a hint that works."""
    message, next_step = failed(nemo_jobs("config", "get", key), 5)
    assert (message, hint in next_step) == (f"{key} is not set", True)
    document = nemo_jobs("config", "get", key, "-o", "json").json
    assert (document["outcome"], document["exit_code"]) == ("failed", 5)


@pytest.mark.parametrize(
    ("words", "key", "hint"),
    [
        (("get", "hosst"), "hosst", "did you mean host?"),
        (("get", "zzz"), "zzz", "use one of: " + ", ".join([*KEYS, "token_file", "token_command"])),
        (("set", "hosst", "x"), "hosst", "did you mean host?"),
        (("set", "job", "train-x"), "job", "use one of: " + ", ".join(edit.EDITABLE_KEYS)),
        (("unset", "token-file"), "token-file", "did you mean token_file?"),
        (("unset", "a\x1b[31m"), "a\\\\x1b[31m", "use one of: " + ", ".join(edit.EDITABLE_KEYS)),
    ],
)
def test_an_unknown_key_is_an_error_with_similar_names(nemo_jobs, file, words, key, hint):
    """Exit code 2; no file is created."""
    assert failed(nemo_jobs("config", *words), 2) == (f"unknown setting '{key}'", hint)
    document = nemo_jobs("config", *words, "-o", "json").json
    assert (document["outcome"], document["exit_code"]) == ("failed", 2)
    assert not file.exists()


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("host", "https://nmp.example.com/prefix", "https://nmp.example.com/prefix"),
        ("workspace", "research", "research"),
        ("token_file", "~/token", "~/token"),
        ("token_command", "nemo auth token", "nemo auth token"),
        ("ca_file", "ca.pem", "ca.pem"),
        ("allow_http", "true", True),
        ("allow_http", "False", False),
        ("deadline", "2m", "2m"),
        ("deadline", "0", "0"),
        ("numbers", "f1", ["f1"]),
        ("numbers", " f1 , accuracy,,", ["f1", "accuracy"]),
        ("numbers", "", []),
        ("outbox", "true", True),
        ("outbox_dir", "kept", "kept"),
        ("best_effort", "false", False),
        ("stamp", "true", True),
        ("api", "attempts", "attempts"),
    ],
)
def test_set_writes_each_key_with_its_type(nemo_jobs, file, key, text, value):
    """In the default profile, which is created; a note names the file."""
    ran = nemo_jobs("config", "set", key, text)
    assert (ran.code, ran.out, ran.err) == (0, "", f"set {key} in profile default ({display_path(file)})\n")
    assert stored(file) == {"default": {key: value}}
    assert profiles.load(file, must_exist=True)


def test_every_key_can_be_set():
    """The token has its own tests; the table `run` needs an editor."""
    marks = test_set_writes_each_key_with_its_type.pytestmark
    assert {key for key, _, _ in marks[0].args[1]} | {"token", "run"} == profiles.KEYS.keys()


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("host", "nmp.example.com", "invalid URL in "),
        ("host", "", "empty"),
        ("host", "https://h?x", "invalid URL in "),
        ("workspace", "Research", "invalid workspace name in "),
        ("workspace", "", "empty"),
        ("deadline", "soon", "invalid duration in deadline: 'soon'"),
        ("deadline", "", "empty"),
        ("deadline", "-1", "invalid duration in deadline"),
        ("allow_http", "yes", "invalid allow_http 'yes': must be true or false"),
        ("allow_http", "", "invalid allow_http '': must be true or false"),
        ("api", "v2", "invalid api 'v2': must be auto or jobs or attempts"),
        ("api", "a\x1b[31m", "invalid api 'a\\\\x1b[31m': must be auto or jobs or attempts"),
        ("token_file", "", "the value of token_file is empty"),
        ("token_command", "", "the value of token_command is empty"),
        ("ca_file", "", "the value of ca_file is empty"),
        ("ca_file", "caf\udce9.pem", "invalid value of ca_file: not UTF-8 text"),
        ("numbers", "\udcff", "invalid value of numbers: not UTF-8 text"),
    ],
)
def test_set_refuses_an_invalid_value(nemo_jobs, file, key, text, message):
    """Exit code 2; nothing is written."""
    assert message in failed(nemo_jobs("config", "set", "--", key, text), 2)[0]
    assert not file.exists()


@pytest.mark.parametrize(("key", "hint"), [("allow_http", "true"), ("api", "auto")])
def test_set_hints_a_valid_value(nemo_jobs, key, hint):
    """As a complete command line."""
    assert (
        failed(nemo_jobs("config", "set", key, "zzz"), 2)[1] == f"write, for example: nemo-jobs config set {key} {hint}"
    )


@pytest.mark.parametrize(
    ("key", "data", "value"),
    [
        ("token", SECRET, SECRET),
        ("token", f"  {SECRET}\n\n", SECRET),
        ("token", f"{SECRET}\r\n", SECRET),
        pytest.param("token", LONGEST, LONGEST, id="longest"),
        ("host", "https://h\n", "https://h"),
    ],
)
def test_set_reads_a_value_from_stdin(nemo_jobs, file, stdin, key, data, value):
    """Without surrounding whitespace, and without printing it; a token may have 64 KiB."""
    stdin(data.encode())
    ran = nemo_jobs("config", "set", key, "-")
    assert (ran.code, ran.out, ran.err) == (0, "", f"set {key} in profile default ({display_path(file)})\n")
    assert stored(file) == {"default": {key: value}}
    assert file.stat().st_mode & 0o777 == 0o600


def test_set_takes_no_token_from_the_command_line(nemo_jobs, file):
    """It would appear in ps and in the shell's history; the message does not repeat it."""
    message, hint = failed(nemo_jobs("config", "set", "token", SECRET), 2)
    assert "shows in ps" in message
    assert "config set token - < FILE" in hint
    assert SECRET not in nemo_jobs("config", "set", "token", SECRET, "-o", "json").out
    assert not file.exists()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the value of token is empty"),
        (b" \n", "the value of token is empty"),
        (b"tok-123456789 tok-123456789", "invalid token"),
        (b"tok-123456789\nx", "invalid token"),
        ("tok-123456789é".encode(), "invalid token"),
        (b"tok-123456789\xff", "cannot read stdin: not UTF-8 text"),
        (b"x" * 65_537, "the value on stdin is longer than 64 KiB"),
    ],
)
def test_set_refuses_an_invalid_token(nemo_jobs, file, stdin, data, message):
    """Part of a token is never stored."""
    stdin(data)
    assert message in failed(nemo_jobs("config", "set", "token", "-"), 2)[0]
    assert not file.exists()


def test_set_and_unset_change_the_named_profile(nemo_jobs, write, file):
    """An existing or a new one, and no other."""
    write('default_profile = "lab"\n\n[profiles.lab]\nhost = "https://lab"  # ours\n')
    assert nemo_jobs("config", "set", "workspace", "ml", "--profile", "prod").err.startswith(
        "set workspace in profile prod ("
    )
    assert nemo_jobs("config", "set", "workspace", "ws").err.startswith("set workspace in profile lab (")
    assert stored(file) == {"lab": {"host": "https://lab", "workspace": "ws"}, "prod": {"workspace": "ml"}}
    ran = nemo_jobs("config", "unset", "workspace", "--profile", "lab")
    assert (ran.code, ran.out, ran.err) == (0, "", f"unset workspace in profile lab ({display_path(file)})\n")
    assert stored(file) == {"lab": {"host": "https://lab"}, "prod": {"workspace": "ml"}}
    assert "# ours" in file.read_text(encoding="utf-8")


def test_a_change_as_json_names_profile_key_and_path(nemo_jobs, file):
    """One object, and nothing on stderr; the value may be a token and is not repeated."""
    ran = nemo_jobs("config", "set", "host", "https://h", "-o", "json")
    assert ran.err == ""
    assert ran.json == {
        "schema": 1,
        "command": "config set",
        "outcome": "ok",
        "exit_code": 0,
        "result": {"profile": "default", "key": "host", "path": str(file)},
    }
    assert nemo_jobs("config", "set", "host", "https://h", "-q").err == ""
    document = nemo_jobs("config", "unset", "host", "-o", "json").json
    assert document["command"] == "config unset"
    assert document["result"] == {"profile": "default", "key": "host", "path": str(file)}


def test_unset_of_an_unset_key_is_an_error(nemo_jobs, file):
    """Exit code 5; no file is created."""
    message, hint = failed(nemo_jobs("config", "unset", "host"), 5)
    assert message == "host is not set in profile default"
    assert hint == "list the settings: nemo-jobs config list"
    assert not file.exists()


@pytest.mark.parametrize("words", [("set", "host", "https://h"), ("unset", "host")], ids=" ".join)
@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--profile", ""), "--profile is empty"),
        (("--profile", "\udcff"), "invalid --profile: not UTF-8 text"),
        (("-o", "yaml"), "invalid --output 'yaml': use text, json or ndjson"),
    ],
)
def test_an_invalid_option_changes_nothing(nemo_jobs, write, file, words, more, message):
    """Exit code 2, and the file is unchanged."""
    text = '[profiles.default]\nhost = "https://old"\n'
    write(text)
    assert failed(nemo_jobs("config", *words, *more), 2)[0] == message
    assert file.read_text(encoding="utf-8") == text


def test_a_profile_may_have_any_name(nemo_jobs, file):
    """No escape code reaches the terminal."""
    name = "a.b\x1b[31m\n\u202e"
    assert "\\x1b[31m\\n\\u202e (" in nemo_jobs("config", "set", "workspace", "ws", "--profile", name).err
    assert stored(file) == {name: {"workspace": "ws"}}
    ran = nemo_jobs("config", "list", "--profile", name)
    assert "profile a.b\\x1b[31m\\n\\u202e (" in ran.out
    assert not set("\x1b\u202e") & set(ran.out)


def test_a_folder_that_cannot_be_written_is_an_error(nemo_jobs, monkeypatch):
    """Exit code 3; not even root can write to this one."""
    monkeypatch.setenv("NEMO_JOBS_CONFIG", "/proc/nemo-jobs/config.toml")
    message, hint = failed(nemo_jobs("config", "set", "host", "https://h"), 3)
    assert message.startswith("cannot write the config file /proc/nemo-jobs/config.toml: ")
    assert "NEMO_JOBS_CONFIG" in hint


def test_set_creates_the_file_of_the_variable(nemo_jobs, monkeypatch, tmp_path):
    """Reading the missing file is an error whose hint works."""
    path = tmp_path / "new" / "c.toml"
    monkeypatch.setenv("NEMO_JOBS_CONFIG", str(path))
    message, hint = failed(nemo_jobs("config", "list"), 3)
    assert message == f"cannot read the config file {path}: no such file"
    assert "nemo-jobs init" in hint
    assert nemo_jobs("config", "set", "host", "https://h").code == 0
    assert nemo_jobs("config", "get", "host").out == "https://h\n"


def test_help_has_examples(nemo_jobs):
    """One per line."""
    out = nemo_jobs("config", "--help").out
    assert "\n    nemo-jobs config set token_file ~/.nemo-token --profile lab\n" in out
    for name in ("list", "path", "get", "set", "unset", "use", "profiles"):
        assert nemo_jobs("config", name, "--help").code == 0
        assert f"\n  {name} " in out


@pytest.mark.parametrize(
    "words", [("set", "host", "http://a", "--workspace", "ws"), ("path", "--host", "h"), ("unset", "host", "-w", "ws")]
)
def test_options_without_effect_are_refused(nemo_jobs, words):
    """`config set host URL --workspace research` must not seem to set both."""
    ran = nemo_jobs("config", *words)
    assert ran.code == 2
    assert "no such option: " in ran.err


def test_use_changes_the_default_profile(nemo_jobs, write, file):
    """It is used if no profile is named."""
    write(FULL.replace('ca_file = "ca.pem"\n', ""))
    ran = nemo_jobs("config", "use", "prod")
    assert (ran.code, ran.out, ran.err) == (
        0,
        "",
        "profile prod is now the default (~/.config/nemo-jobs/config.toml)\n",
    )
    assert nemo_jobs("config", "get", "host").out == "https://nmp.example.com\n"
    ran = nemo_jobs("config", "use", "lab", "-o", "json")
    assert ran.json["command"] == "config use"
    assert ran.json["result"] == {"profile": "lab", "path": str(file)}
    assert ran.json["warnings"] == []
    assert nemo_jobs("config", "use", "lab", "-q").err == ""


def test_a_variable_that_overrides_the_default_profile_is_a_warning(nemo_jobs, write, monkeypatch):
    """Otherwise the change would seem to have no effect."""
    write(FULL)
    monkeypatch.setenv("NEMO_JOBS_PROFILE", "lab")
    warning = "NEMO_JOBS_PROFILE overrides it: profile lab"
    assert f"warning: {warning}\n" in nemo_jobs("config", "use", "prod").err
    assert nemo_jobs("config", "use", "prod", "-o", "json").json["warnings"] == [warning]
    assert "warning" not in nemo_jobs("config", "use", "lab").err


@pytest.mark.parametrize(
    ("name", "code", "message", "hint"),
    [
        ("lub", 3, "no profile 'lub' in ~/.config/nemo-jobs/config.toml (PROFILE)", "did you mean lab?"),
        ("zzz", 3, "no profile 'zzz' in", "use one of: lab, login, prod"),
        ("", 2, "PROFILE is empty", "name a profile"),
        ("\udcff", 2, "invalid PROFILE: not UTF-8 text", "use a UTF-8 name"),
    ],
)
def test_only_an_existing_profile_can_be_used(nemo_jobs, write, file, name, code, message, hint):
    """The file is unchanged."""
    write(FULL)
    error, next_step = failed(nemo_jobs("config", "use", name), code)
    assert message in error
    assert hint in next_step
    assert file.read_text(encoding="utf-8") == FULL


def test_use_without_profiles_hints_init(nemo_jobs, file):
    """No file is created."""
    assert "create one: nemo-jobs init" in failed(nemo_jobs("config", "use", "lab"), 3)[1]
    assert not file.exists()


def test_profiles_are_listed(nemo_jobs, write):
    """The default is marked; a token is only its kind, and an unset value is empty."""
    write(FULL + '[profiles."a\\tb"]\n')
    ran = nemo_jobs("config", "profiles")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        "*\tlab\thttps://lab.example.com\tresearch\ttoken (13 characters)",
        "\tprod\thttps://nmp.example.com\t\tfile",
        "\tlogin\thttps://nmp.example.com\t\tcommand",
        "\ta\\tb\t\t\t",
    ]


def test_profiles_as_json(nemo_jobs, write, file):
    """One object; an unset value is null, and no token is printed."""
    write(FULL)
    ran = nemo_jobs("config", "profiles", "-o", "json")
    assert (ran.json["path"], ran.json["warnings"]) == (str(file), [])
    assert ran.json["result"][:2] == [
        {"profile": "lab", "default": True, "host": "https://lab.example.com", "workspace": "research", "token": "token (13 characters)"},
        {"profile": "prod", "default": False, "host": "https://nmp.example.com", "workspace": None, "token": "file"},
    ]  # fmt: skip
    assert SECRET not in ran.out
    assert "jq -r '.result[].profile'" in nemo_jobs("config", "profiles", "--help").out


def test_without_profiles_a_note_hints_init(nemo_jobs):
    """The list is empty."""
    ran = nemo_jobs("config", "profiles")
    assert (ran.code, ran.out) == (0, "")
    assert ran.err == "no profiles in ~/.config/nemo-jobs/config.toml; create one: nemo-jobs init\n"
    assert nemo_jobs("config", "profiles", "-q").err == ""
    assert nemo_jobs("config", "profiles", "-o", "json").json["result"] == []


def test_a_missing_default_profile_is_a_warning(nemo_jobs, write):
    """`config use` corrects it."""
    write('default_profile = "gone"\n[profiles.lab]\n')
    assert "default_profile 'gone' does not exist" in nemo_jobs("config", "profiles").err
    assert "'gone' does not exist" in nemo_jobs("config", "profiles", "-o", "json").json["warnings"][0]
    assert nemo_jobs("config", "use", "lab").code == 0
    assert nemo_jobs("config", "profiles").out == "*\tlab\t\t\t\n"


@pytest.mark.parametrize("words", [("use", "lab"), ("profiles",)])
def test_profiles_need_a_home_and_a_readable_file(nemo_jobs, write, monkeypatch, words):
    """Exit code 3."""
    write("[")
    assert "invalid TOML" in failed(nemo_jobs("config", *words), 3)[0]
    monkeypatch.delenv("HOME")
    assert "no home folder" in failed(nemo_jobs("config", *words), 3)[0]
