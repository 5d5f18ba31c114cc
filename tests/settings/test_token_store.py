"""Token files next to the configuration: private, and changed together with the profile."""

from __future__ import annotations

import os
import stat
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_jobs_cli.core.errors import SettingsError
from nemo_jobs_cli.core.files import write_atomic
from nemo_jobs_cli.settings import edit, token_store
from nemo_jobs_cli.settings.edit import Change

SECRET = "tok-123456789"
NEW = Change({"host": "https://h", "workspace": "ws"}, removed=("token", "token_command"))
GONE = Change({"host": "https://h"}, removed=("token", "token_file", "token_command"))


@pytest.fixture
def file(tmp_path):
    """Return the path of a config file that isn't there yet, in a folder that isn't either."""
    return tmp_path / "nemo-jobs" / "config.toml"


def stored(path):
    """Return the profiles in a file."""
    return tomllib.loads(path.read_text(encoding="utf-8"))["profiles"]


def names(folder):
    """Return the names in a folder, sorted."""
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("profile", "name"),
    [
        ("lab", "lab"),
        ("Lab_2-b", "Lab_2-b"),
        ("../x", "_x"),
        ("..", "_"),
        ("/etc/passwd", "_etc_passwd"),
        ("", "_"),
        (".hidden", "_hidden"),
        ("-rf", "rf"),
        ("---", "_"),
        ("実験", "_"),
        ("a\0b", "a_b"),
        ("x" * 300, "x" * 40),
    ],
)
def test_the_name_of_a_token_file_is_safe(profile, name):
    """For any name of a profile."""
    assert token_store.file_name(profile) == name


@given(st.text())
def test_the_name_of_a_token_file_stays_in_its_folder(profile):
    """Plain ASCII, not hidden, and not an option."""
    name = token_store.file_name(profile)
    assert 1 <= len(name) <= 40
    assert name.isascii()
    assert name.replace("-", "").replace("_", "").isalnum() or not name.strip("_-")
    assert not name.startswith("-")
    assert Path("/folder", name).parent == Path("/folder")


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_a_token_is_private(file, umask, monkeypatch):
    """The file and its folders, also during the write, and the configuration, whatever the umask."""
    seen = []
    write = write_atomic

    def spy(target, data, **more):
        if target.name == "lab":
            seen.extend(stat.S_IMODE(path.stat().st_mode) for path in (target, target.parent, target.parent.parent))
        write(target, data, **more)

    monkeypatch.setattr(token_store, "write_atomic", spy)
    before = os.umask(umask)
    try:
        token_file = token_store.save(file, "lab", NEW, SECRET)
    finally:
        os.umask(before)
    assert token_file == file.parent / "tokens" / "lab"
    assert token_file.read_text(encoding="utf-8") == SECRET + "\n"
    assert seen == [0o600, 0o700, 0o700]
    assert [stat.S_IMODE(path.stat().st_mode) for path in (token_file, file, file.parent)] == [0o600, 0o600, 0o700]
    assert stored(file) == {"lab": {"host": "https://h", "workspace": "ws", "token_file": "tokens/lab"}}


def test_a_readable_folder_becomes_private(file):
    """It only contains our files."""
    folder = file.parent / "tokens"
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    token_store.save(file, "lab", NEW, SECRET)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_new_token_replaces_the_old_one(file):
    """In a new file, so that no reader combines it with the old host; the old file is deleted."""
    token_store.save(file, "lab", NEW, "old")
    token_file = token_store.save(file, "lab", NEW, SECRET)
    assert token_file.name == "lab-2"
    assert stored(file)["lab"]["token_file"] == "tokens/lab-2"
    assert names(token_file.parent) == ["lab-2"]
    assert token_store.save(file, "lab", NEW, SECRET).name == "lab"


def test_profiles_with_similar_names_have_separate_files(file):
    """An existing file is never used."""
    for number, profile in enumerate(["a b", "a/b", "a_b"]):
        token_store.save(file, profile, NEW, f"token-{number}")
    tokens = {
        name: (file.parent / values["token_file"]).read_text(encoding="utf-8") for name, values in stored(file).items()
    }
    assert tokens == {"a b": "token-0\n", "a/b": "token-1\n", "a_b": "token-2\n"}


def test_two_configurations_in_one_folder_have_separate_files(file):
    """NEMO_JOBS_CONFIG may name another file there."""
    other = file.with_name("other.toml")
    first, second = (token_store.save(path, "lab", NEW, str(path)) for path in (file, other))
    assert first != second
    assert first.read_text(encoding="utf-8") == f"{file}\n"


def test_a_token_in_the_profile_is_removed(file):
    """It moves into a file."""
    edit.set_key(file, "lab", "token", "old")
    token_store.save(file, "lab", NEW, SECRET)
    assert "token" not in stored(file)["lab"]


def test_without_a_token_the_old_file_is_deleted(file):
    """And its folder, if it is empty."""
    token_store.save(file, "lab", NEW, SECRET)
    assert token_store.save(file, "lab", GONE, None) is None
    assert stored(file) == {"lab": {"host": "https://h", "workspace": "ws"}}
    assert names(file.parent) == ["config.toml"]


def test_a_file_that_another_profile_names_stays(file):
    """The user may have copied a profile."""
    token_file = token_store.save(file, "lab", NEW, SECRET)
    edit.set_key(file, "copy", "token_file", "tokens/lab")
    token_store.save(file, "lab", GONE, None)
    assert token_file.read_text(encoding="utf-8") == SECRET + "\n"


def test_a_file_that_a_copy_of_the_configuration_names_stays(file):
    """NEMO_JOBS_CONFIG may select such a copy."""
    token_file = token_store.save(file, "lab", NEW, SECRET)
    (file.parent / "prod.toml").write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    token_store.save(file, "lab", NEW, "tok-2")
    assert token_file.read_text(encoding="utf-8") == SECRET + "\n"
    (file.parent / "prod.toml").write_bytes(b"\xff")
    token_store.save(file, "lab", GONE, None)
    assert names(token_file.parent) == ["lab", "lab-2"]


@pytest.mark.parametrize("value", ["tokens/mine", "mine", "tokens/../mine", "tokens/deep/../../mine"])
def test_a_users_file_stays(file, value):
    """Only files in our folder are deleted, with a name that `save` creates for this profile."""
    (file.parent / "tokens" / "deep").mkdir(parents=True)
    own = file.parent / value
    own.write_text("own", encoding="utf-8")
    edit.set_key(file, "lab", "token_file", value)
    token_store.save(file, "lab", NEW, SECRET)
    assert own.read_text(encoding="utf-8") == "own"


@pytest.mark.parametrize("there", [False, True])
def test_a_failed_write_of_the_configuration_changes_nothing(file, monkeypatch, there):
    """The new token is deleted, the old one stays."""
    if there:
        token_store.save(file, "lab", NEW, "old")
    before = file.read_bytes() if there else None

    def full(target, data, **more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(edit, "write_file", lambda target, data, **more: full(target, data) if target.name == "config.toml" else target.write_bytes(data))  # fmt: skip
    with pytest.raises(SettingsError, match="No space left"):
        token_store.save(file, "lab", NEW, SECRET)
    if there:
        assert file.read_bytes() == before
        assert names(file.parent / "tokens") == ["lab"]
        assert (file.parent / "tokens" / "lab").read_text(encoding="utf-8") == "old\n"
    else:
        assert names(file.parent) == []


def test_a_failed_write_of_the_token_changes_nothing(file, monkeypatch):
    """The error never shows the token."""

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(token_store, "write_atomic", full)
    with pytest.raises(SettingsError) as caught:
        token_store.save(file, "lab", NEW, SECRET)
    assert "cannot write the token to " in caught.value.message
    assert SECRET not in caught.value.message
    assert names(file.parent) == []


@pytest.mark.parametrize("path", ["/proc/nemo-jobs/config.toml", "/proc/config.toml", "config.toml"])
def test_an_unwritable_path_is_an_error(tmp_path, path):
    """Where not even root can write, and if the folder is a file, which stays as it is."""
    (tmp_path / "tokens").write_text("mine", encoding="utf-8")
    with pytest.raises(SettingsError, match=f"cannot write the token to {(tmp_path / path).parent}"):
        token_store.save(tmp_path / path, "lab", NEW, SECRET)
    assert names(tmp_path) == ["tokens"]


@pytest.mark.parametrize("then", ["", "["], ids=["valid", "invalid"])
def test_a_signal_after_the_change_keeps_the_token(file, monkeypatch, then):
    """The profile names the new file, or may name it if the configuration has become invalid."""
    update = edit.update

    def interrupted(*words):
        update(*words)
        file.write_text(file.read_text(encoding="utf-8") + then, encoding="utf-8")
        raise KeyboardInterrupt

    monkeypatch.setattr(token_store.edit, "update", interrupted)
    with pytest.raises(KeyboardInterrupt):
        token_store.save(file, "lab", NEW, SECRET)
    assert (file.parent / "tokens" / "lab").read_text(encoding="utf-8") == SECRET + "\n"


def test_the_search_for_a_free_name_is_limited(file, monkeypatch):
    """A full folder is an error."""
    monkeypatch.setattr(token_store, "MOST_FILES", 2)
    token_store.save(file, "lab", NEW, SECRET)
    (file.parent / "tokens" / "lab-2").touch()
    with pytest.raises(SettingsError, match="File exists"):
        token_store.save(file, "lab", NEW, SECRET)
