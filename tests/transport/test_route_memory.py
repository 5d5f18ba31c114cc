"""The memory of a host's route: kept in the cache, and never in the way of an update."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_jobs_cli.transport import route_memory
from nemo_jobs_cli.transport.route_memory import RouteMemory

HOST = "https://nmp.example.com/pre"


def test_a_new_host_is_asked_for_the_older_route_first(tmp_path):
    """As long as it has that, nothing is written."""
    memory = RouteMemory(HOST, str(tmp_path / "cache"))
    assert memory.api == "jobs"
    memory.learn("jobs")
    assert not (tmp_path / "cache").exists()


def test_the_route_of_attempts_is_remembered_until_it_is_gone(tmp_path):
    """Also by other processes, and for this host only; the cache is private."""
    folder = str(tmp_path / "new" / "cache")
    memory = RouteMemory(HOST, folder)
    memory.learn("attempts")
    assert (memory.api, RouteMemory(HOST, folder).api, RouteMemory("https://other", folder).api) == (
        "attempts",
        "attempts",
        "jobs",
    )
    assert (tmp_path / "new" / "cache").stat().st_mode & 0o077 == 0
    RouteMemory("https://other", folder).learn("attempts")
    RouteMemory(HOST, folder).learn("jobs")
    assert (RouteMemory(HOST, folder).api, RouteMemory("https://other", folder).api) == ("jobs", "attempts")


def test_the_file_is_read_once(tmp_path, monkeypatch):
    """A flow asks before each request."""
    reads = []
    monkeypatch.setattr(route_memory, "read_regular", lambda *_: reads.append(1) or b"")
    memory = RouteMemory(HOST, str(tmp_path))
    for _ in range(5):
        assert memory.api == "jobs"
        memory.learn("jobs")
    assert reads == [1]


def test_the_file_has_a_limited_number_of_hosts(tmp_path):
    """The newest ones."""
    for number in range(route_memory.MAX_HOSTS + 5):
        RouteMemory(f"https://h{number}", str(tmp_path)).learn("attempts")
    hosts = (tmp_path / route_memory.FILE).read_text(encoding="utf-8").splitlines()[1:]
    assert (len(hosts), hosts[0], hosts[-1]) == (route_memory.MAX_HOSTS, f"https://h{number}", "https://h5")


@pytest.mark.parametrize(
    "content",
    [b"", b"\0\xff" * 100, f"{HOST}\n".encode(), f"nemo-jobs routes 2\n{HOST}\n".encode(), b"[]",
     f"nemo-jobs routes 1\n{HOST}\n".encode() + b"x" * 300_000],
)  # fmt: skip
def test_a_foreign_file_counts_as_empty(tmp_path, content):
    """It is replaced as soon as there is something to remember."""
    (tmp_path / route_memory.FILE).write_bytes(content)
    memory = RouteMemory(HOST, str(tmp_path))
    assert memory.api == "jobs"
    memory.learn("attempts")
    assert RouteMemory(HOST, str(tmp_path)).api == "attempts"


@pytest.mark.parametrize("kind", ["folder", "fifo", "loop", "file in place of the cache", "too long"])
def test_an_unusable_cache_stops_nothing(tmp_path, kind):
    """Neither reading nor writing raises an error or waits; this process remembers all the same."""
    folder = tmp_path / ("x" * 5000 if kind == "too long" else "cache")
    if kind == "file in place of the cache":
        folder.write_text("", encoding="utf-8")
    elif kind != "too long":
        folder.mkdir()
    file = folder / route_memory.FILE
    if kind == "folder":
        file.mkdir()
    elif kind == "fifo":
        os.mkfifo(file)
    elif kind == "loop":
        file.symlink_to(file)
    memory = RouteMemory(HOST, str(folder))
    assert memory.api == "jobs"
    memory.learn("attempts")
    assert memory.api == "attempts"


def test_without_a_cache_the_process_remembers():
    """As in a job, which has no HOME."""
    memory = RouteMemory(HOST, None)
    memory.learn("attempts")
    assert memory.api == "attempts"


@given(st.lists(st.sampled_from(["jobs", "attempts"]), min_size=1))
def test_the_last_lesson_counts(tmp_path_factory, lessons):
    """For this process and the next one."""
    folder = str(tmp_path_factory.mktemp("cache"))
    memory = RouteMemory(HOST, folder)
    for lesson in lessons:
        memory.learn(lesson)
        assert memory.api == lesson
    assert RouteMemory(HOST, folder).api == lessons[-1]
