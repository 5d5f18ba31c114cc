"""Put results, notes and errors on the screen: plain text and JSON here, rich where a terminal looks.

Data goes to stdout, prose to stderr. What a server, a file or an argument says is made harmless by
`sanitize` before it gets here or here; nothing is ever read as markup.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.core.text import one_line, printable
from nemo_jobs_cli.transport.messages import Failure

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from nemo_jobs_cli.core.errors import NemoJobsError, Pointer
    from nemo_jobs_cli.core.outcome import Delivered, Update
    from nemo_jobs_cli.settings.model import Screen
    from nemo_jobs_cli.transport.messages import Response

SCHEMA = 1


def line(text: str) -> None:
    """Print one line of data."""
    sys.stdout.write(printable(text) + "\n")


def raw(text: str) -> None:
    """Print text exactly as it is: only for a script that asked for one bare value and isn't a terminal."""
    sys.stdout.write(text)


def message(text: str) -> None:
    """Print one line of prose on stderr."""
    sys.stderr.write(printable(text) + "\n")
    sys.stderr.flush()


def prompt(text: str) -> None:
    """Print a question on stderr; what is typed stands behind it."""
    sys.stderr.write(printable(text))
    sys.stderr.flush()


def warnings(texts: Iterable[str], screen: Screen) -> None:
    """Print warnings on stderr, unless the user wants quiet."""
    if not screen.quiet:
        for text in texts:
            message(f"warning: {text}")


def notes(texts: Iterable[str], screen: Screen) -> None:
    """Print hints for people on stderr, unless they want quiet."""
    if not screen.quiet:
        for text in texts:
            message(f"note: {text}")


def retry(last: Response | Failure, wait: float, screen: Screen) -> None:
    """Say that an attempt failed and another follows: to people, and to those who want to know."""
    if screen.verbose or (screen.terminal and not screen.quiet):
        said = f"{last.kind}: {last.detail}" if isinstance(last, Failure) else f"answer {last.status}"
        message(f"retrying in {wait:.1f} s ({one_line(said, 200)})")


def delivered(screen: Screen, done: Delivered, command: str = "update", **more: Any) -> None:
    """Say that an update has arrived: a line with what was set, or the whole of it as JSON."""
    if screen.output != "text":
        document(
            command,
            "delivered",
            host=done.host,
            workspace=done.update.workspace,
            job=done.update.job,
            status_details=dict(done.update.fields),
            attempts=done.attempts,
            conflicts=done.conflicts,
            seconds=round(done.seconds, 3),
            trace_id=done.trace_id,
            result=done.result,
            **more,
        )
    elif screen.terminal and not screen.quiet:
        from nemo_jobs_cli.output import rich_text

        rich_text.delivered(screen, done)
    elif not screen.quiet:
        line(f"{done.update.job}: {format_fields(done.update.fields)}")
    if screen.verbose:
        message(f"delivered in {done.seconds:.2f} s, attempts {done.attempts}, conflicts {done.conflicts}")


def forwarded(screen: Screen, update: Update, host: str) -> None:
    """Say that an update was given to the `run` around us, which will send it."""
    if screen.output != "text":
        facts: dict[str, Any] = {"host": host, "workspace": update.workspace, "job": update.job}
        document("update", "kept", **facts, status_details=dict(update.fields), kept_by="run")
    elif not screen.quiet:
        line(f"{update.job}: {format_fields(update.fields)} (through nemo-jobs run)")


def format_fields(fields: Mapping[str, Any], most: int = 8, width: int = 60) -> str:
    """Return fields as one short line in the grammar's own form; values and their number are cut."""
    shown = [f"{one_line(key, width)}={_format_value(value, width)}" for key, value in list(fields.items())[:most]]
    more = len(fields) - most
    return " ".join(shown) + (f" (+{more} more)" if more > 0 else "") if fields else "{}"


def _format_value(value: Any, width: int) -> str:
    if isinstance(value, str) and value and value.isprintable() and not set(value) & set(" '\"\\"):
        return one_line(value, width)
    return one_line(json.dumps(value, ensure_ascii=False), width)


def dry_run(screen: Screen, command: str, facts: Mapping[str, Any]) -> None:
    """Show a dry run: the request, the settings and their origins, and how each value was understood."""
    if screen.output != "text":
        document(command, "dry-run", **facts)
        return
    request, settings = facts["request"], facts["settings"]
    line(f"would {request['method']} {request['url']}")
    line(f"host {settings['host']['value']} ({settings['host']['origin']})")
    line(f"workspace {settings['workspace']['value']} ({settings['workspace']['origin']})")
    line(f"as {settings['credential']}")
    rows = [
        (
            one_line(f["key"], 80),
            one_line(json.dumps(f["value"], ensure_ascii=False), 200),
            f["kind"],
            f["where"],
        )
        for f in facts["fields"]
    ]
    table(screen, ("key", "value", "understood as", "from"), rows)


def document(command: str, outcome: str, exit_code: int = 0, **facts: Any) -> None:
    """Print the one JSON object that `-o json` promises, on one line with `-o ndjson` in mind too."""
    head = {"schema": SCHEMA, "command": command, "outcome": outcome, "exit_code": int(exit_code)}
    # ASCII alone: a C1 control or a bidirectional override can't reach a terminal raw this way either.
    try:
        text = json.dumps({**head, **facts}, allow_nan=False)
    except ValueError:  # a server's NaN; no parser has to read that
        from nemo_jobs_cli.core.text import nan_to_null

        text = json.dumps(nan_to_null({**head, **facts}))
    sys.stdout.write(text + "\n")


def table(screen: Screen, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows: aligned under a heading on a terminal, tab-separated and bare in a pipe."""
    if screen.terminal:
        from nemo_jobs_cli.output import rich_text

        rich_text.table(screen, columns, rows)
        return
    for row in rows:
        sys.stdout.write("\t".join(one_line(cell, 10_000) for cell in row) + "\n")


def error(failure: NemoJobsError, command: str, screen: Screen) -> None:
    """Print a failure: one sentence, where it is, the server's complaints, and the next step."""
    if screen.output != "text":
        facts = failure.as_dict()
        if failure.pointer is not None:
            facts["pointer"] = _pointer_facts(failure.pointer)
        document(command, failure.outcome, failure.exit_code, error=facts)
        return
    if screen.color:
        from nemo_jobs_cli.output import rich_text

        rich_text.error(failure, screen)
        return
    sys.stderr.write("".join(text + "\n" for text in error_lines(failure)))
    sys.stderr.flush()


def error_lines(failure: NemoJobsError) -> list[str]:
    """Return a failure as plain lines."""
    lines = [f"error: {printable(failure.message)}"]
    if failure.pointer is not None:
        lines += pointer_lines(failure.pointer)
    if failure.facts.get("problems"):
        from nemo_jobs_cli.transport import explain

        problems, more = explain.shown_problems(failure.facts)
        for problem in problems:
            lines.append("  " + " | ".join(one_line(str(problem[name]), 120) for name in ("wrote", "where", "says")))
        lines += [f"  {text}" for text in more]
    if failure.facts.get("trace_id"):
        lines.append(f"  trace id: {one_line(str(failure.facts['trace_id']))}")
    lines.append(f"next: {printable(failure.hint)}")
    return lines


def pointer_lines(pointer: Pointer) -> list[str]:
    """Return where the trouble is, with a mark under the character."""
    column = pointer.column
    shown = one_line(pointer.line, 10_000)
    lines = [f"  {one_line(pointer.label, 300)}: {shown}"]
    if column is not None:
        before = len(one_line(pointer.label, 300)) + 2 + len(one_line(pointer.line[:column], 10_000))
        lines.append("  " + " " * before + "^")
    return lines


def _pointer_facts(pointer: Pointer) -> dict[str, Any]:
    return {"where": pointer.label, "line": pointer.line, "column": pointer.column}
