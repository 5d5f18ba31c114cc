"""The rank of this process among those of a launcher."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_jobs_cli.run import launcher
from nemo_jobs_cli.run.launcher import Rank

SIZED = [pair for pair in launcher.LAUNCHERS if pair[1]]
UNSIZED = ["PMIX_RANK", "PALS_RANKID"]


@pytest.mark.parametrize(("variable", "size_variable"), SIZED)
@given(number=st.integers(0, 2000), size=st.integers(0, 2000))
def test_every_rank_but_0_is_silent(variable, size_variable, number, size):
    """A rank is below the world size; this holds for the variables of each launcher."""
    rank = launcher.find_silent_rank({variable: str(number), size_variable: str(size)})
    assert rank == (Rank(number, size, variable) if 0 < number < size else None)


def test_all_launchers_are_known():
    """Those without a world size set another one's too, or a rank above 0 shows that there are several."""
    assert {variable for variable, _ in SIZED} == {
        "RANK",
        "OMPI_COMM_WORLD_RANK",
        "MV2_COMM_WORLD_RANK",
        "PMI_RANK",
        "FLUX_TASK_RANK",
        "SLURM_PROCID",
    }
    assert [variable for variable, size in launcher.LAUNCHERS if not size] == UNSIZED


@pytest.mark.parametrize("variable", UNSIZED)
@pytest.mark.parametrize(("number", "rank"), [("0", None), ("3", 3), ("", None), ("x", None)])
def test_launchers_without_a_world_size(variable, number, rank):
    """Rank 0 alone says nothing: an outer launcher may have others."""
    inner = Rank(rank, None, variable) if rank else None
    assert launcher.find_silent_rank({variable: number}) == inner
    outer = {"SLURM_PROCID": "1", "SLURM_NTASKS": "2"}
    assert launcher.find_silent_rank({variable: number} | outer) == (inner or Rank(1, 2, "SLURM_PROCID"))


@pytest.mark.parametrize(
    ("number", "size"),
    [
        ("3", ""),
        ("", "8"),
        ("captain", "8"),
        ("-1", "8"),
        ("1.0", "8"),
        (" 1", "8"),
        ("\u0663", "8"),
        ("1", "9" * 10),
        ("8", "8"),
    ],
)
def test_nonsense_is_no_rank(number, size):
    """One report too many is better than none."""
    environ = {"RANK": number, "WORLD_SIZE": size}
    assert launcher.find_silent_rank(environ) is None
    assert launcher.find_silent_rank({"RANK": "1", "SLURM_NTASKS": "8"}) is None
    environ |= {"SLURM_PROCID": "1", "SLURM_NTASKS": "2"}
    assert launcher.find_silent_rank(environ) == Rank(1, 2, "SLURM_PROCID")


def test_the_inner_launcher_wins():
    """With torchrun inside srun, SLURM_PROCID is the node's rank and RANK the process's."""
    environ = {"RANK": "5", "WORLD_SIZE": "16", "SLURM_PROCID": "0", "SLURM_NTASKS": "2"}
    assert launcher.find_silent_rank(environ) == Rank(5, 16, "RANK")
    assert launcher.find_silent_rank(environ | {"RANK": "0", "SLURM_PROCID": "1"}) is None
    assert launcher.find_silent_rank({**environ, "RANK": "0", "WORLD_SIZE": "1", "SLURM_PROCID": "1"}) == Rank(
        1, 2, "SLURM_PROCID"
    )
    # A batch script has SLURM_PROCID=0 for the whole allocation; mpirun starts the ranks.
    batch = {"SLURM_PROCID": "0", "SLURM_NTASKS": "8"}
    assert launcher.find_silent_rank(batch | {"PMI_RANK": "3", "PMI_SIZE": "8"}) == Rank(3, 8, "PMI_RANK")


@pytest.mark.parametrize(("size", "described"), [(4, "rank 1 of 4 (RANK)"), (None, "rank 1 (RANK)")])
def test_the_notice_names_the_option(size, described):
    """It says which rank this is, where that comes from, and how to change it."""
    assert Rank(1, size, "RANK").notice == f"{described}: rank 0 reports; --all-ranks reports from each rank"
