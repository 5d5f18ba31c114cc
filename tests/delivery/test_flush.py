"""Test delivering stored entries: coalesced, in order, below the new update, and without overwriting newer values."""

from __future__ import annotations

import json
import tempfile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from waiting import until

from nemo_jobs_cli.api.session import Session
from nemo_jobs_cli.core import deadline, times
from nemo_jobs_cli.core.errors import (
    AuthError,
    NotDeliveredError,
    NotFoundError,
    RejectedError,
    SettingsError,
    SupersededAttemptError,
)
from nemo_jobs_cli.core.outcome import StoredResult, Update
from nemo_jobs_cli.delivery import entry as entries
from nemo_jobs_cli.delivery import flush
from nemo_jobs_cli.delivery.entry import Entry
from nemo_jobs_cli.delivery.flush import FlushTask
from nemo_jobs_cli.delivery.listing import BROKEN, REJECTED, SET_ASIDE
from nemo_jobs_cli.delivery.outbox import Outbox
from nemo_jobs_cli.settings.model import Attempt, Settings, Sourced
from nemo_jobs_cli.transport.messages import Failure, Response

HOST = "http://h"
NOW = 1_800_000_000.0  # 2027-01-15T08:00:00Z
DAY = 86400.0
FIELDS = st.dictionaries(st.sampled_from(["status", "progress", "val_loss", "message"]), st.integers(0, 3))
DONE = Response(200, b"null")
NO = Response(422, b'{"detail":[{"type":"x","loc":["body"],"msg":"no","input":1}]}')
ERROR = Response(500, b'{"detail":"Internal Server Error"}')


class Platform:
    """A sender with one job that answers a PATCH by `script`, a function of its body.

    Only the list of jobs knows its `id`.
    """

    trace_id = "0" * 32

    def __init__(self, script, status="active", details=None):
        self.script, self.status, self.details = script, status, dict(details or {})
        self.patches, self.reads, self.id = [], 0, None

    def send(self, request, timeout):
        """Answer one request."""
        if request.method == "GET" and request.path.endswith("/status"):
            self.reads += 1
            if self.status is None or f"/{self.id}/" in request.path:
                return Response(404, b"{\"detail\":\"Job 'train-x' not found in workspace 'ws'.\"}")
            status = {"name": "train-x", "status": self.status, "status_details": self.details}
            return Response(200, json.dumps(status).encode())
        if request.method == "GET":
            jobs = [{"name": "train-x", "id": self.id}] if self.id else []
            return Response(200, json.dumps({"data": jobs, "pagination": {"total_pages": 1}}).encode())
        fields = json.loads(request.body)
        self.patches.append(fields)
        answer = self.script(fields)
        if answer is DONE:
            self.details |= fields
        return answer


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    """Use lock files of the test, not the user's."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.fixture
def box(tmp_path):
    """Return an outbox at a fixed time."""
    return Outbox(tmp_path / "outbox", clock=lambda: NOW)


@pytest.fixture
def task(box, fake_time):
    """Return a function that makes the task of flushing one job of a platform."""

    def make(platform, fields=None, **more):
        settings = Settings(host=Sourced(HOST, "--host"), workspace=Sourced("ws", "-w"), **more)
        session = Session(settings, platform, deadline.start(5, fake_time.now, fake_time.clock))
        return FlushTask(box, session, Update("ws", "train-x", fields or {}), NOW)

    return make


def store(box, *updates):
    """Store updates, oldest first."""
    for number, fields in enumerate(updates):
        box.store(Entry(HOST, "ws", "train-x", fields, NOW - 60 + number))


def test_stored_updates_are_merged_below_the_new_one(box, task):
    """One PATCH leaves the state that sending each in order would leave."""
    store(box, {"a": 1, "b": 1}, {"b": 2, "c": 2})
    platform = Platform(lambda _: DONE)
    delivered, stored = flush.deliver(task(platform, {"c": 3}))
    assert platform.patches == [{"a": 1, "b": 2, "c": 3}]
    assert (delivered.update.fields, stored) == ({"c": 3}, StoredResult(delivered=2))
    assert box.names() == []


def test_a_flush_sends_the_stored_updates(box, task):
    """And nothing if there are none."""
    platform = Platform(lambda _: DONE)
    assert flush.flush_job(task(platform)) == (StoredResult(), None)
    store(box, {"a": 1})
    assert flush.flush_job(task(platform)).stored == StoredResult(delivered=1)
    assert platform.patches == [{"a": 1}]


def test_a_stale_field_is_set_aside(box, task):
    """A finished job stays finished; a key that it lacks is added."""
    store(box, {"status": "running", "val_loss": 0.5})
    platform = Platform(lambda _: DONE, "completed", {"status": "completed"})
    assert flush.flush_job(task(platform)).stored == StoredResult(delivered=1, aside=1)
    assert platform.patches == [{"val_loss": 0.5}]
    assert (box.names(), box.count(SET_ASIDE)) == ([], 1)


def test_without_fresh_fields_only_the_new_update_is_sent(box, task):
    """And nothing without a new update."""
    store(box, {"status": "running"})
    platform = Platform(lambda _: DONE, "completed", {"status": "completed"})
    assert flush.flush_job(task(platform)).delivered is None
    assert platform.patches == []
    store(box, {"status": "running"})
    assert flush.deliver(task(platform, {"note": 1}))[1] == StoredResult(0, 1)
    assert platform.patches == [{"note": 1}]


def test_a_superseded_attempt_leaves_the_entries(box, task):
    """They are not at fault: another process delivers them to the current attempt."""
    store(box, {"a": 1}, {"b": 1})
    platform = Platform(
        lambda _: Response(409, b"{\"detail\":\"Attempt 'x' is not the current attempt of job 'train-x'.\"}")
    )
    inside = {"attempt": Attempt("ws", "train-x", "x"), "api": Sourced("attempts", "NEMO_JOBS_API")}
    with pytest.raises(SupersededAttemptError):
        flush.deliver(task(platform, {"c": 1}, **inside))
    assert len(platform.patches) == 1
    assert (len(box.names()), box.count(REJECTED)) == (2, 0)


def test_the_rejected_entry_is_found_and_moved_away(box, task):
    """The others and the new update are delivered."""
    store(box, {"a": 1}, {"bad": 1}, {"c": 1})
    platform = Platform(lambda fields: NO if "bad" in fields else DONE)
    _, stored = flush.deliver(task(platform, {"d": 1}))
    assert stored == StoredResult(delivered=2, rejected=1)
    assert platform.details == {"a": 1, "c": 1, "d": 1}
    assert (box.names(), box.count(REJECTED)) == ([], 1)


def test_entries_of_a_deleted_job_are_rejected(box, task):
    """After the job's own 404."""
    store(box, {"a": 1}, {"b": 1})
    assert flush.flush_job(task(Platform(lambda _: DONE, None))).stored == StoredResult(rejected=2)
    store(box, {"a": 1})
    gone = Response(404, b"{\"detail\":\"Entity 'train-x' not found in workspace 'ws'\"}")
    with pytest.raises(NotFoundError):
        flush.deliver(task(Platform(lambda _: gone), {"c": 1}))
    assert (box.names(), box.count(REJECTED)) == ([], 3)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Response(401, b"{}"), AuthError),
        (Response(403, b"{}"), AuthError),
        (Response(503, b"{}"), NotDeliveredError),
        (Failure("refused", "x"), NotDeliveredError),
    ],
)
def test_other_failures_leave_the_entries(box, task, answer, error):
    """They are sent later."""
    store(box, {"a": 1}, {"b": 1})
    with pytest.raises(error):
        flush.deliver(task(Platform(lambda _: answer), {"c": 1}))
    assert [box.read(name).fields for name in box.names()] == [{"a": 1}, {"b": 1}]


def test_the_third_500_rejects_an_entry(box, task):
    """The new update is then sent alone."""
    store(box, {"bad": 1})
    platform = Platform(lambda fields: ERROR if "bad" in fields else DONE)
    for _ in range(2):
        with pytest.raises(NotDeliveredError):
            flush.flush_job(task(platform))
        assert len(box.names()) == 1
    assert flush.deliver(task(platform, {"c": 1}))[1] == StoredResult(rejected=1)
    assert (box.names(), platform.details) == ([], {"c": 1})


def test_entries_with_a_lost_claim_are_not_sent(box, task, monkeypatch):
    """A process that was paused for long must not send what others have sent meanwhile."""
    store(box, {"a": 1}, {"b": 1})
    monkeypatch.setattr(box, "renew", lambda claim: "b" in claim.entry.fields)
    platform = Platform(lambda _: DONE)
    flush.flush_job(task(platform))
    assert platform.patches == [{"b": 1}]


def test_claims_are_renewed_during_a_slow_request(tmp_path, task):
    """No other machine takes the entries, however long the server needs."""
    now = [NOW]
    box = Outbox(tmp_path / "outbox", clock=lambda: now[0], lease=0.4)
    store(box, {"a": 1})

    def answer(_):
        (claim,) = box.claimed()
        now[0] += 0.9  # the claim ends in a tenth of a second
        until(lambda: box.claimed() and box.claimed()[0].path != claim.path)
        return DONE

    assert flush.flush_job(task(Platform(answer))._replace(outbox=box)).stored == StoredResult(delivered=1)


def test_a_signal_releases_the_entries(box, task):
    """The next command finds them."""
    store(box, {"a": 1})

    def interrupt(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        flush.flush_job(task(Platform(interrupt)))
    assert len(box.names()) == 1


def test_a_kill_after_the_delivery_leaves_the_newest_entries(box, task, monkeypatch):
    """They are sent again, which changes nothing; an older one alone would overwrite what its newer one has set."""
    store(box, {"a": 1}, {"a": 2}, {"a": 3})
    remove = Outbox.remove

    def kill(box, claim):
        remove(box, claim)
        raise KeyboardInterrupt

    monkeypatch.setattr(Outbox, "remove", kill)
    with pytest.raises(KeyboardInterrupt):
        flush.flush_job(task(Platform(lambda _: DONE)))
    assert [box.read(name).fields for name in box.names()] == [{"a": 2}, {"a": 3}]


def test_pending_jobs_are_listed_once(box):
    """By their oldest entry; those of other hosts and broken entries are omitted."""
    for number, (host, job) in enumerate([(HOST, "b"), (HOST, "a"), ("http://other", "c"), (HOST, "b")]):
        box.store(Entry(host, "ws", job, {}, NOW + number))
    box.store(Entry(HOST, "ws", "d", {}, NOW + 9)).write_text("{", encoding="utf-8")
    assert [update.job for update in flush.pending_jobs(box, HOST)] == ["b", "a"]
    assert (len(box.names()), box.count(BROKEN)) == (4, 1)


def test_an_entry_that_is_readable_again_stays(box, monkeypatch):
    """One that could not be read for a moment."""
    box.store(Entry(HOST, "ws", "train-x", {}, NOW))

    def fail(file):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(box, "load", fail)
    assert flush.pending_jobs(box, HOST) == []
    assert len(box.names()) == 1


@pytest.mark.parametrize("job_id", ["platform-job-2HzvGHLuPeXwN5kGsE3mLq", "platform-job-" + "a" * 22])
def test_an_entry_with_the_id_of_its_job_is_delivered(box, task, job_id):
    """The routes take names only: the id is looked up, not rejected as unknown."""
    box.store(Entry(HOST, "ws", job_id, {"a": 1}, NOW - 60))
    platform = Platform(lambda _: DONE)
    platform.id = job_id
    assert flush.flush_job(task(platform)._replace(update=Update("ws", job_id, {}))).stored == StoredResult(delivered=1)
    assert platform.details == {"a": 1}


def test_a_rejected_new_update_does_not_reject_the_entries(box, task):
    """They are tried without it, and delivered."""
    store(box, {"a": 1})
    platform = Platform(lambda fields: NO if "bad" in fields else DONE)
    with pytest.raises(RejectedError):
        flush.deliver(task(platform, {"bad": 1}))
    assert (platform.details, box.count(REJECTED)) == ({"a": 1}, 0)


def test_a_job_claimed_by_another_process_is_skipped(box, task):
    """The new update is sent alone; a flush sends nothing."""
    store(box, {"a": 1}, {"a": 2})
    assert box.claim(box.names()[0])
    platform = Platform(lambda _: DONE)
    assert flush.flush_job(task(platform)) == (StoredResult(), None)
    assert flush.deliver(task(platform, {"c": 1}))[1] == StoredResult()
    assert platform.patches == [{"c": 1}]
    assert len(box.names()) == 1


def test_a_failure_during_the_search_keeps_the_other_entries(box, task):
    """The rejected one is moved away, then the network fails, and the rest stays."""
    store(box, {"bad": 1}, {"b": 1})
    platform = Platform(lambda fields: NO if "bad" in fields else Response(503, b"{}"))
    with pytest.raises(NotDeliveredError):
        flush.flush_job(task(platform))
    assert [box.read(name).fields for name in box.names()] == [{"b": 1}]
    assert box.count(REJECTED) == 1


def test_an_unreadable_outbox_does_not_block_the_new_update(box, task):
    """A flush reports it."""
    box.folder.mkdir()
    (box.folder / "pending").symlink_to(box.folder / "pending")
    platform = Platform(lambda _: DONE)
    assert flush.deliver(task(platform, {"c": 1}))[0].attempts == 1
    with pytest.raises(SettingsError, match="cannot read"):
        flush.flush_job(task(platform))


def test_an_empty_new_update_is_acknowledged(box, task):
    """The new one is {} and the old one is stale: one PATCH."""
    store(box, {"status": "running"})
    platform = Platform(lambda _: DONE, "completed", {"status": "completed"})
    assert flush.deliver(task(platform))[0].attempts == 1
    assert platform.patches == [{}]


def entry(fields, age=60.0):
    """Return an entry of `age` seconds."""
    return Entry("h", "ws", "j", fields, NOW - age)


@pytest.mark.parametrize(
    ("age", "status", "details", "sent", "aside"),
    [
        (60, "active", {}, {"status": "running", "a": 1}, [{}]),
        (60, "active", {"status": "x"}, {"status": "running", "a": 1}, [{}]),
        (2 * DAY, "active", {"status": "x"}, {"a": 1}, [{"status": "running"}]),
        (2 * DAY, "active", {"status": "running"}, {"a": 1}, [{}]),
        (2 * DAY, "active", {"status": "x", "lastUpdated": "2027-01-12T08:00:00Z"}, {"a": 1}, [{"status": "running"}]),
        (60, "completed", {"status": "completed"}, {"a": 1}, [{"status": "running"}]),
        (60, "error", {"status": "failed"}, {"a": 1}, [{"status": "running"}]),
        (60, "cancelled", {}, {"status": "running", "a": 1}, [{}]),
        (
            60,
            "active",
            {"status": "x", "lastUpdated": "2027-01-15T08:00:00.000Z"},
            {"a": 1},
            [{"status": "running"}],
        ),
        (60, "active", {"status": "x", "lastUpdated": "2027-01-15T07:00:00Z"}, {"status": "running", "a": 1}, [{}]),
        (60, "active", {"status": "x", "lastUpdated": "2027-01-15T07:59:00Z"}, {"status": "running", "a": 1}, [{}]),
        (60, "active", {"status": "x", "lastUpdated": "yesterday"}, {"status": "running", "a": 1}, [{}]),
        (60, "brand-new", {"status": "x", "lastUpdated": 7}, {"status": "running", "a": 1}, [{}]),
    ],
)
def test_a_stale_entry_only_adds_keys(age, status, details, sent, aside):
    """An entry is stale by its age, by the server's lastUpdated, or because the job has ended."""
    fields_sent, stale = flush.select_fields([entry({"status": "running", "a": 1}, age)], status, details, NOW, DAY)
    assert (fields_sent, stale) == (sent, aside)


@pytest.mark.parametrize(
    ("reported", "current", "is_sent"),
    [(None, None, True), ("a", None, True), (None, "a", True), ("a", "a", True), ("b", "a", False)],
)
def test_an_entry_of_another_attempt_than_the_current_one_is_stale(reported, current, is_sent):
    """Even a key that the job lacks. An entry from outside of the job, or a job without attempts, has no such limit."""
    stored = entry({"a": 1})._replace(attempt=reported)
    fields_sent, stale = flush.select_fields([stored], "active", {}, NOW, DAY, attempt=current)
    assert (fields_sent, stale) == (({"a": 1}, [{}]) if is_sent else ({}, [{"a": 1}]))


@given(st.lists(st.tuples(FIELDS, st.floats(0, 3 * DAY))), FIELDS, st.sampled_from(["active", "completed", "error"]))
def test_a_stale_value_overwrites_nothing(stored, details, status):
    """A value that is not sent is set aside, unless the server has it."""
    stored_entries = [entry(fields, age) for fields, age in stored]
    fields_sent, stale = flush.select_fields(stored_entries, status, details, NOW, DAY)
    fresh = {} if status != "active" else {k: v for fields, age in stored if age <= DAY for k, v in fields.items()}
    for key, value in fields_sent.items():
        assert key not in details or fresh.get(key) == value
    for index, one in enumerate(stored_entries):
        for key, value in one.fields.items():
            assert key in fields_sent or details[key] == value or stale[index][key] == value


def test_a_stale_timestamp_is_not_set_aside():
    """`lastUpdated` of a stale entry always differs."""
    details = {"lastUpdated": "2027-01-15T08:00:00Z", "a": 1}
    fields_sent, stale = flush.select_fields(
        [entry({"lastUpdated": "2027-01-15T07:59:00Z", "a": 1, "val_loss": 2})], "active", details, NOW, DAY
    )
    assert (fields_sent, stale) == ({"val_loss": 2}, [{}])


def test_each_coalesced_value_is_judged_by_its_own_time():
    """A fresh heartbeat must not make an old `status=running` fresh."""
    coalesced = entry({"status": "running", "step": 9})._replace(times={"status": NOW - 3600})
    details = {"status": "completed", "step": 1, "lastUpdated": "2027-01-15T07:30:00Z"}
    fields_sent, stale = flush.select_fields([coalesced], "active", details, NOW, DAY)
    assert (fields_sent, stale) == ({"step": 9}, [{"status": "running"}])


STORED = st.tuples(FIELDS, st.floats(0, 2 * DAY))
STATUS = st.sampled_from(["active", "completed", "error", "cancelled"])


@given(st.lists(STORED, min_size=1), FIELDS, STATUS, st.none() | st.floats(0, 2 * DAY))
def test_coalescing_does_not_change_which_fields_are_sent(stored, details, status, reported):
    """A full outbox coalesces the entries of a job."""
    stored.sort(key=lambda one: -one[1])
    stored_entries = [entry(fields, age) for fields, age in stored]
    if reported is not None:
        details = {**details, "lastUpdated": times.format_timestamp(NOW - reported)}
    assert (
        flush.select_fields([entries.coalesce(stored_entries)], status, details, NOW, DAY)[0]
        == flush.select_fields(stored_entries, status, details, NOW, DAY)[0]
    )
