"""Test the outbox: real files, claims by rename, nothing lost and nothing half-written."""

from __future__ import annotations

import contextlib
import errno
import json
import multiprocessing
import os
import pathlib
import re
import resource
import signal
import stat
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from nemo_jobs_cli.core import files
from nemo_jobs_cli.core.clock import wait_until
from nemo_jobs_cli.core.errors import NotFoundError, SettingsError, UsageError
from nemo_jobs_cli.delivery import entry as entries
from nemo_jobs_cli.delivery import listing, outbox
from nemo_jobs_cli.delivery.entry import Entry
from nemo_jobs_cli.delivery.listing import BROKEN, CLAIMED, PENDING, REJECTED, SET_ASIDE
from nemo_jobs_cli.delivery.outbox import Outbox

NOW = 1_800_000_000.0
JOB = ("https://h", "ws", "train-x")


def entry(number=0, job="train-x", **fields):
    """Return an entry of second `number`."""
    return Entry("https://h", "ws", job, fields or {"step": number}, NOW + number)


class Clock:
    """A clock that only the test advances."""

    now = NOW

    def __call__(self):
        """Return seconds since 1970."""
        return self.now


@pytest.fixture
def clock():
    """Return a clock that only the test advances."""
    return Clock()


@pytest.fixture
def box(tmp_path, clock):
    """Return an outbox whose folder does not exist yet."""
    return Outbox(tmp_path / "state" / "outbox", clock=clock)


def test_entries_are_ordered_by_their_time(box):
    """Not by the time at which they were stored."""
    for number in (2, 1, 3):
        box.store(entry(number))
    assert [box.read(name).time - NOW for name in box.names()] == [1, 2, 3]
    assert [box.read(name).fields for name in box.names("https://h", "ws", "train-x")] == [
        {"step": n} for n in (1, 2, 3)
    ]
    assert box.names("http://h") == []


def test_folder_and_files_are_private(box):
    """Also those in it: it may be in a place that the user has opened for others. A README explains them."""
    path = box.store(entry())
    folders = [box.folder, *(file for file in box.folder.iterdir() if file.is_dir())]
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {0o700}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "nemo-jobs outbox flush" in (box.folder / "README").read_text(encoding="utf-8")


def test_an_entry_has_one_claim_at_a_time(box, clock):
    """Until the claim ends; then it is pending, and the former owner must not send it."""
    box.store(entry())
    (name,) = box.names()
    claim = box.claim(name)
    assert claim.entry == entry()
    assert (box.claim(name), box.names()) == (None, [])
    assert [(file.name, file.owner.pid) for file in box.claimed()] == [(name, os.getpid())]
    clock.now += outbox.LEASE
    assert box.names() == []
    clock.now += 1
    assert (box.names(), box.claimed()) == ([name], [])
    other = box.claim(name)
    clock.now -= outbox.LEASE
    assert not box.renew(claim)  # its file is gone, whatever its clock says
    box.release(claim)  # which does no harm
    box.remove(claim)
    assert box.renew(other)
    box.remove(other)
    assert (box.names(), box.count(CLAIMED)) == ([], 0)


def test_a_renewed_claim_stays_with_its_owner(box, clock):
    """As long as nobody has taken it, also after its time is over."""
    box.store(entry())
    claim = box.claim(box.names()[0])
    for seconds in (0.6, 0.6, 1.2):
        clock.now += seconds * outbox.LEASE
        assert box.renew(claim)
        assert box.names() == []
    box.release(claim)
    assert not box.renew(claim)
    assert len(box.names()) == 1


def test_a_fresh_claim_is_not_renamed(box, clock):
    """Another process that lists the folder at that moment could miss it."""
    box.store(entry())
    claim = box.claim(box.names()[0])
    path = claim.path
    clock.now += outbox.LEASE / 2 - 1
    assert (box.renew(claim), claim.path) == (True, path)
    clock.now += 1
    assert (box.renew(claim), claim.path == path) == (True, False)


def test_a_long_delivery_renews_its_claims(tmp_path):
    """On a thread; one that is settled meanwhile stays so."""
    box = Outbox(tmp_path / "o", lease=0.4)
    for number in range(2):
        box.store(entry(number))
    settled, claim = claims = box.claim_job(*JOB)
    first = claim.path
    with box.renewing(claims):
        box.remove(settled)
        assert wait_until(lambda _: time.sleep(0.01) or claim.path != first, 30)
    box.release(claim)
    assert [box.read(name).fields for name in box.names()] == [{"step": 1}]


def test_a_claim_is_renewed_while_half_of_its_time_is_left(box, clock, monkeypatch):
    """So much may the clock of another machine be ahead. The clock advances while the thread waits."""
    clock.now += 0.25
    box.store(entry())
    claims = box.claim_job(*JOB)
    other = Outbox(box.folder, clock=lambda: clock.now + outbox.LEASE / 2)
    seen, is_done = [], threading.Event()

    class Event:
        def wait(self, seconds):
            clock.now += seconds
            seen.append(other.names())
            if len(seen) > 10:
                is_done.set()
            return is_done.is_set()

        def set(self):
            pass

    monkeypatch.setattr(outbox, "threading", SimpleNamespace(Event=Event, Thread=threading.Thread))
    with box.renewing(claims):
        assert is_done.wait(30)
    assert seen == [[]] * 11


def claim_and_wait(folder, pipe):
    """Claim everything, in another process, and wait."""
    Outbox(folder).claim_job(*JOB)
    pipe.send("claimed")
    signal.pause()


@pytest.mark.parametrize("reaped", [True, False])
def test_the_claim_of_a_killed_process_is_void_at_once(tmp_path, reaped):
    """Also if its parent has not waited for it: a container without init has such zombies."""
    box = Outbox(tmp_path / "o")
    box.store(entry())
    context = multiprocessing.get_context("fork")
    reader, writer = context.Pipe(duplex=False)
    child = context.Process(target=claim_and_wait, args=(box.folder, writer))
    child.start()
    try:
        assert reader.recv() == "claimed"
        assert (box.names(), [file.owner.pid for file in box.claimed()]) == ([], [child.pid])
    finally:
        os.kill(child.pid, signal.SIGKILL)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        if reaped:
            child.join()
    assert [claim.entry for claim in box.claim_job(*JOB)] == [entry()]
    child.join()


@pytest.mark.parametrize(
    ("change", "is_void"),
    [
        ({"start": "1"}, True),
        ({"boot": "0" * 12}, False),
        ({"boot": "0" * 12, "pid": 2**31 - 1}, False),
        ({"boot": "f" * 12, "pid": 2**31 - 1}, False),
        ({"pid": 2**31 - 1}, True),
        ({"pid": 2**31}, False),
        ({}, False),
    ],
)
def test_an_owner_is_a_process_of_one_boot(box, clock, change, is_void):
    """A number is used again, and the processes of another host cannot be seen: their claims end with their time."""
    box.store(entry())
    claim = box.claim(box.names()[0])
    parts = claim.path.name.split("~")
    owner = dict(zip(("host", "boot", "pid", "start"), parts[2:6], strict=True)) | change
    claim.path.rename(claim.path.with_name("~".join((*parts[:2], *map(str, owner.values()), "r"))))
    assert bool(box.names()) is is_void
    clock.now += outbox.LEASE + 1
    assert len(box.names()) == 1


def test_a_released_entry_is_pending(box):
    """Failures are counted in its file, as another process may flush next."""
    box.store(entry())
    box.release(box.claim(box.names()[0]))
    assert box.read(box.names()[0]) == entry()
    for _ in range(2):
        box.count_failure(box.claim(box.names()[0]))
    assert box.read(box.names()[0]).failures == 2


def test_rejected_and_stale_entries_are_moved_away_with_the_reason(box):
    """They are not sent again."""
    box.store(entry())
    box.reject(box.claim(box.names()[0]), "422 no")
    box.store(entry(1))
    box.set_aside(box.claim(box.names()[0]), {"step": 1}, "newer values")
    assert (box.names(), box.count(REJECTED), box.count(SET_ASIDE)) == ([], 1, 1)
    reasons = [(file.kind, box.load(file).why) for file in box.files()]
    assert reasons == [(REJECTED, "422 no"), (SET_ASIDE, "newer values")]


@pytest.mark.parametrize("content", [b"", b"{", b"\x00" * 100, b"[]", os.mkdir, os.mkfifo])
def test_a_file_that_is_no_entry_is_moved_to_broken(box, content):
    """It neither fails nor blocks the command, as reading a pipe that nobody writes would."""
    path = box.store(entry())
    if callable(content):
        path.unlink()
        content(path)
    else:
        path.write_bytes(content)
    assert box.read(path.name) is None
    assert box.claim(path.name) is None
    assert (box.names(), box.count(BROKEN)) == ([], 1)


def test_a_missing_outbox_is_empty(box):
    """Reading it creates nothing."""
    assert (box.names(), box.count(PENDING), box.claim("x"), box.read("x")) == ([], 0, None, None)
    assert not box.folder.exists()


def test_a_full_outbox_coalesces_the_entries_of_each_job(tmp_path, clock):
    """An error follows only if that makes no room."""
    box = Outbox(tmp_path / "o", clock=clock, max_entries=4)
    for number in range(6):
        box.store(entry(number, job="train-a" if number % 2 else "train-b", **{f"k{number}": number, "step": number}))
    stored = {}
    for name in box.names():
        pending = box.read(name)
        stored.setdefault(pending.job, {}).update(pending.fields)
    assert stored == {
        "train-a": {"k1": 1, "k3": 3, "k5": 5, "step": 5},
        "train-b": {"k0": 0, "k2": 2, "k4": 4, "step": 4},
    }
    for number in range(6, 10):
        try:
            box.store(entry(number, job=f"train-{number}"))
        except SettingsError as full:
            assert "full (4 entries" in full.message
            assert "outbox flush" in full.message
            return
    raise AssertionError("it was never full")


@pytest.mark.parametrize("trouble", ["file", "disk"])
def test_an_entry_that_cannot_be_written_is_an_error(tmp_path, trouble):
    """No half-written file is left."""
    folder = tmp_path / "o"
    if trouble == "file":
        folder.write_text("mine", encoding="utf-8")
        with pytest.raises(SettingsError, match="cannot store the update"):
            Outbox(folder).store(entry())
        return
    box = Outbox(folder)
    box.store(entry())
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4, before[1]))
    try:
        with pytest.raises(SettingsError, match="cannot store the update"):
            box.store(entry(1, text="x" * 100))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert len(box.names()) == 1
    assert os.listdir(folder / "writing") == []  # noqa: PTH208


def test_a_claim_that_nfs_reports_as_failed_is_a_claim(box, monkeypatch):
    """NFS may do a rename and then report it as failed."""
    box.store(entry())
    rename = os.rename

    def twice(self, target):
        rename(self, target)
        raise FileNotFoundError(2, "gone")

    monkeypatch.setattr(Path, "rename", twice)
    assert box.claim(box.names()[0]).entry == entry()


def claim_all(folder, names, claimed, barrier):
    """Claim as many entries as possible, in another process, and live until all have done so."""
    box = Outbox(folder)
    claimed.extend([claim.name for claim in map(box.claim, names) if claim is not None])
    barrier.wait(60)


def test_processes_never_share_an_entry(tmp_path):
    """A rename decides."""
    box = Outbox(tmp_path / "o")
    for number in range(100):
        box.store(entry(number))
    context = multiprocessing.get_context("fork")
    with context.Manager() as manager:
        claimed, barrier = manager.list(), context.Barrier(4)
        claimants = [
            context.Process(target=claim_all, args=(box.folder, box.names(), claimed, barrier)) for _ in range(4)
        ]
        for claimant in claimants:
            claimant.start()
        for claimant in claimants:
            claimant.join(60)
        assert sorted(claimed) == sorted(set(claimed))
        assert len(claimed) == 100
    assert entries.loads(next((box.folder / CLAIMED).iterdir()).read_bytes()).host == "https://h"


def test_a_job_is_claimed_as_a_whole(box, clock):
    """Two processes with half of its entries each could send them in the wrong order."""
    for number in range(3):
        box.store(entry(number))
    box.store(entry(9, job="train-y"))
    first = box.claim(box.names()[0])
    assert box.claim_job(*JOB) == []
    assert [claim.entry.job for claim in box.claim_job("https://h", "ws", "train-y")] == ["train-y"]
    clock.now += 2 * outbox.LEASE
    assert [claim.entry.fields["step"] for claim in box.claim_job(*JOB)] == [0, 1, 2]
    assert not box.renew(first)


def test_the_oldest_entry_decides_who_claims_the_job(box, clock, monkeypatch):
    """Two processes may list the same names at the same moment."""
    for number in range(3):
        box.store(entry(number))
    other = Outbox(box.folder, clock=clock)
    claim, taken = box.claim, []

    def late(name):
        if not taken:
            taken.append(other.claim(name))
        return claim(name)

    monkeypatch.setattr(box, "claim", late)
    assert box.claim_job(*JOB) == []
    assert other.renew(taken[0])
    assert len(box.names(*JOB)) == 2


def test_an_entry_that_was_dropped_meanwhile_is_skipped(box, monkeypatch):
    """It does not mean that another process claims the job."""
    names = [box.store(entry(number)).name for number in range(3)]
    monkeypatch.setattr(box, "names", lambda *parts: names)
    assert box.drop(box.files()[1])
    assert [claim.name for claim in box.claim_job(*JOB)] == [names[0], names[2]]


@pytest.mark.parametrize("taken", [0, 1])
def test_a_void_claim_is_of_its_entry_only(box, clock, taken):
    """An entry that was dropped meanwhile is not another one."""
    names = [box.store(entry(number)).name for number in range(2)]
    assert box.claim(names[taken])
    clock.now += outbox.LEASE + 1
    gone = names[1 - taken]
    assert box.drop(box.find(gone))
    assert (box.read(gone), box.claim(gone)) == (None, None)
    assert box.claim(names[taken]).entry == entry(taken)


def test_entries_of_the_same_time_stay_in_the_order_of_storing(box, clock):
    """Timestamps have milliseconds; a fast program makes several updates in one."""
    for number in range(20):
        clock.now += 1e-5
        box.store(entry(0, step=number))
    assert [box.read(name).fields["step"] for name in box.names()] == list(range(20))


def test_an_entry_under_the_name_of_another_job_is_broken(box):
    """A copied file must not send one job's progress to another."""
    path = box.store(entry())
    other_name = entries.file_name(entry(job="train-y"), "0")
    path.rename(path.with_name(other_name))
    assert box.read(other_name) is None
    assert box.claim(other_name) is None
    assert (box.names(), box.count(BROKEN)) == ([], 1)
    assert box.drop(box.find(other_name))


def test_a_read_error_keeps_the_entry(box, monkeypatch):
    """A network disk may fail for a moment."""
    path = box.store(entry())
    with monkeypatch.context() as failing:
        failing.setattr(listing, "read_regular", fail(5))
        assert box.claim(path.name) is None
    assert box.claim(path.name).entry == entry()


def fail(number):
    """Return a function that raises the OSError of a number."""

    def failing(*_args):
        raise OSError(number, os.strerror(number))

    return failing


@pytest.mark.parametrize("name", ["../pending/x", "../../x", "/etc/hostname", "", ".", "..", "a" * 250, "\0", "\ud800"])
def test_no_name_leads_out_of_the_outbox(box, name):
    """`drop` deletes only entries."""
    path = box.store(entry())
    for victim in (path.with_name("x"), box.folder.with_name("x")):
        victim.write_text("mine", encoding="utf-8")
    with pytest.raises(NotFoundError):
        box.find(name)
    assert (
        path.with_name("x").read_text(encoding="utf-8")
        == box.folder.with_name("x").read_text(encoding="utf-8")
        == "mine"
    )


def test_missing_folders_are_created(box):
    """A killed process may have created some; a copy of the folder loses empty ones."""
    box.store(entry())
    for kind in ("writing", CLAIMED, BROKEN):
        (box.folder / kind).rmdir()
    box.store(entry(1))
    assert len(box.claim_job(*JOB)) == 2


def test_the_readme_of_another_project_stays(tmp_path):
    """`--outbox-dir .` in a project."""
    (tmp_path / "README").write_text("my project", encoding="utf-8")
    Outbox(tmp_path).store(entry())
    assert (tmp_path / "README").read_text(encoding="utf-8") == "my project"


def test_an_unreadable_outbox_is_an_error(tmp_path):
    """It must not seem to be empty; the message names the folder."""
    (tmp_path / PENDING).symlink_to(tmp_path / PENDING)
    with pytest.raises(SettingsError, match=f"^cannot read the outbox {re.escape(str(tmp_path))}: "):
        Outbox(tmp_path).names()


def test_a_write_that_nfs_reports_as_failed_is_stored(box, monkeypatch):
    """One that really failed is an error."""
    box.store(entry())
    rename = pathlib.Path.rename
    monkeypatch.setattr(pathlib.Path, "rename", lambda self, target: (rename(self, target), fail(2)()))
    assert box.store(entry(1)).exists()
    monkeypatch.setattr(pathlib.Path, "rename", fail(5))
    with pytest.raises(SettingsError, match="Input/output error"):
        box.store(entry(2))
    assert len(box.names()) == 2


@pytest.mark.parametrize(("number", "kept"), [(errno.EINVAL, True), (errno.EIO, False)])
def test_a_file_system_without_folder_sync_is_accepted(box, monkeypatch, number, kept):
    """An I/O error of the sync is not."""
    sync = os.fsync
    monkeypatch.setattr(
        files.os, "fsync", lambda handle: fail(number)() if stat.S_ISDIR(os.fstat(handle).st_mode) else sync(handle)
    )
    if kept:
        assert box.store(entry()).exists()
    else:
        with pytest.raises(SettingsError, match="cannot store"):
            box.store(entry())


@pytest.fixture
def full_disk():
    """Return a context manager in which no file can grow."""

    @contextlib.contextmanager
    def full():
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return full


def test_a_full_disk_loses_no_entry(box, full_disk):
    """Moving an entry needs no room; a failure that cannot be counted is not counted."""
    for number in range(3):
        box.store(entry(number))
    one, two, three = box.claim_job(*JOB)
    with full_disk():
        box.reject(one, "422")
        box.set_aside(two, {"step": 1}, "late")
        box.count_failure(three)
    assert [box.read(name).failures for name in box.names()] == [0]
    assert (box.count(REJECTED), box.count(SET_ASIDE)) == (1, 1)
    assert box.load(box.find(two.name)).fields == {"step": 1}


def test_a_full_disk_during_coalescing_releases_the_entries(tmp_path, clock, full_disk):
    """They are pending as before."""
    box = Outbox(tmp_path / "o", clock=clock, max_entries=2)
    for number in range(2):
        box.store(entry(number))
    with full_disk(), pytest.raises(SettingsError, match="cannot store"):
        box.store(entry(2))
    assert [box.read(name).fields["step"] for name in box.names()] == [0, 1]


def test_entries_of_two_attempts_are_not_coalesced(tmp_path, clock):
    """Else the older ones would count as reports of the newer attempt."""
    box = Outbox(tmp_path / "o", clock=clock, max_entries=2)
    for number, attempt in enumerate("ab"):
        box.store(entry(number)._replace(attempt=attempt))
    with pytest.raises(SettingsError, match=r"full \(2 entries"):
        box.store(entry(2)._replace(attempt="b"))
    assert [box.read(name).attempt for name in box.names()] == ["a", "b"]


def test_coalesced_entries_have_the_name_of_the_newest(tmp_path, clock):
    """It tells when they were reported."""
    box = Outbox(tmp_path / "o", clock=clock, max_entries=2)
    for number in range(2):
        box.store(entry(number))
    newest = box.names()[-1]
    box.store(entry(2))
    assert (len(box.names()), box.names()[0]) == (2, newest)


def test_an_outbox_with_more_entries_than_its_limit_is_full(box):
    """The user may have lowered the limit."""
    for number in range(3):
        box.store(entry(number, job=f"train-{number}"))
    with pytest.raises(SettingsError, match=r"full \(2 entries"):
        Outbox(box.folder, max_entries=2).store(entry(3))


def test_coalescing_leaves_a_job_with_one_entry_alone(tmp_path, clock):
    """Claiming thousands of them would take minutes."""
    box = Outbox(tmp_path / "o", clock=clock, max_entries=1)
    path = box.store(entry())
    changed = path.stat().st_ctime_ns
    with pytest.raises(SettingsError, match=r"full \(1 entries"):
        box.store(entry(1, job="train-y"))
    assert path.stat().st_ctime_ns == changed  # not renamed


def test_coalescing_ignores_files_that_are_no_entries(tmp_path, clock):
    """Such as notes of the user."""
    box = Outbox(tmp_path / "o", clock=clock, max_entries=3)
    for number in range(2):
        box.store(entry(number))
    (box.folder / PENDING / "notes.txt").write_text("?", encoding="utf-8")
    box.store(entry(2))
    assert len(box.names(*JOB)) == 2


def test_a_claimed_job_is_not_coalesced(tmp_path, clock):
    """Its entries belong to another process."""
    box = Outbox(tmp_path / "o", clock=clock, max_entries=2)
    for number in range(3):
        box.store(entry(number))
        if number == 0:
            box.claim(box.names()[0])
    with pytest.raises(SettingsError, match=r"full \(2 entries"):
        box.store(entry(3))
    assert [box.read(name).fields["step"] for name in box.names()] == [1, 2]


def test_an_entry_has_no_place_for_a_token(box):
    """These are all keys of its file."""
    assert set(json.loads(box.store(entry()).read_bytes())) == {
        "version",
        "host",
        "workspace",
        "job",
        "fields",
        "time",
        "profile",
        "failures",
        "times",
        "why",
        "attempt",
    }


def test_drop_deletes_a_file_once(box):
    """One that is gone was taken by another process; a folder is the user's to delete."""
    path = box.store(entry())
    file = box.find(path.name)
    assert (box.drop(file), box.drop(file), box.names()) == (True, False, [])
    path.mkdir()
    with pytest.raises(SettingsError, match="cannot delete"):
        box.drop(file)


def test_an_entry_of_a_newer_version_waits_for_it(box):
    """It is neither sent nor moved away, and does not stop the other entries of its job."""
    newer = box.store(entry())
    newer.write_bytes(newer.read_bytes().replace(b'"version": 1', b'"version": 2'))
    box.store(entry(1))
    assert [claim.entry.fields for claim in box.claim_job(*JOB)] == [{"step": 1}]
    assert (box.names(), box.count(BROKEN)) == ([newer.name], 0)
    with pytest.raises(ValueError, match="stored by a newer nemo-jobs"):
        box.load(box.find(newer.name))


def test_an_entry_has_an_id_of_which_a_prefix_is_enough(box, monkeypatch):
    """As in git: at least four characters, and unique; a name or an id is found in any kind."""
    names = [box.store(entry(number)).name for number in range(3)]
    box.reject(box.claim(names[2]), "422")
    file = box.find(names[2])
    assert (file.kind, box.find(file.id), box.find(file.id[:6].upper())) == (REJECTED, file, file)
    for text, hint in (
        ("", "use at least 4"),
        ("zzzz", "list the"),
        (file.id[:3], "use at least 4"),
        (file.id + "0", ""),
    ):
        with pytest.raises(NotFoundError) as error:
            box.find(text)
        assert error.value.hint.startswith(hint)
    copy = box.folder / SET_ASIDE / names[2]  # a process that is killed may leave a file in two folders
    copy.write_bytes(file.path.read_bytes())
    assert box.find(names[2]) == box.find(file.id) == file
    monkeypatch.setattr(listing.entries, "digest", lambda name: ("abcd" if name in names[:2] else "ffff") + name[:20])
    with pytest.raises(UsageError, match="ambiguous id 'abcd'"):
        box.find("abcd")


def test_a_stored_entry_is_synced_to_the_disk(box, monkeypatch):
    """The file before it is renamed, then its folder: a power cut loses nothing that was reported as kept."""
    synced, sync = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (synced.append(os.fstat(handle).st_ino), sync(handle)))
    path = box.store(entry())
    assert synced == [path.stat().st_ino, path.parent.stat().st_ino]
