"""Check that words are safe to offer to a shell, without importing `re`."""

from __future__ import annotations

LONGEST = 63

_SMALL = frozenset("abcdefghijklmnopqrstuvwxyz")
_DIGITS = frozenset("0123456789")
_LETTERS = _SMALL | frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ") | {"_"}
_OF_NAMES = _SMALL | _DIGITS | frozenset("-@.+_")
_OF_KEYS = _LETTERS | _DIGITS | frozenset("-.")
_OF_VALUES = _OF_KEYS | frozenset("/+@")


def is_name(text: str) -> bool:
    """Return whether `text` is a valid job or workspace name.

    The rule is that of the platform's OpenAPI schema.
    """
    return (
        1 < len(text) <= LONGEST
        and text[0] in _SMALL
        and _OF_NAMES.issuperset(text)
        and "--" not in text
        and text[-1] != "-"
    )


def is_key(text: str) -> bool:
    """Return whether a key of status details needs no quotes in a shell."""
    return 0 < len(text) <= LONGEST and text[0] in _LETTERS and _OF_KEYS.issuperset(text)


def is_value(text: str) -> bool:
    """Return whether a value needs no quotes in any shell."""
    return 0 < len(text) <= LONGEST and text[0] not in "-+@." and _OF_VALUES.issuperset(text)
