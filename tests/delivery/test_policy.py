"""What becomes of an update that can't be delivered: kept, let go, or an error, as the settings say."""

from __future__ import annotations

import multiprocessing
import signal
import stat

import pytest
from raw import response

from nemo_jobs_cli.api import session
from nemo_jobs_cli.api.session import open_session
from nemo_jobs_cli.core.clock import SYSTEM_CLOCK
from nemo_jobs_cli.core.errors import AuthError, NotDeliveredError, RejectedError, SettingsError, Stopped
from nemo_jobs_cli.core.outcome import Delivered, Dropped, FlowResult, Kept, Target, Update
from nemo_jobs_cli.delivery import policy
from nemo_jobs_cli.delivery.outbox import Outbox
from nemo_jobs_cli.settings.model import Sourced

UPDATE = Update("ws", "train-x", {"lastUpdated": "2026-11-24T08:00:00.250Z", "progress": 45})
CREATED = 1795507200.25
DONE, BUSY = response(200), response(503, "{}")
AWAY = NotDeliveredError("nothing listens", "wait")


def deliver(configured, update=UPDATE):
    """Deliver an update over the network."""
    return policy.deliver(update, configured, lambda: open_session(configured, SYSTEM_CLOCK.now()))


def test_a_delivered_update_creates_no_outbox(settings, raw_server, outbox):
    """With --outbox and --best-effort."""
    result = deliver(settings(raw_server([DONE]).url, store=True, best_effort=True))
    assert isinstance(result.outcome, Delivered)
    assert not outbox.folder.parent.exists()


@pytest.mark.parametrize("best_effort", [True, False])
def test_an_undelivered_update_is_stored_with_its_own_time(settings, raw_server, outbox, best_effort):
    """Not the time of the failure; --outbox comes before --best-effort."""
    configured = settings(raw_server([BUSY]).url, store=True, best_effort=best_effort)
    result = deliver(configured)
    assert isinstance(result.outcome, Kept)
    assert "503" in result.outcome.reason
    (name,) = outbox.names()
    assert result.outcome.path == str(outbox.folder / "pending" / name)
    entry = outbox.read(name)
    assert (entry.host, entry.time, entry.profile, entry[1:4]) == (configured.host.value, CREATED, "lab", UPDATE)


def test_an_update_without_a_timestamp_gets_the_current_time(settings, outbox):
    """Also with an invalid one."""
    before = session.time.time()
    for stamp in ({}, {"lastUpdated": "soon"}):
        policy.store(UPDATE._replace(fields={"a": 1, **stamp}), settings(), "away")
    assert all(outbox.read(name).time >= before for name in outbox.names())
    assert len(outbox.names()) == 2


def test_best_effort_drops_and_the_next_delivery_reports_the_count(settings, raw_server):
    """Only a count is on the disk."""
    server = raw_server([BUSY, BUSY, DONE])
    configured = settings(server.url, best_effort=True)
    outcomes = [deliver(configured).outcome for _ in range(2)]
    assert all(isinstance(outcome, Dropped) and "503" in outcome.reason for outcome in outcomes)
    assert deliver(configured).dropped == 2
    assert deliver(configured).dropped == 0


def test_only_best_effort_reports_the_number_of_dropped_updates(settings, raw_server):
    """Without it, nothing is counted."""
    configured = settings(raw_server([DONE]).url)
    policy.count_dropped(configured)
    assert deliver(configured).dropped == 0


def test_an_undelivered_update_is_an_error_without_either(settings, raw_server):
    """Exit code 7."""
    with pytest.raises(NotDeliveredError):
        deliver(settings(raw_server([BUSY]).url))


@pytest.mark.parametrize(("status", "error"), [(401, AuthError), (403, AuthError), (422, RejectedError)])
def test_other_errors_are_neither_stored_nor_dropped(settings, raw_server, outbox, status, error):
    """A wrong token or a wrong update does not improve with time."""
    with pytest.raises(error):
        deliver(settings(raw_server([response(status, "{}")]).url, store=True, best_effort=True))
    assert not outbox.folder.exists()


@pytest.mark.parametrize("kind", [Stopped, KeyboardInterrupt])
@pytest.mark.parametrize("store", [True, False])
def test_a_signal_stores_the_update_before_it_ends_the_command(settings, outbox, kind, store):
    """If there is an outbox; `kept` makes the message say so."""

    def connect():
        raise kind(signal.SIGTERM)

    with pytest.raises(kind) as caught:
        policy.deliver(UPDATE, settings(store=store), connect)
    assert getattr(caught.value, "kept", False) == (store and kind is Stopped)
    assert [outbox.read(name)[1:4] for name in outbox.names()] == ([UPDATE] if store else [])


@pytest.mark.parametrize(
    ("folder", "problem", "hint"),
    [(True, "cannot store the update in the outbox ", ""), (False, "no home folder for the outbox", "--outbox-dir")],
)
@pytest.mark.parametrize("best_effort", [True, False])
def test_the_network_is_the_error_if_the_outbox_fails_too(settings, outbox, folder, problem, hint, best_effort):
    """Both reasons and hints are given; with best effort, the update is dropped."""
    outbox.folder.parent.mkdir()
    outbox.folder.write_text("a file", encoding="utf-8")
    configured = settings(store=True, best_effort=best_effort, folder=folder)
    away = NotDeliveredError("nothing listens", "start it")
    if best_effort:
        assert policy.store_or_drop(UPDATE, configured, away).reason.startswith(f"nothing listens; {problem}")
        return
    with pytest.raises(NotDeliveredError) as caught:
        policy.store_or_drop(UPDATE, configured, away)
    assert caught.value.message.startswith(f"nothing listens; {problem}")
    assert caught.value.hint.startswith("start it; ")
    assert hint in caught.value.hint


@pytest.mark.parametrize("stop", [Stopped(signal.SIGTERM), KeyboardInterrupt()])
def test_a_signal_ends_the_command_without_a_place_for_the_outbox(settings, stop):
    """It is not an error in the settings."""

    def connect():
        raise stop

    with pytest.raises(type(stop)) as caught:
        policy.deliver(UPDATE, settings(store=True, folder=False), connect)
    assert not getattr(caught.value, "kept", False)


def test_without_a_home_updates_are_delivered(settings, raw_server):
    """There is no outbox to look into."""
    assert isinstance(deliver(settings(raw_server([DONE]).url, folder=False)).outcome, Delivered)


def test_a_flow_delivers_stored_updates(settings, raw_server, outbox):
    """With its first update."""
    status = response(200, '{"name":"train-x","status":"active","status_details":{}}')
    server = raw_server([status, DONE])
    configured = settings(server.url)
    policy.store(UPDATE, configured, "away")
    done = policy.deliver_with_stored(
        UPDATE._replace(fields={"step": 1}), open_session(configured, SYSTEM_CLOCK.now())
    )[0]
    assert (done.update.fields, outbox.names()) == ({"step": 1}, [])
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
def test_the_undelivered_fields_of_a_flow_are_stored(settings, outbox, error, fields, kind):
    """With a timestamp, by which a flush judges them."""
    flow = policy.settle(FlowResult(updates=3, error=error), UPDATE._replace(fields=fields), settings(store=True))
    assert type(flow.kept) is kind
    assert flow.error is (None if kind is Kept else error)
    assert [set(outbox.read(name).fields) for name in outbox.names()] == (
        [{"lastUpdated", "a"}] if kind is Kept else []
    )


@pytest.mark.parametrize(("reported", "progress"), [("1970-01-01T00:00:00Z", 45), ("2999-01-01T00:00:00Z", 80)])
def test_details_with_the_stored_updates(settings, outbox, reported, progress):
    """As the next update delivers them: a stored update changes no newer details, and none of another job."""
    configured = settings()
    target, details = Target("ws", "train-x"), {"progress": 80, "lastUpdated": reported}
    assert policy.with_stored(details, target, configured) == details
    policy.store(UPDATE._replace(fields={"progress": 45}), configured, "away")
    assert policy.with_stored(details, target, configured) == {**details, "progress": progress}
    assert policy.with_stored(details, target._replace(job="other"), configured) == details


def test_details_with_an_outbox_that_cannot_be_read(settings, outbox, monkeypatch):
    """They stay as they are: the delivery tells of it."""
    policy.store(UPDATE, settings(), "away")

    def refuse(*_):
        raise SettingsError("cannot read the outbox", "check its owner")

    monkeypatch.setattr(Outbox, "names", refuse)
    assert policy.with_stored({"a": 1}, Target("ws", "train-x"), settings()) == {"a": 1}


def test_a_timestamp_of_the_user_is_stored_unchanged(settings, outbox):
    """A flow adds its own only if there is none."""
    policy.settle(FlowResult(error=AWAY), UPDATE, settings(store=True))
    assert [outbox.read(name).fields["lastUpdated"] for name in outbox.names()] == [UPDATE.fields["lastUpdated"]]


def test_a_flow_without_a_stamp_is_stored_without_one(settings, outbox):
    """As the setting says."""
    configured = settings(store=True)._replace(stamp=Sourced(False, "--no-stamp"))
    policy.settle(FlowResult(error=AWAY), UPDATE._replace(fields={"a": 1}), configured)
    assert [outbox.read(name).fields for name in outbox.names()] == [{"a": 1}]


@pytest.mark.parametrize("status", [401, 403])
def test_a_flow_with_a_refused_credential_is_stored_and_still_an_error(settings, outbox, status):
    """The last state is not lost, and the user learns that somebody has to log in."""
    refused = AuthError(f"refused ({status})", "log in")
    flow = policy.settle(FlowResult(error=refused), UPDATE, settings(store=True))
    assert (flow.error, type(flow.kept), flow.kept.reason) == (refused, Kept, f"refused ({status})")
    assert [outbox.read(name)[1:4] for name in outbox.names()] == [UPDATE]
    for best_effort in (True, False):
        assert policy.settle(FlowResult(error=refused), UPDATE, settings(best_effort=best_effort)).kept is None
    (outbox.folder / "pending").rename(outbox.folder / "away")
    (outbox.folder / "pending").write_text("a file", encoding="utf-8")
    flow = policy.settle(FlowResult(error=refused), UPDATE, settings(store=True))
    assert (flow.error, flow.kept) == (refused, None)
    assert "; cannot store the update" in flow.error.message


def test_the_undelivered_fields_of_a_flow_may_be_dropped_or_an_error(settings, outbox):
    """As for a single update."""
    flow = policy.settle(FlowResult(error=AWAY), UPDATE, settings(best_effort=True))
    assert isinstance(flow.kept, Dropped)
    assert policy.settle(FlowResult(error=AWAY), UPDATE, settings()).error is AWAY
    (outbox.folder / "pending").write_text("a file", encoding="utf-8")
    assert isinstance(policy.settle(FlowResult(error=AWAY), UPDATE, settings(store=True)).error, NotDeliveredError)


def test_dropped_updates_are_reported_once(settings):
    """Per host."""
    assert policy.take_dropped_count(settings()) == 0
    for _ in range(3):
        policy.count_dropped(settings())
    assert policy.take_dropped_count(settings("http://other")) == 0
    assert (policy.take_dropped_count(settings()), policy.take_dropped_count(settings())) == (3, 0)


def test_the_count_is_a_private_file_in_the_outbox(settings, outbox):
    """Not beside it: `--outbox-dir box` leaves nothing in the working directory. It is deleted when it is reported."""
    policy.count_dropped(settings())
    (file,) = outbox.folder.iterdir()
    assert [stat.S_IMODE(path.stat().st_mode) for path in (outbox.folder, file)] == [0o700, 0o600]
    assert list(outbox.folder.parent.iterdir()) == [outbox.folder]
    assert policy.take_dropped_count(settings()) == 1
    assert list(outbox.folder.iterdir()) == []


def drop_hundred(configured):
    """Count in another process."""
    for _ in range(100):
        policy.count_dropped(configured)


def test_processes_count_at_the_same_time(settings):
    """None is lost."""
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=drop_hundred, args=(settings(),)) for _ in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    assert policy.take_dropped_count(settings()) == 400


def test_a_count_that_cannot_be_written_is_ignored(settings, tmp_path):
    """No home, or a file instead of the folder, is not an error."""
    (tmp_path / "state").write_text("a file", encoding="utf-8")
    for configured in (settings(), settings(folder=False)):
        policy.count_dropped(configured)
        assert policy.take_dropped_count(configured) == 0
