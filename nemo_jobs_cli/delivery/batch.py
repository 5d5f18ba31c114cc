"""Read many updates at once, and plan in which order they go: checked as a whole before the first is sent."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from nemo_jobs_cli.core import known_keys, names
from nemo_jobs_cli.core.errors import UsageError
from nemo_jobs_cli.core.outcome import Update
from nemo_jobs_cli.core.text import one_line
from nemo_jobs_cli.fields import parse, strict_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

MOST_ERRORS, MOST_TOLD = 20, 3

_KEYS = {"job", "workspace", "status_details"}
_FORM = '{"job": "train-x", "workspace": "research", "status_details": {"progress": 45}}; workspace may be left away'


class Item(NamedTuple):
    """One update of a file, and where it stands (`file:line`, or `file: entry 3` of an array)."""

    update: Update
    place: str


class Lane(NamedTuple):
    """The updates of one job, in order: what one worker sends."""

    workspace: str
    job: str
    items: tuple[Item, ...]


class Read(NamedTuple):
    """What a file holds, and what to warn of in it."""

    items: list[Item]
    warnings: list[str]


def read(text: str, label: str, workspace: str) -> Read:
    """Return the updates of NDJSON or of a JSON array; `workspace` is for those that name none.

    Raise UsageError that tells of the first mistakes, each with its place, when there are any.
    """
    items: list[Item] = []
    errors: list[UsageError] = []
    warnings: list[str] = []
    given: set[str] = set()
    for place, entry in _entries(text, label):
        try:
            item = Item(_update(entry() if callable(entry) else entry, place, workspace), place)
        except UsageError as error:
            errors.append(error)
            continue
        items.append(item)
        warnings += parse.value_warnings(item.update.fields, place)
        given |= item.update.fields.keys()
    if errors:
        raise _combined(errors)
    return Read(items, warnings + known_keys.misspelt(sorted(given), frozenset()))


def lanes(items: Iterable[Item], *, fold: bool) -> list[Lane]:
    """Return the updates by job, in the order in which jobs first appear; `fold`: those of one job become one."""
    found: dict[tuple[str, str], list[Item]] = {}
    for item in items:
        found.setdefault((item.update.workspace, item.update.job), []).append(item)
    return [Lane(*whose, (_folded(mine),) if fold else tuple(mine)) for whose, mine in found.items()]


def dumps(updates: Iterable[Update]) -> bytes:
    """Return updates as NDJSON that `read` takes."""
    rows = (
        {"job": update.job, "workspace": update.workspace, "status_details": dict(update.fields)} for update in updates
    )
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def _folded(items: Sequence[Item]) -> Item:
    merged: dict[str, Any] = {}
    for item in items:
        merged |= item.update.fields
    more = f" and {len(items) - 1} more" if len(items) > 1 else ""
    return Item(items[0].update._replace(fields=merged), f"{items[0].place}{more}")


def _entries(text: str, label: str) -> Iterator[tuple[str, Any]]:
    """Yield each entry with its place; a line is parsed only when asked for, so that each mistake is found."""
    if text.lstrip()[:1] == "[":
        array = strict_json.load_value(text, label)
        for number, entry in enumerate(array, 1):
            yield f"{label}: entry {number}", entry
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield (
                f"{label}:{number}",
                lambda line=line, number=number: strict_json.load_object(line, label, number=number),
            )


def _update(entry: Any, place: str, workspace: str) -> Update:
    if not isinstance(entry, dict):
        raise UsageError(f"{place}: a JSON {strict_json.type_name(entry)} where an object is needed", f"write {_FORM}")
    unknown = entry.keys() - _KEYS
    if unknown:
        raise UsageError(f"{place}: {one_line(min(unknown), 60)!r} means nothing here", f"write {_FORM}")
    job, details = entry.get("job"), entry.get("status_details")
    if not isinstance(job, str):
        raise UsageError(f"{place}: no job", f"write {_FORM}")
    if not isinstance(details, dict):
        raise UsageError(f"{place}: status_details is no object", f"write {_FORM}")
    said = entry.get("workspace", workspace)
    if not isinstance(said, str):
        raise UsageError(f"{place}: workspace is no text", f"write {_FORM}")
    return Update(names.check_workspace(said, f"{place}: workspace"), names.check_job(job, f"{place}: job"), details)


def _combined(errors: Sequence[UsageError]) -> UsageError:
    """Return the first mistake as the error, and the others as facts."""
    first, others = errors[0], errors[1:]
    shown = "; ".join(error.message for error in others[:MOST_TOLD])
    told = f" ({len(others)} more: {shown}{' ...' if len(others) > MOST_TOLD else ''})" if others else ""
    facts = {"errors": [error.message for error in errors[:MOST_ERRORS]], "errors_total": len(errors)}
    return UsageError(f"{first.message}{told}; nothing was sent", first.hint, pointer=first.pointer, facts=facts)
