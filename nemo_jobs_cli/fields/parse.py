"""Parse the words of an update: the grammar `key=text`, `key:=json`, `key@=file`, `key:@=file`.

The marker stands left of the `=`, so that no value can ever choose how it is read: `message="$PR_TITLE"` is text
whatever the title holds. The first `=` decides; dots and brackets in keys mean nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from nemo_jobs_cli.core import known_keys
from nemo_jobs_cli.core.errors import Pointer, UsageError
from nemo_jobs_cli.core.text import one_line
from nemo_jobs_cli.fields import coerce, strict_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

SEPARATOR = "="
JSON = ":"
FILE_TEXT = "@"
FILE_JSON = ":@"


class Field(NamedTuple):
    """One key and its value; `kind` is how the value was understood, `pointer` where it was written."""

    key: str
    value: Any
    kind: str
    pointer: Pointer


class ParsedFields(NamedTuple):
    """The fields of some words, what everyone should know of them, and what helps a person at a terminal."""

    fields: tuple[Field, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]


def split_job(words: Sequence[str]) -> tuple[str | None, list[tuple[str, str]]]:
    """Return JOB, the first word if it has no separator, and the field words with their labels, `argument 2`.

    Raise UsageError for an empty JOB and for a later word without a separator, before any file is read.
    """
    job = words[0] if words and SEPARATOR not in words[0] else None
    first = 0 if job is None else 1
    if job == "":
        raise UsageError(
            "JOB is empty: is a shell variable unset?",
            "name the job, or leave the word away inside a job: nemo-jobs update progress=45",
            pointer=Pointer("argument 1", '""'),
        )
    rest = [(f"argument {position}", word) for position, word in enumerate(words[first:], first + 1)]
    _check_separators(rest, named=job is not None)
    return job, rest


def parse_fields(
    words: Sequence[tuple[str, str]], numbers: AbstractSet[str], read_text: Callable[[str], str]
) -> ParsedFields:
    """Return the fields of `words` (label, word); `read_text` reads the file of `key@=file`.

    The later of two equal keys wins. Raise UsageError that points at the character that is wrong.
    """
    _check_separators(words, named=True)
    made: dict[str, Field] = {}
    warnings: list[str] = []
    notes: list[str] = []
    for label, word in words:
        field, warning, note = _field(label, word, numbers, read_text)
        if made.pop(field.key, None) is not None:
            warnings.append(f"{one_line(field.key, 60)} is given twice: the last one counts")
        made[field.key] = field
        warnings += [warning] if warning else []
        notes += [note] if note else []
    warnings += known_keys.typo_warnings(made.keys(), numbers)
    return ParsedFields(tuple(made.values()), tuple(warnings), tuple(notes))


def value_warnings(values: Mapping[str, Any], label: str) -> tuple[str, ...]:
    """Return what to warn of in an object that came from a file: it is sent as it is."""
    warning = coerce.progress_warning(values[known_keys.PROGRESS]) if known_keys.PROGRESS in values else ""
    return (f"{_file(label)}: {warning}",) if warning else ()


def _check_separators(words: Sequence[tuple[str, str]], *, named: bool) -> None:
    for index, (label, word) in enumerate(words):
        if SEPARATOR not in word:
            from nemo_jobs_cli.fields import _hints

            raise _hints.not_a_field(words, index, strict_json.shorten(Pointer(label, word)), named=named)


def _field(label: str, word: str, numbers: AbstractSet[str], read_text: Callable[[str], str]) -> tuple[Field, str, str]:
    _check_utf8(word, label)
    left, _, right = word.partition(SEPARATOR)
    key, marker = _marker(left)
    pointer = Pointer(label, word)
    if not key:
        raise UsageError(
            f"{label} has no key: {one_line(word, 60)!r}",
            "write key=value; is a shell variable unset?",
            pointer=strict_json.shorten(Pointer(label, word, 0)),
        )
    if marker == JSON:
        value = strict_json.load_value(right, label, prefix=f"{left}=")
        return Field(key, value, f"JSON {strict_json.type_name(value)}", pointer), _of_json(key, value), ""
    if marker and not right:
        raise UsageError(
            f"{label} names no file: {one_line(word, 60)!r}",
            f"name it, e.g. {coerce.quote(f'{left}=FILE')}; is a shell variable unset?",
            pointer=strict_json.shorten(Pointer(label, word, len(word))),
        )
    if marker == FILE_JSON:
        value = strict_json.load_value(read_text(right).removeprefix("\ufeff"), _file(right))
        kind = f"JSON {strict_json.type_name(value)} of {_file(right)}"
        return Field(key, value, kind, pointer), _of_json(key, value), ""
    if marker == FILE_TEXT:
        text = read_text(right)
        warning = f"{coerce.progress_warning(text)}; {key}:@= reads a number" if key == known_keys.PROGRESS else ""
        return Field(key, text, f"text of {_file(right)}", pointer), warning, ""
    found = coerce.to_value(key, right, numbers, strict_json.shorten(Pointer(label, word, len(left) + 1)))
    note = _unlisted_number(key, right) if found.kind == "text" else ""
    return Field(key, found.value, found.kind, pointer), found.warning, note


def _unlisted_number(key: str, text: str) -> str:
    """Return a note where text looks like a number and the key isn't one that always holds text."""
    if text.startswith("@") and len(text) > 1:
        sent, instead = f"{key}={text}", coerce.quote(f"{key}@={text[1:]}")
        return f"{one_line(sent, 60)} is sent as text; {instead} sends what the file holds"
    if key in known_keys.TEXTS or not coerce.is_json_number(text):
        return ""
    sent, instead, listed = f"{key}={text}", coerce.quote(f"{key}:={text}"), coerce.quote(key)
    return f"{one_line(sent, 60)} is sent as text; {instead} sends a number (or --number {listed})"


def _marker(left: str) -> tuple[str, str]:
    """Split the marker off the key."""
    for marker in (FILE_JSON, JSON, FILE_TEXT):
        if left.endswith(marker):
            return left.removesuffix(marker), marker
    return left, ""


def _of_json(key: str, value: Any) -> str:
    return coerce.progress_warning(value) if key == known_keys.PROGRESS else ""


def _file(path: str) -> str:
    return "stdin" if path == "-" else one_line(path, 300)


def _check_utf8(word: str, label: str) -> None:
    """Refuse bytes that are no UTF-8: Python hands them on as lone surrogates."""
    try:
        word.encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"{label} is not UTF-8 text",
            "JSON is UTF-8: convert it (iconv -f latin1 -t utf-8), or send it from a file",
            pointer=strict_json.shorten(Pointer(label, word, error.start)),
        ) from None
