"""The folder of undelivered updates: real files, claims by rename, nothing lost and nothing half-written."""

from __future__ import annotations

import contextlib
import errno
import json
import multiprocessing
import os
import pathlib
import resource
import stat
from pathlib import Path

import pytest

from nemo_jobs_cli.core import files
from nemo_jobs_cli.core.errors import SettingsError
from nemo_jobs_cli.delivery import entry as entries
from nemo_jobs_cli.delivery import outbox
from nemo_jobs_cli.delivery.entry import Entry
from nemo_jobs_cli.delivery.outbox import Outbox

NOW = 1_800_000_000.0


def entry(number=0, job="train-x", **fields):
    """Return an entry that was made at second `number`."""
    return Entry("https://h", "ws", job, fields or {"step": number}, NOW + number)


class Clock:
    """Seconds since 1970, moved by hand."""

    now = NOW

    def __call__(self):
        """Tell the time."""
        return self.now


@pytest.fixture
def clock():
    """Give a clock."""
    return Clock()


@pytest.fixture
def box(tmp_path, clock):
    """Give an outbox that is not there yet."""
    return Outbox(tmp_path / "state" / "outbox", clock=clock)


def test_what_is_kept_is_there_in_order(box):
    """By the time when it was made, not when it was kept."""
    for number in (2, 1, 3):
        box.store(entry(number))
    assert [box.read(name).time - NOW for name in box.names()] == [1, 2, 3]
    assert [box.read(name).fields for name in box.names("https://h", "ws", "train-x")] == [
        {"step": n} for n in (1, 2, 3)
    ]
    assert box.names("http://h") == []


def test_folder_and_files_are_private_and_explained(box):
    """Progress may be nobody's business; who finds the folder learns what it is."""
    path = box.store(entry())
    assert stat.S_IMODE(box.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "nemo-jobs outbox flush" in (box.folder / "README").read_text()


def test_a_claim_is_for_one(box, clock):
    """Until its time is over; then it is anybody's, and the first must not send any more."""
    box.store(entry())
    (name,) = box.names()
    claim = box.claim(name)
    assert claim.entry == entry()
    assert box.holds(claim)
    assert (box.claim(name), box.names()) == (None, [])
    clock.now += outbox.LEASE + 1
    assert not box.holds(claim)
    assert box.names() == [name]
    other = box.claim(name)
    assert box.holds(other)
    clock.now -= outbox.LEASE
    assert not box.holds(claim)  # its file is gone, whatever its clock says
    box.release(claim)  # which does no harm
    box.remove(claim)
    assert box.holds(other)
    box.remove(other)
    assert (box.names(), box.count(outbox.CLAIMED)) == ([], 0)


def test_what_is_given_back_waits_again(box):
    """For whoever comes next."""
    box.store(entry())
    claim = box.claim(box.names()[0])
    box.release(claim)
    assert box.read(box.names()[0]) == entry()


def test_failures_are_counted(box):
    """By the file itself: another process may flush next."""
    box.store(entry())
    for _ in range(2):
        box.count_failure(box.claim(box.names()[0]))
    assert box.read(box.names()[0]).failures == 2


def test_what_is_refused_or_too_old_is_put_away_with_the_reason(box):
    """And never sent again."""
    box.store(entry())
    claim = box.claim(box.names()[0])
    box.reject(claim, "422 no")
    box.store(entry(1))
    box.set_aside(box.claim(box.names()[0]), {"step": 1}, "newer values stand")
    assert (box.names(), box.count(outbox.REJECTED), box.count(outbox.SET_ASIDE)) == ([], 1, 1)
    said = box.read_text(claim.name)
    assert '"why": "422 no"' in said
    assert box.read_text("../../etc/passwd") is None
    assert box.read_text("nothing") is None


@pytest.mark.parametrize("content", [b"", b"{", b"\x00" * 100, b"[]"])
def test_a_broken_file_is_set_aside(box, content):
    """It is nobody's update any more, and no reason to fail."""
    path = box.store(entry())
    path.write_bytes(content)
    assert box.read(path.name) is None
    assert box.claim(path.name) is None
    assert (box.names(), box.count(outbox.BROKEN)) == ([], 1)


def test_a_drop_deletes(box):
    """Once."""
    box.store(entry())
    (name,) = box.names()
    assert (box.drop(name), box.drop(name), box.names()) == (True, False, [])


def test_an_outbox_that_is_not_there_is_empty(box):
    """Asking for it makes nothing."""
    assert (box.names(), box.count(outbox.PENDING), box.claim("x"), box.read("x")) == ([], 0, None, None)
    assert not box.folder.exists()


def test_a_full_outbox_folds_the_entries_of_each_job(tmp_path, clock):
    """The final state is the same, in less room; when that is no help it is said."""
    box = Outbox(tmp_path / "o", clock=clock, max_entries=4)
    for number in range(6):
        box.store(entry(number, job="train-a" if number % 2 else "train-b", **{f"k{number}": number, "step": number}))
    found = {}
    for name in box.names():
        one = box.read(name)
        found.setdefault(one.job, {}).update(one.fields)
    assert found == {
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
    raise AssertionError("it never was full")


@pytest.mark.parametrize("trouble", ["file", "disk"])
def test_what_cannot_be_kept_is_said(tmp_path, trouble):
    """Nothing half-written is left."""
    folder = tmp_path / "o"
    if trouble == "file":
        folder.write_text("mine")
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


def test_a_rename_that_is_answered_twice_is_a_claim(box, monkeypatch):
    """NFS may do a rename and then report it as failed."""
    box.store(entry())
    rename = os.rename

    def twice(self, target):
        rename(self, target)
        raise FileNotFoundError(2, "gone")

    monkeypatch.setattr(Path, "rename", twice)
    assert box.claim(box.names()[0]).entry == entry()


def grab(folder, names, won):
    """Claim what can be claimed, in another process."""
    box = Outbox(folder)
    won.extend([claim.name for claim in map(box.claim, names) if claim is not None])


def test_many_claimants_never_share_an_entry(tmp_path):
    """Rename is the arbiter."""
    box = Outbox(tmp_path / "o")
    for number in range(100):
        box.store(entry(number))
    context = multiprocessing.get_context("fork")
    with context.Manager() as manager:
        won = manager.list()
        claimants = [context.Process(target=grab, args=(box.folder, box.names(), won)) for _ in range(4)]
        for claimant in claimants:
            claimant.start()
        for claimant in claimants:
            claimant.join(30)
        assert sorted(won) == sorted(set(won))
        assert len(won) == 100
    assert entries.loads(next((box.folder / outbox.CLAIMED).iterdir()).read_bytes()).host == "https://h"


JOB = ("https://h", "ws", "train-x")


def test_a_job_is_delivered_by_one_at_a_time(box, clock):
    """Two that each held half of its entries could send them in the wrong order."""
    for number in range(3):
        box.store(entry(number))
    box.store(entry(9, job="train-y"))
    first = box.claim(box.names()[0])
    assert box.claim_job(*JOB) == []
    assert [claim.entry.job for claim in box.claim_job("https://h", "ws", "train-y")] == ["train-y"]
    clock.now += 2 * outbox.LEASE
    assert [claim.entry.fields["step"] for claim in box.claim_job(*JOB)] == [0, 1, 2]
    assert not box.holds(first)


def test_who_loses_the_oldest_leaves_the_rest(box, monkeypatch):
    """Two listed the same names at the same moment: the race for the first decides."""
    for number in range(3):
        box.store(entry(number))
    other = Outbox(box.folder, clock=box._clock)
    claim, taken = box.claim, []

    def late(name):
        if not taken:
            taken.append(other.claim(name))
        return claim(name)

    monkeypatch.setattr(box, "claim", late)
    assert box.claim_job(*JOB) == []
    assert other.holds(taken[0])
    assert len(box.names(*JOB)) == 2


def test_an_entry_that_is_dropped_meanwhile_is_skipped(box, monkeypatch):
    """It is no sign of another flush."""
    names = [box.store(entry(number)).name for number in range(2)]
    monkeypatch.setattr(box, "names", lambda *parts: names)
    assert box.drop(names[0])
    assert [claim.name for claim in box.claim_job(*JOB)] == names[1:]


def test_a_lease_can_be_longer(tmp_path, clock):
    """A deadline of ten minutes needs a claim that outlives it."""
    box = Outbox(tmp_path / "o", clock=clock, lease=700)
    box.store(entry())
    claim = box.claim(box.names()[0])
    clock.now += 650
    assert box.holds(claim)
    assert box.names() == []


def test_entries_of_one_moment_stay_in_the_order_in_which_they_were_kept(box, clock):
    """Stamps have milliseconds; a fast program makes more than one update in each."""
    for number in range(20):
        clock.now += 1e-5
        box.store(entry(0, step=number))
    assert [box.read(name).fields["step"] for name in box.names()] == list(range(20))


def test_an_entry_under_a_foreign_name_is_broken(box):
    """Else a file that somebody copied would send one job's progress to another."""
    path = box.store(entry())
    stranger = entries.file_name(entry(job="train-y"), "0")
    path.rename(path.with_name(stranger))
    assert box.read(stranger) is None
    assert box.claim(stranger) is None
    assert (box.names(), box.count(outbox.BROKEN)) == ([], 1)


def test_a_folder_in_the_place_of_a_file_is_put_away(box):
    """Whoever made it."""
    path = box.store(entry())
    path.unlink()
    path.mkdir()
    assert box.claim(path.name) is None
    assert (box.names(), box.count(outbox.BROKEN)) == ([], 1)


def test_an_entry_that_the_disk_can_not_read_now_is_not_thrown_away(box, monkeypatch):
    """A network disk may fail for a moment; the entry is as good as before."""
    path = box.store(entry())
    with monkeypatch.context() as failing:
        failing.setattr(pathlib.Path, "read_bytes", fail(5))
        assert box.claim(path.name) is None
    assert box.claim(path.name).entry == entry()


def fail(number):
    """Return a function that fails as the system does."""

    def failing(*_args):
        raise OSError(number, os.strerror(number))

    return failing


@pytest.mark.parametrize("name", ["../pending/x", "../../x", "/etc/hostname", "", ".", ".."])
def test_no_name_leads_out_of_the_outbox(box, name):
    """`drop` deletes what it is told, but only here."""
    path = box.store(entry())
    for victim in (path.with_name("x"), box.folder.with_name("x")):
        victim.write_text("mine")
    assert not box.drop(name)
    assert box.read_text(name) is None
    assert path.with_name("x").read_text() == box.folder.with_name("x").read_text() == "mine"


def test_folders_that_are_missing_are_made_again(box):
    """Who was killed while he made them leaves some; a copy of the folder loses the empty ones."""
    box.store(entry())
    for kind in ("writing", outbox.CLAIMED, outbox.BROKEN):
        (box.folder / kind).rmdir()
    box.store(entry(1))
    assert len(box.claim_job(*JOB)) == 2


def test_a_folder_of_the_users_own_keeps_its_readme(tmp_path):
    """`--outbox-dir .` in somebody's project."""
    (tmp_path / "README").write_text("my project")
    Outbox(tmp_path).store(entry())
    assert (tmp_path / "README").read_text() == "my project"


def test_an_outbox_that_can_not_be_read_is_said(tmp_path):
    """Nothing waits would be a lie."""
    (tmp_path / outbox.PENDING).symlink_to(tmp_path / outbox.PENDING)
    with pytest.raises(SettingsError, match="cannot read"):
        Outbox(tmp_path).names()


def test_a_write_that_is_answered_twice_is_kept(box, monkeypatch):
    """NFS again; but one that was not done is an error."""
    box.store(entry())
    rename = pathlib.Path.rename
    monkeypatch.setattr(pathlib.Path, "rename", lambda self, target: (rename(self, target), fail(2)()))
    assert box.store(entry(1)).exists()
    monkeypatch.setattr(pathlib.Path, "rename", fail(5))
    with pytest.raises(SettingsError, match="Input/output error"):
        box.store(entry(2))
    assert len(box.names()) == 2


@pytest.mark.parametrize(("number", "kept"), [(errno.EINVAL, True), (errno.EIO, False)])
def test_a_file_system_that_syncs_no_folders_will_do(box, monkeypatch, number, kept):
    """But a disk that fails to sync has not kept it."""
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
    """Return a context in which no file can grow."""

    @contextlib.contextmanager
    def full():
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return full


def test_a_full_disk_loses_nothing_that_is_settled(box, full_disk):
    """What is put away needs no more room than it had; what can't be counted is given back."""
    for number in range(3):
        box.store(entry(number))
    one, two, three = box.claim_job(*JOB)
    with full_disk():
        box.reject(one, "422")
        box.set_aside(two, {"step": 1}, "late")
        box.count_failure(three)
    assert [box.read(name).failures for name in box.names()] == [0]
    assert (box.count(outbox.REJECTED), box.count(outbox.SET_ASIDE)) == (1, 1)
    assert '"step": 1' in box.read_text(two.name)


def test_a_full_disk_while_folding_gives_all_back(tmp_path, clock, full_disk):
    """They wait as before, and at once."""
    box = Outbox(tmp_path / "o", clock=clock, max_entries=2)
    for number in range(2):
        box.store(entry(number))
    with full_disk(), pytest.raises(SettingsError, match="cannot store"):
        box.store(entry(2))
    assert [box.read(name).fields["step"] for name in box.names()] == [0, 1]


def test_folding_keeps_the_time_of_each_value(tmp_path, clock):
    """Else an old `status=running` would pass for new."""
    box = Outbox(tmp_path / "o", clock=clock, max_entries=2)
    for number, fields in enumerate([{"status": "running"}, {"step": 1}, {"step": 2}]):
        box.store(Entry(*JOB, fields, NOW + number))
    folded = box.read(box.names()[0])
    assert (folded.time_of("status"), folded.time_of("step")) == (NOW, NOW + 1)


def test_folding_survives_files_that_are_no_entries(tmp_path, clock):
    """Whatever somebody put there."""
    box = Outbox(tmp_path / "o", clock=clock, max_entries=3)
    for number in range(2):
        box.store(entry(number))
    (box.folder / outbox.PENDING / "notes.txt").write_text("?")
    box.store(entry(2))
    assert len(box.names(*JOB)) == 2


def test_a_job_that_is_being_delivered_is_not_folded(tmp_path, clock):
    """Its claims are somebody else's."""
    box = Outbox(tmp_path / "o", clock=clock, max_entries=2)
    for number in range(3):
        box.store(entry(number)) if number else held(box)
    with pytest.raises(SettingsError, match=r"full \(2 entries"):
        box.store(entry(3))
    assert [box.read(name).fields["step"] for name in box.names()] == [1, 2]


def held(box):
    """Keep an entry and claim it."""
    box.store(entry())
    return box.claim(box.names()[0])


def test_no_token_can_get_in(box):
    """An entry has no place for one: these are all the keys of its file."""
    said = json.loads(box.store(entry()).read_bytes())
    assert set(said) == {"version", "host", "workspace", "job", "fields", "time", "profile", "failures", "times"}
