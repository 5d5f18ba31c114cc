"""Our own configuration file as it is read: every way it can be wrong, and what a profile of it says."""

from __future__ import annotations

import os
import pwd
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_jobs_cli.core.errors import ExitCode, SettingsError
from nemo_jobs_cli.core.files import display_path
from nemo_jobs_cli.core.text import CONTROL
from nemo_jobs_cli.settings import profiles

SECRET = "tok-123456789"  # what must not show in any message


@pytest.fixture
def file(tmp_path):
    """Return a function that writes the configuration file and returns its path."""
    path = tmp_path / "config.toml"

    def write(content):
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def failure(path, *, must_exist=True):
    """Return the error that reading `path` ends in."""
    with pytest.raises(SettingsError) as caught:
        profiles.load(path, must_exist=must_exist)
    assert caught.value.exit_code == ExitCode.SETTINGS
    assert caught.value.hint
    return caught.value


def test_a_whole_file_is_read(file):
    """Each key of each profile, with its type."""
    text = """
        default_profile = "lab"
        [profiles.lab]
        host = "https://nmp.example.com"
        workspace = "research"
        token_command = ["nemo", "auth", "token"]
        allow_http = true
        deadline = 2.5
        numbers = ["f1"]
        api = "jobs"
        [profiles."a.b"]
        token_command = "nemo auth token"
        deadline = 5
        token = "t"
    """
    document = profiles.load(file(text), must_exist=True)
    assert document == {
        "default_profile": "lab",
        "profiles": {
            "lab": {
                "host": "https://nmp.example.com",
                "workspace": "research",
                "token_command": ["nemo", "auth", "token"],
                "allow_http": True,
                "deadline": 2.5,
                "numbers": ["f1"],
                "api": "jobs",
            },
            "a.b": {"token_command": "nemo auth token", "deadline": 5, "token": "t"},
        },
    }


@pytest.mark.parametrize("content", ["", "# nothing\n", "[profiles]\n", "profiles = {}\n"])
def test_a_file_without_profiles_has_none(file, content):
    """The usual case of somebody who only uses variables."""
    path = file(content)
    assert profiles.select(profiles.load(path, must_exist=True), None, path) is None


@pytest.mark.parametrize("below", [False, True])
def test_no_file_is_fine_unless_a_variable_names_it(file, tmp_path, below):
    """Missing altogether, or below what is no folder."""
    path = file("") / "config.toml" if below else tmp_path / "none.toml"
    assert profiles.load(path, must_exist=False) == {}
    error = failure(path)
    assert error.message == f"cannot read the configuration file {path}: no such file"
    assert "NEMO_JOBS_CONFIG" in error.hint


def test_a_folder_can_not_be_read(tmp_path):
    """The system's own word, and what to do."""
    error = failure(tmp_path, must_exist=False)
    assert error.message == f"cannot read the configuration file {tmp_path}: Is a directory"


def test_a_file_without_the_right_to_read_it_is_said_so(file):
    """Not that there is none."""
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    path = file("")
    path.chmod(0)
    assert "Permission denied" in failure(path).message


def test_a_circle_of_links_can_not_be_read(tmp_path):
    """As another error of the system, which root has, too."""
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert "Too many levels of symbolic links" in failure(tmp_path / "a").message


def test_a_file_without_end_is_not_read_to_its_end():
    """Somebody names a device."""
    assert "File too large" in failure(Path("/dev/zero")).message


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (f"token = {SECRET}", "Invalid value (at line 1, column 9)"),
        (f'[profiles.a]\ntoken = "{SECRET}', "Unterminated string (at end of document)"),
        ("host", "Expected '=' after a key"),
        ("[profiles.a]\n[profiles.a]\n", "line 2"),
        ('[profiles.a]\nhost = "x"\nhost = "y"\n', "Cannot overwrite a value (at line 3"),
        ("\ufeff", "Invalid statement"),
        ("a = 9999-99-99", "line 1"),
        ("deadline = " + "9" * 5000, "number too large or nesting too deep"),
        ("a = " + "[" * 20_000, "number too large or nesting too deep"),
        ("a = " + "{a=" * 20_000, "number too large or nesting too deep"),
        (b"# caf\xc3\xa9 \xe9", "not UTF-8 text at byte 8"),
        (b"\x00", "Invalid statement"),
        (b'a = "\x1b[31m"', "Illegal character '\\x1b'"),
    ],
)
def test_what_is_not_toml_is_located(file, content, why):
    """With its place, and without the text there: it may be a token."""
    path = file(content)
    error = failure(path)
    assert error.message.startswith(f"invalid TOML in the configuration file {path}: ")
    assert why in error.message
    assert SECRET not in f"{error.message}{error.hint}{error!r}"
    assert error.hint == f"correct {path}"


@pytest.mark.parametrize(
    ("content", "key", "hint"),
    [
        ("default_profil = 'a'", "default_profil", "did you mean default_profile?"),
        ("[profile.lab]", "profile", "did you mean profiles?"),
        ("zzz = 1", "zzz", "known settings: default_profile, profiles"),
        ("[profiles.lab]\nworkspce = 'a'", "workspce", "did you mean workspace?"),
        ("[profiles.lab]\ntoken-file = 'a'", "token-file", "did you mean token_file?"),
        ("[profiles.lab]\nzzz = 'a'", "zzz", "known settings: " + ", ".join(profiles.KEYS)),
    ],
)
def test_an_unknown_key_comes_with_the_close_one(file, content, key, hint):
    """A slip of the pen must not be a setting that silently does nothing."""
    path = file(content)
    error = failure(path)
    assert error.message == f"unknown setting '{key}' in {path}"
    assert error.hint == hint


WRONG = {
    "host": (["1", "true", "['a']"], "a string"),
    "workspace": (["1", "{}"], "a string"),
    "token": (["1", "1.5", "[]"], "a string"),
    "token_file": (["true", "['a']"], "a string"),
    "token_command": (["1", "true", "{}"], "a string or a list of strings"),
    "ca_file": (["1", "1979-05-27"], "a string"),
    "allow_http": (["1", "'true'", "0"], "true or false"),
    "deadline": (["true", "false", "[1]", "1979-05-27"], "a string or a number"),
    "numbers": (["'f1'", "1", "{}"], "a list of strings"),
    "api": (["1", "true"], "a string"),
    "outbox": (["1", "'yes'"], "true or false"),
    "outbox_dir": (["1", "true"], "a string"),
    "best_effort": (["0", "[]"], "true or false"),
    "run": (["1", "'keys'", "[]"], "a table"),
}


@pytest.mark.parametrize(
    ("table", "fits"),
    [
        ("keys = {status = 'phase', error = false}", True),
        ("", True),
        ("keys = {status = true}", False),
        ("keys = {status = ''}", False),
        ("keys = {progress = 'p'}", False),
        ("keys = 'status'", False),
        ("names = {}", False),
    ],
)
def test_what_run_sends_can_be_renamed_or_dropped(tmp_path, table, fits):
    """By the names that it sends, and nothing else."""
    file = tmp_path / "c.toml"
    file.write_text(f"[profiles.lab.run]\n{table}\n")
    if fits:
        assert profiles.load(file, must_exist=True)
    else:
        with pytest.raises(
            SettingsError, match=r"a table keys, with status, run, error, lastUpdated = a string or false"
        ):
            profiles.load(file, must_exist=True)


def test_the_table_of_wrong_types_has_every_key():
    """A new key has to say which types it refuses."""
    assert WRONG.keys() == profiles.KEYS.keys()


@pytest.mark.parametrize(
    ("key", "value", "what"), [(key, value, what) for key, (values, what) in WRONG.items() for value in values]
)
def test_a_value_of_another_type_is_refused(file, key, value, what):
    """Also a bool where a number is wanted, which Python takes for one."""
    path = file(f"[profiles.lab]\n{key} = {value}\n")
    error = failure(path)
    assert error.message == f"profiles.lab.{key} in {path} must be {what}"
    assert error.hint == f"correct it in {path}"


@pytest.mark.parametrize(
    ("content", "place", "what"),
    [
        ("default_profile = 1", "default_profile", "a string"),
        ("profiles = []", "profiles", "a table"),
        ("profiles = 'lab'", "profiles", "a table"),
        ("[[profiles]]", "profiles", "a table"),
        ("[profiles]\nlab = 1", "profiles.lab", "a table"),
        ("[[profiles.lab]]", "profiles.lab", "a table"),
        ("[profiles.lab]\ntoken_command = ['nemo', 1]", "profiles.lab.token_command", "a list of strings"),
        ("[profiles.lab]\nnumbers = [['f1']]", "profiles.lab.numbers", "a list of strings"),
        ("[profiles.lab]\napi = 'v2'", "profiles.lab.api", "auto or jobs or attempts"),
    ],
)
def test_a_wrong_shape_is_refused(file, content, place, what):
    """Of the file itself, and of what is in a list."""
    path = file(content)
    assert failure(path).message == f"{place} in {path} must be {what}"


HOSTILE = "\x1b]0;owned\x07\n\u202e\x9b"


def toml_key(text):
    """Return any text as a quoted key."""
    return '"' + "".join(f"\\U{ord(character):08x}" for character in text) + '"'


@pytest.mark.parametrize(
    "content",
    [
        f"{toml_key(HOSTILE)} = 1",
        f"[profiles.lab]\n{toml_key(HOSTILE)} = 1",
        f"[profiles.{toml_key(HOSTILE)}]\nhost = 1",
        f"[profiles]\n{toml_key(HOSTILE)} = 1",
        f"default_profile = {toml_key(HOSTILE)}",
        f"default_profile = 'zzz'\n[profiles.{toml_key(HOSTILE)}]",
        f"default_profile = {toml_key(HOSTILE + 'a')}\n[profiles.{toml_key(HOSTILE)}]",
    ],
)
def test_control_characters_of_the_file_never_get_into_a_message(file, content):
    """Neither as keys, nor as names of profiles, nor as what may have been meant: one line, escaped."""
    path = file(content)
    with pytest.raises(SettingsError) as caught:
        profiles.select(profiles.load(path, must_exist=True), None, path)
    assert (caught.value.message + caught.value.hint).isprintable()
    assert "owned" in caught.value.message + caught.value.hint


def test_control_characters_of_a_name_never_get_into_an_origin(file):
    """It is printed beside each value."""
    path = file(f"default_profile = {toml_key(HOSTILE)}\n[profiles.{toml_key(HOSTILE)}]\nhost = 'https://h'")
    chosen = profiles.select(profiles.load(path, must_exist=True), None, path)
    assert chosen.source.isprintable()
    assert chosen.values == {"host": "https://h"}


def test_control_characters_of_the_path_never_get_into_a_message(tmp_path):
    """A variable may hold anything."""
    assert failure(tmp_path / "a\x1b[31m\nb").message.endswith("/a\\x1b[31m\\nb: no such file")


def test_a_long_name_is_cut(file):
    """A message stays a message."""
    assert len(failure(file(f"[profiles.{'a' * 100_000}]\nhost = 1")).message) < 500


@given(st.text(alphabet=st.characters(codec="utf-8")))
def test_any_name_makes_a_message_of_one_line(name):
    """Whatever the file calls its profiles."""
    path = Path("/etc/nemo-jobs/config.toml")
    with pytest.raises(SettingsError) as caught:
        profiles.check({"profiles": {name: 1}}, path)
    assert not re.search(f"[\n\t]|{CONTROL}", caught.value.message)


LAB = {"host": "https://lab"}
OTHER = {"host": "https://other"}


@pytest.mark.parametrize(
    ("document", "name", "chosen"),
    [
        ({}, None, None),
        ({"profiles": {}}, None, None),
        ({"profiles": {"lab": LAB}}, None, None),
        ({"profiles": {"lab": LAB}}, "lab", "lab"),
        ({"profiles": {"lab": LAB, "default": OTHER}}, None, "default"),
        ({"profiles": {"lab": LAB, "default": OTHER}, "default_profile": "lab"}, None, "lab"),
        ({"profiles": {"lab": LAB, "default": OTHER}, "default_profile": "lab"}, "default", "default"),
        ({"profiles": {"lab": LAB, "default": OTHER}, "default_profile": ""}, None, "default"),
        ({"profiles": {"lab": LAB}}, "", None),
    ],
)
def test_the_profile_is_the_named_one_else_the_default_one(document, name, chosen):
    """`default_profile` names it, else it is the one called default; none is fine."""
    found = profiles.select(document, name, Path("/c.toml"))
    assert (found and found.name) == chosen
    if found is not None:
        assert found.values == document["profiles"][chosen]
        assert found.source == f"profile {chosen} (/c.toml)"


@pytest.mark.parametrize(
    ("document", "name", "asked_by", "message", "hint"),
    [
        ({"profiles": {"lab": {}}}, "lub", "--profile", "'lub' in /c.toml (--profile)", "did you mean lab?"),
        (
            {"profiles": {"b": {}, "a": {}}},
            "zz",
            "NEMO_JOBS_PROFILE",
            "(NEMO_JOBS_PROFILE)",
            "available profiles: a, b",
        ),
        ({}, "zz", "--profile", "'zz' in /c.toml", "available profiles: none; create one: nemo-jobs init"),
        (
            {"default_profile": "zz"},
            None,
            "--profile",
            "'zz' in /c.toml (default_profile)",
            "available profiles: none; create one: nemo-jobs init",
        ),
    ],
)
def test_an_unknown_profile_comes_with_those_there_are(document, name, asked_by, message, hint):
    """And with who asked for it."""
    with pytest.raises(SettingsError) as caught:
        profiles.select(document, name, Path("/c.toml"), asked_by)
    assert message in caught.value.message
    assert caught.value.hint == hint


@pytest.mark.parametrize("key", ["token_file", "ca_file"])
@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("secret/token", "/etc/nj/secret/token"),
        ("../token", "/etc/nj/../token"),
        ("/run/token", "/run/token"),
        ("~/token", "/home/me/token"),
        ("~nobody-of-this-name/token", "/etc/nj/~nobody-of-this-name/token"),
        ("$HOME/token", "/etc/nj/$HOME/token"),
    ],
)
def test_paths_count_from_the_file_and_from_home(monkeypatch, key, written, meant):
    """Whatever folder the command runs in; a home that there is not is no reason to crash."""
    monkeypatch.setenv("HOME", "/home/me")
    document = {"profiles": {"lab": {key: written}}}
    assert profiles.select(document, "lab", Path("/etc/nj/c.toml")).values == {key: meant}
    assert document == {"profiles": {"lab": {key: written}}}


def test_values_that_are_no_paths_stay_what_they_are():
    """A token command is run as it is written."""
    values = {"token_command": "~/bin/token", "workspace": "~"}
    assert profiles.select({"profiles": {"lab": values}}, "lab", Path("/c.toml")).values == values


def test_a_profile_shows_no_value():
    """It ends up in a traceback or a log some day."""
    shown = repr(profiles.Profile("lab", "profile lab", {"token": SECRET, "host": "https://h"}))
    assert shown == "Profile('lab', ['host', 'token'])"


@pytest.mark.parametrize(
    ("home", "path", "shown"),
    [
        ("/home/me", "/home/me/.config/x", "~/.config/x"),
        ("/home/me", "/home/mean/x", "/home/mean/x"),
        ("/", "/etc/x", "/etc/x"),
    ],
)
def test_the_home_folder_is_short(monkeypatch, home, path, shown):
    """As people write it; a container whose home is / gains nothing by it."""
    monkeypatch.setenv("HOME", home)
    assert display_path(Path(path)) == shown


def test_a_user_without_a_home_sees_the_whole_path(monkeypatch):
    """A job in a container: no HOME, and a user id that nobody knows."""

    def unknown(_uid):
        raise KeyError

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert display_path(Path("/etc/x\x1b")) == "/etc/x\\x1b"
