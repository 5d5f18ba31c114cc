"""What becomes of an update that can't be delivered: kept, let go, or an error, as the settings say."""

from __future__ import annotations

import signal
import socket

import pytest
from raw import response

from nemo_jobs_cli.api import session
from nemo_jobs_cli.api.session import open_session
from nemo_jobs_cli.core.clock import SYSTEM_CLOCK
from nemo_jobs_cli.core.errors import AuthError, NotDeliveredError, RejectedError, SettingsError, Stopped
from nemo_jobs_cli.core.outcome import Delivered, Dropped, FlowResult, Kept, Update
from nemo_jobs_cli.delivery import outbox, policy
from nemo_jobs_cli.settings.model import Settings, Sourced

UPDATE = Update("ws", "train-x", {"lastUpdated": "2026-11-24T08:00:00.250Z", "progress": 45})
MADE = 1795507200.25
DONE, BUSY = response(200), response(503, "{}")
AWAY = NotDeliveredError("nothing listens", "wait")


@pytest.fixture
def box(tmp_path):
    """Give an outbox that is not there."""
    return outbox.Outbox(tmp_path / "state/outbox")


@pytest.fixture
def settings(box):
    """Return a function that makes settings with this outbox."""

    def make(host="http://h", *, keep=False, best_effort=False, folder=True):
        return Settings(
            host=Sourced(host, "--host"),
            outbox=Sourced(keep, "--outbox"),
            outbox_dir=Sourced(str(box.folder), "default") if folder else None,
            best_effort=Sourced(best_effort, "--best-effort"),
            deadline=Sourced(0.0, "--deadline"),
            profile="lab",
        )

    return make


def deliver(where, update=UPDATE):
    """Deliver over the network."""
    return policy.deliver(update, where, lambda: open_session(where, SYSTEM_CLOCK.now()))


def test_what_arrives_is_delivered_and_makes_no_folder(settings, raw_server, box):
    """Whatever was asked for in case of need."""
    ended = deliver(settings(raw_server([DONE]).url, keep=True, best_effort=True))
    assert isinstance(ended.outcome, Delivered)
    assert not box.folder.parent.exists()


@pytest.mark.parametrize("best_effort", [True, False])
def test_what_is_late_is_kept_with_all_that_is_needed_later(settings, raw_server, box, best_effort):
    """Its own time, not that of giving up; keeping comes before letting go."""
    where = settings(raw_server([BUSY]).url, keep=True, best_effort=best_effort)
    ended = deliver(where)
    assert isinstance(ended.outcome, Kept)
    assert "503" in ended.outcome.reason
    (name,) = box.names()
    assert ended.outcome.path == str(box.folder / "pending" / name)
    entry = box.read(name)
    assert (entry.host, entry.time, entry.profile, entry.update) == (where.host.value, MADE, "lab", UPDATE)


def test_an_update_without_a_time_was_made_now(settings, box):
    """Whoever keeps without a stamp."""
    before = session.time.time()
    for stamp in ({}, {"lastUpdated": "soon"}):
        policy.store(UPDATE._replace(fields={"a": 1, **stamp}), settings(), "away")
    assert all(box.read(name).time >= before for name in box.names())
    assert len(box.names()) == 2


def test_what_is_late_is_dropped_and_the_next_one_tells(settings, raw_server):
    """Best effort alone: nothing is on the disk but a count."""
    server = raw_server([BUSY, BUSY, DONE])
    where = settings(server.url, best_effort=True)
    outcomes = [deliver(where).outcome for _ in range(2)]
    assert all(isinstance(outcome, Dropped) and "503" in outcome.reason.message for outcome in outcomes)
    assert deliver(where).dropped == 2
    assert deliver(where).dropped == 0


def test_what_is_late_is_an_error_without_either(settings, raw_server):
    """Exit code 7."""
    with pytest.raises(NotDeliveredError):
        deliver(settings(raw_server([BUSY]).url))


@pytest.mark.parametrize(("status", "error"), [(401, AuthError), (403, AuthError), (422, RejectedError)])
def test_only_what_is_late_is_forgiven(settings, raw_server, box, status, error):
    """A wrong token or a wrong update does not get better with time."""
    with pytest.raises(error):
        deliver(settings(raw_server([response(status, "{}")]).url, keep=True, best_effort=True))
    assert not box.folder.exists()


@pytest.mark.parametrize("stop", [Stopped(signal.SIGTERM), KeyboardInterrupt()])
@pytest.mark.parametrize("keep", [True, False])
def test_a_signal_keeps_the_update_first(settings, box, stop, keep):
    """And ends the command all the same."""

    def connect():
        raise stop

    with pytest.raises(type(stop)):
        policy.deliver(UPDATE, settings(keep=keep), connect)
    assert [box.read(name).update for name in box.names()] == ([UPDATE] if keep else [])


def test_an_outbox_that_can_not_keep_is_an_error_unless_best_effort(settings, box):
    """Then both troubles are told."""
    box.folder.parent.mkdir()
    box.folder.write_text("a file")
    with pytest.raises(SettingsError, match="cannot store the update"):
        policy.store_or_drop(UPDATE, settings(keep=True), AWAY)
    dropped = policy.store_or_drop(UPDATE, settings(keep=True, best_effort=True), AWAY)
    assert isinstance(dropped, Dropped)
    assert dropped.reason.message.startswith("nothing listens; cannot store the update in the outbox ")


def test_without_a_home_a_folder_must_be_named(settings):
    """The hint says how."""
    with pytest.raises(SettingsError, match="no home folder") as caught:
        policy.store(UPDATE, settings(keep=True, folder=False), "away")
    assert "--outbox-dir" in caught.value.hint


def test_without_a_home_updates_arrive(settings, raw_server):
    """There is nothing older to look for."""
    assert isinstance(deliver(settings(raw_server([DONE]).url, folder=False)).outcome, Delivered)


def test_a_claim_outlives_the_deadline(settings):
    """Else others take what we are still sending."""
    where = settings()._replace(deadline=Sourced(600.0, "--deadline"))
    policy.store(UPDATE, where, "away")
    box = policy.open_outbox(where)
    claim = box.claim(box.names()[0])
    assert claim.ends > session.time.time() + 600


def test_a_flow_takes_older_ones_along(settings, raw_server, box):
    """With the first of its updates."""
    status = response(200, '{"name":"train-x","status":"active","status_details":{}}')
    server = raw_server([status, DONE])
    where = settings(server.url)
    policy.store(UPDATE, where, "away")
    done = policy.deliver_from_flow(UPDATE._replace(fields={"step": 1}), open_session(where, SYSTEM_CLOCK.now()))
    assert (done.update.fields, box.names()) == ({"step": 1}, [])
    assert b'"progress":45,"step":1' in server.seen[1]


@pytest.mark.parametrize(
    ("error", "fields", "kind"),
    [
        (AWAY, {"a": 1}, Kept),
        (AWAY, {}, type(None)),
        (None, {"a": 1}, type(None)),
        (RejectedError("no", "x"), {"a": 1}, type(None)),
    ],
)
def test_the_rest_of_a_flow_is_kept(settings, box, error, fields, kind):
    """If there is one and time was the trouble; with a stamp, since it will be judged by its time."""
    flow = policy.settle(FlowResult(updates=3, error=error), UPDATE._replace(fields=fields), settings(keep=True))
    assert type(flow.kept) is kind
    assert flow.error is (None if kind is Kept else error)
    assert [set(box.read(name).fields) for name in box.names()] == ([{"lastUpdated", "a"}] if kind is Kept else [])


def test_the_rest_of_a_flow_may_be_dropped_or_an_error(settings, box):
    """As for a single update."""
    flow = policy.settle(FlowResult(error=AWAY), UPDATE, settings(best_effort=True))
    assert isinstance(flow.kept, Dropped)
    assert policy.settle(FlowResult(error=AWAY), UPDATE, settings()).error is AWAY
    box.folder.write_text("a file")
    assert isinstance(policy.settle(FlowResult(error=AWAY), UPDATE, settings(keep=True)).error, SettingsError)


def test_the_host_that_refuses_is_kept_under_its_own_name(settings, box):
    """A flush of another host leaves it alone."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    deliver(settings(f"http://127.0.0.1:{port}", keep=True))
    assert len(box.names(f"http://127.0.0.1:{port}")) == 1
    assert box.names("http://127.0.0.1:1") == []
