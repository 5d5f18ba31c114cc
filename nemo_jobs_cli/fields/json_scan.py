"""Find where JSON text goes wrong, and where in it a value stands: slow and exact, for errors only."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

MOST_DIGITS = 4300  # what Python itself converts; the server refuses ten thousand (measured)
DEEPEST = 200

# Possessive repeats (*+): without them a string of megabytes costs hundreds of megabytes of backtracking.
_PIECE = r"""[ \t\n\r]*+(?:
        (?P<punctuation>[\[\]{},:])
      | (?P<string>"(?:[^"\\\x00-\x1f]++|\\.)*+")
      | (?P<number>-?[0-9][0-9.eE+\-]*+)
      | (?P<word>-?[A-Za-z_]\w*+)
    )"""
_SURROGATE = r"[\ud800-\udfff]"


class Token(NamedTuple):
    """A piece of JSON text: its kind, its text, its offset, and how deep in containers it stands."""

    kind: str
    text: str
    start: int
    depth: int


class Trouble(NamedTuple):
    """What is wrong at which offset, and the fix."""

    offset: int
    message: str
    hint: str


def tokens(text: str) -> Iterator[Token]:
    """Yield the tokens of `text` until it ends or stops being JSON."""
    at = depth = 0
    match = re.compile(_PIECE, re.VERBOSE).match
    while (found := match(text, at)) is not None:
        kind = found.lastgroup or ""
        piece = found.group(kind)
        depth -= piece in {"]", "}"}
        yield Token(kind, piece, found.start(kind), depth)
        depth += piece in {"[", "{"}
        at = found.end()


def breaks_limits(value: Any, text: str) -> bool:
    """Tell whether the parsed `value` of `text` is nested too deep or holds too long an integer.

    Python itself refuses such an integer, but PYTHONINTMAXSTRDIGITS may have lifted its limit.
    """
    if len(text) > MOST_DIGITS and re.search(f"(?<![0-9])[0-9]{{{MOST_DIGITS + 1}}}", text):
        return trouble(text) is not None  # the digits may also stand in a string
    return text.count("[") + text.count("{") > DEEPEST and _is_deep(value)


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(DEEPEST):
        level = [inner for one in level for inner in _members(one)]
    return any(isinstance(one, dict | list) for one in level)


def _members(value: Any) -> Sequence[Any]:
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else ()


def trouble(text: str) -> Trouble | None:
    """Return the first thing in `text` that strict JSON, or the platform, does not take; None: nothing.

    The grammar itself is not checked here: the parser's own error says that better.
    """
    keys: list[set[str] | None] = []
    expects_key = False
    for token in tokens(text):
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
                return Trouble(token.start, f"the key {token.text[:80]} stands twice", "keep one of the two")
            if seen is not None:
                seen.add(key)
    return None


def _of_token(token: Token) -> Trouble | None:
    if token.text in {"NaN", "Infinity", "-Infinity"}:
        return Trouble(
            token.start,
            f"{token.text} is not JSON, and the platform would store it as null",
            f'send null, or text: "{token.text}"',
        )
    if token.kind == "number":
        if token.text.lstrip("-").isdigit():
            if len(token.text.lstrip("-")) > MOST_DIGITS:
                return Trouble(token.start, f"an integer of more than {MOST_DIGITS} digits", "send it as text")
        elif _is_number(token.text) and float(token.text) in {float("inf"), float("-inf")}:
            return Trouble(
                token.start,
                f"{token.text[:40]} is too large for a number, and the platform would store it as null",
                "send it as text",
            )
    if token.kind == "string" and re.search(_SURROGATE, _decode(token.text)):
        return Trouble(
            token.start,
            "half of a surrogate pair is no character, and the platform answers it with a 500",
            r"write the whole pair (\ud83d\ude80) or the character itself",
        )
    if token.text in {"[", "{"} and token.depth >= DEEPEST:
        return Trouble(token.start, f"nested more than {DEEPEST} deep", "send it flatter, or as text")
    return None


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", text) is not None


def _decode(text: str) -> str:
    try:
        return str(json.loads(text))
    except ValueError:
        return text


def find(text: str, path: Sequence[str | int]) -> int | None:
    """Return the offset of the value at `path` in valid JSON text; None when there is none."""
    stream = tokens(text)
    first = next(stream, None)
    return None if first is None else _find(stream, first, list(path))


def _find(stream: Iterator[Token], value: Token, path: list[str | int]) -> int | None:
    for step in path:
        inside = _member(stream, value, step)
        if inside is None:
            return None
        value = inside
    return value.start


def _member(stream: Iterator[Token], value: Token, step: str | int) -> Token | None:
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
