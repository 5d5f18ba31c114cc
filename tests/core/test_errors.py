"""Errors and their exit codes."""

from __future__ import annotations

import itertools

import pytest

from nemo_jobs_cli.core.errors import ExitCode, SettingsError, worst_exit_code

# As docs/delivery.md promises it, worst first.
ORDER = (1, 3, 2, 4, 6, 5, 7, 0)


@pytest.mark.parametrize(("worse", "better"), list(itertools.combinations(ORDER, 2)))
def test_the_worst_exit_code_wins_in_any_order(worse, better):
    """Repeated codes do not matter."""
    assert worst_exit_code([worse, better]) == worst_exit_code([better, worse, better]) == worse


def test_the_worst_exit_code_is_a_plain_int():
    """It is shown in JSON; no codes at all mean success."""
    assert type(worst_exit_code([ExitCode.AUTH])) is int
    assert worst_exit_code(code for code in ()) == 0


def test_an_error_as_dict_has_its_facts():
    """The `error` object of `-o json`."""
    error = SettingsError("no host", "set one", facts={"host": None})
    assert error.as_dict() == {"message": "no host", "hint": "set one", "host": None}
