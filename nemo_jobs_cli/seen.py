r"""Remember what was seen of a workspace's jobs: plain text that is read in a millisecond.

A line a job, with tabs between: when it was seen (seconds since 1970), its name, the platform's status, and the fields
that its details have, as one types them: `message=`, `status=running,testing` with values newest first, `tags:=` for
what is JSON. Only words that mean themselves in every shell ever get in or out.
"""

from __future__ import annotations

from nemo_jobs_cli.wellformed import is_key, is_name, is_value

TYPE_CHECKING = False  # as in folders
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from typing import Any

    # When, status, and the values by field.
    Seen = tuple[int, str, dict[str, tuple[str, ...]]]
    Jobs = dict[str, Seen]

HEAD = "nemo-jobs seen 1"
MOST_JOBS = 500
MOST_FIELDS = 64
MOST_VALUES = 5
LONGEST_AGE = 30 * 86400  # seconds

# What a file may hold, in bytes: it is read at each TAB.
LARGEST = 256 * 1024


def loads(text: str, now: float) -> Jobs:
    """Return what a file remembers, newest first; what is too old, broken or no harmless word is left away."""
    head, _, rest = text.partition("\n")
    if head != HEAD:
        return {}
    found: Jobs = {}
    for line in rest.split("\n"):
        cells = line.split("\t")
        if len(cells) < 3 or not (cells[0].isascii() and cells[0].isdigit()) or len(cells[0]) > 12 or cells[1] in found:  # noqa: PLR2004 - when, name, status
            continue
        when = int(cells[0])
        if is_name(cells[1]) and now - LONGEST_AGE < when <= now + LONGEST_AGE:
            fields = dict(_field(cell) for cell in cells[3 : 3 + MOST_FIELDS])
            fields.pop("", None)
            found[cells[1]] = (when, cells[2] if is_value(cells[2]) else "", fields)
    return found


def dumps(jobs: Mapping[str, Seen]) -> str:
    """Return the text of a file: the newest jobs, as many as it may hold."""
    lines = [HEAD]
    room = LARGEST - len(HEAD) - 1
    for name, (when, state, fields) in sorted(jobs.items(), key=lambda job: job[1][0], reverse=True)[:MOST_JOBS]:
        line = "\t".join([str(when), name, state, *(field + ",".join(values) for field, values in fields.items())])
        room -= len(line) + 1
        if room >= 0:
            lines.append(line)
    return "\n".join([*lines, ""])


def learn(
    jobs: Jobs, name: str, state: str, details: Mapping[str, Any], *, numbers: Collection[str], now: float
) -> None:
    """Take in what a job's details hold; `state` is the platform's status, "" where that wasn't asked for.

    `numbers` are the keys whose `key=value` sends a number.
    """
    if not is_name(name):
        return
    _, before, fields = jobs.get(name, (0, "", {}))
    new = {}
    for key, value in details.items():
        if is_key(key):
            field, words = _words(key, value, key in numbers)
            known = fields.get(field, ())
            new[field] = (*words, *(word for word in known if word not in words))[:MOST_VALUES]
    kept = {field: values for field, values in fields.items() if field.rstrip(":=") not in details}
    jobs[name] = (int(now), state if is_value(state) else before, dict([*new.items(), *kept.items()][:MOST_FIELDS]))


def _words(key: str, value: Any, as_number: bool) -> tuple[str, tuple[str, ...]]:
    """Return a detail as the field that would set it, and the value if that is worth offering again."""
    if isinstance(value, str):
        return f"{key}=", (value,) if is_value(value) else ()
    if isinstance(value, bool):
        return f"{key}:=", ("true", "false")
    return f"{key}=" if as_number and isinstance(value, int | float) else f"{key}:=", ()


def _field(cell: str) -> tuple[str, tuple[str, ...]]:
    """Read one field; ("", ()) for what is none."""
    key, _, values = cell.partition("=")
    if not is_key(key.removesuffix(":")):
        return "", ()
    return f"{key}=", tuple(filter(is_value, values.split(",")[:MOST_VALUES]))
