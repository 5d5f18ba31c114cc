"""Parse a file of many updates, check it as a whole, and group it by job."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.core import known_keys, names
from nemo_jobs_cli.core.errors import UsageError
from nemo_jobs_cli.core.outcome import Update
from nemo_jobs_cli.core.text import one_line, suggest
from nemo_jobs_cli.fields import parse as fields_parse
from nemo_jobs_cli.fields import strict_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

MAX_ERRORS, MAX_SHOWN_ERRORS = 20, 3

_TYPES = {"job": (str, "a string"), "workspace": (str, "a string"), "status_details": (dict, "an object")}
_FORM = 'write {"job": "train-x", "workspace": "research", "status_details": {"progress": 45}}; workspace is optional'


@dataclass(frozen=True, slots=True)
class BatchItem:
    """One update of a file, and its location such as `file:line`."""

    update: Update
    location: str


@dataclass(frozen=True, slots=True)
class Batch:
    """The updates of a file, and warnings about them."""

    items: list[BatchItem]
    warnings: list[str]


def parse(text: str, label: str, workspace: str) -> Batch:
    """Parse NDJSON or a JSON array of updates.

    Raise UsageError with the first errors and their locations.
    """
    batch = Batch([], [])
    errors: list[UsageError] = []
    keys: set[str] = set()
    for location, entry in _entries(text, label, errors):
        try:
            update = _parse_update(entry, location, workspace)
        except UsageError as error:
            errors.append(error)
            continue
        batch.items.append(BatchItem(update, location))
        batch.warnings.extend(fields_parse.value_warnings(update.fields, location))
        keys |= update.fields.keys()
    if errors:
        raise _combined(errors)
    batch.warnings.extend(known_keys.typo_warnings(sorted(keys), frozenset()).values())
    return batch


def group_by_job(items: Iterable[BatchItem], *, coalesce: bool) -> list[list[BatchItem]]:
    """Return a queue of updates per job; `coalesce` merges each queue."""
    groups: dict[tuple[str, str], list[BatchItem]] = {}
    for item in items:
        groups.setdefault((item.update.workspace, item.update.job), []).append(item)
    return [[_coalesced(group)] if coalesce else group for group in groups.values()]


def dumps(updates: Iterable[Update]) -> bytes:
    """Return updates as NDJSON that `parse` reads."""
    rows = (
        {"job": update.job, "workspace": update.workspace, "status_details": dict(update.fields)} for update in updates
    )
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def _coalesced(items: Sequence[BatchItem]) -> BatchItem:
    first, *others = items
    fields = {key: value for item in items for key, value in item.update.fields.items()}
    more = f" and {len(others)} more" if others else ""
    return replace(first, update=first.update._replace(fields=fields), location=f"{first.location}{more}")


def _entries(text: str, label: str, errors: list[UsageError]) -> Iterator[tuple[str, Any]]:
    """Yield each entry and its location; add invalid lines to `errors`."""
    if text.lstrip().startswith("["):
        try:
            entries = strict_json.load_value(text, label)
        except UsageError as error:
            raise _combined([error]) from None
        yield from ((f"{label}: entry {number}", entry) for number, entry in enumerate(entries, 1))
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                entry = strict_json.load_object(line, label, number=number)
            except UsageError as error:
                errors.append(error)
            else:
                yield f"{label}:{number}", entry


def _parse_update(entry: Any, location: str, default_workspace: str) -> Update:
    if not isinstance(entry, dict):
        raise UsageError(f"{location}: expected a JSON object, got {strict_json.type_name(entry)}", _FORM)
    unknown = min(entry.keys() - _TYPES.keys(), default=None)
    if unknown is not None:
        raise UsageError(
            f"{location}: unknown key {one_line(unknown, 60)!r}", f"{suggest(unknown, _TYPES)} {_FORM}".lstrip()
        )
    values = {"workspace": default_workspace, **entry}
    for key, (kind, name) in _TYPES.items():
        if key not in values:
            raise UsageError(f"{location}: missing key {key!r}", _FORM)
        if not isinstance(values[key], kind):
            raise UsageError(f"{location}: {key} must be {name}", _FORM)
    workspace = names.check_workspace(values["workspace"], location)
    return Update(workspace, names.check_job(values["job"], location), values["status_details"])


def _combined(errors: Sequence[UsageError]) -> UsageError:
    """Return the first error with the others in its message and facts."""
    first, *others = errors
    shown = "; ".join(error.message for error in others[:MAX_SHOWN_ERRORS])
    more = f" ({len(others)} more: {shown}{' ...' if len(others) > MAX_SHOWN_ERRORS else ''})" if others else ""
    facts = {"errors": [error.message for error in errors[:MAX_ERRORS]], "errors_total": len(errors)}
    return UsageError(f"{first.message}{more}; nothing was sent", first.hint, pointer=first.pointer, facts=facts)
