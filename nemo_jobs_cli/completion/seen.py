r"""Remember what was seen of a workspace's jobs: plain text of which a TAB reads only what it needs.

A line a job, the newest first, with tabs between: when it was seen (seconds since 1970), its name, the platform's
status, and the fields that its details have, as one types them: `message=`, `status=running,testing` with values newest
first, `tags:=` for what is JSON. Only words that mean themselves in every shell ever get in or out.
"""

from __future__ import annotations

from nemo_jobs_cli.core.identifiers import is_key, is_name, is_value

TYPE_CHECKING = False  # as in folders
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from typing import Any

    # When, status, and the fields as they stand on the line: to check all of a full file takes longer than Python.
    Seen = tuple[int, str, str]
    Jobs = dict[str, Seen]
    Fields = dict[str, tuple[str, ...]]

HEAD = "nemo-jobs seen 1"
MOST_JOBS = 500
MOST_FIELDS = 64
MOST_VALUES = 5
MOST_OFFERED = 200  # fields or values of all jobs
LONGEST_AGE = 30 * 86400  # seconds

# What a file may hold, in bytes: it is read at each TAB.
LARGEST = 256 * 1024


def loads(text: str, now: float) -> Jobs:
    """Return what a file remembers; what is too old, broken or no harmless word is left away."""
    head, _, rest = text.partition("\n")
    if head != HEAD:
        return {}
    found: Jobs = {}
    for line in rest.split("\n"):
        cells = line.split("\t", 3)
        if len(cells) < 3 or not (cells[0].isascii() and cells[0].isdigit()) or len(cells[0]) > 12 or cells[1] in found:  # noqa: PLR2004 - when, name, status
            continue
        when = int(cells[0])
        if is_name(cells[1]) and now - LONGEST_AGE < when <= now + LONGEST_AGE:
            found[cells[1]] = (when, cells[2] if is_value(cells[2]) else "", cells[3] if cells[3:] else "")
    return found


def fields(job: Seen) -> Fields:
    """Return the fields of a job, each with the values that it had."""
    found = {}
    for cell in job[2].split("\t", MOST_FIELDS)[:MOST_FIELDS]:
        key, _, values = cell.partition("=")
        if is_key(key.removesuffix(":")):
            found[f"{key}="] = tuple(filter(is_value, values.split(",")[:MOST_VALUES]))
    return found


def all_fields(jobs: Jobs) -> list[str]:
    """Return the fields of all jobs, as many as somebody may look through."""
    keys = dict.fromkeys(cell.partition("=")[0] for _, _, text in jobs.values() for cell in text.split("\t"))
    return [f"{key}=" for key in list(keys)[:MOST_OFFERED] if is_key(key.removesuffix(":"))]


def all_values(jobs: Jobs, field: str) -> list[str]:
    """Return the values that a field had in any job."""
    cells = [f"\t{text}".partition(f"\t{field}")[2].partition("\t")[0] for _, _, text in jobs.values()]
    found = dict.fromkeys(",".join(dict.fromkeys(cells)).split(","))
    return [value for value in list(found)[:MOST_OFFERED] if is_value(value)]


def dumps(jobs: Mapping[str, Seen]) -> str:
    """Return the text of a file: of the jobs, the newest first, as many as it may hold."""
    lines = [HEAD]
    room = LARGEST - len(HEAD) - 1
    for name, (when, state, text) in [*jobs.items()][:MOST_JOBS]:
        line = "\t".join([str(when), name, state, *([text] if text else [])])
        room -= len(line.encode()) + 1
        if room >= 0:
            lines.append(line)
    return "\n".join([*lines, ""])


def learn(before: Seen | None, state: str, details: Mapping[str, Any], *, numbers: Collection[str], now: float) -> Seen:
    """Return what is known of a job after its details were seen; `state` is "" where that wasn't asked for.

    `numbers` are the keys whose `key=value` sends a number.
    """
    known = fields(before) if before else {}
    new = {}
    for key, value in details.items():
        if is_key(key):
            field, words = _words(key, value, key in numbers)
            older = [word for word in known.get(field, ()) if word not in words]
            new[field] = (*words, *older)[:MOST_VALUES]
    kept = {field: values for field, values in known.items() if field.rstrip(":=") not in details}
    cells = [field + ",".join(values) for field, values in [*new.items(), *kept.items()][:MOST_FIELDS]]
    last = state if is_value(state) else before[1] if before else ""
    return int(now), last, "\t".join(cells)


def _words(key: str, value: Any, as_number: bool) -> tuple[str, tuple[str, ...]]:
    """Return a detail as the field that would set it, and the value if that is worth offering again."""
    if isinstance(value, str):
        return f"{key}=", (value,) if is_value(value) else ()
    if isinstance(value, bool):
        return f"{key}:=", ("true", "false")
    return f"{key}=" if as_number and isinstance(value, int | float) else f"{key}:=", ()
