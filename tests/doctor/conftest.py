"""A diagnosis in an empty home folder."""

from __future__ import annotations

import time

import pytest

from nemo_jobs_cli.doctor.check import Diagnosis
from nemo_jobs_cli.settings.model import Flags


@pytest.fixture
def home(tmp_path):
    """Return a home folder with the folder of the config file."""
    (tmp_path / "home/.config/nemo-jobs").mkdir(parents=True)
    return tmp_path / "home"


@pytest.fixture
def diagnose(home):
    """Return a function that starts a diagnosis with flags and variables."""

    def start(flags=Flags(), **variables):  # noqa: B008 - frozen
        return Diagnosis.start(flags, {"HOME": str(home), **variables}, time.monotonic())

    return start
