"""Change our own configuration file: comments and layout stay, and nobody else can read it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nemo_jobs_cli import profiles
from nemo_jobs_cli.errors import NotFoundError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700


def put(path: Path, profile: str | None, key: str, value: Any) -> str:
    """Set a key of a profile (None: the default one, made where there is none); return the profile's name."""

    def change(document: Any, name: str) -> None:
        import tomlkit

        tables = document.setdefault("profiles", tomlkit.table(is_super_table=True))
        tables.setdefault(name, tomlkit.table())[key] = value

    return _change(path, profile, change)


def remove(path: Path, profile: str | None, key: str) -> str:
    """Take a key out of a profile; raise NotFoundError where it isn't set."""

    def change(document: Any, name: str) -> None:
        table = document.get("profiles", {}).get(name, {})
        if key not in table:
            raise NotFoundError(f"{key} is not set in profile {name}", "see what is: nemo-jobs config list")
        del table[key]

    return _change(path, profile, change)


def _change(path: Path, profile: str | None, change: Callable[[Any, str], None]) -> str:
    """Read, change, check and write the file; raise SettingsError where the result would not be readable."""
    import tomlkit

    profiles.load(path, must_exist=False)  # refuse to touch what can't be read
    # A symlink stays one: dotfiles are often kept elsewhere.
    target = Path(os.path.realpath(path))
    document = tomlkit.parse(target.read_text("utf-8") if target.exists() else "")
    name = profile or document.get("default_profile") or profiles.DEFAULT
    change(document, str(name))
    profiles.check(document.unwrap(), path)
    _write(target, tomlkit.dumps(document))
    return str(name)


def _write(path: Path, text: str) -> None:
    """Write beside, sync, and rename: a reader sees the old file or the new one, never half of one."""
    try:
        path.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # its mode is 0600
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(aside).replace(path)
        except BaseException:
            Path(aside).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise SettingsError(
            f"the configuration file {profiles.shown(path)} can't be written: {error.strerror}",
            "check the folder and the disk, or name another file in NEMO_JOBS_CONFIG",
        ) from None
