"""Test the process that owns a claim: whether another process can tell that it has ended."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from nemo_jobs_cli.delivery import _owner

ENDED = 2**31 - 1  # a number that no process has


def no_proc(path):
    """Fail as without /proc."""
    raise FileNotFoundError(2, "No such file or directory", path)


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_an_owner_survives_the_round_trip(monkeypatch, platform):
    """With /proc and without, as on macOS; this process runs."""
    monkeypatch.setattr(_owner.sys, "platform", platform)
    if platform == "darwin":
        monkeypatch.setattr(_owner.os, "readlink", no_proc)
    owner = _owner.current()
    assert _owner.parse([str(part) for part in owner]) == owner
    assert not owner.has_ended()
    assert owner._replace(pid=ENDED).has_ended()
    assert str(owner) == f"process {os.getpid()} on {owner.host}"


def test_windows_ends_no_claim(monkeypatch):
    """There, os.kill with 0 would press Ctrl-C."""
    owner = _owner.current()._replace(pid=ENDED)
    monkeypatch.setattr(_owner, "os", SimpleNamespace(name="nt"))
    assert not owner.has_ended()


def masked(path, *words, **more):
    """Open a file, but not the boot id."""
    if "boot_id" in path:
        raise PermissionError(13, "Permission denied")
    return open(path, *words, **more)


def test_a_proc_without_a_boot_id_is_enough(monkeypatch):
    """As in a container that masks it; claims must not fail for it."""
    monkeypatch.setattr(_owner, "open", masked, raising=False)
    owner = _owner.current()
    assert not owner.has_ended()
    assert owner._replace(start="1").has_ended()


def test_a_container_with_the_proc_of_another_namespace_ends_no_claim(monkeypatch):
    """Two of them may have the host's name and share an outbox; neither sees the processes of the other."""
    monkeypatch.setattr(_owner.os, "readlink", lambda _: str(os.getpid() + 1))
    assert not _owner.current()._replace(pid=ENDED).has_ended()


def test_two_containers_without_a_boot_id_are_two(monkeypatch):
    """Their host name may be that of the machine (`--network host`)."""
    links = {"/proc/self": str(os.getpid()), "/proc/self/ns/pid": "pid:[1]"}
    monkeypatch.setattr(_owner.os, "readlink", links.__getitem__)
    monkeypatch.setattr(_owner, "open", masked, raising=False)
    one = _owner.current()
    links["/proc/self/ns/pid"] = "pid:[2]"
    other = _owner.current()
    assert one.boot != other.boot
    assert one == other._replace(boot=one.boot)


def test_a_host_fits_into_a_file_name(monkeypatch):
    """Whatever the kernel was told."""
    monkeypatch.setattr(_owner.socket, "gethostname", lambda: "a/b~c\n" + "x" * 300)
    assert _owner.current().host == "a_b_c_" + "x" * 58


@pytest.mark.parametrize(
    "parts", [[], ["h", "b", "1"], ["h", "b", "x", "1"], ["h", "b", "0", "1"], ["h", "b", "-1", "1"]]
)
def test_a_name_without_a_process_has_no_owner(parts):
    """Older versions wrote none; a claim of them ends with its time."""
    assert _owner.parse(parts) is None


def test_another_users_process_may_run(monkeypatch):
    """It cannot be examined."""

    def forbidden(*_):
        raise PermissionError

    owner = _owner.current()._replace(start="another")
    assert owner.has_ended()
    monkeypatch.setattr(os, "kill", forbidden)
    assert not owner.has_ended()


def test_a_zombie_has_ended():
    """Nobody has waited for it, but it sends nothing more."""
    child = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    start = Path(f"/proc/{child.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    owner = _owner.current()._replace(pid=child.pid, start=start)
    assert not owner.has_ended()
    child.stdin.close()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    try:
        assert owner.has_ended()
    finally:
        child.wait()
