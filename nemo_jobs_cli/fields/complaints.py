"""Map what the server complains of back to what the user wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.core.text import one_line
from nemo_jobs_cli.fields import strict_json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nemo_jobs_cli.core.errors import Pointer, Problem
    from nemo_jobs_cli.fields.compose import Composed

SHOWN = 60


def rows(problems: Iterable[Problem], composed: Composed) -> list[dict[str, Any]]:
    """Return a row a problem: what the user wrote, where (argument, file:line), what the server says."""
    return [_row(problem, composed) for problem in problems]


def _row(problem: Problem, composed: Composed) -> dict[str, Any]:
    pointer = _pointer(problem.loc, composed)
    wrote = problem.value if pointer is None else one_line(pointer.line.strip(), SHOWN)
    where = ".".join(map(str, problem.loc)) or "the request" if pointer is None else pointer.label
    return {"wrote": wrote, "where": where, "says": problem.says, "loc": list(problem.loc)}


def _pointer(loc: tuple[str | int, ...], composed: Composed) -> Pointer | None:
    """Find the place of `loc` (`body`, key, ...); a number is an offset in the body sent."""
    if loc[:1] != ("body",) or len(loc) == 1:
        return None
    first, *below = loc[1:]
    if isinstance(first, int):
        return strict_json.offset_to_pointer(composed.body.decode(), first, "the body as sent")
    part = composed.parts.get(first)
    return None if part is None else part.place(tuple(below))
