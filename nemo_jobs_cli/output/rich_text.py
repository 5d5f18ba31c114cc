"""Draw on a terminal with rich: colours, tables, errors, a progress bar. Nothing said is ever markup."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from nemo_jobs_cli.core import known_keys, times
from nemo_jobs_cli.core.text import finite_number, one_line, printable, summary
from nemo_jobs_cli.transport import explain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from rich.console import RenderableType
    from rich.progress import Progress

    from nemo_jobs_cli.core.errors import NemoJobsError, Pointer
    from nemo_jobs_cli.core.outcome import Delivered
    from nemo_jobs_cli.settings.model import Screen

SHORT_BAR = 10

_STYLES = {
    "completed": "bold green",
    "error": "bold red",
    "cancelled": "bold yellow",
    "cancelling": "yellow",
    "active": "bold cyan",
    "paused": "yellow",
    "pausing": "yellow",
}


def console(screen: Screen, *, stderr: bool = False, width: int | None = None) -> Console:
    """Return a console that does what `screen` says and asks no environment variable.

    Sixteen colours only, so that the user's own theme applies; without colour there is no escape code at all.
    """
    return Console(
        file=sys.stderr if stderr else sys.stdout,
        force_terminal=screen.color,
        color_system="standard" if screen.color else None,
        width=width or screen.width,
        legacy_windows=False,
        markup=False,
        highlight=False,
        emoji=False,
        _environ={},
    )


def lines(picture: RenderableType, target: Console) -> list[str]:
    """Return a picture as the lines that `target` would print, without the spaces at their ends."""
    with target.capture() as shown:
        target.print(picture)
    return [line.rstrip(" ") for line in shown.get().removesuffix("\n").split("\n")]


@contextmanager
def live_line(screen: Screen) -> Iterator[Callable[[str], None]]:
    """Yield a function that rewrites a line on stderr; other output appears above, and the end removes it."""
    from rich.live import Live

    with Live(console=console(screen, stderr=True), transient=True, auto_refresh=False) as live:
        yield lambda text: live.update(text, refresh=True)


def progress(screen: Screen, total: int) -> Progress:
    """Return a bar on stderr for so many steps, with what is left of the time."""
    from rich.progress import Progress

    made = Progress(console=console(screen, stderr=True), transient=True)
    made.add_task("sending", total=total)
    return made


def grid(*styles: str) -> Table:
    """Return a table without lines: one column a style, the last one taking what is left."""
    made = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    for style in styles:
        made.add_column(style=style, overflow="fold")
    return made


def print_line(target: Console, *parts: str | tuple[str, str]) -> None:
    """Print texts, each with or without a style, as one line; the terminal wraps it, so that it is copied whole."""
    target.print(Text.assemble(*parts), soft_wrap=True)


def print_row(target: Console, *cells: tuple[str, str, int | None]) -> None:
    """Print cells (text, style, width) side by side; one without a width takes what is left and folds."""
    made = Table.grid(padding=(0, 1, 0, 0), pad_edge=False)
    for _, _, width in cells:
        made.add_column(width=width, no_wrap=width is not None, overflow="fold")
    made.add_row(*(Text(text, style=style) for text, style, _ in cells))
    target.print(made)


def table(screen: Screen, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows under a heading."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        made.add_column(Text(one_line(column)), overflow="fold")
    for row in rows:
        made.add_row(*(Text(one_line(cell, 10_000)) for cell in row))
    console(screen).print(made)


def bar(percent: float, width: int, target: Console) -> Text:
    """Return a progress bar of `width` cells; what lies outside 0-100 is drawn as the nearer end."""
    share = min(max(finite_number(percent) or 0.0, 0.0), 100.0)
    full, half, rest = ("━", "╸", "━") if not target.options.ascii_only else ("#", "", "-")
    halves = int(2 * width * share / 100)
    done = full * (halves // 2) + half * (halves % 2)
    coloured = target.color_system is not None
    left = (rest if coloured else " ") * (width - len(done))
    return Text.assemble((done, "green" if share == 100 else "cyan"), (left, "bright_black"))  # noqa: PLR2004 - percent


def state(text: str, limit: int = 40) -> Text:
    """Return a job's state in its colour."""
    return Text(one_line(text, limit) or "unknown", style=_STYLES.get(text, ""))


def ago(then: float | None, now: float, units: int = 2) -> str:
    """Return how long ago something was, in one or two units; a clock a little ahead of ours reads as now."""
    if then is None:
        return "unknown"
    past = now - then
    if past < -60:  # noqa: PLR2004 - a minute of difference between two machines' clocks is common
        return f"in {times.format_duration(-past)} by this machine's clock"
    if past < 60:  # noqa: PLR2004 - tenths of a second would only flicker
        return f"{int(past)} s ago" if past >= 1 else "just now"
    return " ".join([*times.format_duration(past).split()[: 2 * units], "ago"])


def delivered(screen: Screen, done: Delivered) -> None:
    """Print one line on an acknowledged update: the job and what was set."""
    target = console(screen)
    parts = [_field(key, value, target) for key, value in done.update.fields.items()]
    if done.attempts > 1:
        parts.append(Text(f"{done.attempts} attempts", style="dim"))
    mark = "ok" if target.options.ascii_only else "✓"
    separator = " - " if target.options.ascii_only else " · "
    line = Text.assemble((f"{mark} ", "green"), (one_line(done.update.job, 80), "bold"))
    for index, part in enumerate(parts):
        line.append(separator if index else "  ", "dim").append_text(part)
    target.print(line, no_wrap=True, overflow="ellipsis")


def _field(key: str, value: Any, target: Console) -> Text:
    if key == "message":
        return Text(summary(key, value, 200))
    part = Text.assemble((f"{one_line(key, 60)} ", "dim"), summary(key, value, 60))
    if key == known_keys.PROGRESS and finite_number(value) is not None:
        part.append(" ").append_text(bar(value, SHORT_BAR, target))
    return part


def error(failure: NemoJobsError, screen: Screen) -> None:
    """Print a failure on stderr: what happened, where, the server's complaints, the next step."""
    target = console(screen, stderr=True)
    # The terminal wraps long sentences itself: so they can be copied whole.
    target.print(Text.assemble(("error: ", "bold red"), printable(failure.message)), soft_wrap=True)
    if failure.pointer is not None:
        for line in pointer_lines(failure.pointer, screen.width):
            target.print(line, soft_wrap=True)
    if failure.facts.get("problems"):
        problems, more = explain.shown_problems(failure.facts)
        target.print(_problems(problems))
        for text in more:
            target.print(Text(f"  {text}", style="dim"), soft_wrap=True)
    if failure.facts.get("trace_id"):
        target.print(Text(f"  trace id: {one_line(str(failure.facts['trace_id']))}", style="dim"), soft_wrap=True)
    target.print(Text.assemble(("next: ", "bold cyan"), printable(failure.hint)), soft_wrap=True)


def pointer_lines(pointer: Pointer, width: int) -> list[Text]:
    """Return where the trouble is as one line that fits, with a mark under the character."""
    label = f"  {one_line(pointer.label, 300)}: "
    if pointer.column is None:
        return [Text.assemble((label, "dim"), one_line(pointer.line, 10_000))]
    room = max(20, width - cell_len(label) - 2)
    skipped = max(0, pointer.column - room // 2)
    before = ("…" if skipped else "") + one_line(pointer.line[skipped : pointer.column], 10_000)
    after = one_line(pointer.line[pointer.column :], 10_000)
    shown = Text.assemble((label, "dim"), before, after)
    shown.truncate(width - 1, overflow="ellipsis")
    return [shown, Text(" " * (cell_len(label) + cell_len(before)) + "^", style="bold red")]


def _problems(problems: Iterable[Mapping[str, Any]]) -> Table:
    made = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    made.add_column("  you wrote", overflow="fold")
    made.add_column("where", overflow="fold")
    made.add_column("the server says", overflow="fold", style="red")
    for problem in problems:
        wrote, where, says = (one_line(str(problem[name]), 200) for name in ("wrote", "where", "says"))
        made.add_row(Text(f"  {wrote}"), Text(where), Text(says))
    return made
