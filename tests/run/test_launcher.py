"""Which of a launcher's processes this is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_jobs_cli.run import launcher
from nemo_jobs_cli.run.launcher import Rank


@pytest.mark.parametrize(("variable", "size"), launcher.LAUNCHERS)
@given(number=st.integers(0, 2000), of=st.integers(0, 2000))
def test_a_rank_counts_within_a_world_of_more_than_one(variable, size, number, of):
    """Each launcher's pair; only the first process is not silent."""
    found = launcher.find_rank({variable: str(number), size: str(of)})
    assert found == (Rank(number, of, variable) if number < of and of > 1 else None)
    assert launcher.find_silent_rank({variable: str(number), size: str(of)}) == (found if number else None)


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"RANK": "3"},
        {"WORLD_SIZE": "8"},
        {"RANK": "", "WORLD_SIZE": "8"},
        {"RANK": "captain", "WORLD_SIZE": "8"},
        {"RANK": "-1", "WORLD_SIZE": "8"},
        {"RANK": "1.0", "WORLD_SIZE": "8"},
        {"RANK": " 1", "WORLD_SIZE": "8"},
        {"RANK": "\u0663", "WORLD_SIZE": "8"},
        {"RANK": "1", "WORLD_SIZE": "9999999999"},
        {"RANK": "1", "SLURM_NTASKS": "8"},
    ],
)
def test_what_makes_no_sense_is_no_rank(environ):
    """Half a pair, or words: better one report too many than none."""
    assert launcher.find_rank(environ) is None
    assert launcher.find_silent_rank(environ) is None


def test_the_inner_launcher_wins():
    """Torchrun inside srun: SLURM_PROCID is the node's, RANK the process's."""
    environ = {"RANK": "5", "WORLD_SIZE": "16", "SLURM_PROCID": "0", "SLURM_NTASKS": "2"}
    assert launcher.find_rank(environ) == Rank(5, 16, "RANK")


def test_a_pair_without_sense_leaves_the_next():
    """A variable that is named RANK may mean anything."""
    environ = {"RANK": "general", "SLURM_PROCID": "1", "SLURM_NTASKS": "2"}
    assert launcher.find_rank(environ) == Rank(1, 2, "SLURM_PROCID")


def test_the_silence_is_explained():
    """Which of how many it is, who says so, and what changes it."""
    said = Rank(1, 4, "RANK").notice
    assert said == "rank 1 of 4 (RANK): rank 0 reports; --all-ranks reports from each rank"
