"""Know where files belong on this system: ours, and those of the official tool."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from nemo_jobs_cli.core import dirs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nemo_jobs_cli.core.dirs import Kind


def folder(environ: Mapping[str, str], kind: Kind) -> Path | None:
    """Return the folder for our own files of a kind; None where there is no home: jobs run without one."""
    if os.name == "posix" and os.uname().sysname == "Linux":
        own = dirs.own(environ, kind, "linux")
        return None if own is None else Path(own)
    import platformdirs

    paths = {
        "config": platformdirs.user_config_path,
        "state": platformdirs.user_state_path,
        "cache": platformdirs.user_cache_path,
        "data": platformdirs.user_data_path,
    }
    try:
        return paths[kind]("nemo-jobs")
    except RuntimeError:
        return None


def official_config(product: str, environ: Mapping[str, str]) -> Path | None:
    """Return where the official tool keeps its file: below XDG_CONFIG_HOME if the folder is there, else ~/.config."""
    base = environ.get("XDG_CONFIG_HOME")
    if base and is_there(Path.is_dir, Path(base, product)):
        return Path(base) / product / "config.yaml"
    return _home(environ, ".config", product, "config.yaml")


def is_there(kind: Callable[[Path], bool], path: Path) -> bool:
    """Tell whether there is such a file; what can't be looked at (another user's home) counts as absent."""
    try:
        return kind(path)
    except OSError:
        return False


def _home(environ: Mapping[str, str], *below: str) -> Path | None:
    """Return a path in the home, None without HOME."""
    home = Path(environ.get("HOME", ""))
    return home.joinpath(*below) if home.is_absolute() else None


def is_open(bits: int) -> bool:
    """Tell whether a file's mode lets anybody but its owner do anything with it."""
    return bool(bits & 0o077)
