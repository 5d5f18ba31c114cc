"""The rank of this process among those of a launcher."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_jobs_cli.run import launcher
from nemo_jobs_cli.run.launcher import Rank


@pytest.mark.parametrize(("variable", "size_variable"), launcher.LAUNCHERS)
@given(number=st.integers(0, 2000), size=st.integers(0, 2000))
def test_every_rank_but_0_is_silent(variable, size_variable, number, size):
    """A rank is below the world size; this holds for the variables of each launcher."""
    rank = launcher.find_silent_rank({variable: str(number), size_variable: str(size)})
    assert rank == (Rank(number, size, variable) if 0 < number < size else None)


@pytest.mark.parametrize(
    ("number", "size"),
    [("3", ""), ("", "8"), ("captain", "8"), ("-1", "8"), ("1.0", "8"), (" 1", "8"), ("\u0663", "8"), ("1", "9" * 10)],
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


def test_the_notice_names_the_option():
    """It says which rank this is, where that comes from, and how to change it."""
    notice = Rank(1, 4, "RANK").notice
    assert notice == "rank 1 of 4 (RANK): rank 0 reports; --all-ranks reports from each rank"
