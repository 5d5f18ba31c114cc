"""Find this process's rank among those of a launcher: only the first one reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# The variables of rank and world size that launchers set: torchrun, Slurm's srun, Open MPI.
LAUNCHERS = (
    ("RANK", "WORLD_SIZE"),
    ("SLURM_PROCID", "SLURM_NTASKS"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
)

_MAX_DIGITS = 9


@dataclass(frozen=True, slots=True)
class Rank:
    """A process's number among `size` processes, and the variable that it came from."""

    number: int
    size: int
    variable: str

    @property
    def notice(self) -> str:
        """Return why this process does not report, and the option that changes that."""
        return (
            f"rank {self.number} of {self.size} ({self.variable}): rank 0 reports; --all-ranks reports from each rank"
        )


def find_silent_rank(environ: Mapping[str, str]) -> Rank | None:
    """Return this process's rank if rank 0 reports in its place.

    A rank counts only if the world size is above 1: a single `srun` step sets SLURM_PROCID=0 as well, and any program
    may use a variable named RANK.
    """
    for variable, size_variable in LAUNCHERS:
        number, size = environ.get(variable, ""), environ.get(size_variable, "")
        if _is_count(number) and _is_count(size) and int(size) > 1 and int(number) < int(size):
            return Rank(int(number), int(size), variable) if int(number) > 0 else None
    return None


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS
