"""Locate errors and values in JSON text, for error messages only."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, NamedTuple

from nemo_jobs_cli.fields import coerce

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

MAX_DIGITS = 4300  # the limit of Python itself; the server refuses ten thousand
MAX_DEPTH = 200

# Possessive repeats (*+): without them a string of megabytes costs hundreds of megabytes of backtracking.
_LEXEME = r"""[ \t\n\r]*+(?:
        (?P<punctuation>[\[\]{},:])
      | (?P<string>"(?:[^"\\\x00-\x1f]++|\\.)*+")
      | (?P<number>-?[0-9][0-9.eE+\-]*+)
      | (?P<word>-?[A-Za-z_]\w*+)
    )"""
_SURROGATE = r"[\ud800-\udfff]"

_BLANKS = " \t\n\r"

_HINT_BY_TEXT = (
    ("'", """use " for JSON strings, not '; in a shell: 'key:="text"'"""),
    (r"(True|False|None|tru|fals|nul|yes|no|on|off|undefined|nil)\b", "use true, false or null, in lowercase"),
    (r"//|/\*|#", "JSON has no comments: remove it"),
    (
        r"[+-]?\.?[0-9_]|\.",
        "write numbers as 0.5, -3 or 1e-5: no plus sign, no leading zero, digits on both sides of the point",
    ),
)
_HINT_BY_REASON = {
    "property name": 'write each key in double quotes: {"a": 1}',
    "':' delimiter": 'write a colon after the key: {"a": 1}',
    "',' delimiter": "add a comma between the two values, or close the bracket",
    "Extra data": "keep one JSON value and remove the rest",
    "control character": r"write a line break as \n and a tab as \t",
    "escape": r"write a backslash as \\",
}


class _Token(NamedTuple):
    """A token of JSON text; `depth` is the number of containers around it."""

    kind: str
    text: str
    start: int
    depth: int


class JsonError(NamedTuple):
    """An error at an offset of JSON text."""

    offset: int
    message: str
    hint: str


def _tokens(text: str) -> Iterator[_Token]:
    """Yield the tokens of `text` until it ends or stops being JSON."""
    offset = depth = 0
    match_token = re.compile(_LEXEME, re.VERBOSE).match
    while (match := match_token(text, offset)) is not None:
        kind = match.lastgroup or ""
        token = match.group(kind)
        depth -= token in {"]", "}"}
        yield _Token(kind, token, match.start(kind), depth)
        depth += token in {"[", "{"}
        offset = match.end()


def find_error(text: str, *, in_word: bool) -> JsonError:
    """Return the first error of `text`, which is not strict JSON.

    `in_word` if it is part of an argument.
    """
    errors = [error for error in (_content_error(text), _syntax_error(text, in_word=in_word)) if error is not None]
    lowered_limit = JsonError(
        0,
        "cannot read this JSON: an integer has too many digits for Python",
        "unset PYTHONINTMAXSTRDIGITS, or send the integer as text",
    )
    return min(errors, key=lambda error: error.offset, default=lowered_limit)


def _syntax_error(text: str, *, in_word: bool) -> JsonError | None:
    """Return the error that Python's parser finds in `text`."""
    if not text.strip(_BLANKS):
        hint = 'write JSON, e.g. 0.5, true, "text" or {"a": 1}'
        return JsonError(
            0, "invalid JSON: it is empty", hint + ("" if in_word else "; did the command that writes it fail?")
        )
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return _reword(text, error.msg, error.pos, in_word=in_word)
    except (ValueError, RecursionError):
        return None  # an integer too long or nesting too deep, which `_content_error` finds
    return None


def _reword(text: str, reason: str, offset: int, *, in_word: bool) -> JsonError:
    """Describe a syntax error of Python's parser alike in all versions."""
    offset = min(offset, len(text.rstrip(_BLANKS)))
    left = text[:offset].rstrip(_BLANKS)
    if reason.startswith("Illegal trailing comma") or (left.endswith(",") and text[offset : offset + 1] in {"]", "}"}):
        offset = offset if text[offset] == "," else len(left) - 1
        return JsonError(offset, "invalid JSON: trailing comma", "remove it")
    reason = reason.partition(": ")[0].removesuffix(" at").removesuffix(" starting")
    message = f"invalid JSON: {reason[:1].lower()}{reason[1:]}"
    return JsonError(offset, message, _hint(text, offset, reason, in_word=in_word))


def _hint(text: str, offset: int, reason: str, *, in_word: bool) -> str:
    rest = text[offset : offset + 10]
    if "Unterminated" in reason:
        return 'close the string with "'
    if not rest.strip(_BLANKS):
        return "the JSON ends too early: close each string and bracket"
    if in_word and rest[0] not in "'\"" and re.search("[{[]", text) and '"' not in text:
        return """the shell removes quotes: wrap the word in '...', e.g. 'key:={"a": "b"}'"""
    for pattern, hint in _HINT_BY_TEXT:
        if re.match(pattern, rest):
            return hint
    for words, hint in _HINT_BY_REASON.items():
        if words in reason:
            return hint
    if offset:
        return "write a JSON value there"
    return "for plain text write key=text, without the colon" if in_word else 'write JSON, e.g. {"progress": 45}'


def breaks_limits(value: Any, text: str) -> bool:
    """Return whether `value` is too deep or has too long an integer.

    Python refuses such an integer too, unless PYTHONINTMAXSTRDIGITS lifts its limit.
    """
    if len(text) > MAX_DIGITS and re.search(f"(?<![0-9])[0-9]{{{MAX_DIGITS + 1}}}", text):
        return _content_error(text) is not None  # the digits may also be part of a string
    return text.count("[") + text.count("{") > MAX_DEPTH and _is_deep(value)


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        containers = [member for member in level if isinstance(member, dict | list)]
        level = [inner for one in containers for inner in (one.values() if isinstance(one, dict) else one)]
    return any(isinstance(member, dict | list) for member in level)


def _content_error(text: str) -> JsonError | None:
    """Return the first error of `text` that Python's parser accepts."""
    keys: list[set[str]] = []  # of the containers around the token
    previous = _Token("", "", 0, 0)
    for token in _tokens(text):
        error = _token_error(token)
        if error is not None:
            return error
        if token.text in {"{", "["}:
            keys.append(set())
        elif token.text in {"}", "]"}:
            del keys[-1:]
        elif token.text == ":" and previous.kind == "string" and keys:
            key = _decode(previous.text)
            if key in keys[-1]:
                return JsonError(previous.start, f"duplicate key {previous.text[:80]}", "keep one of the two")
            keys[-1].add(key)
        previous = token
    return None


def _token_error(token: _Token) -> JsonError | None:
    text = token.text
    if text in {"NaN", "Infinity", "-Infinity"}:
        message = f"{text} is not JSON, and the platform would store it as null"
        return JsonError(token.start, message, f'send null, or text: "{text}"')
    if token.kind == "number" and text.lstrip("-").isdigit():
        if len(text.lstrip("-")) > MAX_DIGITS:
            return JsonError(token.start, f"integer with more than {MAX_DIGITS} digits", "send it as text")
    elif token.kind == "number" and coerce.is_json_number(text) and math.isinf(float(text)):
        message = f"{text[:40]} is too large, and the platform would store it as null"
        return JsonError(token.start, message, "send it as text")
    if token.kind == "string" and re.search(_SURROGATE, _decode(text)):
        return JsonError(
            token.start,
            "lone surrogate, which the platform cannot store",
            r"write the whole pair (\ud83d\ude80) or the character itself",
        )
    if text in {"[", "{"} and token.depth >= MAX_DEPTH:
        return JsonError(token.start, f"nested more than {MAX_DEPTH} levels deep", "flatten it, or send it as text")
    return None


def _decode(text: str) -> str:
    try:
        return str(json.loads(text))
    except ValueError:
        return text


def find_value(text: str, path: Sequence[str | int]) -> int | None:
    """Return the offset of the value at `path` in JSON text, or None."""
    offset: int | None = _skip_blanks(text, 0)
    for step in path:
        offset = None if offset is None else dict(_members(text, offset)).get(step)
    return offset


def _members(text: str, offset: int) -> Iterator[tuple[str | int, int]]:
    """Yield key or index, and offset, of each member at `offset`."""
    decode = json.JSONDecoder().raw_decode
    opening = text[offset : offset + 1]
    if opening not in {"{", "["}:
        return
    offset = _skip_blanks(text, offset + 1)
    index = 0
    while text[offset] not in "]}":
        key: str | int = index
        if opening == "{":
            key, offset = decode(text, offset)
            offset = _skip_blanks(text, _skip_blanks(text, offset) + 1)
        yield key, offset
        offset = _skip_blanks(text, decode(text, offset)[1])
        if text[offset] == ",":
            offset = _skip_blanks(text, offset + 1)
        index += 1


def _skip_blanks(text: str, offset: int) -> int:
    while text[offset : offset + 1] and text[offset] in _BLANKS:
        offset += 1
    return offset
