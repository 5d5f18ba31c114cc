"""How many were let go: counted by any number of processes, told once."""

from __future__ import annotations

import multiprocessing
import stat

import pytest

from nemo_jobs_cli.delivery import policy
from nemo_jobs_cli.settings.model import Settings, Sourced


@pytest.fixture
def where(tmp_path):
    """Give settings with an outbox that is not there."""
    return Settings(host=Sourced("http://h", "--host"), outbox_dir=Sourced(str(tmp_path / "state/outbox"), "default"))


def test_what_was_dropped_is_told_once(where):
    """And then it is forgotten."""
    assert policy.take_dropped_count(where) == 0
    for _ in range(3):
        policy.count_dropped(where)
    assert (policy.take_dropped_count(where), policy.take_dropped_count(where)) == (3, 0)


def test_each_host_has_its_own_count(where):
    """What one network lost says nothing about the other."""
    policy.count_dropped(where)
    assert policy.take_dropped_count(where._replace(host=Sourced("http://other", "--host"))) == 0
    assert policy.take_dropped_count(where) == 1


def test_the_count_is_private_and_leaves_nothing_behind(where, tmp_path):
    """No outbox comes to be by it, either."""
    policy.count_dropped(where)
    (file,) = (tmp_path / "state").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert policy.take_dropped_count(where) == 1
    assert list((tmp_path / "state").iterdir()) == []


def add(where):
    """Count in another process."""
    for _ in range(100):
        policy.count_dropped(where)


def test_any_number_of_processes_may_count(where):
    """None is lost."""
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=add, args=(where,)) for _ in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join(30)
    assert policy.take_dropped_count(where) == 400


def test_where_nothing_can_be_written_nothing_is_counted(where, tmp_path):
    """The count is a courtesy: no home, or a file in its place, is no reason to fail."""
    (tmp_path / "state").write_text("a file")
    for settings in (where, where._replace(outbox_dir=None)):
        policy.count_dropped(settings)
        assert policy.take_dropped_count(settings) == 0
