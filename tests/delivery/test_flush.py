"""Delivering what was kept: older first, folded, judged, and never to the harm of what is new."""

from __future__ import annotations

import json
import tempfile

import pytest

from nemo_jobs_cli.api.session import Session
from nemo_jobs_cli.core import deadline
from nemo_jobs_cli.core.errors import AuthError, NotDeliveredError, NotFoundError, RejectedError, SettingsError
from nemo_jobs_cli.core.outcome import StoredResult, Update
from nemo_jobs_cli.delivery import flush, outbox
from nemo_jobs_cli.delivery.entry import Entry
from nemo_jobs_cli.delivery.flush import FlushTask
from nemo_jobs_cli.delivery.outbox import Outbox
from nemo_jobs_cli.settings.model import Settings, Sourced
from nemo_jobs_cli.transport.messages import Failure, Response

HOST = "http://h"
NOW = 1_800_000_000.0
DONE = Response(200, b"null")
NO = Response(422, b'{"detail":[{"type":"x","loc":["body"],"msg":"no","input":1}]}')
BROKEN = Response(500, b'{"detail":"Internal Server Error"}')


class Platform:
    """A sender that holds one job, and answers PATCHes by `script`, a function of their body.

    Where it has an `id`, that is what the list tells; no route knows it.
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
            found = {"name": "train-x", "status": self.status, "status_details": self.details}
            return Response(200, json.dumps(found).encode())
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
    """Keep the locks of the tests apart from the user's."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.fixture
def box(tmp_path):
    """Give an outbox."""
    return Outbox(tmp_path / "outbox", clock=lambda: NOW)


@pytest.fixture
def work(box, fake_time):
    """Return a function that makes the work of one job on a platform."""

    def make(platform, fields=None):
        settings = Settings(host=Sourced(HOST, "--host"), workspace=Sourced("ws", "-w"))
        talk = Session(settings, platform, deadline.start(5, fake_time.now, fake_time.clock))
        return FlushTask(box, talk, Update("ws", "train-x", fields or {}), NOW)

    return make


def keep(box, *updates):
    """Keep updates, the first the oldest."""
    for number, fields in enumerate(updates):
        box.store(Entry(HOST, "ws", "train-x", fields, NOW - 60 + number))


def test_older_updates_go_below_the_new_one_in_one_patch(box, work):
    """The state is what sending each in turn would have left; the answer is for the new one."""
    keep(box, {"a": 1, "b": 1}, {"b": 2, "c": 2})
    platform = Platform(lambda _: DONE)
    delivered, stored = flush.deliver(work(platform, {"c": 3}))
    assert platform.patches == [{"a": 1, "b": 2, "c": 3}]
    assert (delivered.update.fields, stored) == ({"c": 3}, StoredResult(delivered=2))
    assert box.names() == []


def test_a_flush_without_anything_new_sends_what_waits(box, work):
    """And nothing where nothing waits."""
    platform = Platform(lambda _: DONE)
    assert flush.flush_job(work(platform)) == (StoredResult(), None)
    keep(box, {"a": 1})
    assert flush.flush_job(work(platform)).stored == StoredResult(delivered=1)
    assert platform.patches == [{"a": 1}]


def test_what_is_stale_is_set_aside(box, work):
    """A finished job stays finished; a key that it lacks is added."""
    keep(box, {"status": "running", "val_loss": 0.5})
    platform = Platform(lambda _: DONE, "completed", {"status": "completed"})
    assert flush.flush_job(work(platform)).stored == StoredResult(delivered=1, aside=1)
    assert platform.patches == [{"val_loss": 0.5}]
    assert (box.names(), box.count(outbox.SET_ASIDE)) == ([], 1)


def test_where_all_of_it_is_stale_nothing_is_sent(box, work):
    """But the new update is, where there is one."""
    keep(box, {"status": "running"})
    platform = Platform(lambda _: DONE, "completed", {"status": "completed"})
    assert flush.flush_job(work(platform)).delivered is None
    assert platform.patches == []
    keep(box, {"status": "running"})
    assert flush.deliver(work(platform, {"note": 1}))[1] == StoredResult(0, 1)
    assert platform.patches == [{"note": 1}]


def test_the_one_that_is_refused_is_found_and_put_away(box, work):
    """The others and the new one do not suffer for it."""
    keep(box, {"a": 1}, {"bad": 1}, {"c": 1})
    platform = Platform(lambda fields: NO if "bad" in fields else DONE)
    _, stored = flush.deliver(work(platform, {"d": 1}))
    assert stored == StoredResult(delivered=2, rejected=1)
    assert platform.details == {"a": 1, "c": 1, "d": 1}
    assert (box.names(), box.count(outbox.REJECTED)) == ([], 1)


def test_a_new_update_that_is_refused_is_an_error_of_its_own(box, work):
    """What was kept is delivered all the same."""
    keep(box, {"a": 1})
    platform = Platform(lambda fields: NO if "bad" in fields else DONE)
    with pytest.raises(RejectedError):
        flush.deliver(work(platform, {"bad": 1}))
    assert box.names() == []


def test_entries_of_a_job_that_is_gone_are_put_away(box, work):
    """The job's own 404."""
    keep(box, {"a": 1}, {"b": 1})
    assert flush.flush_job(work(Platform(lambda _: DONE, None))).stored == StoredResult(rejected=2)
    keep(box, {"a": 1})
    gone = Response(404, b"{\"detail\":\"Entity 'train-x' not found in workspace 'ws'\"}")
    with pytest.raises(NotFoundError):
        flush.deliver(work(Platform(lambda _: gone), {"c": 1}))
    assert (box.names(), box.count(outbox.REJECTED)) == ([], 3)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Response(401, b"{}"), AuthError),
        (Response(403, b"{}"), AuthError),
        (Response(503, b"{}"), NotDeliveredError),
        (Failure("refused", "x"), NotDeliveredError),
    ],
)
def test_what_is_no_fault_of_theirs_leaves_the_entries(box, work, answer, error):
    """They wait for a better time."""
    keep(box, {"a": 1}, {"b": 1})
    with pytest.raises(error):
        flush.deliver(work(Platform(lambda _: answer), {"c": 1}))
    assert [box.read(name).fields for name in box.names()] == [{"a": 1}, {"b": 1}]


def test_the_third_500_is_the_last(box, work):
    """What the server can't take in three flushes it will never take; the new update goes alone."""
    keep(box, {"bad": 1})
    platform = Platform(lambda fields: BROKEN if "bad" in fields else DONE)
    for _ in range(2):
        with pytest.raises(NotDeliveredError):
            flush.flush_job(work(platform))
        assert len(box.names()) == 1
    assert flush.deliver(work(platform, {"c": 1}))[1] == StoredResult(rejected=1)
    assert (box.names(), platform.details) == ([], {"c": 1})


def test_a_lost_lease_leaves_the_entries_to_who_has_them(box, work, monkeypatch):
    """Who was paused for long must not send what others have sent meanwhile."""
    keep(box, {"a": 1}, {"b": 1})
    monkeypatch.setattr(box, "holds", lambda claim: "b" in claim.entry.fields)
    platform = Platform(lambda _: DONE)
    flush.flush_job(work(platform))
    assert platform.patches == [{"b": 1}]


def test_a_signal_gives_everything_back(box, work):
    """The next command finds it."""
    keep(box, {"a": 1})

    def interrupt(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        flush.flush_job(work(Platform(interrupt)))
    assert len(box.names()) == 1


def test_the_jobs_of_a_host_are_listed_once(box):
    """In the order of their oldest entry; other hosts' and broken ones are left out."""
    for number, (host, job) in enumerate([(HOST, "b"), (HOST, "a"), ("http://other", "c"), (HOST, "b")]):
        box.store(Entry(host, "ws", job, {}, NOW + number))
    box.store(Entry(HOST, "ws", "d", {}, NOW + 9)).write_text("{")
    assert [update.job for update in flush.pending_jobs(box, HOST)] == ["b", "a"]
    assert (len(box.names()), box.count(outbox.BROKEN)) == (4, 1)


def test_an_entry_that_is_readable_again_stays(box, monkeypatch):
    """What could not be read at one moment, and could the next."""
    box.store(Entry(HOST, "ws", "train-x", {}, NOW))
    monkeypatch.setattr(box, "read", lambda name: None)
    assert flush.pending_jobs(box, HOST) == []
    assert len(box.names()) == 1


@pytest.mark.parametrize("job_id", ["platform-job-2HzvGHLuPeXwN5kGsE3mLq", "platform-job-" + "a" * 22])
def test_an_update_that_names_the_job_by_its_id_is_delivered(box, work, job_id):
    """The routes know names only: the id is looked up, not rejected as unknown."""
    box.store(Entry(HOST, "ws", job_id, {"a": 1}, NOW - 60))
    platform = Platform(lambda _: DONE)
    platform.id = job_id
    asked = work(platform)
    assert flush.flush_job(asked._replace(update=Update("ws", job_id, {}))).stored == StoredResult(delivered=1)
    assert platform.details == {"a": 1}


def test_what_was_kept_is_not_blamed_for_the_new_one(box, work):
    """A single entry below a bad update is tried alone before anybody calls it rejected."""
    keep(box, {"a": 1})
    platform = Platform(lambda fields: NO if "bad" in fields else DONE)
    with pytest.raises(RejectedError):
        flush.deliver(work(platform, {"bad": 1}))
    assert (platform.details, box.count(outbox.REJECTED)) == ({"a": 1}, 0)


def test_a_job_that_somebody_delivers_is_left_to_him(box, work):
    """The new update goes alone; a flush sends nothing."""
    keep(box, {"a": 1}, {"a": 2})
    assert box.claim(box.names()[0])
    platform = Platform(lambda _: DONE)
    assert flush.flush_job(work(platform)) == (StoredResult(), None)
    assert flush.deliver(work(platform, {"c": 1}))[1] == StoredResult()
    assert platform.patches == [{"c": 1}]
    assert len(box.names()) == 1


def test_a_failing_one_among_the_refused_keeps_the_rest(box, work):
    """Found out one by one: the refused is put away, then the network goes, and what is left waits."""
    keep(box, {"bad": 1}, {"b": 1}, {"c": 1})
    platform = Platform(lambda fields: NO if "bad" in fields else Response(503, b"{}"))
    with pytest.raises(NotDeliveredError):
        flush.flush_job(work(platform))
    assert [box.read(name).fields for name in box.names()] == [{"b": 1}, {"c": 1}]
    assert box.count(outbox.REJECTED) == 1


def test_an_outbox_that_can_not_be_read_holds_no_update_back(box, work):
    """But a flush says so."""
    box.folder.mkdir()
    (box.folder / "pending").symlink_to(box.folder / "pending")
    platform = Platform(lambda _: DONE)
    assert flush.deliver(work(platform, {"c": 1}))[0].attempts == 1
    with pytest.raises(SettingsError, match="cannot read"):
        flush.flush_job(work(platform))


def test_an_empty_update_on_top_of_what_is_there_is_acknowledged(box, work):
    """The new one is {}, the old one all stale: one PATCH for the answer."""
    keep(box, {"status": "running"})
    platform = Platform(lambda _: DONE, "completed", {"status": "completed"})
    assert flush.deliver(work(platform))[0].attempts == 1
    assert platform.patches == [{}]
