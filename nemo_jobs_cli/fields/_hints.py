"""Guess what was meant by a word that is no field: nothing is sent by guess, but the next step is named."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING

from nemo_jobs_cli.core import identifiers, known_keys
from nemo_jobs_cli.core.errors import Pointer, UsageError
from nemo_jobs_cli.core.text import one_line
from nemo_jobs_cli.fields import coerce

if TYPE_CHECKING:
    from collections.abc import Sequence

_KNOWN = known_keys.NUMBERS | known_keys.TEXTS
_STATES = frozenset({"running", "completed", "complete", "failed", "error", "cancelled", "pending", "done", "started"})
_QUOTE = "write key=value, and quote values with spaces: message='batch 3 of 10'"


def not_a_field(words: Sequence[tuple[str, str]], index: int, pointer: Pointer, *, named: bool) -> UsageError:
    """Return the error for the word at `index` of `words` (label, word), the first without `=`.

    `named` tells whether a job was named before them.
    """
    word = words[index][1]
    before = words[index - 1][1] if index else ""
    run = list(itertools.takewhile(lambda one: "=" not in one, (one for _, one in words[index:])))
    return UsageError(
        f"{pointer.label} is not key=value: {one_line(word, 60)!r}",
        _guess(before, run, words[index + len(run)][1] if index + len(run) < len(words) else "", named=named),
        pointer=pointer if word else None,
    )


def _guess(before: str, run: Sequence[str], after: str, *, named: bool) -> str:
    """Return the hint for the first word of `run`, words without `=`, between the fields `before` and `after`."""
    word, *more = run
    after = "" if more else after
    if not word:
        return "an empty word: is a shell variable unset?"
    if re.match("=[^=]*$", after) and word:  # progress = 45, progress =45
        return f"no spaces around =: {coerce.quote(f'{word}{after}' if after != '=' else f'{word}=...')}"
    sentence = list(itertools.takewhile(lambda one: one.rstrip(":") not in _KNOWN, more))
    key = word.removesuffix(":")
    if key and sentence and (key in _KNOWN or word.endswith(":")):  # message hello world; progress: 45
        return _did_you_mean(f"{key}={sentence[0] if key in known_keys.NUMBERS else ' '.join(sentence)}")
    key, _, value = word.partition(" ")
    if key.removesuffix(":") in _KNOWN and value:  # "progress 45"
        return _did_you_mean(f"{key.removesuffix(':')}={value.strip()}")
    unquoted = f"{before} {' '.join([word, *sentence])}" if _is_text(before) else ""
    if unquoted and (sentence or before.startswith("message=")):  # message=batch 3 of 10
        return _did_you_mean(unquoted)
    return _of_value(word) or _of_form(word, before, named=named) or (_did_you_mean(unquoted) if unquoted else _QUOTE)


def _of_value(word: str) -> str:
    """Return the hint for a value without its key."""
    if word.lower() in _STATES:
        return _did_you_mean(f"status={word.lower()}")
    if coerce.is_json_number(word) or re.fullmatch(r"[0-9]+(\.[0-9]+)?%|[0-9]+/[0-9]+", word):
        return _did_you_mean(f"progress={word}")
    return ""


def _of_form(word: str, before: str, *, named: bool) -> str:
    """Return the hint for a word that has the form of something else: a flag, a file, `key:value`, a job."""
    if word.startswith("-"):
        return "flags are not fields: they stand left of a bare --; see --help"
    if word.startswith(("{", "[")):
        return "a JSON object comes from a file, or from stdin: -f FILE, or -f -"
    if re.fullmatch(r"@.+|.+\.json", word):
        return f"did you mean -f {coerce.quote(word.removeprefix('@'))}?"
    if re.match(r"[A-Za-z_][\w.]*:.", word) and "//" not in word:
        key, _, value = word.partition(":")
        return _did_you_mean(f"{key}={value.strip()}")
    if not named and identifiers.is_name(word):
        return f"JOB stands first: {word} {coerce.quote(before)}"
    return ""


def _is_text(word: str) -> bool:
    """Tell whether `word` is a field whose value is text that may go on."""
    key, _, value = word.partition("=")
    return bool(value) and key[-1:] not in {"", ":", "@"} and key not in known_keys.NUMBERS


def _did_you_mean(word: str) -> str:
    return f"did you mean {coerce.quote(word)}?"
