"""Parse the words of an update: the grammar `key=text`, `key:=json`, `key@=file`, `key:@=file`.

The marker stands left of the `=`, so that no value can ever choose how it is read: `message="$PR_TITLE"` is text
whatever the title holds. The first `=` decides; dots and brackets in keys mean nothing.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from nemo_jobs_cli import jsontext, keys, typed
from nemo_jobs_cli.errors import Pointer, UsageError
from nemo_jobs_cli.sanitize import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

SEPARATOR = "="
JSON = ":"
FILE_TEXT = "@"
FILE_JSON = ":@"

_STATES = frozenset({"running", "completed", "complete", "failed", "error", "cancelled", "pending", "done", "started"})


class Field(NamedTuple):
    """One key and its value; `kind` is how the value was understood, `pointer` where it was written."""

    key: str
    value: Any
    kind: str
    pointer: Pointer


class Parsed(NamedTuple):
    """The fields of some words, what everyone should know of them, and what helps a person at a terminal."""

    fields: tuple[Field, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]


def split_job(words: Sequence[str]) -> tuple[str | None, list[tuple[int, str]]]:
    """Return JOB, the first word if it has no separator, and the field words with their positions from 1."""
    job = words[0] if words and SEPARATOR not in words[0] else None
    first = 0 if job is None else 1
    if job == "":
        raise UsageError(
            "JOB is empty: is a shell variable unset?",
            "name the job, or leave the word away inside a job: nemo-jobs update progress=45",
            pointer=Pointer("argument 1", '""'),
        )
    return job, list(enumerate(words[first:], first + 1))


def parse(words: Sequence[tuple[int, str]], numbers: AbstractSet[str], read_text: Callable[[str], str]) -> Parsed:
    """Return the fields of `words` (position, word); `read_text` reads the file of `key@=file`.

    The later of two equal keys wins. Raise UsageError that points at the character that is wrong.
    """
    made: dict[str, Field] = {}
    warnings: list[str] = []
    notes: list[str] = []
    for position, word in words:
        field, warning, note = _field(position, word, numbers, read_text)
        made.pop(field.key, None)
        made[field.key] = field
        warnings += [warning] if warning else []
        notes += [note] if note else []
    warnings += _misspelt(made, numbers)
    return Parsed(tuple(made.values()), tuple(warnings), tuple(notes))


def check_values(values: Mapping[str, Any], label: str) -> tuple[str, ...]:
    """Return what to warn of in an object that came from a file: it is sent as it is."""
    warning = typed.progress_warning(values[keys.PROGRESS]) if keys.PROGRESS in values else ""
    return (f"{label}: {warning}",) if warning else ()


def _field(
    position: int, word: str, numbers: AbstractSet[str], read_text: Callable[[str], str]
) -> tuple[Field, str, str]:
    label = f"argument {position}"
    left, separator, right = word.partition(SEPARATOR)
    if not separator:
        raise _no_separator(word, label)
    _check_utf8(word, label)
    key, marker = _marker(left)
    pointer = Pointer(label, word)
    if not key:
        raise UsageError(
            f"{label} has no key: {one_line(word, 60)!r}",
            "write key=value; is a shell variable unset?",
            pointer=Pointer(label, word, 0),
        )
    if marker == JSON:
        value = jsontext.load_value(right, label, before=f"{left}=")
        return Field(key, value, f"JSON {jsontext.type_name(value)}", pointer), _of_json(key, value), ""
    if marker == FILE_JSON:
        value = jsontext.load_value(read_text(right), _file(right))
        kind = f"JSON {jsontext.type_name(value)} of {_file(right)}"
        return Field(key, value, kind, pointer), _of_json(key, value), ""
    if marker == FILE_TEXT:
        text = read_text(right)
        warning = typed.progress_warning(text) if key == keys.PROGRESS else ""
        return Field(key, text, f"text of {_file(right)}", pointer), warning, ""
    found = typed.understand(key, right, numbers, Pointer(label, word, len(left) + 1))
    note = ""
    if found.kind == "text" and typed.is_number(right):
        note = f"{one_line(word, 60)} is sent as text; {typed.quote(f'{key}:={right}')} sends a number"
    return Field(key, found.value, found.kind, pointer), found.warning, note


def _marker(left: str) -> tuple[str, str]:
    """Split the marker off the key."""
    for marker in (FILE_JSON, JSON, FILE_TEXT):
        if left.endswith(marker):
            return left.removesuffix(marker), marker
    return left, ""


def _of_json(key: str, value: Any) -> str:
    return typed.progress_warning(value) if key == keys.PROGRESS else ""


def _file(path: str) -> str:
    return "stdin" if path == "-" else path


def _check_utf8(word: str, label: str) -> None:
    """Refuse bytes that are no UTF-8: Python hands them on as lone surrogates."""
    try:
        word.encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"{label} is not UTF-8 text",
            "JSON is UTF-8: convert it (iconv -f latin1 -t utf-8), or send it from a file",
            pointer=Pointer(label, word, error.start),
        ) from None


def _no_separator(word: str, label: str) -> UsageError:
    """Say what a word without `=` probably should have been."""
    if word.lower() in _STATES:
        guess = f"did you mean status={word.lower()}?"
    elif typed.is_number(word) or re.fullmatch(r"[0-9.]+%|[0-9]+/[0-9]+", word):
        guess = f"did you mean progress={word}?"
    elif re.match(r"[A-Za-z_][\w.]*:.", word) and "//" not in word:
        key, _, value = word.partition(":")
        guess = f"did you mean {typed.quote(f'{key}={value.strip()}')}?"
    elif not word:
        guess = "an empty word: is a shell variable unset?"
    else:
        guess = "write key=value, and quote values with spaces: message='batch 3 of 10'"
    return UsageError(
        f"{label} is not key=value: {one_line(word, 60)!r}",
        guess,
        pointer=Pointer(label, word) if word else None,
    )


def _misspelt(made: Mapping[str, Field], numbers: AbstractSet[str]) -> list[str]:
    """Return a warning for each key that is nearly, but not quite, one that the platform's pages read."""
    known = keys.NUMBERS | keys.TEXTS
    unknown = [key for key in made if key not in known and key not in numbers and re.fullmatch("[A-Za-z_-]{4,20}", key)]
    found = []
    for key in unknown:
        guess = keys.close(key)
        if guess and guess not in made:
            found.append(f"{key} is not a key that the platform shows; did you mean {guess}?")
    return found
