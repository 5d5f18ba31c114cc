"""Find where JSON text goes wrong, and where in it a value stands: slow and exact, for errors only."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

MAX_DIGITS = 4300  # what Python itself converts; the server refuses ten thousand (measured)
MAX_DEPTH = 200

# Possessive repeats (*+): without them a string of megabytes costs hundreds of megabytes of backtracking.
_PIECE = r"""[ \t\n\r]*+(?:
        (?P<punctuation>[\[\]{},:])
      | (?P<string>"(?:[^"\\\x00-\x1f]++|\\.)*+")
      | (?P<number>-?[0-9][0-9.eE+\-]*+)
      | (?P<word>-?[A-Za-z_]\w*+)
    )"""
_SURROGATE = r"[\ud800-\udfff]"

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


class _Token(NamedTuple):
    """A piece of JSON text: its kind, its text, its offset, and how deep in containers it stands."""

    kind: str
    text: str
    start: int
    depth: int


class JsonError(NamedTuple):
    """What is wrong at which offset, and the fix."""

    offset: int
    message: str
    hint: str


def _tokens(text: str) -> Iterator[_Token]:
    """Yield the tokens of `text` until it ends or stops being JSON."""
    at = depth = 0
    match = re.compile(_PIECE, re.VERBOSE).match
    while (found := match(text, at)) is not None:
        kind = found.lastgroup or ""
        piece = found.group(kind)
        depth -= piece in {"]", "}"}
        yield _Token(kind, piece, found.start(kind), depth)
        depth += piece in {"[", "{"}
        at = found.end()


def find_error(text: str, *, in_word: bool) -> JsonError:
    """Return what is wrong first in `text`, which strict reading has refused; `in_word`: it is part of an argument."""
    found = [one for one in (_scan(text), _syntax(text, in_word=in_word)) if one is not None]
    return min(found, key=lambda one: one.offset, default=JsonError(0, "this JSON can't be read", "write it anew"))


def _syntax(text: str, *, in_word: bool) -> JsonError | None:
    """Return where `text` leaves the grammar of JSON, by the parser's own account."""
    if not text.strip(_BLANKS):
        hint = 'write JSON, e.g. 0.5, true, "text" or {"a": 1}'
        more = "" if in_word else "; or did the command fail that should have written it?"
        return JsonError(0, "nothing where JSON is needed", hint + more)
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return _reword(text, error.msg, error.pos, in_word=in_word)
    except (ValueError, RecursionError):
        return None  # too long an integer or too deep a nesting: `_scan` names them
    return None


def _reword(text: str, said: str, offset: int, *, in_word: bool) -> JsonError:
    """Return a syntax error of Python's parser in our words, alike in all versions: 3.13 tells of a last comma."""
    offset = min(offset, len(text.rstrip(_BLANKS)))
    left = text[:offset].rstrip(_BLANKS)
    if said.startswith("Illegal trailing comma") or (left.endswith(",") and text[offset : offset + 1] in {"]", "}"}):
        offset = offset if text[offset] == "," else len(left) - 1
        return JsonError(offset, "invalid JSON: a comma and nothing after it", "take the last comma away")
    plain = said.partition(": ")[0].removesuffix(" at").removesuffix(" starting")
    return JsonError(
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


def breaks_limits(value: Any, text: str) -> bool:
    """Tell whether the parsed `value` of `text` is nested too deep or holds too long an integer.

    Python itself refuses such an integer, but PYTHONINTMAXSTRDIGITS may have lifted its limit.
    """
    if len(text) > MAX_DIGITS and re.search(f"(?<![0-9])[0-9]{{{MAX_DIGITS + 1}}}", text):
        return _scan(text) is not None  # the digits may also stand in a string
    return text.count("[") + text.count("{") > MAX_DEPTH and _is_deep(value)


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [inner for one in level for inner in _members(one)]
    return any(isinstance(one, dict | list) for one in level)


def _members(value: Any) -> Sequence[Any]:
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else ()


def _scan(text: str) -> JsonError | None:
    """Return the first thing in `text` that strict JSON, or the platform, does not take; None: nothing.

    The grammar itself is not checked here: the parser's own error says that better.
    """
    keys: list[set[str] | None] = []
    expects_key = False
    for token in _tokens(text):
        found = _of_token(token)
        if found is not None:
            return found
        if token.text in {"{", "["}:
            keys.append(set() if token.text == "{" else None)
            expects_key = token.text == "{"
        elif token.text in {"}", "]"}:
            if keys:
                keys.pop()
            expects_key = False
        elif token.text == ",":
            expects_key = bool(keys) and keys[-1] is not None
        elif expects_key and token.kind == "string":
            expects_key = False
            key = _decode(token.text)
            seen = keys[-1]
            if seen is not None and key in seen:
                return JsonError(token.start, f"the key {token.text[:80]} stands twice", "keep one of the two")
            if seen is not None:
                seen.add(key)
    return None


def _of_token(token: _Token) -> JsonError | None:
    if token.text in {"NaN", "Infinity", "-Infinity"}:
        return JsonError(
            token.start,
            f"{token.text} is not JSON, and the platform would store it as null",
            f'send null, or text: "{token.text}"',
        )
    if token.kind == "number":
        if token.text.lstrip("-").isdigit():
            if len(token.text.lstrip("-")) > MAX_DIGITS:
                return JsonError(token.start, f"an integer of more than {MAX_DIGITS} digits", "send it as text")
        elif _is_number(token.text) and float(token.text) in {float("inf"), float("-inf")}:
            return JsonError(
                token.start,
                f"{token.text[:40]} is too large for a number, and the platform would store it as null",
                "send it as text",
            )
    if token.kind == "string" and re.search(_SURROGATE, _decode(token.text)):
        return JsonError(
            token.start,
            "half of a surrogate pair is no character, and the platform answers it with a 500",
            r"write the whole pair (\ud83d\ude80) or the character itself",
        )
    if token.text in {"[", "{"} and token.depth >= MAX_DEPTH:
        return JsonError(token.start, f"nested more than {MAX_DEPTH} deep", "send it flatter, or as text")
    return None


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", text) is not None


def _decode(text: str) -> str:
    try:
        return str(json.loads(text))
    except ValueError:
        return text


def find_value(text: str, path: Sequence[str | int]) -> int | None:
    """Return the offset of the value at `path` in valid JSON text; None when there is none."""
    stream = _tokens(text)
    first = next(stream, None)
    return None if first is None else _find(stream, first, list(path))


def _find(stream: Iterator[_Token], value: _Token, path: list[str | int]) -> int | None:
    for step in path:
        inside = _member(stream, value, step)
        if inside is None:
            return None
        value = inside
    return value.start


def _member(stream: Iterator[_Token], value: _Token, step: str | int) -> _Token | None:
    """Return the first token of the member `step` of the container that `value` opens."""
    if value.text not in {"{", "["}:
        return None
    depth = value.depth + 1
    index = 0
    key: str | None = None
    fresh = value.text == "["
    for token in stream:
        if token.depth < depth:
            return None
        if token.depth > depth:
            continue
        if token.text == ",":
            index += 1
            fresh = value.text == "["
        elif token.text == ":":
            fresh = True
        elif fresh:
            if (key if value.text == "{" else index) == step:
                return token
            fresh = False
        elif value.text == "{" and token.kind == "string":
            key = _decode(token.text)
    return None
