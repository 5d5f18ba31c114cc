"""Print the lines of a job's log for a pipe, a terminal or a program."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.core import times
from nemo_jobs_cli.core.text import one_line, plural, printable
from nemo_jobs_cli.output import render

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from nemo_jobs_cli.api.logs import Line
    from nemo_jobs_cli.settings.model import Screen

# The characters of a line before an error.
MAX_END = 1000

# Escape codes of colors (ECMA-48, SGR).
_COLORS = re.compile(r"\x1b\[[0-9;:]*m")


class LogView:
    """Print lines as they arrive; `print_all` prints one JSON object."""

    def __init__(self, screen: Screen, *, timestamps: bool = False) -> None:
        self._screen = screen
        self._timestamps = timestamps
        self._step = ""
        self._missed = 0

    def print(self, lines: Iterable[Line]) -> None:
        """Print lines and flush, which a pipe would buffer for minutes."""
        if self._screen.output != "text":
            for line in lines:
                render.document("logs", "ok", result=as_dict(line))
        elif self._screen.terminal:
            sys.stdout.write("".join(f"{text}\n" for line in lines for text in self._format(line)))
        else:
            text = "".join(f"{self._time(line)}{line.message}\n" for line in lines)
            sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
        sys.stdout.flush()

    def print_all(self, lines: Iterable[Line]) -> None:
        """Print lines as one JSON object."""
        render.document("logs", "ok", result=[as_dict(line) for line in lines])

    def warn_missed(self, missed: int, job: str) -> None:
        """Warn of lines that arrived too late to be printed in order.

        `missed` is the number of all such lines; a line is warned of once.
        """
        new, self._missed = missed - self._missed, missed
        if new:
            text = f"{plural(new, 'line')} arrived too late to be printed; read the whole log: nemo-jobs logs {job}"
            render.warnings([text], self._screen)

    def _time(self, line: Line) -> str:
        return f"{times.add_zone(line.time)} " if self._timestamps else ""

    def _format(self, line: Line) -> Iterator[str]:
        """Yield a line for a terminal, below a heading if its step is new."""
        if self._step not in {"", line.step}:
            yield self._dim(f"--- step {one_line(line.step, 80)} ---")
        self._step = line.step
        yield self._dim(printable(self._time(line))) + terminal_text(line.message)

    def _dim(self, text: str) -> str:
        return f"\x1b[2m{text}\x1b[0m" if text and self._screen.color else text


def print_end(lines: Sequence[Line], screen: Screen) -> None:
    """Print the last lines of a log on stderr, before the error of its job."""
    render.notes([f"end of the log ({plural(len(lines), 'line')}):"], screen)
    for line in lines:
        render.message(one_line(terminal_text(line.message), MAX_END))


def as_dict(line: Line) -> dict[str, Any]:
    """Return a line as JSON documents describe it."""
    return {"time": times.add_zone(line.time), "step": line.step, "task": line.task, "message": line.message}


def terminal_text(message: str) -> str:
    """Return a message without colors, with other controls as escapes."""
    return printable(message if message.isprintable() else _COLORS.sub("", message))
