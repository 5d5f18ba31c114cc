"""Tell harmless words from others without the price of `re`: only such words are ever offered to a shell."""

from __future__ import annotations

LONGEST = 63

_SMALL = frozenset("abcdefghijklmnopqrstuvwxyz")
_DIGITS = frozenset("0123456789")
_LETTERS = _SMALL | frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ") | {"_"}
_OF_NAMES = _SMALL | _DIGITS | frozenset("-@.+_")
_OF_KEYS = _LETTERS | _DIGITS | frozenset("-.")
_OF_VALUES = _OF_KEYS | frozenset("/+@")


def is_name(text: str) -> bool:
    """Tell whether the platform accepts `text` as the name of a job or a workspace (its OpenAPI schema)."""
    return (
        1 < len(text) <= LONGEST
        and text[0] in _SMALL
        and _OF_NAMES.issuperset(text)
        and "--" not in text
        and text[-1] != "-"
    )


def is_key(text: str) -> bool:
    """Tell whether a key of status details is plain enough to be typed without quotes."""
    return 0 < len(text) <= LONGEST and text[0] in _LETTERS and _OF_KEYS.issuperset(text)


def is_value(text: str) -> bool:
    """Tell whether a value means itself in every shell: no quote, blank, glob, tilde, separator or leading dash."""
    return 0 < len(text) <= LONGEST and text[0] not in "-+@." and _OF_VALUES.issuperset(text)
