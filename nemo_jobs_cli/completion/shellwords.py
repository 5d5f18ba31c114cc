"""Read words as a shell has them, quotes and all, and give bash what it would put in their place."""

from __future__ import annotations

TYPE_CHECKING = False  # as in folders
if TYPE_CHECKING:
    from collections.abc import Container

# What a backslash escapes between double quotes (POSIX, 2.2.3).
_IN_DOUBLE = '$`"\\\n'


def unquote(raw: str) -> tuple[str, int]:
    """Return what a word means, and where its last quote was opened if it still is (-1: it is not)."""
    text: list[str] = []
    quote, opened, escaped = "", -1, False
    for at, char in enumerate(raw):
        if escaped:
            escaped = False
            text.append(char if not quote or char in _IN_DOUBLE else f"\\{char}")
        elif char == "\\" and quote != "'":
            escaped = True
        elif quote:
            if char == quote:
                quote, opened = "", -1
            else:
                text.append(char)
        elif char in "'\"":
            quote, opened = char, at
        else:
            text.append(char)
    return "".join(text), opened


def escape(text: str, harmless: Container[str]) -> str:
    """Return `text` with a backslash before each character that may mean something to a shell."""
    return "".join(char if char in harmless or char.isalnum() else f"\\{char}" for char in text)


def for_bash(raw: str, words: list[str], breaks: str) -> list[str]:
    """Return for each of `words`, which begin as `raw` does, what bash puts in the place of what it takes for the word.

    That is what stands behind the last of `breaks` (COMP_WORDBREAKS, whose default holds = : and @), or behind an open
    quote. An @ belongs to the word that it begins: readline takes it for a host's (rl_special_prefixes).
    """
    opened = unquote(raw)[1]
    if opened >= 0:
        kept = len(unquote(raw[:opened])[0])
        return [word[kept:] for word in words]
    at = len(raw)
    while at and not (raw[at - 1] in breaks and raw[at - 2 : at - 1] != "\\"):
        at -= 1
    at -= raw[at - 1 : at] == "@"
    kept = len(unquote(raw[:at])[0])
    return [escape(word[kept:], "-_=.:@+/,%") for word in words]
