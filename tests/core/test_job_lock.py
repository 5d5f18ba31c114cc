"""The lock of a job among the processes of a machine."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import threading

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
    with job_lock.hold(key, limit(60)):
        taken.set()
        done.wait(60)


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
        assert taken.wait(60)
        return done.set

    yield start
    for child, done in children:
        done.set()
        child.join(60)


def is_acquired(seconds=60.0):
    """Return whether the lock of a job is acquired within a deadline."""
    with job_lock.hold("job", limit(seconds)) as acquired:
        return acquired


def test_jobs_do_not_wait_for_each_other(holder):
    """Each has its own lock, which is acquired at once."""
    holder("another job")
    assert is_acquired()


def test_a_held_lock_is_waited_for(holder):
    """The wait ends when it is released."""
    release = holder("job")
    released = []
    threading.Timer(0.3, lambda: released.append(True) or release()).start()
    assert is_acquired()
    assert released


@pytest.mark.parametrize(("seconds", "waited"), [(10, 8.5), (2, 1), (0, 0)])
def test_a_lock_that_stays_held_is_not_needed(holder, monkeypatch, fake_time, seconds, waited):
    """Time for sending is reserved; a single attempt (`--deadline 0`) does not wait."""
    holder("job")
    acquire, waits = job_lock.acquire, []
    monkeypatch.setattr(job_lock, "acquire", lambda lock, limit: waits.append(limit) or acquire(lock, 0.01))
    with job_lock.hold("job", deadline.start(seconds, fake_time.now, fake_time.clock)) as acquired:
        assert not acquired
    assert waits == [waited]


def trap(folder, kind):
    """Make the folder of the locks one that other users can change."""
    if kind == "file":
        folder.write_text("", encoding="utf-8")
    elif kind == "link":
        folder.with_name("elsewhere").mkdir(0o700)
        folder.symlink_to(folder.with_name("elsewhere"))
    else:
        folder.mkdir()
        folder.chmod(0o777)


def fail(*_args):
    """Raise what a file system without locks or space raises."""
    raise OSError(37, "No locks available")


@pytest.mark.parametrize(
    "kind", ["file", "link", "open", "flock", "getuid", "no temporary folder", "working directory"]
)
def test_without_a_lock_the_update_is_sent(tmp_path, monkeypatch, kind):
    """A folder that others can change, a network file system, Windows; the user's own folder is not used."""
    folder = tmp_path / f"nemo-jobs-{os.getuid()}"
    if kind == "flock":
        monkeypatch.setattr("fcntl.flock", fail)
    elif kind == "getuid":
        monkeypatch.delattr(os, "getuid")
    elif kind == "no temporary folder":
        monkeypatch.setattr(tempfile, "gettempdir", fail)
    elif kind == "working directory":
        monkeypatch.chdir(tmp_path)
    else:
        trap(folder, kind)
    assert is_acquired() is False
    assert kind == "flock" or not list(tmp_path.glob("*/*.lock"))


def test_the_first_two_writers_of_a_machine_share_the_folder(monkeypatch):
    """Another one may create it at any moment before our own attempt."""
    mkdir = os.mkdir

    def second(path, mode):
        mkdir(path, mode)
        mkdir(path, mode)

    monkeypatch.setattr(os, "mkdir", second)
    assert is_acquired()


def test_the_folder_is_private(tmp_path):
    """No other user can hold the lock."""
    assert is_acquired()
    folder = tmp_path / f"nemo-jobs-{os.getuid()}"
    assert folder.stat().st_mode & 0o777 == 0o700
    (lock,) = folder.iterdir()
    assert lock.stat().st_mode & 0o777 == 0o600


def test_a_folder_of_another_user_is_not_used(tmp_path, monkeypatch):
    """Who owns it can replace the files in it, whatever its mode is."""
    user = os.getuid() + 1
    monkeypatch.setattr(os, "getuid", lambda: user)
    (tmp_path / f"nemo-jobs-{user}").mkdir(0o700)
    assert not is_acquired()


def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path):
    """It would create or lock a file elsewhere."""
    assert is_acquired()
    (lock,) = tmp_path.glob("*/*.lock")
    lock.unlink()
    lock.symlink_to(tmp_path / "elsewhere")
    assert not is_acquired()
    assert not (tmp_path / "elsewhere").exists()
