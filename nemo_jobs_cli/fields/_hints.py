"""Guess the meaning of an argument without `=`, for the hint only."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING

from nemo_jobs_cli.core import identifiers, known_keys
from nemo_jobs_cli.core.errors import Pointer, UsageError
from nemo_jobs_cli.core.text import one_line
from nemo_jobs_cli.fields import coerce, strict_json

if TYPE_CHECKING:
    from collections.abc import Sequence

_KNOWN = known_keys.NUMBERS | known_keys.TEXTS
_STATES = frozenset({"running", "completed", "complete", "failed", "error", "cancelled", "pending", "done", "started"})
_QUOTE = "write key=value, and quote values with spaces: message='batch 3 of 10'"


def not_a_field(words: Sequence[tuple[str, str]], index: int, *, has_job: bool) -> UsageError:
    """Return the error for the first word without `=`, at `index`."""
    label, word = words[index]
    texts = [text for _, text in words]
    run = list(itertools.takewhile(lambda text: "=" not in text, texts[index:]))
    before = texts[index - 1] if index else ""
    after = "".join(texts[index + 1 : index + 2]) if len(run) == 1 else ""
    return UsageError(
        f"{label}: invalid field {one_line(word, 60)!r}: not key=value",
        _guess(before, run, after, has_job=has_job),
        pointer=strict_json.shorten(Pointer(label, word)) if word else None,
    )


def _guess(before: str, run: Sequence[str], after: str, *, has_job: bool) -> str:
    """Return the hint for the first word of `run`, which has no `=`."""
    word, *more = run
    if not word:
        return "remove it, or write key=value (is a shell variable unset?)"
    if re.match("=[^=]*$", after):  # progress = 45, progress =45
        return f"remove the spaces around =: {coerce.quote(f'{word}{after}' if after != '=' else f'{word}=...')}"
    share = "".join([before, *run])
    if re.fullmatch(r"progress=[0-9.]+/[0-9.]+", share):  # progress=3 / 10
        return _did_you_mean(share)
    sentence = list(itertools.takewhile(lambda text: text.rstrip(":") not in _KNOWN, more))
    key = word.removesuffix(":")
    if key and sentence and (key in _KNOWN or word.endswith(":")):  # message hello world; progress: 45
        return _did_you_mean(f"{key}={sentence[0] if key in known_keys.NUMBERS else ' '.join(sentence)}")
    key, _, value = word.partition(" ")
    if key.removesuffix(":") in _KNOWN and value:  # "progress 45"
        return _did_you_mean(f"{key.removesuffix(':')}={value.strip()}")
    unquoted = _did_you_mean(f"{before} {' '.join([word, *sentence])}") if _is_text(before) else ""
    if unquoted and (sentence or before.startswith("message=")):  # message=batch 3 of 10
        return unquoted
    return _value_hint(word) or _form_hint(word, before, has_job=has_job) or unquoted or _QUOTE


def _value_hint(word: str) -> str:
    """Return the hint for a value without its key, or ""."""
    if word.lower() in _STATES:
        return _did_you_mean(f"status={word.lower()}")
    if coerce.is_json_number(word) or re.fullmatch(r"[0-9]+(\.[0-9]+)?%|[0-9]+/[0-9]+", word):
        return _did_you_mean(f"progress={word}")
    return ""


def _form_hint(word: str, before: str, *, has_job: bool) -> str:
    """Return the hint for a word like a flag, file or `key:value`, or ""."""
    if word.startswith("-"):
        return "put flags before --; see --help"
    if word.startswith(("{", "[")):
        return "send a JSON object from a file or stdin: -f FILE or -f -"
    if re.fullmatch(r"@.+|.+\.json", word):
        return _did_you_mean(word.removeprefix("@"), "-f ")
    if re.match(r"[A-Za-z_][\w.]*:.", word) and "//" not in word:
        key, _, value = word.partition(":")
        return _did_you_mean(f"{key}={value.strip()}")
    if not has_job and identifiers.is_name(word):
        return f"put JOB first: {word} {coerce.quote(before)}"
    return ""


def _is_text(word: str) -> bool:
    """Return whether `word` is a text field, which words may continue."""
    key, _, value = word.partition("=")
    return bool(value) and key[-1:] not in {"", ":", "@"} and key not in known_keys.NUMBERS


def _did_you_mean(word: str, prefix: str = "") -> str:
    return f"did you mean {prefix}{coerce.quote(word)}?"
