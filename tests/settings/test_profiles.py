"""Reading our config file: its errors and its profiles."""

from __future__ import annotations

import pwd
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_jobs_cli.core.errors import ExitCode, SettingsError
from nemo_jobs_cli.core.files import display_path
from nemo_jobs_cli.core.text import one_line
from nemo_jobs_cli.settings import profiles

SECRET = "tok-123456789"  # what must not show in any message


@pytest.fixture
def file(tmp_path):
    """Return a function that writes the config file and returns its path."""
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
def test_a_file_without_profiles_selects_none(file, content):
    """As for a user who only sets variables."""
    path = file(content)
    assert profiles.select(profiles.load(path, must_exist=True), None, path) is None


@pytest.mark.parametrize("below", [False, True])
def test_the_file_may_be_missing_unless_a_variable_names_it(file, tmp_path, below):
    """Also below a path that is not a folder."""
    path = file("") / "config.toml" if below else tmp_path / "none.toml"
    assert profiles.load(path, must_exist=False) == {}
    error = failure(path)
    assert error.message == f"cannot read the config file {path}: no such file"
    assert "NEMO_JOBS_CONFIG" in error.hint


@pytest.mark.parametrize(
    ("name", "reason"),
    [(".", "Is a directory"), ("loop", "Too many levels of symbolic links"), ("/dev/zero", "File too large")],
)
def test_an_unreadable_file_is_an_error_with_the_systems_reason(tmp_path, name, reason):
    """Also for root; an endless file is read up to a limit."""
    (tmp_path / "loop").symlink_to("loop")
    path = tmp_path / name
    assert failure(path, must_exist=False).message == f"cannot read the config file {path}: {reason}"


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
def test_invalid_toml_is_located(file, content, why):
    """The error has the position, never the text, which may be a token."""
    path = file(content)
    error = failure(path)
    assert error.message.startswith(f"invalid TOML in {path}: ")
    assert why in error.message
    assert SECRET not in f"{error.message}{error.hint}{error!r}"
    assert error.hint == "correct it in an editor"


@pytest.mark.parametrize(
    ("content", "key", "hint"),
    [
        ("default_profil = 'a'", "default_profil", "did you mean default_profile?"),
        ("[profile.lab]", "profile", "did you mean profiles?"),
        ("zzz = 1", "zzz", "use one of: default_profile, profiles"),
        ("[profiles.lab]\nworkspce = 'a'", "workspce", "did you mean workspace?"),
        ("[profiles.lab]\ntoken-file = 'a'", "token-file", "did you mean token_file?"),
        ("[profiles.lab]\nzzz = 'a'", "zzz", "use one of: " + ", ".join(profiles.KEYS)),
    ],
)
def test_an_unknown_key_has_a_suggestion(file, content, key, hint):
    """A typing error must not be ignored."""
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
    "stamp": (["0", "'on'"], "true or false"),
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
def test_the_keys_of_run_can_be_renamed_or_dropped(tmp_path, table, fits):
    """Only the keys that `run` sends."""
    file = tmp_path / "c.toml"
    file.write_text(f"[profiles.lab.run]\n{table}\n", encoding="utf-8")
    if fits:
        assert profiles.load(file, must_exist=True)
    else:
        with pytest.raises(SettingsError, match=r"must be keys = .* with the names status, run, error, lastUpdated"):
            profiles.load(file, must_exist=True)


def test_the_table_of_wrong_types_has_every_key():
    """A new key needs its own cases."""
    assert WRONG.keys() == profiles.KEYS.keys()


@pytest.mark.parametrize(
    ("key", "value", "what"), [(key, value, what) for key, (values, what) in WRONG.items() for value in values]
)
def test_a_value_of_another_type_is_refused(file, key, value, what):
    """Also a bool for a number, although Python's bool is an int."""
    path = file(f"[profiles.lab]\n{key} = {value}\n")
    error = failure(path)
    assert error.message == f"invalid profiles.lab.{key} in {path}: must be {what}"
    assert error.hint == "correct it in an editor"


@pytest.mark.parametrize(
    ("content", "place", "what"),
    [
        ("default_profile = 1", "default_profile", "a string"),
        *(
            (f'profiles.lab.{key} = "/a\\u0000b"', f"profiles.lab.{key}", "a path without NUL characters")
            for key in profiles.PATHS
        ),
        *((f'profiles.lab.{key} = ""', f"profiles.lab.{key}", "a path that is not empty") for key in profiles.PATHS),
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
def test_an_invalid_shape_is_refused(file, content, place, what):
    """Of the file, a profile or a list."""
    path = file(content)
    assert failure(path).message == f"invalid {place} in {path}: must be {what}"


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
def test_messages_escape_control_characters_in_the_file(file, content):
    """In keys, names of profiles and suggestions."""
    path = file(content)
    with pytest.raises(SettingsError) as caught:
        profiles.select(profiles.load(path, must_exist=True), None, path)
    assert (caught.value.message + caught.value.hint).isprintable()
    assert "owned" in caught.value.message + caught.value.hint


def test_sources_escape_control_characters_in_a_name_or_path(file, tmp_path):
    """Sources are printed next to values, and NEMO_JOBS_CONFIG may contain any character; a long name is cut."""
    path = file(f"default_profile = {toml_key(HOSTILE)}\n[profiles.{toml_key(HOSTILE)}]\nhost = 'https://h'")
    profile = profiles.select(profiles.load(path, must_exist=True), None, path)
    assert profile.source.isprintable()
    assert profile.values == {"host": "https://h"}
    assert failure(tmp_path / "a\x1b[31m\nb").message.endswith("/a\\x1b[31m\\nb: no such file")
    assert len(failure(file(f"[profiles.{'a' * 100_000}]\nhost = 1")).message) < 500


@given(st.text(alphabet=st.characters(codec="utf-8")))
def test_messages_are_one_line_for_any_profile_name(name):
    """Line breaks and controls are escaped."""
    path = Path("/etc/nemo-jobs/config.toml")
    with pytest.raises(SettingsError) as caught:
        profiles.check({"profiles": {name: 1}}, path)
    assert one_line(caught.value.message, 10_000) == caught.value.message


LAB = {"host": "https://lab"}
OTHER = {"host": "https://other"}


@pytest.mark.parametrize(
    ("document", "name", "expected"),
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
def test_select_returns_the_named_profile_or_the_default_one(document, name, expected):
    """`default_profile` names the default; otherwise it is the profile `default`, if there is one."""
    profile = profiles.select(document, name, Path("/c.toml"))
    assert (profile and profile.name) == expected
    if profile is not None:
        assert profile.values == document["profiles"][expected]
        assert profile.source == f"profile {expected} (/c.toml)"


@pytest.mark.parametrize(
    ("document", "name", "asked_by", "message", "hint"),
    [
        ({"profiles": {"lab": {}}}, "lub", "--profile", "'lub' in /c.toml (--profile)", "did you mean lab?"),
        (
            {"profiles": {"b": {}, "a": {}}},
            "zz",
            "NEMO_JOBS_PROFILE",
            "(NEMO_JOBS_PROFILE)",
            "use one of: a, b",
        ),
        ({}, "zz", "--profile", "'zz' in /c.toml", "create one: nemo-jobs init"),
        (
            {"default_profile": "zz"},
            None,
            "--profile",
            "'zz' in /c.toml (default_profile)",
            "create one: nemo-jobs init",
        ),
    ],
)
def test_an_unknown_profile_lists_the_available_ones(document, name, asked_by, message, hint):
    """And the flag or variable that named it."""
    with pytest.raises(SettingsError) as caught:
        profiles.select(document, name, Path("/c.toml"), asked_by)
    assert message in caught.value.message
    assert caught.value.hint == hint


@pytest.mark.parametrize("key", ["token_file", "ca_file"])
@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("secret/token", "/etc/nj/secret/token"),
        ("../token", "/etc/nj/../token"),
        ("/run/token", "/run/token"),
        ("~/token", "/home/me/token"),
        ("~nobody-of-this-name/token", "/etc/nj/~nobody-of-this-name/token"),
        ("$HOME/token", "/etc/nj/$HOME/token"),
    ],
)
def test_paths_are_relative_to_the_file_or_home(monkeypatch, key, written, expected):
    """Not to the working directory; an unknown home is not an error here."""
    monkeypatch.setenv("HOME", "/home/me")
    document = {"profiles": {"lab": {key: written}}}
    assert profiles.select(document, "lab", Path("/etc/nj/c.toml")).values == {key: expected}
    assert document == {"profiles": {"lab": {key: written}}}


def test_other_values_are_not_resolved_as_paths():
    """A token command is run as written."""
    values = {"token_command": "~/bin/token", "workspace": "~"}
    assert profiles.select({"profiles": {"lab": values}}, "lab", Path("/c.toml")).values == values


def test_the_repr_of_a_profile_shows_no_values():
    """A value may be a token."""
    text = repr(profiles.Profile("lab", "profile lab", {"token": SECRET, "host": "https://h"}))
    assert text == "Profile('lab', ['host', 'token'])"


@pytest.mark.parametrize(
    ("home", "path", "expected"),
    [
        ("/home/me", "/home/me/.config/x", "~/.config/x"),
        ("/home/me", "/home/mean/x", "/home/mean/x"),
        ("/", "/etc/x", "/etc/x"),
    ],
)
def test_the_home_folder_is_shown_as_a_tilde(monkeypatch, home, path, expected):
    """Unless it is `/`, as in some containers."""
    monkeypatch.setenv("HOME", home)
    assert display_path(Path(path)) == expected


def test_without_a_home_the_whole_path_is_shown(monkeypatch):
    """In a container without HOME and with an unknown user id."""

    def unknown(_uid):
        raise KeyError

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert display_path(Path("/etc/x\x1b")) == "/etc/x\\x1b"
