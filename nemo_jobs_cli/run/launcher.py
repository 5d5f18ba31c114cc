"""Find the rank of this process among those of a launcher."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# The variables of rank and world size ("": none) that launchers set, the inner ones first: torchrun in a launch of MPI,
# in one of a batch system. A batch script has SLURM_PROCID=0 with a size too, and all that it starts inherits them.
LAUNCHERS = (
    ("RANK", "WORLD_SIZE"),  # torchrun
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),  # Open MPI
    ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"),  # MVAPICH2
    ("PMI_RANK", "PMI_SIZE"),  # MPICH, Intel MPI, Cray
    ("PMIX_RANK", ""),  # whatever speaks PMIx
    ("PALS_RANKID", ""),  # HPE Cray PALS
    ("FLUX_TASK_RANK", "FLUX_JOB_SIZE"),
    ("SLURM_PROCID", "SLURM_NTASKS"),
)

_MAX_DIGITS = 9


@dataclass(frozen=True, slots=True)
class Rank:
    """A process's number among `size` processes, and its variable."""

    number: int
    size: int | None
    variable: str

    def __str__(self) -> str:
        """Describe the rank."""
        return f"rank {self.number}{f' of {self.size}' if self.size else ''} ({self.variable})"

    @property
    def notice(self) -> str:
        """Return why this process does not report."""
        return f"{self}: rank 0 reports; --all-ranks reports from each rank"


def find_silent_rank(environ: Mapping[str, str]) -> Rank | None:
    """Return this process's rank if rank 0 reports in its place.

    A rank counts only if the world size is above 1: a single `srun` step sets SLURM_PROCID=0 as well, and any program
    may use a variable named RANK. Where there is no size, a rank above 0 shows that there are several.
    """
    for variable, size_variable in LAUNCHERS:
        number, size = _count(environ.get(variable, "")), _count(environ.get(size_variable, ""))
        if number is None:
            continue
        if not size_variable and number > 0:
            return Rank(number, None, variable)
        if size is not None and size > 1 and number < size:
            return Rank(number, size, variable) if number > 0 else None
    return None


def _count(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS else None
