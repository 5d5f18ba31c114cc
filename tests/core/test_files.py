"""Atomic writes and checks of paths."""

from __future__ import annotations

import os
import resource
import stat

import pytest

from nemo_jobs_cli.core.files import exists, is_dir, is_file, os_reason, write_atomic


@pytest.mark.parametrize("mode", [0o600, 0o666])
def test_a_file_is_written_and_nothing_else(tmp_path, mode):
    """With the given mode, as the umask allows."""
    before = os.umask(0o022)
    try:
        write_atomic(tmp_path / "f", b"new", mode=mode)
    finally:
        os.umask(before)
    assert (tmp_path / "f").read_bytes() == b"new"
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == mode & ~0o022
    assert len(list(tmp_path.iterdir())) == 1


def test_another_folder_may_hold_the_temporary_file(tmp_path):
    """The target's folder then only has complete files."""
    (tmp_path / "aside").mkdir()
    (tmp_path / "f").write_text("old")
    write_atomic(tmp_path / "f", b"new", temp_dir=tmp_path / "aside")
    assert (tmp_path / "f").read_bytes() == b"new"
    assert list((tmp_path / "aside").iterdir()) == []


def test_a_full_disk_leaves_the_old_file(tmp_path):
    """No partial file is left."""
    file = tmp_path / "f"
    file.write_text("old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4, before[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            write_atomic(file, b"x" * 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert file.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_paths_that_cannot_be_examined_do_not_exist():
    """A name that is too long behaves as another user's home does."""
    too_long = "/" + "x" * 5000
    assert not exists(too_long)
    assert not is_file(too_long)
    assert not is_dir(too_long)
    assert is_dir("/")


@pytest.mark.parametrize(
    ("error", "reason"),
    [(PermissionError(13, "Permission denied"), "Permission denied"), (ValueError("NUL"), "invalid path")],
)
def test_the_reason_of_a_failure_is_the_systems(error, reason):
    """For a path with a NUL, Python raises ValueError."""
    assert os_reason(error) == reason
