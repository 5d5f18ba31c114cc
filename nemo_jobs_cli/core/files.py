"""Write files atomically, and name them in messages."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

from nemo_jobs_cli.core.text import one_line

PRIVATE_FILE = 0o600
PRIVATE_DIR = 0o700


def write_atomic(
    target: Path, data: bytes, *, temp_dir: Path | None = None, mode: int = PRIVATE_FILE, durable: bool = True
) -> None:
    """Replace `target` as a whole: readers see the old or the new file, also after a power cut.

    The temporary file is beside `target`, or in `temp_dir` on the same file system. Without `durable` nothing is
    synced, and a power cut may leave an empty file. Raise OSError.
    """
    temporary = (temp_dir or target.parent) / f".{target.name}.{os.urandom(4).hex()}"
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(handle, "wb") as file:
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
    """Return whether `path` exists; one that cannot be examined, as in another user's home, does not."""
    return os.path.exists(path)  # noqa: PTH110 - Path.exists raises PermissionError


def is_file(path: str | Path) -> bool:
    """Return whether `path` is a regular file that can be examined."""
    return os.path.isfile(path)  # noqa: PTH113 - Path.is_file raises PermissionError


def is_dir(path: str | Path) -> bool:
    """Return whether `path` is a folder that can be examined."""
    return os.path.isdir(path)  # noqa: PTH112 - Path.is_dir raises PermissionError


def is_private(mode: int) -> bool:
    """Return whether a file's mode gives nobody but its owner access."""
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
    """Return why a file operation failed; only a path with a NUL or an unknown `~user` raises no OSError."""
    if isinstance(error, OSError):
        return one_line(error.strerror or str(error) or type(error).__name__, 100)
    return "invalid path"
