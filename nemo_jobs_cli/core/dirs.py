"""Know the folders that a system has for a user's files, as text: the answer to a TAB can't wait for `pathlib`."""

from __future__ import annotations

TYPE_CHECKING = False  # typing's own costs 5 ms, more than the rest of an answer to a TAB
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Literal

    Kind = Literal["config", "state", "cache", "data"]

# What platformdirs says (a test compares the two), without its import of 15 ms.
_XDG = {
    "config": ("XDG_CONFIG_HOME", "/.config"),
    "state": ("XDG_STATE_HOME", "/.local/state"),
    "cache": ("XDG_CACHE_HOME", "/.cache"),
    "data": ("XDG_DATA_HOME", "/.local/share"),
}
_MAC = {"cache": "/Library/Caches"}
_MAC_ELSE = "/Library/Application Support"


def base(environ: Mapping[str, str], kind: Kind, system: str) -> str | None:
    """Return the folder for a kind of files on `system` (a `sys.platform`); None without a home."""
    variable, below = _XDG[kind]
    said = environ.get(variable, "")
    if said.startswith("/"):
        return said
    home = environ.get("HOME", "")
    if not home.startswith("/"):
        return None
    return home + (_MAC.get(kind, _MAC_ELSE) if system == "darwin" else below)


def own(environ: Mapping[str, str], kind: Kind, system: str) -> str | None:
    """Return the folder for our own files of a kind; None without a home: jobs run without one."""
    found = base(environ, kind, system)
    return None if found is None else f"{found.rstrip('/')}/nemo-jobs"
