"""Compose an update from words and files, and locate each key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from nemo_jobs_cli.core import known_keys
from nemo_jobs_cli.core.errors import Pointer, UsageError
from nemo_jobs_cli.core.outcome import Update
from nemo_jobs_cli.core.text import one_line
from nemo_jobs_cli.fields import parse, strict_json
from nemo_jobs_cli.fields.files import InputReader, check_size
from nemo_jobs_cli.settings import resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from nemo_jobs_cli.core.errors import Problem
    from nemo_jobs_cli.settings.model import Settings, Sourced

    Locate = Callable[[tuple[str | int, ...]], Pointer]


class Part(NamedTuple):
    """The value of one key, its type in words, and its location.

    `locate` takes a path below the key and returns the closest pointer: the word, or the line of the file.
    """

    value: Any
    kind: str
    locate: Locate


class ComposedUpdate(NamedTuple):
    """An update, its parts by key, and its body for the server."""

    update: Update
    parts: dict[str, Part]
    body: bytes
    warnings: tuple[str, ...]
    notes: tuple[str, ...]


def compose(
    words: Sequence[str],
    files: Sequence[str],
    settings: Settings,
    *,
    stamp: Sourced[str] | None = None,
    allow_large: bool = False,
    on_stdin: Callable[[], None] = lambda: None,
) -> ComposedUpdate:
    """Return the update of `files`, a stamp and `words`, in this order.

    `on_stdin` is called before stdin is read.
    The last value of a key wins. Raise UsageError for invalid input, without a job, and without fields.
    """
    job_word, field_words = parse.split_job(words)
    workspace = resolve.require_workspace(settings)
    job = resolve.require_job(job_word, settings.job, "nemo-jobs update JOB progress=45")
    numbers = settings.numbers.value
    reader = InputReader(allow_large=allow_large, on_stdin=on_stdin)
    parts: dict[str, Part] = {}
    warnings: list[str] = []
    for path in files:
        value, text = reader.read_object(path)
        warnings += [*parse.value_warnings(value, path), *known_keys.typo_warnings(value.keys(), numbers).values()]
        parts |= {key: _from_file(key, value[key], path, text) for key in value}
    if stamp is not None:
        pointer = Pointer(stamp.source, stamp.value)
        parts[known_keys.STAMP] = Part(stamp.value, "text", lambda _: pointer)
    parsed = parse.parse_fields(field_words, numbers, reader.read_text)
    parts |= {field.key: _from_word(field) for field in parsed.fields}
    is_empty = not parsed.fields and not files and (stamp is None or stamp.source != "--stamp")
    if is_empty and job_word in known_keys.NUMBERS | known_keys.TEXTS:
        raise UsageError(f"nothing to send: {job} was read as the job", f"did you mean {job}=...?")
    if is_empty:
        raise UsageError(
            "nothing to send: no fields given", f"add a field, --stamp or -f FILE: nemo-jobs update {job} progress=45"
        )
    update = Update(workspace, job, {key: part.value for key, part in parts.items()})
    body = strict_json.dumps(update.fields)
    size_warning = check_size(body, allow_large=allow_large)
    warnings += [*parsed.warnings, *([size_warning] if size_warning else [])]
    return ComposedUpdate(update, parts, body, tuple(warnings), parsed.notes)


def problem_rows(problems: Iterable[Problem], composed: ComposedUpdate) -> list[dict[str, Any]]:
    """Return the argument, location and message of each problem."""
    rows = []
    for problem in problems:
        pointer = _pointer(problem.loc, composed)
        wrote = problem.value if pointer is None else one_line(pointer.line.strip(), 60)
        location = ".".join(map(str, problem.loc)) or "the request" if pointer is None else pointer.label
        rows.append({"wrote": wrote, "where": location, "says": problem.message, "loc": list(problem.loc)})
    return rows


def _from_word(field: parse.Field) -> Part:
    return Part(field.value, field.kind, lambda _: field.pointer)


def _from_file(key: str, value: Any, path: str, text: str) -> Part:
    def locate(below: tuple[str | int, ...]) -> Pointer:
        from nemo_jobs_cli.fields import _json_errors

        offset = _json_errors.find_value(text, (key, *below)) or _json_errors.find_value(text, (key,))
        return strict_json.pointer_at(text, offset or 0, parse.file_label(path))

    return Part(value, f"JSON {strict_json.type_name(value)}", locate)


def _pointer(loc: tuple[str | int, ...], composed: ComposedUpdate) -> Pointer | None:
    """Return the pointer for `loc`, the path in the request, or None."""
    if loc[:1] != ("body",) or len(loc) == 1:
        return None
    first, *below = loc[1:]
    if isinstance(first, int):
        return strict_json.pointer_at(composed.body.decode(), first, "the body as sent")
    part = composed.parts.get(first)
    return None if part is None else part.locate(tuple(below))
