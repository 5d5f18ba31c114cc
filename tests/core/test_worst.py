"""The exit code of several results."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_jobs_cli.core import worst
from nemo_jobs_cli.core.errors import ExitCode

# As README promises it, worst first.
ORDER = (1, 3, 2, 4, 6, 5, 7, 0)


@pytest.mark.parametrize(("worse", "better"), list(itertools.combinations(ORDER, 2)))
def test_the_worse_of_two_counts(worse, better):
    """In either order, however often."""
    assert worst.of([worse, better]) == worst.of([better, worse, better]) == worse


@given(st.lists(st.sampled_from(ORDER)))
def test_the_worst_of_many_is_one_of_them(codes):
    """Or 0, where there are none."""
    assert worst.of(codes) == next((code for code in ORDER if code in codes), 0)


def test_it_is_a_plain_number():
    """What the process exits with, and what JSON shows."""
    assert type(worst.of([ExitCode.AUTH])) is int
    assert worst.of(code for code in ()) == 0
