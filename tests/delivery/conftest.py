"""Fixtures of the delivery tests."""

from __future__ import annotations

import pytest

from nemo_jobs_cli.delivery.outbox import Outbox
from nemo_jobs_cli.settings.model import Settings, Sourced


@pytest.fixture
def outbox(tmp_path):
    """Return an outbox whose folder does not exist yet."""
    return Outbox(tmp_path / "state/outbox")


@pytest.fixture
def settings(outbox):
    """Return a function that makes settings with the outbox folder."""

    def make(host="http://h", *, store=False, best_effort=False, folder=True, seconds=0.0):
        return Settings(
            host=Sourced(host, "--host"),
            outbox=Sourced(store, "--outbox"),
            outbox_dir=Sourced(str(outbox.folder), "default") if folder else None,
            best_effort=Sourced(best_effort, "--best-effort"),
            deadline=Sourced(seconds, "--deadline"),
            profile="lab",
        )

    return make
