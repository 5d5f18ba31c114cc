"""Draw a list of jobs on a terminal: columns that fit, the least needed ones going first."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from nemo_jobs_cli.core import timestamps, values
from nemo_jobs_cli.core.text import one_line
from nemo_jobs_cli.output import rich_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from nemo_jobs_cli.api.models import Job

TITLES = ("JOB", "STATUS", "PROGRESS", "CREATED", "MESSAGE")
SHORTEST_NAME = 16
SHORTEST_MESSAGE = 10
LONGEST_PERCENT = 8
LONGEST_STATE = 20


def jobs(found: Sequence[Job], target: Console, now: float) -> Table:
    """Return jobs as a table, one row each; where it is narrow the bar goes first, then the message."""
    bar = rich_text.SHORT_BAR if target.width >= 80 else 0  # noqa: PLR2004 - the classic terminal
    rows = [
        (
            Text(one_line(one.name, 80)),
            rich_text.state(one.status, LONGEST_STATE),
            _share(one.progress, target, bar),
            Text(rich_text.ago(timestamps.seconds(one.created_at), now, units=1)),
            Text(one_line(one.message, 200)),
        )
        for one in found
    ]
    name, *fixed, _ = (
        max([cell_len(title), *(row[index].cell_len for row in rows)]) for index, title in enumerate(TITLES)
    )
    room = target.width - sum(fixed) - 2 * len(fixed)
    message = room - min(name, max(SHORTEST_NAME, room - SHORTEST_MESSAGE - 2)) - 2
    has_message = message >= SHORTEST_MESSAGE
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    made.add_column(TITLES[0], width=room - message - 2 if has_message else min(name, room), overflow="fold")
    for title, width in zip(TITLES[1:4], fixed, strict=True):
        made.add_column(title, width=width, no_wrap=True)
    if has_message:
        made.add_column(TITLES[4], width=message, no_wrap=True, overflow="ellipsis")
    for row in rows:
        made.add_row(*row[: len(made.columns)])
    return made


def _share(value: float | None, target: Console, width: int) -> Text:
    """Return a progress in whole percent, rounded down so that 99.9 isn't done, and a bar if it may be wide."""
    if value is None:
        return Text("")
    share = values.share(value)
    shown = Text(values.percent(value if share is None else math.floor(value), LONGEST_PERCENT).rjust(5))
    return shown if share is None or not width else Text.assemble(shown, " ", rich_text.bar(share, width, target))
