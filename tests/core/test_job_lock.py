"""The queue of one machine's writers: a courtesy that never stands in the way."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time

import pytest

from nemo_jobs_cli.core import deadline, job_lock
from nemo_jobs_cli.core.clock import SYSTEM_CLOCK


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    """Keep the locks of the tests apart from the user's."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def limit(seconds):
    """Return a deadline on the real clock."""
    return deadline.start(seconds, SYSTEM_CLOCK.now(), SYSTEM_CLOCK)


def hold(key, folder, taken, done):
    """Hold a turn in another process."""
    tempfile.tempdir = folder
    with job_lock.hold(key, limit(10)):
        taken.set()
        done.wait(10)


@pytest.fixture
def holder(tmp_path):
    """Return a function that has another process hold a turn; what it returns lets go."""
    context = multiprocessing.get_context("fork")
    children = []

    def start(key):
        taken, done = context.Event(), context.Event()
        child = context.Process(target=hold, args=(key, str(tmp_path), taken, done))
        child.start()
        children.append((child, done))
        assert taken.wait(10)
        return done.set

    yield start
    for child, done in children:
        done.set()
        child.join(10)


def test_a_free_turn_comes_at_once():
    """The usual case costs nothing."""
    with job_lock.hold("job", limit(10)) as came:
        assert came


def test_different_jobs_do_not_wait_for_each_other(holder):
    """The lock is the job's."""
    holder("job a")
    with job_lock.hold("job b", limit(10)) as came:
        assert came


def test_one_waits_for_the_other(holder):
    """And goes on as soon as the turn is free."""
    let_go = holder("job")
    began = time.monotonic()
    import threading

    threading.Timer(0.3, let_go).start()
    with job_lock.hold("job", limit(30)) as came:
        assert came
    assert 0.2 < time.monotonic() - began < 5


def test_a_turn_that_does_not_come_is_done_without(holder):
    """Somebody may hang with the lock in hand; time to send is kept."""
    holder("job")
    began = time.monotonic()
    with job_lock.hold("job", limit(0.4)) as came:
        assert not came
    assert time.monotonic() - began < 0.4


@pytest.mark.parametrize("trap", ["file", "link", "open"])
def test_a_folder_that_is_not_ours_alone_is_not_used(tmp_path, trap):
    """In /tmp anybody may have been there first."""
    folder = tmp_path / f"nemo-jobs-{os.getuid()}"
    if trap == "file":
        folder.write_text("")
    elif trap == "link":
        (tmp_path / "elsewhere").mkdir()
        folder.symlink_to(tmp_path / "elsewhere")
    else:
        folder.mkdir()
        folder.chmod(0o777)
    with job_lock.hold("job", limit(10)) as came:
        assert not came


def test_without_locks_updates_are_sent_all_the_same(monkeypatch):
    """A network file system may have none; a system that isn't POSIX has none."""

    def fail(*_args):
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.flock", fail)
    with job_lock.hold("job", limit(10)) as came:
        assert not came
    monkeypatch.delattr(os, "getuid")
    with job_lock.hold("job", limit(10)) as came:
        assert not came


def test_the_folder_is_private(tmp_path):
    """Nobody else can hold our turn."""
    with job_lock.hold("job", limit(10)):
        folder = tmp_path / f"nemo-jobs-{os.getuid()}"
        assert folder.stat().st_mode & 0o777 == 0o700
        (lock,) = folder.iterdir()
        assert lock.stat().st_mode & 0o777 == 0o600


def test_one_attempt_waits_for_nobody():
    """`--deadline 0` means now."""
    with job_lock.hold("job", limit(10)) as first:
        began = time.monotonic()
        with job_lock.hold("job", limit(0)) as second:
            assert (first, second) == (True, False)
        assert time.monotonic() - began < 1


@pytest.mark.parametrize("found", ["none", "here"])
def test_a_machine_without_a_place_for_locks_sends_without(tmp_path, monkeypatch, found):
    """A read-only container has no temporary folder; the user's own folder is none."""

    def none():
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "gettempdir", none if found == "none" else lambda: str(tmp_path))
    with job_lock.hold("job", limit(10)) as came:
        assert came is False
    assert list(tmp_path.iterdir()) == []
