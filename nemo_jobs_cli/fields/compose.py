"""Compose one update out of words, files and a stamp, remembering where each key was written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from nemo_jobs_cli.core import known_keys, names
from nemo_jobs_cli.core.errors import Pointer, UsageError
from nemo_jobs_cli.core.outcome import Update
from nemo_jobs_cli.core.text import one_line
from nemo_jobs_cli.fields import parse, strict_json
from nemo_jobs_cli.fields.files import InputReader, check_size
from nemo_jobs_cli.settings import resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from nemo_jobs_cli.core.errors import Problem
    from nemo_jobs_cli.settings.model import Settings

    Place = Callable[[tuple[str | int, ...]], Pointer]


class Part(NamedTuple):
    """One top-level key of an update: its value, how that was understood, and where it was written.

    `place` finds the place of a path below the key, as close as it can: the word, or the file's line.
    """

    value: Any
    kind: str
    place: Place


class ComposedUpdate(NamedTuple):
    """An update ready to be sent, its parts by key, and what to tell the user about them.

    `notes` are for people at a terminal; `warnings` for everyone. `body` is what goes over the wire.
    """

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
    stamp: str | None = None,
    allow_large: bool = False,
) -> ComposedUpdate:
    """Return the update that `words` and `files` describe: files first, the stamp, words last and winning.

    Raise UsageError where they can't be understood, where there is no job, or nothing to send.
    """
    job_word, field_words = parse.split_job(words)
    workspace = names.check_workspace(settings.workspace.value, f"workspace ({settings.workspace.source})")
    job = resolve.require_job(job_word, settings.job, "nemo-jobs update JOB progress=45")
    reader = InputReader(allow_large=allow_large)
    parts: dict[str, Part] = {}
    warnings: list[str] = []
    for path in files:
        value, text = reader.read_object(path)
        warnings += parse.value_warnings(value, path)
        warnings += known_keys.typo_warnings(value.keys(), settings.numbers.value)
        parts |= {key: _from_file(key, one, path, text) for key, one in value.items()}
    if stamp is not None:
        place = Pointer("--stamp", stamp)
        parts[known_keys.STAMP] = Part(stamp, "text", lambda _: place)
    parsed = parse.parse_fields(field_words, settings.numbers.value, reader.read_text)
    parts |= {field.key: _from_word(field) for field in parsed.fields}
    if not parts and not files and job_word in known_keys.NUMBERS | known_keys.TEXTS:
        raise UsageError(f"nothing to send: {job} was taken as the job", f"did you mean {job}=...?")
    if not parts and not files:
        raise UsageError(
            "nothing to send: no field was given",
            f"say what to report, e.g. nemo-jobs update {job} progress=45 (or --stamp alone, or -f FILE)",
        )
    update = Update(workspace, job, {key: part.value for key, part in parts.items()})
    body = strict_json.dumps(update.fields)
    too_big = check_size(body, allow_large=allow_large)
    said = (*warnings, *parsed.warnings, *((too_big,) if too_big else ()))
    return ComposedUpdate(update, parts, body, said, parsed.notes)


def problem_rows(problems: Iterable[Problem], composed: ComposedUpdate) -> list[dict[str, Any]]:
    """Return a row a problem: what the user wrote, where (argument, file:line), what the server says."""
    return [_row(problem, composed) for problem in problems]


def _from_word(field: parse.Field) -> Part:
    return Part(field.value, field.kind, lambda _: field.pointer)


def _from_file(key: str, value: Any, path: str, text: str) -> Part:
    label = "stdin" if path == "-" else path

    def place(below: tuple[str | int, ...]) -> Pointer:
        from nemo_jobs_cli.fields import _json_errors

        offset = _json_errors.find_value(text, (key, *below)) or _json_errors.find_value(text, (key,))
        return strict_json.pointer_at(text, offset or 0, label)

    return Part(value, f"JSON {strict_json.type_name(value)}", place)


def _row(problem: Problem, composed: ComposedUpdate) -> dict[str, Any]:
    pointer = _pointer(problem.loc, composed)
    wrote = problem.value if pointer is None else one_line(pointer.line.strip(), 60)
    where = ".".join(map(str, problem.loc)) or "the request" if pointer is None else pointer.label
    return {"wrote": wrote, "where": where, "says": problem.says, "loc": list(problem.loc)}


def _pointer(loc: tuple[str | int, ...], composed: ComposedUpdate) -> Pointer | None:
    """Find the place of `loc` (`body`, key, ...); a number is an offset in the body sent."""
    if loc[:1] != ("body",) or len(loc) == 1:
        return None
    first, *below = loc[1:]
    if isinstance(first, int):
        return strict_json.pointer_at(composed.body.decode(), first, "the body as sent")
    part = composed.parts.get(first)
    return None if part is None else part.place(tuple(below))
