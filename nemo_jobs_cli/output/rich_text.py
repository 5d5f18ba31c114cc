"""Print colors, tables and bars with rich; text is never markup."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from nemo_jobs_cli.core import known_keys, times
from nemo_jobs_cli.core.text import finite_number, one_line, summary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from rich.console import RenderableType
    from rich.progress import Progress

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
    """Return a console for `screen`; rich reads no environment variables.

    It has only sixteen colors, so that the user's theme applies; without color it writes no escape codes.
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


def lines(content: RenderableType, target: Console) -> list[str]:
    """Return the lines that `target` would print, without trailing spaces."""
    with target.capture() as captured:
        target.print(content)
    return [line.rstrip(" ") for line in captured.get().removesuffix("\n").split("\n")]


@contextmanager
def live_line(screen: Screen) -> Iterator[Callable[[str], None]]:
    """Yield a function that rewrites a line on stderr."""
    from rich.live import Live

    with Live(console=console(screen, stderr=True), transient=True, auto_refresh=False) as live:
        yield lambda text: live.update(text, refresh=True)


def progress(screen: Screen, total: int) -> Progress:
    """Return a progress bar on stderr for `total` steps, with the time left."""
    from rich.progress import Progress

    # Two columns stay free: the ^C of the terminal would wrap, and the bar could not be removed.
    bar = Progress(console=console(screen, stderr=True, width=screen.width - 2), transient=True)
    bar.add_task("sending", total=total)
    return bar


def grid(*styles: str) -> Table:
    """Return a table without lines, with a column for each style."""
    table = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    for style in styles:
        table.add_column(style=style, overflow="fold")
    return table


def print_line(target: Console, *parts: str | tuple[str, str]) -> None:
    """Print texts as one line, which the terminal wraps."""
    target.print(Text.assemble(*parts), soft_wrap=True)


def print_row(target: Console, *cells: tuple[str, str, int | None]) -> None:
    """Print cells (text, style, width); one without a width folds."""
    grid = Table.grid(padding=(0, 1, 0, 0), pad_edge=False)
    for _, _, width in cells:
        grid.add_column(width=width, no_wrap=width is not None, overflow="fold")
    grid.add_row(*(Text(text, style=style) for text, style, _ in cells))
    target.print(grid)


def table(screen: Screen, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows under a heading."""
    content = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        content.add_column(Text(one_line(column)), overflow="fold")
    for row in rows:
        content.add_row(*(Text(one_line(cell, 10_000)) for cell in row))
    console(screen).print(content)


def bar(percent: float, width: int, target: Console) -> Text:
    """Return a progress bar of `width` cells, clamped to 0-100."""
    clamped = min(max(finite_number(percent) or 0.0, 0.0), 100.0)
    full, half, rest = ("━", "╸", "━") if not target.options.ascii_only else ("#", "", "-")
    halves = int(2 * width * clamped / 100)
    done = full * (halves // 2) + half * (halves % 2)
    colored = target.color_system is not None
    left = (rest if colored else " ") * (width - len(done))
    return Text.assemble((done, "green" if clamped == 100 else "cyan"), (left, "bright_black"))  # noqa: PLR2004 - percent


def state(text: str, limit: int = 40) -> Text:
    """Return a job's state in its color."""
    return Text(one_line(text, limit) or "unknown", style=_STYLES.get(text, ""))


def ago(then: float | None, now: float, units: int = 2) -> str:
    """Return an age in one or two units; up to a minute ahead is now."""
    if then is None:
        return "unknown"
    past = now - then
    if past < -60:  # noqa: PLR2004 - the clocks of two machines often differ by less than a minute
        return f"in {times.format_duration(-past)} by this machine's clock"
    if past < 60:  # noqa: PLR2004 - seconds to a minute
        return f"{int(past)} s ago" if past >= 1 else "just now"
    return " ".join([*times.format_duration(past).split()[: 2 * units], "ago"])


def delivered(screen: Screen, outcome: Delivered) -> None:
    """Print one line on a delivered update: the job and its fields."""
    target = console(screen)
    parts = [_field(key, value, target) for key, value in outcome.update.fields.items()]
    if outcome.attempts > 1:
        parts.append(Text(f"{outcome.attempts} attempts", style="dim"))
    mark = "ok" if target.options.ascii_only else "✓"
    separator = " - " if target.options.ascii_only else " · "
    line = Text.assemble((f"{mark} ", "green"), (one_line(outcome.update.job, 80), "bold"))
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
