"""Read and write files, and name them in messages."""

from __future__ import annotations

import errno
import os
import stat
import sys
from contextlib import suppress
from pathlib import Path

from nemo_jobs_cli.core.errors import UsageError
from nemo_jobs_cli.core.text import one_line

PRIVATE_FILE = 0o600
PRIVATE_DIR = 0o700


# Errors of replacing a file that can still be written: its folder is read-only, or the file is a mount point.
_NOT_REPLACEABLE = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY})


def write_file(path: str | Path, data: bytes, *, private: bool = False) -> None:
    """Write a user's file: through links, into pipes and devices in place.

    A regular file keeps its mode and owner; it is replaced as a whole if its folder allows that. `private` takes the
    access of others away. Raise OSError or ValueError.
    """
    path = str(path)
    check_writable(path)
    if is_stream(path):
        _write_stream(path, data)
        return
    target = Path(os.path.realpath(path))
    try:
        before = os.stat(path)  # noqa: PTH116
    except FileNotFoundError:
        write_atomic(target, data, mode=PRIVATE_FILE if private else 0o666)
        return
    mode = before.st_mode & (0o700 if private else 0o777)
    try:
        write_atomic(target, data, mode=mode, owner=(before.st_uid, before.st_gid))
    except OSError as error:
        if error.errno not in _NOT_REPLACEABLE:
            raise
        target.write_bytes(data)


def check_writable(path: str | Path) -> None:
    """Raise OSError if `write_file` cannot write a path; change nothing."""
    path = str(path)
    descriptor = _descriptor(path)
    if descriptor is not None:
        os.fstat(descriptor)
        return
    if not os.path.basename(path) or is_dir(path):  # noqa: PTH119 - a Path would lose the slash
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    try:
        os.stat(path)  # noqa: PTH116
        target = path
    except FileNotFoundError:
        target = os.path.dirname(os.path.realpath(path))  # noqa: PTH120
        os.stat(target)  # noqa: PTH116
    if not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def unwritable(option: str, path: str, error: Exception) -> UsageError:
    """Return the error for the FILE of an option that cannot be written."""
    return UsageError(
        f"cannot write {option} {one_line(path, 200)}: {os_reason(error)}", "name a file in a writable folder"
    )


def read_stdin(limit: int) -> bytes:
    """Return the first `limit` bytes of stdin, or raise UsageError."""
    try:
        data = sys.stdin.buffer.read(limit) if sys.stdin else None
    except OSError as error:
        raise stdin_error(os_reason(error)) from None
    if data is None:  # closed, or non-blocking and empty
        raise stdin_error("no input")
    return data


def stdin_error(reason: str) -> UsageError:
    """Return the error for a stdin that cannot be read."""
    return UsageError(f"cannot read stdin: {reason}", "redirect a file or a pipe: < FILE")


def is_stream(path: str) -> bool:
    """Return whether a path is a pipe, device, socket or open descriptor."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116
    except FileNotFoundError:
        return False
    return _descriptor(path) is not None or not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def read_regular(path: str | Path, max_bytes: int | None = None) -> bytes:
    """Return the content of a regular file, or raise OSError at once."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise NotRegularError(errno.EINVAL, "not a regular file")
        if max_bytes is not None and status.st_size > max_bytes:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        with open(handle, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(handle)


class NotRegularError(OSError):
    """A folder, pipe or device in the place of a file."""


def write_atomic(
    target: Path,
    data: bytes,
    *,
    temp_dir: Path | None = None,
    mode: int = PRIVATE_FILE,
    owner: tuple[int, int] | None = None,
    durable: bool = True,
) -> None:
    """Replace `target` as a whole, also across a power cut.

    The temporary file is beside `target`, or in `temp_dir` on the same file system. With an `owner` (user and group,
    kept if possible) the umask does not change `mode`. Without `durable` nothing is synced, and a power cut may leave
    an empty file. Raise OSError.
    """
    temporary = (temp_dir or target.parent) / f".{target.name}.{os.urandom(4).hex()}"
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(handle, "wb") as file:
            if owner is not None:
                with suppress(PermissionError):  # another user's file in a folder of ours
                    os.fchown(handle, *owner)
                os.fchmod(handle, mode)
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        try:
            temporary.rename(target)
        except OSError:
            if temporary.exists() or not target.exists():  # NFS may rename, lose its reply and fail on the retry
                raise
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    if durable:
        _sync_dir(target.parent)


def _write_stream(path: str, data: bytes) -> None:
    """Write into a pipe, device or descriptor, or raise OSError at once."""
    descriptor = _descriptor(path)
    if descriptor is None:
        handle = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        os.set_blocking(handle, True)
    else:
        handle = os.dup(descriptor)  # opening it again would truncate or overwrite a redirected file
    with open(handle, "wb") as stream:  # noqa: PTH123
        stream.write(data)


def _descriptor(path: str) -> int | None:
    """Return the number of a descriptor such as /dev/fd/3, or None."""
    folder, _, name = {"/dev/stdout": "/dev/fd/1", "/dev/stderr": "/dev/fd/2"}.get(path, path).rpartition("/")
    return int(name) if folder in {"/dev/fd", "/proc/self/fd"} and name.isdecimal() else None


def _sync_dir(folder: Path) -> None:
    """Make a rename survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP, errno.EBADF}:  # the file system does not sync folders
            raise
    finally:
        os.close(handle)


def exists(path: str | Path) -> bool:
    """Return whether `path` exists and can be examined."""
    return os.path.exists(path)  # noqa: PTH110 - Path.exists raises PermissionError


def is_file(path: str | Path) -> bool:
    """Return whether `path` is a regular file that can be examined."""
    return os.path.isfile(path)  # noqa: PTH113 - Path.is_file raises PermissionError


def is_dir(path: str | Path) -> bool:
    """Return whether `path` is a folder that can be examined."""
    return os.path.isdir(path)  # noqa: PTH112 - Path.is_dir raises PermissionError


def is_private(mode: int) -> bool:
    """Return whether a file's mode gives access only to its owner."""
    return not mode & 0o077


def display_path(path: Path) -> str:
    """Return a path as messages show it, with the home folder as `~`."""
    try:
        home = Path.home()
    except RuntimeError:
        return one_line(str(path), 200)
    is_inside = path.is_relative_to(home) and home != Path("/")
    return one_line(f"~/{path.relative_to(home)}" if is_inside else str(path), 200)


def os_reason(error: Exception) -> str:
    """Return the reason of a failed file operation.

    Only a path with a NUL or an unknown `~user` raises no OSError.
    """
    if isinstance(error, OSError):
        return one_line(error.strerror or str(error) or type(error).__name__, 100)
    return "invalid path"
