"""Editing our config file: layout, permissions and atomic writes."""

from __future__ import annotations

import os
import resource
import stat
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from subprocess import PIPE

import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw import CHILD_ENVIRONMENT

from nemo_jobs_cli.core import deadline, job_lock
from nemo_jobs_cli.core.clock import SYSTEM_CLOCK
from nemo_jobs_cli.core.errors import ExitCode, NotFoundError, SettingsError
from nemo_jobs_cli.settings import edit, profiles, token_store

WRITTEN = """\
# How we report.
default_profile = "lab"  # the cheap one

[profiles.prod]
host = "https://nmp.example.com"
   workspace   =   "research"  # theirs

# The laboratory: ask Eve.

[profiles.lab]
token_command = [
    "nemo",  # must be on PATH
    "auth",
    "token",
]
host = 'https://lab.example.com'

# The end.
"""


@pytest.fixture
def file(tmp_path):
    """Return the path of a config file as somebody wrote it."""
    path = tmp_path / "config.toml"
    path.write_text(WRITTEN, encoding="utf-8")
    return path


def mode(path):
    """Return the permission bits of a file or folder."""
    return stat.S_IMODE(path.stat().st_mode)


def names(folder):
    """Return the names in a folder, sorted."""
    return [path.name for path in folder.iterdir()]


@pytest.mark.parametrize(
    ("profile", "key", "value", "old", "new"),
    [
        ("prod", "host", "https://new", '"https://nmp.example.com"', '"https://new"'),
        ("prod", "workspace", "ml", '"research"  # theirs', '"ml"  # theirs'),
        ("prod", "deadline", 2.5, "# theirs\n", "# theirs\ndeadline = 2.5\n"),
        (None, "host", "https://new", "'https://lab.example.com'", '"https://new"'),
        (None, "allow_http", True, "example.com'\n", "example.com'\nallow_http = true\n"),
        ("lab", "numbers", ["a", "b"], "example.com'\n", 'example.com\'\nnumbers = ["a", "b"]\n'),
        ("new", "host", "https://n", "# The end.\n", '# The end.\n\n[profiles.new]\nhost = "https://n"\n'),
        ("a.b", "api", "jobs", "# The end.\n", '# The end.\n\n[profiles."a.b"]\napi = "jobs"\n'),
    ],
)
def test_setting_a_key_changes_nothing_else(file, profile, key, value, old, new):
    """Comments, order, spaces and quotes stay; a new key goes after the last key of its table."""
    assert edit.set_key(file, profile, key, value) == (profile or "lab")
    assert file.read_text(encoding="utf-8") == WRITTEN.replace(old, new, 1)


@pytest.mark.parametrize(
    ("profile", "key", "gone"),
    [
        ("prod", "workspace", '   workspace   =   "research"  # theirs\n'),
        (None, "host", "host = 'https://lab.example.com'\n"),
        ("lab", "host", "host = 'https://lab.example.com'\n"),
    ],
)
def test_removing_a_key_changes_nothing_else(file, profile, key, gone):
    """A comment on another key stays."""
    assert edit.unset_key(file, profile, key) == (profile or "lab")
    assert file.read_text(encoding="utf-8") == WRITTEN.replace(gone, "", 1)


def test_line_endings_stay(file):
    """A file with Windows line endings keeps them."""
    file.write_bytes(WRITTEN.replace("\n", "\r\n").encode())
    edit.set_key(file, "prod", "workspace", "ml")
    assert file.read_bytes().decode() == WRITTEN.replace('"research"', '"ml"').replace("\n", "\r\n")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", '[profiles.lab]\nworkspace = "ws"\n'),
        ("# mine\n", '# mine\n\n[profiles.lab]\nworkspace = "ws"\n'),
        ("[profiles]\n", '[profiles]\n[profiles.lab]\nworkspace = "ws"\n'),
        ("profiles = {}\n", 'profiles = {lab = {workspace = "ws"}}\n'),
        ('profiles = {a = {host = "x"}}\n', 'profiles = {a = {host = "x"},lab = {workspace = "ws"}}\n'),
        ("profiles.lab = {}\n", 'profiles.lab = {workspace = "ws"}\n'),
        ('profiles.lab.host = "x"\n', 'profiles.lab.host = "x"\nprofiles.lab.workspace = "ws"\n'),
        ('[profiles]\nlab.host = "x"\n', '[profiles]\nlab.host = "x"\nlab.workspace = "ws"\n'),
        ("[profiles.lab]", '[profiles.lab]\nworkspace = "ws"\n'),
    ],
)
def test_a_key_can_be_added_to_every_form_of_table(tmp_path, before, after):
    """Headers, inline tables and dotted keys."""
    path = tmp_path / "config.toml"
    path.write_text(before, encoding="utf-8")
    edit.set_key(path, "lab", "workspace", "ws")
    assert path.read_text(encoding="utf-8") == after


@pytest.mark.parametrize(
    ("before", "profile", "value"),
    [
        ('profiles.a.host = "x"\nprofiles.b.host = "x"\nprofiles.a.api = "jobs"\n', "lab", "ws"),
        ("", "lab", "\udcff"),
    ],
)
def test_a_change_that_would_not_read_back_is_refused(tmp_path, before, profile, value):
    """A layout that tomlkit breaks, or text that is not UTF-8: the file stays as it is."""
    path = tmp_path / "config.toml"
    path.write_text(before, encoding="utf-8")
    with pytest.raises(SettingsError, match="without loss") as caught:
        edit.set_key(path, profile, "workspace", value)
    assert "by hand" in caught.value.hint
    assert path.read_text(encoding="utf-8") == before
    assert names(tmp_path) == ["config.toml"]


NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)


@given(
    st.dictionaries(NAMES, st.fixed_dictionaries({}, optional={"host": NAMES, "token": NAMES}), max_size=3),
    NAMES,
    NAMES,
)
def test_a_set_value_reads_back(tmp_path_factory, others, name, value):
    """Any name and value; other profiles stay, removing the key restores them, and any may become the default."""
    path = tmp_path_factory.mktemp("store") / "config.toml"
    for other, values in others.items():
        for key, text in values.items():
            edit.set_key(path, other, key, text)
    before = profiles.load(path, must_exist=False)
    edit.set_key(path, name, "workspace", value)
    after = profiles.load(path, must_exist=True)
    assert after["profiles"][name]["workspace"] == value
    edit.unset_key(path, name, "workspace")
    edit.set_default(path, name)
    rest = profiles.load(path, must_exist=True)
    assert {key: values for key, values in rest["profiles"].items() if values} == before.get("profiles", {})
    assert rest["default_profile"] == name


@pytest.mark.parametrize(
    ("content", "profile", "name"),
    [
        ("", None, "default"),
        ("", "lab", "lab"),
        ('default_profile = "lab"', None, "lab"),
        ('default_profile = "lab"', "prod", "prod"),
        ('default_profile = ""', None, "default"),
        ("[profiles.lab]", None, "default"),
        ("[profiles.lab]", "", "default"),
    ],
)
def test_the_profile_in_use_is_changed(tmp_path, content, profile, name):
    """The named one, else the default one, which is created if needed."""
    path = tmp_path / "config.toml"
    path.write_text(content, encoding="utf-8")
    assert edit.set_key(path, profile, "host", "https://h") == name
    document = tomllib.loads(path.read_text(encoding="utf-8"))
    assert profiles.select(document, name, path).values == {"host": "https://h"}
    if not profile:
        assert profiles.select(document, None, path).name == name


@pytest.mark.parametrize(
    ("profile", "key", "shown"),
    [(None, "workspace", "lab"), ("prod", "token", "prod"), ("a\x1b[31m\nb", "host", r"a\x1b[31m\nb")],
)
def test_removing_an_unset_key_is_an_error(file, profile, key, shown):
    """Exit code 5 with the escaped name of the profile; the file stays as it is, and none is created."""
    with pytest.raises(NotFoundError) as caught:
        edit.unset_key(file, profile, key)
    assert caught.value.exit_code == ExitCode.NOT_FOUND
    assert caught.value.message == f"{key} is not set in profile {shown}"
    assert file.read_text(encoding="utf-8") == WRITTEN
    with pytest.raises(NotFoundError):
        edit.unset_key(file.parent / "nemo-jobs" / "config.toml", profile, key)
    assert names(file.parent) == ["config.toml"]


@pytest.mark.parametrize("content", ["[", "zzz = 1", "[profiles.lab]\nhost = 1\n", b"\xff", "profiles = 1"])
def test_an_invalid_file_is_not_changed(tmp_path, content):
    """An edit could lose what the user meant; a token file is not created beside it either."""
    path = tmp_path / "config.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    before = path.read_bytes()
    with pytest.raises(SettingsError):
        edit.unset_key(path, "lab", "host")
    with pytest.raises(SettingsError):
        token_store.save(path, "lab", edit.Change({"host": "h"}), "tok-123456789")
    assert path.read_bytes() == before
    assert names(tmp_path) == ["config.toml"]


@pytest.mark.parametrize(("key", "value"), [("host", 1), ("zzz", "x"), ("deadline", True), ("api", "v2")])
def test_an_invalid_value_is_not_written(file, key, value):
    """Writing follows the rules of reading."""
    with pytest.raises(SettingsError):
        edit.set_key(file, "lab", key, value)
    assert file.read_text(encoding="utf-8") == WRITTEN


def test_a_readable_file_becomes_private_and_its_folder_stays(file):
    """The folder may be shared with others."""
    file.chmod(0o666)
    file.parent.chmod(0o755)
    edit.set_key(file, None, "host", "https://h")
    assert (mode(file), mode(file.parent)) == (0o600, 0o755)


@pytest.mark.parametrize("there", [True, False])
def test_a_symlink_stays_a_symlink(tmp_path, there):
    """Its target is changed, or created if it is missing."""
    real = tmp_path / "dotfiles" / "nemo.toml"
    real.parent.mkdir()
    if there:
        real.write_text("# mine\n", encoding="utf-8")
    between = tmp_path / "between.toml"
    between.symlink_to("dotfiles/nemo.toml")
    path = tmp_path / "config.toml"
    path.symlink_to(between)
    edit.set_key(path, "lab", "host", "https://h")
    assert path.readlink() == between
    assert between.readlink() == Path("dotfiles/nemo.toml")
    assert real.read_text(encoding="utf-8") == ("# mine\n\n" if there else "") + '[profiles.lab]\nhost = "https://h"\n'
    assert mode(real) == 0o600
    assert names(real.parent) == ["nemo.toml"]


@pytest.mark.parametrize("path", ["/proc/nemo-jobs.toml", "/proc/nemo-jobs/config.toml", "mine/config.toml"])
def test_an_unwritable_path_is_an_error(tmp_path, path):
    """Where not even root can write, and below a file, which stays as it is."""
    (tmp_path / "mine").write_text("mine", encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        edit.set_key(tmp_path / path, None, "host", "https://h")
    assert caught.value.exit_code == ExitCode.SETTINGS
    assert caught.value.message.startswith(f"cannot write the config file {tmp_path / path}: ")
    assert "NEMO_JOBS_CONFIG" in caught.value.hint
    assert (tmp_path / "mine").read_text(encoding="utf-8") == "mine"


def test_a_failed_write_leaves_the_old_file(file):
    """No partial or temporary file is left."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        with pytest.raises(SettingsError, match="File too large"):
            edit.set_key(file, None, "host", "https://h")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert file.read_text(encoding="utf-8") == WRITTEN
    assert names(file.parent) == ["config.toml"]


def test_a_device_is_not_replaced_by_a_file(tmp_path):
    """NEMO_JOBS_CONFIG=/dev/null means that there is no file."""
    device = tmp_path / "null"
    try:
        os.mknod(device, stat.S_IFCHR | 0o600, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root can make a device, and the machine's own is not put at risk")
    with pytest.raises(SettingsError, match="not a regular file"):
        edit.set_key(device, None, "host", "https://h")
    assert stat.S_ISCHR(device.stat().st_mode)


def test_several_keys_change_in_one_write(file, monkeypatch):
    """No reader sees the new host with the old token; comments and order stay."""
    writes = []
    write = edit.write_file
    monkeypatch.setattr(edit, "write_file", lambda path, data, **more: (writes.append(data), write(path, data, **more)))
    change = edit.Change({"host": "https://new", "token_file": "t"}, ("token", "token_command"), default=True)
    assert edit.update(file, "prod", change) == "prod"
    assert writes == [file.read_bytes()]
    assert file.read_text(encoding="utf-8") == WRITTEN.replace('"https://nmp.example.com"', '"https://new"').replace(
        "# theirs\n", '# theirs\ntoken_file = "t"\n'
    ).replace('default_profile = "lab"', 'default_profile = "prod"')


def test_keys_to_remove_may_be_missing(file):
    """A profile has at most one of the token keys; a new one becomes a table without keys."""
    for profile, values in (("lab", {"host": "https://lab.example.com"}), ("new", {})):
        edit.update(file, profile, edit.Change(removed=("token", "token_file", "token_command")))
        assert profiles.load(file, must_exist=True)["profiles"][profile] == values


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('default_profile = "a"  # why\n[profiles.a]\n[profiles.b]\n', 'default_profile = "b"  # why\n[profiles.a]\n[profiles.b]\n'),
        ("# The b\n[profiles.b]\n", 'default_profile = "b"\n\n# The b\n[profiles.b]\n'),
        ("profiles = {b = {}}\n", 'default_profile = "b"\n\nprofiles = {b = {}}\n'),
        ("[profiles.b]\r\n", 'default_profile = "b"\r\n\r\n[profiles.b]\r\n'),
        ('default_profile = "b"\n[profiles.b]\n', 'default_profile = "b"\n[profiles.b]\n'),
    ],
)  # fmt: skip
def test_the_default_profile_is_set(tmp_path, before, after):
    """In place, or at the top of the file, so that no table loses its comment."""
    path = tmp_path / "config.toml"
    path.write_bytes(before.encode())
    edit.set_default(path, "b")
    assert path.read_bytes().decode() == after


@pytest.mark.parametrize(("name", "hint"), [("lub", "did you mean lab?"), ("zzz", "use one of: lab, prod")])
def test_only_an_existing_profile_can_be_the_default(file, name, hint):
    """Exit code 3 with a suggestion, and the file stays as it is."""
    with pytest.raises(SettingsError) as caught:
        edit.set_default(file, name)
    assert caught.value.hint == hint
    assert "(PROFILE)" in caught.value.message
    assert file.read_text(encoding="utf-8") == WRITTEN


def test_the_repr_of_a_change_shows_no_values():
    """A value may be a token."""
    assert "secret" not in repr(edit.Change({"token": "secret"}))


def test_changes_at_the_same_time_are_all_kept(tmp_path):
    """Processes wait for each other, so each changes the newest file."""
    path = tmp_path / "config.toml"
    program = (
        "import sys; from pathlib import Path; from nemo_jobs_cli.settings import edit;"
        "edit.set_key(Path(sys.argv[1]), 'lab' + sys.argv[2], 'workspace', 'ws')"
    )
    words = [sys.executable, "-c", program, str(path)]
    running = [subprocess.Popen([*words, str(number)], env=CHILD_ENVIRONMENT, stderr=PIPE) for number in range(4)]
    assert [process.communicate()[1] for process in running] == [b""] * 4
    assert sorted(profiles.load(path, must_exist=True)["profiles"]) == [f"lab{number}" for number in range(4)]


def test_a_change_waits_for_another_process_and_is_made_in_the_end(file, monkeypatch, tmp_path):
    """The lock is best effort: a process that hangs with it must not block the user for ever."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(edit, "LONGEST_WAIT", 0.1)
    with job_lock.hold(str(file), deadline.start(10, SYSTEM_CLOCK.now(), SYSTEM_CLOCK)) as is_locked:
        edit.set_key(file, "prod", "workspace", "ml")
    assert is_locked
    assert profiles.load(file, must_exist=True)["profiles"]["prod"]["workspace"] == "ml"
