"""Parse the words of an update: `key=text`, `key:=json`, `key@=file`.

The marker is left of the first `=`, so a value cannot choose how it is read: `message="$PR_TITLE"` is always text.
Dots and brackets in keys have no meaning.
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
    """A key and its value; `kind` is its type or conversion in words."""

    key: str
    value: Any
    kind: str
    pointer: Pointer


class ParsedFields(NamedTuple):
    """The fields of some words, warnings, and notes for users at a terminal."""

    fields: tuple[Field, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]


def split_job(words: Sequence[str]) -> tuple[str | None, list[tuple[str, str]]]:
    """Split off JOB, a first word without `=`, and label the others.

    Raise UsageError for an empty JOB and for a later word without `=`.
    """
    job = words[0] if words and SEPARATOR not in words[0] else None
    first = 0 if job is None else 1
    if job == "":
        raise UsageError(
            "empty job name in JOB",
            "name the job; inside a job, omit it: nemo-jobs update progress=45 (is a shell variable unset?)",
            pointer=Pointer("argument 1", '""'),
        )
    rest = [(f"argument {position}", word) for position, word in enumerate(words[first:], first + 1)]
    _check_separators(rest, has_job=job is not None)
    return job, rest


def parse_fields(
    words: Sequence[tuple[str, str]],
    numbers: AbstractSet[str],
    read_text: Callable[[str], str],
    *,
    finite: bool = True,
) -> ParsedFields:
    """Return the fields of `words` (label, word).

    `read_text` reads the file of `key@=file`. The last of equal keys wins. Raise UsageError pointing at the wrong
    character, before reading a file if a word has no `=`. Without `finite`, NaN and Infinity are accepted.
    """
    _check_separators(words, has_job=True)
    fields: dict[str, Field] = {}
    warnings: list[str] = []
    notes: dict[str, str] = {}
    for label, word in words:
        field, warning, note = _field(label, word, numbers, read_text, finite=finite)
        if fields.pop(field.key, None) is not None:
            warnings.append(f"{one_line(field.key, 60)} is given twice: using the last value")
        fields[field.key] = field
        warnings += [warning] if warning else []
        notes[field.key] = note
    typos = known_keys.typo_warnings(fields.keys(), numbers)
    other_notes = (note for key, note in notes.items() if note and key not in typos)
    return ParsedFields(tuple(fields.values()), (*warnings, *typos.values()), tuple(other_notes))


def value_warnings(values: Mapping[str, Any], path: str) -> tuple[str, ...]:
    """Return warnings about the values of an object from a file."""
    warning = coerce.progress_warning(values)
    return (f"{file_label(path)}: {warning}",) if warning else ()


def file_label(path: str) -> str:
    """Return the name of a file in messages."""
    return "stdin" if path == "-" else one_line(path, 300)


def _check_separators(words: Sequence[tuple[str, str]], *, has_job: bool) -> None:
    for index, (_, word) in enumerate(words):
        if SEPARATOR not in word:
            from nemo_jobs_cli.fields import _hints

            raise _hints.not_a_field(words, index, has_job=has_job)


def _field(
    label: str, word: str, numbers: AbstractSet[str], read_text: Callable[[str], str], *, finite: bool
) -> tuple[Field, str, str]:
    """Return the field of a word, a warning and a note, or ""."""

    def pointer(column: int) -> Pointer:
        return strict_json.shorten(Pointer(label, word, column))

    try:
        word.encode()
    except UnicodeEncodeError as error:  # Python decodes bytes that are not UTF-8 as lone surrogates
        raise UsageError(
            f"{label}: not UTF-8 text", "convert it: iconv -f latin1 -t utf-8", pointer=pointer(error.start)
        ) from None
    left, _, right = word.partition(SEPARATOR)
    key, marker = _marker(left)
    if not key:
        raise UsageError(
            f"{label}: invalid field {one_line(word, 60)!r}: no key",
            "write key=value (is a shell variable unset?)",
            pointer=pointer(0),
        )
    if marker and marker != JSON and not right:
        raise UsageError(
            f"{label}: invalid field {one_line(word, 60)!r}: no file name",
            f"write {coerce.quote(f'{left}=FILE')} (is a shell variable unset?)",
            pointer=pointer(len(word)),
        )
    if not marker:
        value, kind, warning = coerce.to_value(key, right, numbers, pointer(len(left) + 1), finite=finite)
        return Field(key, value, kind, Pointer(label, word)), warning, _text_note(key, right) if kind == "text" else ""
    if marker == FILE_TEXT:
        value, kind = read_text(right), f"text of {file_label(right)}"
    elif marker == FILE_JSON:
        value = strict_json.load_value(read_text(right).removeprefix("\ufeff"), file_label(right))
        kind = f"JSON {strict_json.type_name(value)} of {file_label(right)}"
    else:
        value = strict_json.load_value(right, label, prefix=f"{left}=", finite=finite)
        kind = f"JSON {strict_json.type_name(value)}"
    warning = coerce.progress_warning({key: value})
    if warning and marker == FILE_TEXT:
        warning += f"; use {key}:@= to send a number"
    return Field(key, value, kind, Pointer(label, word)), warning, ""


def _text_note(key: str, text: str) -> str:
    """Return a note if text looks like a number or a file, or ""."""
    if text.startswith("@") and len(text) > 1:
        instead, effect = f"{key}@={text[1:]}", "sends the file's text"
    elif key not in known_keys.TEXTS and coerce.is_json_number(text):
        instead, effect = f"{key}:={text}", f"sends a number (or --number {coerce.quote(key)})"
    else:
        return ""
    return f"{one_line(f'{key}={text}', 60)} is sent as text; {coerce.quote(instead)} {effect}"


def _marker(left: str) -> tuple[str, str]:
    """Split the text left of `=` into key and marker."""
    for marker in (FILE_JSON, JSON, FILE_TEXT):
        if left.endswith(marker):
            return left.removesuffix(marker), marker
    return left, ""
