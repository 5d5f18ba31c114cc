"""Say what is wrong with JSON text, where, and how to mend it; read only when something is."""

from __future__ import annotations

import json
import re

from nemo_jobs_cli.fields.json_scan import Trouble, trouble

_BLANKS = " \t\n\r"

_REMEDIES = (
    ("'", """JSON quotes with ", not with '; in a shell: 'key:="text"'"""),
    (
        r"(True|False|None|tru|fals|nul|yes|no|on|off|undefined|nil)\b",
        "JSON has true, false and null, in small letters",
    ),
    (r"//|/\*|#", "JSON has no comments: take it away"),
    (r"[+-]?\.?[0-9_]|\.", "JSON writes numbers as 0.5, -3 or 1e-5: no plus, no 0 in front, digits around the point"),
)
_BY_WORDS = {
    "property name": 'write each key in double quotes: {"a": 1}',
    "':' delimiter": 'write a colon after the key: {"a": 1}',
    "',' delimiter": "put a comma between the two, or close what is open",
    "Extra data": "only one JSON value may stand here: take the rest away",
    "control character": r"write a line break as \n and a tab as \t",
    "escape": r"write a backslash as \\",
}


def first_trouble(text: str, *, in_word: bool) -> Trouble:
    """Return what is wrong first in `text`, which strict reading has refused; `in_word`: it is part of an argument."""
    found = [one for one in (trouble(text), _syntax(text, in_word=in_word)) if one is not None]
    return min(found, key=lambda one: one.offset, default=Trouble(0, "this JSON can't be read", "write it anew"))


def _syntax(text: str, *, in_word: bool) -> Trouble | None:
    """Return where `text` leaves the grammar of JSON, by the parser's own account."""
    if not text.strip(_BLANKS):
        hint = 'write JSON, e.g. 0.5, true, "text" or {"a": 1}'
        more = "" if in_word else "; or did the command fail that should have written it?"
        return Trouble(0, "nothing where JSON is needed", hint + more)
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return worded(text, error.msg, error.pos, in_word=in_word)
    except (ValueError, RecursionError):
        return None  # too long an integer or too deep a nesting: `trouble` names them
    return None


def worded(text: str, said: str, offset: int, *, in_word: bool) -> Trouble:
    """Return a syntax error of Python's parser in our words, alike in all versions: 3.13 tells of a last comma."""
    offset = min(offset, len(text.rstrip(_BLANKS)))
    left = text[:offset].rstrip(_BLANKS)
    if said.startswith("Illegal trailing comma") or (left.endswith(",") and text[offset : offset + 1] in {"]", "}"}):
        offset = offset if text[offset] == "," else len(left) - 1
        return Trouble(offset, "invalid JSON: a comma and nothing after it", "take the last comma away")
    plain = said.partition(": ")[0].removesuffix(" at").removesuffix(" starting")
    return Trouble(
        offset, f"invalid JSON: {plain[:1].lower()}{plain[1:]}", _remedy(text, offset, plain, in_word=in_word)
    )


def _remedy(text: str, offset: int, said: str, *, in_word: bool) -> str:
    rest = text[offset : offset + 10]
    if "Unterminated" in said:
        return 'close the text with "'
    if not rest.strip(_BLANKS):
        return "the text ends too early: close what is open"
    if in_word and rest[0] not in "'\"" and re.search("[{[]", text) and '"' not in text:
        return """the shell takes quotes away: wrap the word in '...', e.g. 'key:={"a": "b"}'"""
    for pattern, remedy in _REMEDIES:
        if re.match(pattern, rest):
            return remedy
    for words, remedy in _BY_WORDS.items():
        if words in said:
            return remedy
    if offset == 0:
        return (
            "for plain text write key=text, without the colon" if in_word else 'JSON is needed, e.g. {"progress": 45}'
        )
    return "a JSON value is needed there"
