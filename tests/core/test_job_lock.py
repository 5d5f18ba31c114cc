"""The lock of a job among the processes of a machine."""

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
    """Hold the lock in another process."""
    tempfile.tempdir = folder
    with job_lock.hold(key, limit(10)):
        taken.set()
        done.wait(10)


@pytest.fixture
def holder(tmp_path):
    """Return a function that holds the lock in another process and returns a function to release it."""
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


def test_a_free_lock_is_acquired_at_once():
    """In the usual case."""
    with job_lock.hold("job", limit(10)) as came:
        assert came


def test_different_jobs_do_not_wait_for_each_other(holder):
    """Each job has its own lock."""
    holder("job a")
    with job_lock.hold("job b", limit(10)) as came:
        assert came


def test_a_held_lock_is_waited_for(holder):
    """The wait ends when it is released."""
    let_go = holder("job")
    began = time.monotonic()
    import threading

    threading.Timer(0.3, let_go).start()
    with job_lock.hold("job", limit(30)) as came:
        assert came
    assert 0.2 < time.monotonic() - began < 5


def test_a_lock_that_stays_held_is_not_needed(holder):
    """Time for sending is reserved."""
    holder("job")
    began = time.monotonic()
    with job_lock.hold("job", limit(0.4)) as came:
        assert not came
    assert time.monotonic() - began < 0.4


@pytest.mark.parametrize("trap", ["file", "link", "open"])
def test_a_folder_that_others_can_change_is_not_used(tmp_path, trap):
    """Another user may have created it in /tmp."""
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


def test_without_locks_the_update_is_sent(monkeypatch):
    """As on some network file systems and on Windows."""

    def fail(*_args):
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.flock", fail)
    with job_lock.hold("job", limit(10)) as came:
        assert not came
    monkeypatch.delattr(os, "getuid")
    with job_lock.hold("job", limit(10)) as came:
        assert not came


def test_the_folder_is_private(tmp_path):
    """No other user can hold the lock."""
    with job_lock.hold("job", limit(10)):
        folder = tmp_path / f"nemo-jobs-{os.getuid()}"
        assert folder.stat().st_mode & 0o777 == 0o700
        (lock,) = folder.iterdir()
        assert lock.stat().st_mode & 0o777 == 0o600


def test_a_single_attempt_does_not_wait():
    """With `--deadline 0`."""
    with job_lock.hold("job", limit(10)) as first:
        began = time.monotonic()
        with job_lock.hold("job", limit(0)) as second:
            assert (first, second) == (True, False)
        assert time.monotonic() - began < 1


@pytest.mark.parametrize("folder", ["none", "here"])
def test_without_a_temporary_folder_there_is_no_lock(tmp_path, monkeypatch, folder):
    """The user's working directory is not used."""

    def none():
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "gettempdir", none if folder == "none" else lambda: str(tmp_path))
    with job_lock.hold("job", limit(10)) as came:
        assert came is False
    assert list(tmp_path.iterdir()) == []
