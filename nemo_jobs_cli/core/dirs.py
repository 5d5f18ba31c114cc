"""Find the folders for our own files, as platformdirs does.

`app_dir` answers with text and without `pathlib`, for TAB; `app_path` is for everything else.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # importing typing costs 5 ms, more than the rest of an answer to TAB
if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Literal

    Kind = Literal["config", "state", "cache", "data"]

# As platformdirs, whose import takes 15 ms; a test compares the two.
_XDG = {
    "config": ("XDG_CONFIG_HOME", "/.config"),
    "state": ("XDG_STATE_HOME", "/.local/state"),
    "cache": ("XDG_CACHE_HOME", "/.cache"),
    "data": ("XDG_DATA_HOME", "/.local/share"),
}
_MACOS = {"cache": "/Library/Caches"}
_MACOS_OTHERS = "/Library/Application Support"


def user_dir(environ: Mapping[str, str], kind: Kind, system: str) -> str | None:
    """Return the user's folder for a kind of files, None without a home.

    `system` is a `sys.platform`.
    """
    variable, below_home = _XDG[kind]
    folder = environ.get(variable, "")
    if folder.startswith("/"):
        return folder
    home = environ.get("HOME", "")
    if not home.startswith("/"):
        return None
    return home + (_MACOS.get(kind, _MACOS_OTHERS) if system == "darwin" else below_home)


def app_dir(environ: Mapping[str, str], kind: Kind, system: str) -> str | None:
    """Return the folder for our own files of a kind, None without a home."""
    folder = user_dir(environ, kind, system)
    return None if folder is None else f"{folder.rstrip('/')}/nemo-jobs"


def app_path(environ: Mapping[str, str], kind: Kind) -> Path | None:
    """Return the folder for our files of a kind, None without a home."""
    from pathlib import Path

    if os.name == "posix" and os.uname().sysname == "Linux":
        folder = app_dir(environ, kind, "linux")
        return None if folder is None else Path(folder)
    import platformdirs

    try:
        return Path(getattr(platformdirs, f"user_{kind}_path")("nemo-jobs"))
    except RuntimeError:
        return None
