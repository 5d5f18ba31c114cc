"""Write the completion script of a shell."""

from __future__ import annotations

from nemo_jobs_cli.completion import shell_bash, shell_fish, shell_zsh, table

_MAKERS = {"bash": shell_bash.script, "zsh": shell_zsh.script, "fish": shell_fish.script}

SHELLS = tuple(_MAKERS)

# Every script says this of itself near its beginning.
_MARK = "made by `nemo-jobs completion "


def script(shell: str) -> str:
    """Return the completion script for one of SHELLS."""
    return _MAKERS[shell](table.TREE)


def is_ours(text: str) -> bool:
    """Tell whether a file is a completion script of ours, of whatever version."""
    return _MARK in text[:200]
