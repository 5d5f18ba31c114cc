"""Names and keys are kept for the next TAB: for people, privately, and whole."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time

import pytest

from nemo_jobs_cli.api import models
from nemo_jobs_cli.completion import _cache as cache
from nemo_jobs_cli.completion import answer, remember
from nemo_jobs_cli.delivery import entry
from nemo_jobs_cli.settings.model import Screen, Settings, Sourced

TERMINAL = Screen(terminal=True)
WHERE = Settings(host=Sourced("http://h", "default"), workspace=Sourced("research", "default"))
JOB = models.parse_job({"name": "train-x", "status": "active", "status_details": {"phase": "warmup", "my_key": "v"}})


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Return the cache's folder of a person at a terminal."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("CI", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / ".cache" / "nemo-jobs"


def tab(*words):
    """Return what is offered, as zsh gets it."""
    return [line.partition("\t")[0] for line in answer.answer(["zsh", "", *words], os.environ).splitlines()[1:]]


def in_use(where=WHERE, workspace="research"):
    """Remember a job, as a command does."""
    remember.jobs(where, TERMINAL, workspace, [JOB])


def test_what_was_shown_and_sent_is_offered():
    """Names, fields, values."""
    in_use()
    remember.update(WHERE, TERMINAL, "research", "train-y", {"phase": "late", "new_key": 1})
    assert set(tab("show", "")) == {"train-x", "train-y"}
    assert "my_key=" in tab("update", "train-x", "")
    assert "new_key:=" in tab("update", "train-y", "")
    assert tab("update", "train-x", "phase=")[:2] == ["phase=warmup", "phase=late"]
    assert tab("list", "-w", "") == ["research"]


@pytest.mark.parametrize(
    ("screen", "environ"),
    [
        (Screen(), {}),
        (Screen(output="json"), {}),
        (TERMINAL, {"CI": "true"}),
        (TERMINAL, {"CI": "1"}),
        (TERMINAL, {"HOME": ""}),
        (TERMINAL, {"HOME": "relative"}),
    ],
)
def test_nothing_is_written_where_nobody_types(monkeypatch, tmp_path, screen, environ):
    """A pipe, CI, a job without a home."""
    monkeypatch.chdir(tmp_path)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    remember.jobs(WHERE, screen, "research", [JOB])
    assert list(tmp_path.rglob("*")) == []


def test_the_files_are_private(home):
    """Names of jobs are nobody else's business, whatever the umask."""
    before = os.umask(0)
    try:
        in_use()
    finally:
        os.umask(before)
    assert home.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in home.iterdir()} == {0o600}


def test_each_host_and_workspace_has_its_own(home):
    """A name of the one is no name of the other."""
    in_use()
    other = WHERE._replace(workspace=Sourced("staging", "--workspace"))
    remember.update(other, TERMINAL, "staging", "train-z", {})
    assert tab("show", "") == ["train-x"]
    assert tab("show", "-w", "staging", "") == ["train-z"]
    assert tab("show", "-w", "unknown", "") == []
    assert set(tab("show", "-w", "")) == {"research", "staging"}
    assert len(list(home.iterdir())) == 4  # two, the index, the lock


def test_only_what_is_meant_is_offered(monkeypatch, tmp_path):
    """Another variable, a changed configuration: nothing before a command was there, and all of it when one comes back."""
    config = tmp_path / ".config" / "nemo-jobs" / "config.toml"
    config.parent.mkdir(parents=True)
    texts = [f'[profiles.default]\nhost = "http://h{number}"\n' for number in range(2)]
    for number, text in enumerate(texts):
        config.write_text(text)
        assert tab("show", "") == []
        where = WHERE._replace(host=Sourced(f"http://h{number}", "profile default"))
        remember.update(where, TERMINAL, "research", f"train-{number}", {})
    for number, text in enumerate(texts):
        config.write_text(text)
        assert tab("show", "") == [f"train-{number}"]
    assert tab("show", "--host", "http://other", "") == []
    monkeypatch.setenv("NEMO_JOBS_HOST", "http://other")
    assert tab("show", "") == []


def test_a_secret_is_no_part_of_the_situation(monkeypatch, home):
    """Whether there is a token matters; what it is does not."""
    monkeypatch.setenv("NMP_ACCESS_TOKEN", "s3cr3t-token")
    monkeypatch.setenv("NEMO_JOBS_TOKEN", "s3cr3t-too")
    in_use()
    assert tab("show", "") == ["train-x"]
    assert not any(b"s3cr3t" in file.read_bytes() for file in home.iterdir())


def test_old_workspaces_go(home, monkeypatch):
    """A hundred are noted; the files of others are deleted."""
    monkeypatch.setattr(cache, "MAX_ROWS", 3)
    for number in range(6):
        name = f"space{number}"
        remember.update(WHERE._replace(workspace=Sourced(name, "--workspace")), TERMINAL, name, "train-x", {})
    assert [note[2] for note in cache.read_index(str(home))] == ["space5", "space4", "space3"]
    assert len(list(home.iterdir())) == 5


WRITER = """
import sys
from nemo_jobs_cli.completion import remember
from nemo_jobs_cli.settings.model import Screen, Settings, Sourced
remember.LOCK_TIMEOUT = 60
where = Settings(host=Sourced("http://h", "default"), workspace=Sourced("research", "default"))
for number in range(20):
    remember.update(where, Screen(terminal=True), "research", f"{sys.argv[1]}{number}", {"key": "v"})
"""


def test_writers_at_the_same_time_lose_nothing():
    """Six processes of twenty updates each."""
    names = "abcdef"
    children = [subprocess.Popen([sys.executable, "-c", WRITER, f"job-{name}"]) for name in names]
    assert [child.wait(60) for child in children] == [0] * 6
    assert set(tab("show", "")) == {f"job-{name}{number}" for name in names for number in range(20)}


def test_who_cant_have_the_lock_in_time_leaves_it(home, monkeypatch):
    """It is only a cache: no command waits for it."""
    home.mkdir(parents=True)
    monkeypatch.setattr(remember, "LOCK_TIMEOUT", 0.02)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        in_use()
    assert tab("show", "") == []
    in_use()
    assert tab("show", "") == ["train-x"]


@pytest.mark.parametrize("trouble", ["file", "broken", "folder", "fifo", "binary", "large"])
def test_a_cache_that_is_broken_is_only_empty(home, trouble):
    """No command fails of it, no TAB hangs of it."""
    in_use()
    (note,) = cache.read_index(str(home))
    file = home / note[3]
    file.unlink()
    if trouble == "file":
        for other in home.iterdir():
            other.unlink()
        home.rmdir()
        home.write_text("not a folder")
    elif trouble == "folder":
        file.mkdir()
    elif trouble == "fifo":
        os.mkfifo(file)
    else:
        file.write_bytes({"broken": b"what?", "binary": b"\xff\xfe\0", "large": b"x" * (cache.MAX_BYTES + 1)}[trouble])
    assert tab("show", "") == []
    in_use()


@pytest.mark.parametrize("theirs", ["link", "owner"])
def test_a_folder_that_is_not_ours_is_left_alone(home, tmp_path, monkeypatch, theirs):
    """Where somebody else could have put it, it may lead to anything."""
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "thesis").write_text("x")
    home.parent.mkdir()
    if theirs == "link":
        home.symlink_to(docs)
    else:
        docs.rename(home)
        monkeypatch.setattr(remember.os, "geteuid", lambda: home.stat().st_uid + 1)
    in_use()
    assert [file.name for file in home.iterdir()] == ["thesis"]


def test_only_files_of_its_own_kind_are_ever_deleted(home):
    """Somebody may put another file there; what is of no use any more, or has not been used in 30 days, goes."""
    home.mkdir(parents=True)
    unused, old = home / "0123456789ab", home / entry.digest("http://h", "old")
    for file in (home / "tool.json", home / "abcdef", home / ".hidden", unused, old):
        file.write_text("x")
    remember.update(WHERE, TERMINAL, "old", "train-x", {})
    long_ago = time.time() - cache.MAX_AGE - 1
    os.utime(old, (long_ago, long_ago))
    in_use()
    assert (unused.exists(), old.exists()) == (False, False)
    assert {file.name for file in home.iterdir()} >= {"tool.json", "abcdef", ".hidden"}


def test_the_newest_of_many_jobs_are_kept(home, monkeypatch):
    """The platform lists them newest first."""
    monkeypatch.setattr(cache, "MAX_JOBS", 3)
    found = [models.parse_job({"name": f"job{number}", "status": "active"}) for number in range(5)]
    remember.jobs(WHERE, TERMINAL, "research", found)
    assert tab("show", "") == ["job0", "job1", "job2"]
    remember.jobs(WHERE, TERMINAL, "research", found[4:])
    assert tab("show", "") == ["job4", "job0", "job1"]


def test_a_situation_that_is_too_long_costs_no_other_its_note(monkeypatch):
    """The index has bounds as well."""
    in_use()
    with monkeypatch.context() as patch:
        patch.setenv("NEMO_JOBS_CONFIG", "/" * cache.MAX_BYTES)
        in_use()
    assert tab("show", "") == ["train-x"]


def test_nothing_is_remembered_for_ever(home, monkeypatch):
    """Thirty days after it was last seen, a job is not offered any more."""
    in_use()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + cache.MAX_AGE + 1)
    assert tab("show", "") == []
