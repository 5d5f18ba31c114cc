"""Test reading and writing files, and checks of paths."""

from __future__ import annotations

import errno
import os
import resource
import stat
from functools import partial

import pytest

from nemo_jobs_cli.core.files import (
    NotRegularError,
    check_writable,
    exists,
    is_dir,
    is_file,
    os_reason,
    read_regular,
    write_atomic,
    write_file,
)


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
    (tmp_path / "f").write_text("old", encoding="utf-8")
    write_atomic(tmp_path / "f", b"new", temp_dir=tmp_path / "aside")
    assert (tmp_path / "f").read_bytes() == b"new"
    assert list((tmp_path / "aside").iterdir()) == []


def test_a_full_disk_leaves_the_old_file(tmp_path):
    """No partial file is left."""
    file = tmp_path / "f"
    file.write_text("old", encoding="utf-8")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4, before[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            write_atomic(file, b"x" * 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert file.read_text(encoding="utf-8") == "old"
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


def test_a_link_leads_to_the_file_that_is_written(tmp_path):
    """Dotfiles are often links; a link to a missing file creates it."""
    real, link = tmp_path / "real", tmp_path / "link"
    link.symlink_to("real")
    for data in (b"first", b"second"):
        write_file(link, data)
        assert (real.read_bytes(), link.is_symlink()) == (data, True)
    link.unlink()
    link.symlink_to("link")
    with pytest.raises(OSError, match="Too many levels"):
        write_file(link, b"")
    assert link.is_symlink()


@pytest.mark.parametrize(("private", "modes"), [(False, (0o640, 0o644)), (True, (0o600, 0o600))])
def test_an_existing_file_keeps_its_mode(tmp_path, private, modes):
    """Whatever the umask is; a private file loses the access of others."""
    (tmp_path / "old").touch()
    (tmp_path / "old").chmod(0o640)
    before = os.umask(0o022)
    try:
        for name in ("old", "new"):
            write_file(tmp_path / name, b"x", private=private)
    finally:
        os.umask(before)
    assert tuple(stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("old", "new")) == modes


@pytest.mark.skipif(os.getuid() != 0, reason="needs root")
def test_root_does_not_take_a_file_from_its_owner(tmp_path):
    """`sudo nemo-jobs config set` leaves the file to the user."""
    (tmp_path / "f").touch()
    os.chown(tmp_path / "f", 12345, 54321)
    write_file(tmp_path / "f", b"x")
    status = (tmp_path / "f").stat()
    assert (status.st_uid, status.st_gid) == (12345, 54321)


def test_a_device_stays_a_device(tmp_path):
    """`--failed /dev/null`, as root too."""
    device = tmp_path / "nul"  # never the real one: a failing test run by root would replace it
    try:
        os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    except OSError:
        pytest.skip("cannot create a device")
    write_file(device, b"x")
    assert stat.S_ISCHR(device.stat().st_mode)


def test_a_pipe_gets_the_data_or_is_an_error_at_once(tmp_path):
    """If nobody reads it, waiting would last for ever."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(OSError, match="No such device"):
        write_file(fifo, b"x")
    with pytest.raises(NotRegularError):
        read_regular(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_file(fifo, b"data")
        assert os.read(reader, 100) == b"data"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(fifo.stat().st_mode)


def test_a_descriptor_is_written_where_it_stands(tmp_path):
    """As `--failed /dev/stdout > file` means it: after what is there, not instead of it."""
    with (tmp_path / "f").open("wb", buffering=0) as file:
        file.write(b"before ")
        write_file(f"/dev/fd/{file.fileno()}", b"data")
        file.write(b" after")
    assert (tmp_path / "f").read_bytes() == b"before data after"


def test_a_file_that_cannot_be_replaced_is_written_in_place(tmp_path, monkeypatch):
    """A container mounts single files: renaming over a mount point fails with EBUSY."""
    file = tmp_path / "f"
    file.write_bytes(b"something longer")
    inode = file.stat().st_ino

    def busy(*_):
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    monkeypatch.setattr("pathlib.Path.rename", busy)
    write_file(file, b"new")
    assert (file.read_bytes(), file.stat().st_ino, os.listdir(tmp_path)) == (b"new", inode, ["f"])  # noqa: PTH208


write_or_check = pytest.mark.parametrize("write", [partial(write_file, data=b"x"), check_writable])


@write_or_check
@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("", "Is a directory"),
        ("{}/", "Is a directory"),
        ("{}", "Is a directory"),
        ("{}/none/", "Is a directory"),
        ("{}/none/f", "No such file"),
        ("{}/file/f", "Not a directory"),
        ("{}/link", "No such file"),
        ("{}/" + "x" * 300, "File name too long"),
        ("/dev/fd/9999", "Bad file descriptor"),
    ],
)
def test_a_path_that_cannot_be_written_is_an_error(tmp_path, write, path, reason):
    """Also before it is written; nothing is created."""
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("none/f")
    with pytest.raises(OSError, match=reason):
        write(path.format(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link"]


@pytest.mark.parametrize("path", ["{}/new", "{}/file", "{}/link", "{}/fifo", "/dev/fd/1", "/dev/stdout", "/dev/null"])
def test_a_check_before_writing_changes_nothing(tmp_path, path):
    """A pipe may get its reader later."""
    (tmp_path / "file").write_text("old", encoding="utf-8")
    (tmp_path / "link").symlink_to("new")
    os.mkfifo(tmp_path / "fifo")
    check_writable(path.format(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fifo", "file", "link"]
    assert (tmp_path / "file").read_text(encoding="utf-8") == "old"


@write_or_check
@pytest.mark.skipif(os.getuid() == 0, reason="root may write everything")
def test_a_write_protected_file_is_not_replaced(tmp_path, write):
    """Although its folder would allow that."""
    (tmp_path / "f").touch(0o400)
    with pytest.raises(PermissionError):
        write(tmp_path / "f")
