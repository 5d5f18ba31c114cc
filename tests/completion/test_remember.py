"""Caching names, keys and values for the next TAB."""

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
SETTINGS = Settings(host=Sourced("http://h", "default"), workspace=Sourced("research", "default"))
JOB = models.parse_job({"name": "train-x", "status": "active", "status_details": {"phase": "warmup", "my_key": "v"}})


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Return the cache folder of a user at a terminal."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("CI", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / ".cache" / "nemo-jobs"


def tab(*words):
    """Return the candidates that zsh gets."""
    return [line.partition("\t")[0] for line in answer.answer(["zsh", "", *words], os.environ).splitlines()[1:]]


def cache_job():
    """Cache a job, as a command does."""
    remember.jobs(SETTINGS, TERMINAL, "research", [JOB])


def test_shown_jobs_and_sent_fields_are_offered():
    """Names, fields, values and workspaces."""
    cache_job()
    remember.update(SETTINGS, TERMINAL, "research", "train-y", {"phase": "late", "new_key": 1})
    assert set(tab("show", "")) == {"train-x", "train-y"}
    assert "my_key=" in tab("update", "train-x", "")
    assert "new_key:=" in tab("update", "train-y", "")
    assert tab("update", "train-x", "phase=")[:2] == ["phase=warmup", "phase=late"]
    assert tab("list", "-w", "") == ["research"]


def test_the_steps_of_a_shown_job_are_offered():
    """Those that need no quotes; an update of the job, which does not know them, keeps them."""
    steps = [{"name": name, "id": "platform-job-step-1"} for name in ("prepare", "train", "$(reboot)")]
    remember.jobs(SETTINGS, TERMINAL, "research", [models.parse_job({"name": "train-x", "steps": steps})])
    remember.update(SETTINGS, TERMINAL, "research", "train-x", {"phase": "late"})
    remember.update(SETTINGS, TERMINAL, "research", "train-y", {"phase": "late"})
    assert tab("logs", "train-x", "--step", "") == ["prepare", "train"]
    assert tab("logs", "--step=tr", "train-y", "--step", "") == []
    assert "phase=" in tab("update", "train-x", "")


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
def test_nothing_is_written_without_a_terminal_or_a_home_folder(monkeypatch, tmp_path, screen, environ):
    """In a pipe, in CI, or in a job without a home folder."""
    monkeypatch.chdir(tmp_path)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    remember.jobs(SETTINGS, screen, "research", [JOB])
    assert list(tmp_path.rglob("*")) == []


def test_the_files_are_private(home):
    """With any umask."""
    before = os.umask(0)
    try:
        cache_job()
    finally:
        os.umask(before)
    assert home.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in home.iterdir()} == {0o600}


def test_each_host_and_workspace_has_its_own_file(home):
    """A job of one is not offered for another."""
    cache_job()
    other = SETTINGS._replace(workspace=Sourced("staging", "--workspace"))
    remember.update(other, TERMINAL, "staging", "train-z", {})
    assert tab("show", "") == ["train-x"]
    assert tab("show", "-w", "staging", "") == ["train-z"]
    assert tab("show", "-w", "unknown", "") == []
    assert set(tab("show", "-w", "")) == {"research", "staging"}
    assert len(list(home.iterdir())) == 4  # two, the index, the lock


def test_only_jobs_of_the_current_settings_are_offered(monkeypatch, tmp_path):
    """After a change of a variable or the config file, none are offered until a command runs; undoing it restores them."""
    config = tmp_path / ".config" / "nemo-jobs" / "config.toml"
    config.parent.mkdir(parents=True)
    texts = [f'[profiles.default]\nhost = "http://h{number}"\n' for number in range(2)]
    for number, text in enumerate(texts):
        config.write_text(text, encoding="utf-8")
        assert tab("show", "") == []
        settings = SETTINGS._replace(host=Sourced(f"http://h{number}", "profile default"))
        remember.update(settings, TERMINAL, "research", f"train-{number}", {})
    for number, text in enumerate(texts):
        config.write_text(text, encoding="utf-8")
        assert tab("show", "") == [f"train-{number}"]
    assert tab("show", "--host", "http://other", "") == []
    monkeypatch.setenv("NEMO_JOBS_HOST", "http://other")
    assert tab("show", "") == []


def test_a_secret_is_not_cached(monkeypatch, home):
    """The fingerprint contains only whether a token is set."""
    monkeypatch.setenv("NMP_ACCESS_TOKEN", "s3cr3t-token")
    monkeypatch.setenv("NEMO_JOBS_TOKEN", "s3cr3t-too")
    cache_job()
    assert tab("show", "") == ["train-x"]
    assert not any(b"s3cr3t" in file.read_bytes() for file in home.iterdir())


def test_files_of_old_workspaces_are_deleted(home, monkeypatch):
    """The index has a hundred rows at most."""
    monkeypatch.setattr(cache, "MAX_ROWS", 3)
    for number in range(6):
        name = f"space{number}"
        remember.update(SETTINGS._replace(workspace=Sourced(name, "--workspace")), TERMINAL, name, "train-x", {})
    assert [row[2] for row in cache.read_index(str(home))] == ["space5", "space4", "space3"]
    assert len(list(home.iterdir())) == 5


WRITER = """
import sys
from nemo_jobs_cli.completion import remember
from nemo_jobs_cli.settings.model import Screen, Settings, Sourced
remember.LOCK_TIMEOUT = 60
settings = Settings(host=Sourced("http://h", "default"), workspace=Sourced("research", "default"))
for number in range(20):
    remember.update(settings, Screen(terminal=True), "research", f"{sys.argv[1]}{number}", {"key": "v"})
"""


def test_concurrent_writers_lose_nothing():
    """Six processes of twenty updates each."""
    names = "abcdef"
    children = [subprocess.Popen([sys.executable, "-c", WRITER, f"job-{name}"]) for name in names]
    assert [child.wait(60) for child in children] == [0] * 6
    assert set(tab("show", "")) == {f"job-{name}{number}" for name in names for number in range(20)}


def test_nothing_is_cached_if_the_lock_is_not_acquired_in_time(home, monkeypatch):
    """No command waits for the cache."""
    home.mkdir(parents=True)
    monkeypatch.setattr(remember, "LOCK_TIMEOUT", 0.02)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        cache_job()
    assert tab("show", "") == []
    cache_job()
    assert tab("show", "") == ["train-x"]


@pytest.mark.parametrize("damage", ["file", "broken", "folder", "fifo", "binary", "large"])
def test_a_broken_cache_is_empty(home, damage):
    """No command fails, and no TAB hangs."""
    cache_job()
    (note,) = cache.read_index(str(home))
    file = home / note[3]
    whole = file.read_bytes()
    file.unlink()
    if damage == "file":
        for other in home.iterdir():
            other.unlink()
        home.rmdir()
        home.write_text("not a folder", encoding="utf-8")
    elif damage == "folder":
        file.mkdir()
    elif damage == "fifo":
        os.mkfifo(file)
    else:
        large = whole + b"x" * cache.MAX_BYTES  # its last line would be cut
        file.write_bytes({"broken": b"broken", "binary": b"\xff\xfe\0", "large": large}[damage])
    assert tab("show", "") == []
    cache_job()


@pytest.mark.parametrize("kind", ["link", "owner"])
def test_a_folder_of_another_user_is_not_changed(home, tmp_path, monkeypatch, kind):
    """Nor is a link, which may lead to any folder."""
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "thesis").write_text("x", encoding="utf-8")
    home.parent.mkdir()
    if kind == "link":
        home.symlink_to(docs)
    else:
        docs.rename(home)
        monkeypatch.setattr(remember.os, "geteuid", lambda: home.stat().st_uid + 1)
    cache_job()
    assert [file.name for file in home.iterdir()] == ["thesis"]


def test_a_link_in_place_of_the_lock_is_not_followed(home, tmp_path):
    """It would create a file elsewhere."""
    home.mkdir(parents=True)
    (home / "lock").symlink_to(tmp_path / "elsewhere")
    cache_job()
    assert not (tmp_path / "elsewhere").exists()
    assert [file.name for file in home.iterdir()] == ["lock"]


def test_only_unused_cache_files_are_deleted(home):
    """Those not in the index or not written in 30 days; other files stay."""
    home.mkdir(parents=True)
    unused, old = home / "0123456789ab", home / entry.digest("http://h", "old")
    for file in (home / "tool.json", home / "abcdef", home / ".hidden", unused, old):
        file.write_text("x", encoding="utf-8")
    remember.update(SETTINGS._replace(workspace=Sourced("old", "--workspace")), TERMINAL, "old", "train-x", {})
    long_ago = time.time() - cache.MAX_AGE - 1
    os.utime(old, (long_ago, long_ago))
    cache_job()
    assert old.name in {row[3] for row in cache.read_index(str(home))}
    assert (unused.exists(), old.exists()) == (False, False)
    assert {file.name for file in home.iterdir()} >= {"tool.json", "abcdef", ".hidden"}


def test_the_newest_of_many_jobs_are_kept(home, monkeypatch):
    """The platform lists them newest first."""
    monkeypatch.setattr(cache, "MAX_JOBS", 3)
    jobs = [models.parse_job({"name": f"job{number}", "status": "active"}) for number in range(5)]
    remember.jobs(SETTINGS, TERMINAL, "research", jobs)
    assert tab("show", "") == ["job0", "job1", "job2"]
    remember.jobs(SETTINGS, TERMINAL, "research", jobs[4:])
    assert tab("show", "") == ["job4", "job0", "job1"]


def test_a_fingerprint_that_is_too_long_is_skipped(monkeypatch):
    """The other rows of the index stay."""
    cache_job()
    with monkeypatch.context() as patch:
        patch.setenv("NEMO_JOBS_CONFIG", "/" * cache.MAX_BYTES)
        cache_job()
    assert tab("show", "") == ["train-x"]
