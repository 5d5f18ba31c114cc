"""Find out which of a launcher's many processes this is: only the first reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

# Who launches, its rank, and how many there are: torchrun, Slurm's srun, Open MPI.
LAUNCHERS = (
    ("RANK", "WORLD_SIZE"),
    ("SLURM_PROCID", "SLURM_NTASKS"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
)


class Rank(NamedTuple):
    """A process's number among `of`, and the variable that says so."""

    number: int
    of: int
    variable: str


def rank(environ: Mapping[str, str]) -> Rank | None:
    """Return this process's rank; None where it runs alone, or the variables make no sense.

    A rank counts only with its world size above 1: a single `srun` step sets SLURM_PROCID=0 as well, and a
    variable that is named RANK may mean anything.
    """
    for variable, size in LAUNCHERS:
        number, of = environ.get(variable, ""), environ.get(size, "")
        if _is_count(number) and _is_count(of) and int(of) > 1 and int(number) < int(of):
            return Rank(int(number), int(of), variable)
    return None


def is_silent(found: Rank | None) -> bool:
    """Tell whether another process of the same launch reports in this one's place."""
    return found is not None and found.number != 0


def notice(found: Rank) -> str:
    """Say why a process is silent, and how to change that."""
    return f"rank {found.number} of {found.of} ({found.variable}): rank 0 reports; --all-ranks reports from each"


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10  # noqa: PLR2004 - more digits than any launch has processes
