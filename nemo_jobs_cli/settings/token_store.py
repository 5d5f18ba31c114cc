"""Store tokens in private files next to the config file."""

from __future__ import annotations

import itertools
import os
import re
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.core.errors import SettingsError
from nemo_jobs_cli.core.files import PRIVATE_DIR, PRIVATE_FILE, display_path, write_atomic
from nemo_jobs_cli.settings import edit, profiles

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nemo_jobs_cli.settings.edit import Change

FOLDER = "tokens"
LONGEST_NAME = 40
MOST_FILES = 1000


def file_name(profile: str) -> str:
    """Return an ASCII file name for a profile's token.

    Two profiles may get the same name; `save` never uses an existing file.
    """
    return re.sub(r"[^A-Za-z0-9_-]+", "_", profile)[:LONGEST_NAME].lstrip("-") or "_"


def save(path: Path, profile: str, change: Change, token: str | None) -> Path | None:
    """Change a profile together with its token; return the token's file.

    The token goes into a new file, so that no reader combines it with the old host. After a failure, which raises
    SettingsError, nothing has changed.
    """
    before = _file_of(path, profile)
    if token is None:
        edit.update(path, profile, change)
        _forget(path, profile, before)
        return None
    file = _claim(path, profile)
    try:
        _fill(file, token)
        values: dict[str, Any] = {**change.values, "token_file": f"{FOLDER}/{file.name}"}
        edit.update(path, profile, change._replace(values=values))
    except BaseException:
        if not _is_named(path, profile, file):  # else the change was made before a signal arrived
            _remove(file)
        raise
    _forget(path, profile, before)
    return file


@contextmanager
def deleting_unused_token(path: Path, profile: str | None) -> Iterator[None]:
    """Delete a profile's token file after the body if it is unused."""
    name = profile or profiles.load(path, must_exist=False).get("default_profile") or profiles.DEFAULT
    before = _file_of(path, name)
    yield
    _forget(path, name, before)


def _claim(path: Path, profile: str) -> Path:
    """Create an empty private file for a token."""
    folder, name = path.parent / FOLDER, file_name(profile)
    try:
        for new_folder in (path.parent, folder):
            new_folder.mkdir(mode=PRIVATE_DIR, parents=True, exist_ok=True)
        with suppress(OSError):  # owned by another user
            folder.chmod(PRIVATE_DIR)
        for number in itertools.count(1):
            file = folder / (name if number == 1 else f"{name}-{number}")
            try:
                handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_FILE)
            except FileExistsError:
                if number == MOST_FILES:
                    raise
            else:
                os.close(handle)
                break
    except OSError as error:
        raise _unwritable(folder, error) from None
    return file


def _fill(file: Path, token: str) -> None:
    try:
        write_atomic(file, f"{token}\n".encode())
    except OSError as error:
        raise _unwritable(file, error) from None


def _unwritable(file: Path, error: OSError) -> SettingsError:
    return SettingsError(
        f"cannot write the token to {display_path(file)}: {error.strerror}",
        "check the folder and the disk, or set NEMO_JOBS_CONFIG to another file",
    )


def _file_of(path: Path, profile: str) -> Path | None:
    """Return the token file that a profile names, or None."""
    values = profiles.load(path, must_exist=False).get("profiles", {}).get(profile, {})
    return Path(profiles.resolve_path(values["token_file"], path)) if "token_file" in values else None


def _is_named(path: Path, profile: str, file: Path) -> bool:
    """Return whether a profile names a token file, or may do so."""
    try:
        return _file_of(path, profile) == file
    except SettingsError:
        return True


def _forget(path: Path, profile: str, file: Path | None) -> None:
    """Delete a token file of ours that no profile names any more."""
    if file is None or file.parent != path.parent / FOLDER:
        return
    if not re.fullmatch(rf"{re.escape(file_name(profile))}(-\d+)?", file.name):
        return  # the user's own file
    tables = profiles.load(path, must_exist=False).get("profiles", {})
    others = (other for other in path.parent.glob("*.toml") if other.name != path.name)
    if all(_file_of(path, name) != file for name in tables) and not any(_may_name(other, file) for other in others):
        _remove(file)


def _may_name(other: Path, file: Path) -> bool:
    """Return whether another config file may name a token file."""
    try:
        return file.name in profiles.read_text(other)
    except (OSError, UnicodeDecodeError):
        return True


def _remove(file: Path) -> None:
    """Delete a file, and its folder if it is then empty."""
    with suppress(OSError):
        file.unlink()
        file.parent.rmdir()
