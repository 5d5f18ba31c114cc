"""Print results, notes and errors as plain text and JSON.

Data goes to stdout, prose to stderr. Text of a server, a file or an argument is printed with controls as escapes
(`core.text`), and never as markup.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.core import times
from nemo_jobs_cli.core.text import hide_tokens, one_line, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from nemo_jobs_cli.core.errors import NemoJobsError, Pointer
    from nemo_jobs_cli.core.outcome import Delivered, Update
    from nemo_jobs_cli.settings.model import Screen
    from nemo_jobs_cli.transport.messages import Failure, Response

SCHEMA = 1

# The characters of a cell or a line of a file; no screen shows more.
MAX_CELL = 10_000

# A line about an update shows this many of its fields.
MAX_FIELDS = 8

# The shortest pause before a retry, in seconds, that is printed without --verbose.
LONG_PAUSE = 1.0

# An error shows this many of the server's problems: more of them rarely differ.
MAX_PROBLEMS = 10


def line(text: str, *, flush: bool = False) -> None:
    """Print one line of data."""
    sys.stdout.write(printable(text) + "\n")
    if flush:
        sys.stdout.flush()


def raw(text: str) -> None:
    """Print text unchanged, for a pipe only."""
    sys.stdout.write(text)


def message(text: str) -> None:
    """Print one line of prose on stderr, and flush."""
    sys.stderr.write(printable(text) + "\n")
    sys.stderr.flush()


def prompt(text: str) -> None:
    """Print a question on stderr, without a line break."""
    sys.stderr.write(printable(text))
    sys.stderr.flush()


def warnings(texts: Iterable[str], screen: Screen) -> None:
    """Print warnings on stderr, unless `quiet`."""
    if not screen.quiet:
        for text in texts:
            message(f"warning: {hide_tokens(text)}")


def notes(texts: Iterable[str], screen: Screen) -> None:
    """Print notes on stderr, unless `quiet`."""
    if not screen.quiet:
        for text in texts:
            message(f"note: {text}")


def retry(last: Response | Failure, wait: float, screen: Screen) -> None:
    """Print why an attempt failed and when the next one starts.

    Without --verbose, only long pauses are printed, and only on a terminal.
    """
    if screen.verbose or (screen.terminal and not screen.quiet and wait >= LONG_PAUSE):
        from nemo_jobs_cli.transport import classify  # not on the way of --help
        from nemo_jobs_cli.transport.messages import Failure

        if isinstance(last, Failure):
            reason = last.detail if last.kind in last.detail else f"{last.kind}: {last.detail}"
        else:
            reason = "no attempt yet" if classify.kind(last) == "no-attempt" else f"HTTP {last.status}"
        message(f"retrying in {wait:.1f} s ({one_line(reason, 200)})")


def long_wait(what: str, limit: float, screen: Screen) -> None:
    """Print on a terminal why there is no prompt yet."""
    if screen.terminal and not screen.quiet:
        message(f"{what}, for up to {times.format_duration(limit)}; Ctrl-C stops it")


def delivered(screen: Screen, outcome: Delivered, command: str = "update", **facts: Any) -> None:
    """Print a delivered update as a line, or as JSON with `facts`."""
    if screen.output != "text":
        document(
            command,
            "delivered",
            **update_facts(outcome.update, outcome.host),
            attempts=outcome.attempts,
            conflicts=outcome.conflicts,
            seconds=round(outcome.seconds, 3),
            trace_id=outcome.trace_id,
            result=outcome.result,
            **facts,
        )
    elif screen.terminal and not screen.quiet:
        from nemo_jobs_cli.output import rich_text

        rich_text.delivered(screen, outcome)
    elif not screen.quiet:
        line(f"{outcome.update.job}: {format_fields(outcome.update.fields)}")
    if screen.verbose:
        message(f"delivered in {outcome.seconds:.2f} s, attempts {outcome.attempts}, conflicts {outcome.conflicts}")


def update_facts(update: Update, host: str) -> dict[str, Any]:
    """Return an update as JSON documents describe it."""
    return {"host": host, "workspace": update.workspace, "job": update.job, "status_details": dict(update.fields)}


def forwarded(screen: Screen, update: Update, host: str) -> None:
    """Print an update that the enclosing `nemo-jobs run` sends."""
    if screen.output != "text":
        document("update", "kept", **update_facts(update, host), kept_by="run")
    elif not screen.quiet:
        line(f"{update.job}: {format_fields(update.fields)} (through nemo-jobs run)")


def format_fields(fields: Mapping[str, Any]) -> str:
    """Return the first fields as one line of `key=value`."""
    pairs = [f"{one_line(key, 60)}={_format_value(value)}" for key, value in list(fields.items())[:MAX_FIELDS]]
    more = len(fields) - MAX_FIELDS
    return " ".join(pairs) + (f" (+{more} more)" if more > 0 else "") if fields else "{}"


def _format_value(value: Any) -> str:
    is_word = isinstance(value, str) and value and value.isprintable() and not set(value) & set(" '\"\\")
    return one_line(value if is_word else json.dumps(value, ensure_ascii=False), 60)


def dry_run(screen: Screen, facts: Mapping[str, Any]) -> None:
    """Print a dry run of `update`: request, settings and their sources."""
    if screen.output != "text":
        document("update", "dry-run", **facts)
        return
    request, settings = facts["request"], facts["settings"]
    line(f"would {request['method']} {request['url']}")
    line(f"host {settings['host']['value']} ({settings['host']['origin']})")
    line(f"workspace {settings['workspace']['value']} ({settings['workspace']['origin']})")
    line(f"with {settings['credential']}")
    rows = []
    for field in facts["fields"]:
        value = json.dumps(field["value"], ensure_ascii=False)
        rows.append((one_line(field["key"], 80), one_line(value, 200), field["kind"], field["where"]))
    table(screen, ("key", "value", "type", "from"), rows)


def document(command: str, outcome: str, exit_code: int = 0, **facts: Any) -> None:
    """Print one JSON object on one line, for `-o json` and `-o ndjson`."""
    head = {"schema": SCHEMA, "command": command, "outcome": outcome, "exit_code": int(exit_code)}
    # Only ASCII: it has neither C1 controls nor bidirectional overrides, which a terminal would interpret.
    try:
        text = json.dumps({**head, **facts}, allow_nan=False)
    except ValueError:  # a NaN of the server, which is not valid JSON
        from nemo_jobs_cli.core.text import nan_to_null

        text = json.dumps(nan_to_null({**head, **facts}))
    sys.stdout.write(text + "\n")


def table(screen: Screen, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows: a table on a terminal, tab-separated in a pipe."""
    if screen.terminal:
        from nemo_jobs_cli.output import rich_text

        rich_text.table(screen, columns, rows)
        return
    for row in rows:
        sys.stdout.write("\t".join(one_line(cell, MAX_CELL) for cell in row) + "\n")


def error(failure: NemoJobsError, command: str, screen: Screen) -> None:
    """Print a failure: message, location, the server's problems, next step."""
    if screen.output != "text":
        facts = failure.as_dict()
        if failure.pointer is not None:
            pointer = failure.pointer
            facts["pointer"] = {"where": pointer.label, "line": pointer.line, "column": pointer.column}
        document(command, failure.outcome, failure.exit_code, error=facts)
        return
    lines = error_lines(failure, screen.width if screen.terminal else None)
    if screen.color:
        for index, style in (0, "1;31"), (-1, "1;36"):
            label, _, rest = lines[index].partition(":")
            lines[index] = f"\x1b[{style}m{label}:\x1b[0m{rest}"
    sys.stderr.write("".join(text + "\n" for text in lines))
    sys.stderr.flush()


def error_lines(failure: NemoJobsError, width: int | None = None) -> list[str]:
    """Return a failure as plain lines, unwrapped.

    `width` is that of a terminal: the line with the error is cut to it.
    """
    lines = [f"error: {printable(failure.message)}"]
    if failure.pointer is not None:
        lines += _pointer_lines(failure.pointer, width)
    lines += _problem_lines(failure.facts)
    if failure.facts.get("trace_id"):
        lines.append(f"  trace id: {one_line(str(failure.facts['trace_id']))}")
    lines.append(f"next: {printable(failure.hint)}")
    return lines


def _problem_lines(facts: Mapping[str, Any]) -> list[str]:
    """Return the first of the server's problems, and a line on the rest."""
    problems = facts.get("problems", ())
    total = facts.get("problems_total", len(problems))
    rows = ([str(problem[name]) for name in ("wrote", "where", "says")] for problem in problems[:MAX_PROBLEMS])
    lines = ["  " + " | ".join(one_line(cell, 120) for cell in row) for row in rows]
    if total > MAX_PROBLEMS:
        shown = "them" if total == len(problems) else f"the first {len(problems)}"
        lines.append(f"  +{total - MAX_PROBLEMS} more (-o json shows {shown})")
    return lines


def _pointer_lines(pointer: Pointer, width: int | None) -> list[str]:
    """Return the erroneous line, and a `^` under the character."""
    label, column = f"  {one_line(pointer.label, 300)}: ", pointer.column
    if column is None:
        return [label + one_line(pointer.line, MAX_CELL)]
    if width is None:
        cells: Callable[[str], int] = len
        room = MAX_CELL
    else:
        from rich.cells import cell_len as cells

        room = max(20, width - cells(label) - 2)
    skipped = max(0, column - room // 2)
    before = label + ("…" if skipped else "") + one_line(pointer.line[skipped:column], MAX_CELL)
    line = before + one_line(pointer.line[column:], MAX_CELL)
    if width is not None and cells(line) >= width:
        from rich.cells import set_cell_size

        line = set_cell_size(line, width - 2).rstrip() + "…"
    return [line, " " * cells(before) + "^"]
