"""Generate the completion script of a shell from its template."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

from nemo_jobs_cli.completion import _table

if TYPE_CHECKING:
    from collections.abc import Iterator

_TEMPLATES = {"bash": "nemo-jobs.bash", "zsh": "_nemo-jobs", "fish": "nemo-jobs.fish"}
SHELLS = tuple(_TEMPLATES)

# In one of the first lines of every script.
_MARK = "made by `nemo-jobs completion "


def generate(shell: str) -> str:
    """Return the completion script for one of SHELLS."""
    template = resources.files(__package__).joinpath("templates", _TEMPLATES[shell]).read_text("utf-8")
    before, _, after = template.partition("# @COMMANDS@\n")
    indent = before[before.rindex("\n") + 1 :]
    return before[: -len(indent)] + "".join(f"{indent}{line}\n" for line in _cases(shell)) + after


def is_generated(text: str) -> bool:
    """Return whether a text is a completion script of any version."""
    return _MARK in text[:200]


def _cases(shell: str) -> Iterator[str]:
    """Yield the lines that complete the names of commands.

    Each case is the number of words and the group.
    """
    for path, (_, _, _, names) in _table.TREE.items():
        if not names:
            continue
        described = [(name, _table.TREE[f"{path} {name}".strip()][0]) for name in names]
        if shell == "bash":
            yield f"{f'3:{path}' if path else '2:*'}) commands='{' '.join(names)}' ;;"
        elif shell == "zsh":
            yield f"{f'3:{path}' if path else '2:*'}) candidates=("
            for name, summary in described:
                yield "    '{}:{}'".format(name, summary.replace("'", "'\\''"))
            yield ") ;;"
        else:
            yield f"case '{f'2:{path}' if path else '1:*'}'"
            for name, summary in described:
                escaped = summary.replace("\\", "\\\\").replace("'", "\\'")
                yield f"    printf '%s\\t%s\\n' {name} '{escaped}'"
            yield "    return"
