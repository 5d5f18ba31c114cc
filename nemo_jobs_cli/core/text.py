"""Write values and foreign text on one line, without terminal controls."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any, TypeGuard

from nemo_jobs_cli.core import known_keys

if TYPE_CHECKING:
    from collections.abc import Iterable

# Unicode categories of characters that move the cursor, reverse or hide text, or have no form in UTF-8: controls,
# formats (bidirectional, zero-width), surrogates, line and paragraph separators.
ESCAPED = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})

# All but printable ASCII and the zero-width joiner between two emoji (UTS 51).
_EMOJI = "\u2190-\u2bff\U0001f000-\U0001faff"
_UNUSUAL = f"(?!(?<=[{_EMOJI}\ufe0f])\u200d(?=[{_EMOJI}]))[^\x20-\x7e%s]"


def _escape(match: re.Match[str]) -> str:
    import unicodedata

    char = match.group()
    return char.encode("unicode_escape").decode() if unicodedata.category(char) in ESCAPED else char


def one_line(text: str, limit: int = 500) -> str:
    """Return `text` on one line of at most `limit` characters, escaped."""
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    # To ask is a thousand times cheaper than to compile the pattern.
    return cut if cut.isprintable() else re.sub(_UNUSUAL % "", _escape, cut)


# A word that may be a token: not a path, a URL or a sentence.
_WORD = r"[\w.~-]{8,}"

# A JWT (base64 of `{"`), perhaps cut, and the beginnings of tokens of NVIDIA and of the platform's docker jobs.
_KNOWN = r"eyJ[\w-]{16,}|(nvapi-|n(mp|hx)_obo_v1\.)[\w-]{8,}"

# The id of an attempt, a step or a task, which is as long as a token; base58.
_PLATFORM_ID = r"platform-job(-[a-z]+)?-[1-9A-HJ-NP-Za-km-z]{20,24}\.?"


def hide_tokens(text: str, shortest: int = 40) -> str:
    """Return `text` with `[token]` for words that look like tokens.

    Any input may be a token by mistake. Besides known forms, this is any word of at least `shortest` characters of all
    kinds; where a token is likely, pass less than 40, and letters and digits are enough.
    """
    kinds = ("[A-Z]", "[a-z]", "[0-9]") if shortest >= 40 else ("[A-Za-z]", "[0-9]")  # noqa: PLR2004

    def hide(match: re.Match[str]) -> str:
        word = match.group()
        is_long = len(word) >= shortest and all(re.search(kind, word) for kind in kinds)
        is_name = re.search(r"\.[A-Za-z]{1,5}$", word) or re.fullmatch(_PLATFORM_ID, word)  # of a file, of an attempt
        is_token = re.match(_KNOWN, word) or (is_long and not is_name)
        return "[token]" if is_token else word

    return re.sub(_WORD, hide, re.sub(r"(?i)(\bbearer[ :=]+)(?!token)[^\s'\",:]+", r"\1[token]", text))


def printable(text: str) -> str:
    """Return `text` with controls as escapes; line breaks and tabs stay."""
    return text if text.isprintable() else re.sub(_UNUSUAL % "\n\t", _escape, text)


def first_paragraph(text: str) -> str:
    """Return the first paragraph of `text` as one line."""
    return " ".join(text.partition("\n\n")[0].split())


def close_matches(word: str, known: Iterable[str], limit: int = 1, *, cutoff: float = 0.6) -> list[str]:
    """Return the words of `known` that resemble `word`, closest first.

    `cutoff` is the least likeness, from 0 to 1.
    """
    import difflib

    by_lower = {name.lower(): name for name in known}
    return [by_lower[name] for name in difflib.get_close_matches(word.lower(), by_lower, limit, cutoff)]


def suggest(word: str, known: Iterable[str], prefix: str = "") -> str:
    """Return "did you mean X?" for the most similar word of `known`, or ""."""
    return did_you_mean(close_matches(word, known), prefix)


def did_you_mean(names: Iterable[str], prefix: str = "") -> str:
    """Return "did you mean X or Y?", "" if there are no names."""
    shown = " or ".join(one_line(name, 200) for name in names)
    return f"did you mean {prefix}{shown}?" if shown else ""


def plural(count: int, noun: str, nouns: str = "") -> str:
    """Return "1 job" or "2,000 jobs"; `nouns` is an irregular plural."""
    return f"{count:,} {noun if count == 1 else nouns or f'{noun}s'}"


def is_number(value: Any) -> TypeGuard[int | float]:
    """Return whether a JSON value is a number; Python's bool, an int, is not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def finite_number(value: Any) -> float | None:
    """Return a JSON number as a finite float, None for anything else."""
    try:
        number = float(value) if is_number(value) else math.nan
    except OverflowError:  # an integer of more than 308 digits
        return None
    return number if math.isfinite(number) else None


def compact_json(value: Any) -> str:
    """Return a value as JSON on one line, with null for NaN."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError:
        return json.dumps(nan_to_null(value), ensure_ascii=False, separators=(",", ":"))


def nan_to_null(value: Any) -> Any:
    """Return a JSON value with null for NaN and infinities."""
    return json.loads(json.dumps(value), parse_constant=lambda _: None)


def plain(value: Any) -> str:
    """Return a value for scripts: bare text, else compact JSON."""
    if isinstance(value, str):
        return value
    return json.dumps(value) if isinstance(value, float) else compact_json(value)


def summary(key: str, value: Any, limit: int) -> str:
    """Return a value on one line of at most `limit` characters."""
    if key == known_keys.PROGRESS and is_number(value):
        return percent(value)
    return one_line(plain(value), limit)


def percent(value: float, limit: int = 20) -> str:
    """Return progress with at most two decimals and a percent sign."""
    if isinstance(value, float) and not math.isfinite(value):
        return plain(value)
    number = f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
    return f"{one_line(number, limit)} %"
