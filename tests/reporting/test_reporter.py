"""Reporting a flow of updates: real servers that refuse, hang, die and recover, with tiny intervals."""

from __future__ import annotations

import json
import queue
import socket
import sys
import tempfile
import threading
import time
from itertools import pairwise

import pytest
from raw import read_request, response

from nemo_jobs_cli.api.session import open_session
from nemo_jobs_cli.core.clock import SYSTEM_CLOCK
from nemo_jobs_cli.core.errors import (
    AuthError,
    BugError,
    NotDeliveredError,
    NotFoundError,
    RejectedError,
    SettingsError,
)
from nemo_jobs_cli.core.outcome import Delivered, Target
from nemo_jobs_cli.reporting import reporter
from nemo_jobs_cli.reporting.coalesce import Coalescer
from nemo_jobs_cli.reporting.reporter import Reporter
from nemo_jobs_cli.sandbox import faults
from nemo_jobs_cli.sandbox import server as sandbox
from nemo_jobs_cli.settings.model import Credential, Settings, Sourced
from nemo_jobs_cli.transport import retry

JOB_ID = "platform-job-2HzvGHLuPeXwN5kGsE3mLq"
WHILE = 10  # seconds that anything may take before a test fails

OK = response(200)
BUSY = response(503, '{"detail":"Service Unavailable"}')
EXPIRED = response(401, '{"detail":"Invalid or expired token"}')
REFUSED = response(422, '{"detail":[{"type":"x","loc":["body"],"msg":"no","input":1}]}')
NO_JOB = response(404, "{\"detail\":\"Entity 'train-x' not found in workspace 'default'\"}")


class Platform:
    """A server that answers PATCHes by a script, then all with 200, and keeps the details of one job.

    `hang` takes a request and says nothing; it is served before the first read: the update that lands late.
    `die` cuts it off. A function gets the request's bytes and returns the answer.
    """

    def __init__(self, raw_server, *script, read=None):
        self.script, self.read = list(script), read
        self.details, self.late = {}, []
        self.patches, self.reads, self.times = [], 0, []
        self.url = raw_server(self.serve).url
        self.came = threading.Semaphore(0)

    def serve(self, connection, seen, stop):
        """Answer one request."""
        request = read_request(connection)
        if request.startswith(b"GET"):
            self.reads += 1
            for body in self.late:
                self.details |= body
            self.late.clear()
            found = json.dumps({"name": "train-x", "status_details": self.details})
            connection.sendall(self.read or response(200, found))
            return
        body = json.loads(request.partition(b"\r\n\r\n")[2])
        self.patches.append(body)
        self.times.append(time.monotonic())
        answer = self.script.pop(0) if self.script else OK
        self.came.release()
        if answer == "hang":
            self.late.append(body)
            stop.wait(30)
        elif answer != "die":
            answer = answer(request) if callable(answer) else answer
            if answer == OK:
                self.details |= body
            connection.sendall(answer)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch, tmp_path):
    """Let outages be short, and no other test stand in the same queue."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(retry, "WIDEST_WINDOW", 0.02)
    monkeypatch.setattr(reporter, "RETRY_INTERVAL", 0.02)


@pytest.fixture
def flow():
    """Return a function that starts a reporter; what it tells of is in its `heard`."""
    begun = []

    def start(url, *, job="train-x", interval=0.01, seconds=10.0, credential=None, hear=None, on_retry=None, **more):
        settings = Settings(host=Sourced(url, "--host"), deadline=Sourced(seconds, "--deadline"), credential=credential)
        heard = queue.Queue()
        made = Reporter(
            Target("default", job),
            Coalescer(interval),
            lambda: open_session(settings, SYSTEM_CLOCK.now(), on_retry=on_retry),
            on_event=hear or heard.put,
            **more,
        )
        made.heard = heard
        begun.append(made)
        made.start()
        return made

    yield start
    for one in begun:
        one.finish({}, WHILE)
        if one._session is not None:
            one._session.sender.close()


def hear(flow, kind):
    """Return the next thing that a flow tells of, which must be of a kind."""
    event = flow.heard.get(timeout=WHILE)
    assert isinstance(event, kind), event
    return event


def free_port():
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


# The usual way ----------------------------------------------------------------------------------------------------


def test_the_first_goes_at_once_and_the_last_always(flow, raw_server):
    """What comes between is folded into it, whatever the interval."""
    platform = Platform(raw_server)
    one = flow(platform.url, interval=3600)
    one.add({"step": 1})
    assert hear(one, Delivered).update.fields == {"step": 1}
    for step in range(2, 100):
        one.add({"step": step})
    one.add({"loss": 0.5, "step": 100}, updates=3)
    done = one.finish({"status": "completed"}, WHILE)
    assert platform.patches == [{"step": 1}, {"step": 100, "loss": 0.5, "status": "completed"}]
    assert done == reporter.FlowResult(updates=103, requests=2)
    assert platform.reads == 0


def test_a_flow_of_nothing_sends_nothing(flow, raw_server):
    """Nor does it open a session."""
    platform = Platform(raw_server)
    assert flow(platform.url).finish({}, WHILE) == reporter.FlowResult()
    assert platform.patches == []


def test_requests_keep_their_distance(flow, raw_server):
    """However fast updates come."""
    platform = Platform(raw_server)
    one = flow(platform.url, interval=0.1)
    step = 0
    while len(platform.times) < 4:
        one.add({"step": (step := step + 1)})
        time.sleep(0)
    done = one.finish({}, WHILE)
    assert done.requests == len(platform.patches)
    assert platform.details == {"step": step}
    # Measured where they arrive, which may jitter; the fold's own tests have the exact rule.
    assert all(later - earlier > 0.05 for earlier, later in pairwise(platform.times[:4]))


def test_nothing_is_sent_after_the_end(flow, raw_server):
    """A thread of the writer that comes late changes nothing, and finishing twice is no harm."""
    platform = Platform(raw_server)
    one = flow(platform.url)
    assert one.finish({"a": 1}, WHILE).updates == 1
    one.add({"a": 2})
    assert one.finish({"a": 3}, WHILE) == reporter.FlowResult(updates=1, requests=1)
    assert platform.patches == [{"a": 1}]


def test_counts_are_exact_while_two_threads_count(flow, raw_server):
    """One adds while the other sends."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        one = flow(Platform(raw_server).url, interval=0)
        count = 0
        while one.flow.requests < 60:
            for _ in range(200):
                one.add({"step": count})
                count += 1
        assert one.finish({}, WHILE).updates == count
    finally:
        sys.setswitchinterval(before)


def test_a_silent_flow_gives_a_sign_of_life(flow, raw_server):
    """After `silence` seconds, again and again; beats are no updates."""
    beats = iter(range(1000))
    platform = Platform(raw_server)
    one = flow(platform.url, heartbeat=0.02, make_heartbeat=lambda: {"lastUpdated": next(beats)})
    found = [hear(one, Delivered).update.fields["lastUpdated"] for _ in range(3)]
    assert found == [0, 1, 2]
    assert one.finish({}, WHILE).updates == 0


def test_a_sign_of_life_may_be_nothing(flow, raw_server):
    """Where the user has dropped its key: it is asked for, and nothing is sent."""
    asked = threading.Semaphore(0)
    platform = Platform(raw_server)
    one = flow(platform.url, heartbeat=0.01, make_heartbeat=lambda: asked.release() or {})
    assert asked.acquire(timeout=WHILE)
    assert asked.acquire(timeout=WHILE)
    assert one.finish({}, WHILE) == reporter.FlowResult()
    assert platform.patches == []


def test_an_id_is_resolved_once(flow):
    """The routes take names only; later updates go there at once."""
    log = []
    server = sandbox.start(sandbox.Options(jobs=("train-x",)), log.append)
    try:
        server.jobs["default", "train-x"].record["id"] = JOB_ID
        one = flow(server.url, job=JOB_ID)
        for step in range(3):
            one.add({"step": step})
            assert hear(one, Delivered).update.job == "train-x"
        assert one.finish({}, WHILE).error is None
    finally:
        sandbox.stop(server)
    assert [row.split()[0] for row in log] == ["GET", "PATCH", "PATCH", "PATCH"]


def test_the_route_of_a_newer_server_is_remembered(flow):
    """Only the first update asks for the older one."""
    log = []
    options = sandbox.Options(faults=faults.parse(["attempts-only"]))
    server = sandbox.start(options, log.append)
    try:
        one = flow(server.url)
        for step in range(3):
            one.add({"step": step})
            hear(one, Delivered)
        one.finish({}, WHILE)
    finally:
        sandbox.stop(server)
    assert ["attempts/current" in row for row in log] == [False, True, True, True]


# Outages ----------------------------------------------------------------------------------------------------------


def test_a_server_that_is_started_later_gets_the_newest_state(flow):
    """Nothing listens at first: it is told once, updates fold on, and recovery is told."""
    port = free_port()
    one = flow(f"http://127.0.0.1:{port}", seconds=0.1)
    one.add({"step": 1, "first": True})
    hear(one, NotDeliveredError)
    for step in range(2, 50):
        one.add({"step": step})
    deadline = time.monotonic() + WHILE
    while one.flow.errors < 3 and time.monotonic() < deadline:
        time.sleep(0.005)
    server = sandbox.start(sandbox.Options(port=port))
    try:
        assert hear(one, Delivered).update.fields == {"step": 49, "first": True}  # the first news since
        done = one.finish({}, WHILE)
    finally:
        sandbox.stop(server)
    assert done.error is None
    assert done.errors >= 3
    assert done.requests > done.retries > 0
    assert done.requests >= done.errors + 1
    assert server.jobs["default", "train-x"].details == {"step": 49, "first": True}


@pytest.mark.parametrize("trouble", [BUSY, "die", response(409, "{}")], ids=["503", "dies", "409"])
def test_what_passes_is_only_repeated(flow, raw_server, trouble):
    """A gateway that restarts, a connection that breaks in mid-request, a conflict: no word of it."""
    platform = Platform(raw_server, trouble, trouble, trouble)
    one = flow(platform.url)
    one.add({"step": 1})
    assert hear(one, Delivered).attempts == 4
    done = one.finish({}, WHILE)
    assert (done.requests, done.retries, done.errors, done.error) == (4, 3, 0, None)
    assert platform.details == {"step": 1}


def test_each_repetition_is_told_to_who_opened_the_session(flow, raw_server):
    """As `update -v` does."""
    told = []
    one = flow(Platform(raw_server, BUSY, "die").url, on_retry=lambda last, wait: told.append(last))
    assert one.finish({"a": 1}, WHILE).requests == 3
    assert told[0].status == 503
    assert told[1].kind == "reset"


def test_each_outage_is_told_once(flow, raw_server):
    """The same again is no news; the next outage is."""
    times = iter([True] * 6 + [False] + [True] * 3 + [False])
    platform = Platform(raw_server, *[lambda _: response(500, "{}") if next(times) else OK] * 11)
    one = flow(platform.url, seconds=0)  # one attempt each
    one.add({"a": 1})
    hear(one, NotDeliveredError)
    hear(one, Delivered)
    one.add({"a": 2})
    hear(one, NotDeliveredError)
    hear(one, Delivered)
    done = one.finish({}, WHILE)
    assert (done.errors, done.requests, done.retries, done.error) == (9, 11, 0, None)


def test_a_server_that_hangs_to_the_end_does_not_hold_us_up(flow, raw_server, monkeypatch):
    """`finish` is bounded, and says that the last update isn't there."""
    monkeypatch.setattr(reporter, "GRACE", 0.1)
    platform = Platform(raw_server, "hang", "hang")
    one = flow(platform.url, seconds=1)
    one.add({"step": 1})
    assert platform.came.acquire(timeout=WHILE)
    began = time.monotonic()
    done = one.finish({"step": 2}, 0.3)
    assert 0.3 < time.monotonic() - began < 3
    assert isinstance(done.error, NotDeliveredError)
    assert "--deadline" in done.error.hint


def test_one_attempt_has_its_own_limit(flow, raw_server, monkeypatch):
    """`--deadline 0` means no repetition, not no time."""
    monkeypatch.setattr(reporter, "GRACE", 0.0)
    held = threading.Event()

    def slow(_):
        held.wait(0.3)
        return OK

    platform = Platform(raw_server, slow)
    done = flow(platform.url, seconds=0).finish({"a": 1}, 0)
    assert done == reporter.FlowResult(updates=1, requests=1)


def test_a_refusal_to_the_end_is_the_flows_error(flow):
    """Exit code 7, from who asks for it."""
    one = flow(f"http://127.0.0.1:{free_port()}", seconds=0.05)
    one.add({"a": 1})
    hear(one, NotDeliveredError)
    done = one.finish({"a": 2}, WHILE)
    assert isinstance(done.error, NotDeliveredError)
    assert done.updates == 2


def test_the_last_state_does_not_wait_for_an_older_ones_turn(flow, raw_server):
    """What waits to be repeated goes with it, at once."""
    platform = Platform(raw_server, response(503, "{}", "Retry-After: 8"))
    one = flow(platform.url)
    one.add({"a": 1, "b": 1})
    assert platform.came.acquire(timeout=WHILE)
    began = time.monotonic()
    done = one.finish({"a": 2}, WHILE)
    assert time.monotonic() - began < 5
    assert platform.patches == [{"a": 1, "b": 1}, {"a": 2, "b": 1}]
    assert (done.requests, done.error) == (2, None)


def test_an_older_state_on_its_way_at_the_end_is_not_repeated(flow, raw_server):
    """Its answer comes after the end has been asked for: the last one goes in its place."""
    ended = threading.Event()

    def busy(_):
        ended.wait(WHILE)
        return response(503, "{}", "Retry-After: 8")

    platform = Platform(raw_server, busy)
    one = flow(platform.url)
    one.add({"a": 1})
    assert platform.came.acquire(timeout=WHILE)
    threading.Thread(target=lambda: one._ending.wait(WHILE) and ended.set(), daemon=True).start()
    began = time.monotonic()
    assert one.finish({"a": 2}, WHILE).error is None
    assert time.monotonic() - began < 5
    assert platform.patches == [{"a": 1}, {"a": 2}]


def test_the_last_one_is_repeated_until_its_deadline(flow, raw_server):
    """There is none to go in its place."""
    platform = Platform(raw_server, BUSY, BUSY)
    done = flow(platform.url).finish({"a": 1}, WHILE)
    assert (done.requests, done.retries, done.error) == (3, 2, None)


# Who is asking ----------------------------------------------------------------------------------------------------


def only(token):
    """Return a script's entry that takes one token alone."""
    return lambda request: OK if f"Bearer {token}\r\n".encode() in request else EXPIRED


def from_file(path):
    """Return the credential of `--token-file`."""
    return Credential("file", str(path), "--token-file")


def test_a_token_that_is_renewed_in_its_file_is_read_again(flow, raw_server, tmp_path):
    """Half way; nobody needs to hear of it."""
    file = tmp_path / "token"
    file.write_text("old")
    platform = Platform(raw_server, only("old"), *[only("new")] * 5)
    one = flow(platform.url, credential=from_file(file))
    one.add({"a": 1})
    hear(one, Delivered)
    file.write_text("new")
    one.add({"a": 2})
    assert hear(one, Delivered).update.fields == {"a": 2}
    assert one.finish({}, WHILE) == reporter.FlowResult(updates=2, requests=3)


def test_a_token_that_expires_before_the_last_update_is_read_again(flow, raw_server, tmp_path):
    """There is no later one to go in its place."""
    file = tmp_path / "token"
    file.write_text("old")
    platform = Platform(raw_server, only("old"), *[only("new")] * 5)
    one = flow(platform.url, credential=from_file(file))
    one.add({"a": 1})
    hear(one, Delivered)
    file.write_text("new")
    assert one.finish({"a": 2}, WHILE).error is None
    assert platform.details == {"a": 2}


def test_a_token_file_that_is_away_for_a_moment_ends_nothing(flow, raw_server, tmp_path):
    """It is being replaced: the refusal is told, and it is tried again later."""
    file = tmp_path / "token"
    file.write_text("old")
    platform = Platform(raw_server, only("old"), *[only("new")] * 9999)
    one = flow(platform.url, credential=from_file(file))
    one.add({"a": 1})
    hear(one, Delivered)
    file.unlink()
    one.add({"a": 2})
    hear(one, AuthError)
    new = tmp_path / "new"
    new.write_text("new")
    new.replace(file)
    hear(one, Delivered)
    assert one.finish({}, WHILE).error is None
    assert platform.details == {"a": 2}


def test_a_token_that_is_refused_for_good_is_told_once(flow, raw_server):
    """It is tried again now and then, and is the flow's error in the end."""
    platform = Platform(raw_server, *[EXPIRED] * 999)
    one = flow(platform.url, credential=Credential("token", "t", "NEMO_JOBS_TOKEN"))
    one.add({"a": 1})
    hear(one, AuthError)
    for _ in range(3):
        assert platform.came.acquire(timeout=WHILE)
    done = one.finish({}, WHILE)
    assert isinstance(done.error, AuthError)
    assert one.heard.empty()
    assert done.requests == done.errors == len(platform.patches)


def test_settings_that_can_not_work_are_tried_again(flow, raw_server, tmp_path):
    """The file of a token may be written after the start; no request is counted until then."""
    file = tmp_path / "token"
    platform = Platform(raw_server)
    one = flow(platform.url, credential=from_file(file))
    one.add({"a": 1})
    hear(one, SettingsError)
    new = tmp_path / "new"
    new.write_text("t")
    new.replace(file)
    hear(one, Delivered)
    done = one.finish({}, WHILE)
    assert (done.requests, done.retries, done.error) == (1, 0, None)


# Refusals ---------------------------------------------------------------------------------------------------------


def test_a_job_that_is_created_later_gets_its_updates(flow):
    """A 404 may pass while a training runs for days."""
    server = sandbox.start(sandbox.Options(strict=True))
    try:
        one = flow(server.url)
        one.add({"a": 1})
        hear(one, NotFoundError)
        server.add_job("train-x")
        hear(one, Delivered)
        assert one.finish({}, WHILE).error is None
    finally:
        sandbox.stop(server)


def test_a_job_that_never_comes_is_the_flows_error(flow):
    """Exit code 5."""
    server = sandbox.start(sandbox.Options(strict=True))
    try:
        done = flow(server.url).finish({"a": 1}, WHILE)
    finally:
        sandbox.stop(server)
    assert isinstance(done.error, NotFoundError)


def test_an_update_that_is_refused_is_dropped_and_the_next_is_fine(flow, raw_server):
    """Each is told of, and remembered to the end, also over an outage."""
    platform = Platform(raw_server, REFUSED, REFUSED, OK, response(500, "{}"))
    one = flow(platform.url, seconds=0)
    one.add({"a": 1})
    hear(one, RejectedError)
    one.add({"b": 1})
    hear(one, RejectedError)
    one.add({"c": 1})
    hear(one, Delivered)
    one.add({"d": 1})
    hear(one, NotDeliveredError)
    hear(one, Delivered)
    done = one.finish({}, WHILE)
    assert platform.details == {"c": 1, "d": 1}
    assert isinstance(done.error, RejectedError)
    assert (done.errors, done.requests) == (3, 5)


# What lands late --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("last", [{}, {"other": 1}], ids=["nothing-left", "something-left"])
def test_an_update_that_lands_late_is_overwritten_at_the_end(flow, raw_server, last):
    """Its PATCH timed out here; what the server has is read back once, and repeated where it differs."""
    platform = Platform(raw_server, "hang")
    one = flow(platform.url, seconds=0.3)
    one.add({"step": 1, "same": 1})
    hear(one, NotDeliveredError)
    one.add({"step": 2})
    seen = hear(one, Delivered).update.fields
    if seen["step"] == 1:
        hear(one, Delivered)
    done = one.finish(last, WHILE)
    assert platform.details == {"step": 2, "same": 1, **last}
    assert platform.reads == 1
    assert platform.patches[-1] == {"step": 2}
    assert done.error is None


def test_what_is_there_is_not_repeated(flow, raw_server):
    """The doubt was for nothing."""
    platform = Platform(raw_server, BUSY)
    one = flow(platform.url)
    one.add({"a": 1})
    hear(one, Delivered)
    one.finish({"a": 2}, WHILE)
    assert platform.reads == 1
    assert platform.patches == [{"a": 1}, {"a": 1}, {"a": 2}]


def test_what_was_refused_is_not_repeated(flow, raw_server):
    """The doubt is about an older request for the same key."""
    platform = Platform(raw_server, BUSY, OK, REFUSED)
    one = flow(platform.url)
    one.add({"a": 1})
    hear(one, Delivered)
    one.add({"a": "bad"})
    hear(one, RejectedError)
    done = one.finish({}, WHILE)
    assert platform.patches == [{"a": 1}, {"a": 1}, {"a": "bad"}]
    assert isinstance(done.error, RejectedError)


def test_what_never_arrived_is_not_looked_for(flow, raw_server):
    """A key of which every request was refused in the end."""
    platform = Platform(raw_server, BUSY, REFUSED)
    one = flow(platform.url)
    one.add({"a": 1})
    hear(one, RejectedError)
    one.finish({"b": 1}, WHILE)
    assert platform.patches == [{"a": 1}, {"a": 1}, {"b": 1}]


@pytest.mark.parametrize("read", [response(403, '{"detail":"Forbidden"}'), response(200, "{}")], ids=["403", "odd"])
def test_details_that_can_not_be_read_are_no_failure(flow, raw_server, read):
    """Every update was acknowledged; who may write may not always read."""
    platform = Platform(raw_server, BUSY, read=read)
    done = flow(platform.url).finish({"a": 1}, WHILE)
    assert done.error is None
    assert platform.reads == 1


def test_a_repetition_that_fails_is_the_flows_error(flow, raw_server):
    """The server has an older state then, and we know it."""
    platform = Platform(raw_server, "hang", OK, EXPIRED)
    one = flow(platform.url, seconds=0.3)
    one.add({"a": 1})
    hear(one, NotDeliveredError)
    platform.late[:] = [{"a": 0}]
    hear(one, Delivered)
    assert isinstance(one.finish({}, WHILE).error, AuthError)


def test_nothing_is_read_back_while_the_server_is_away(flow, raw_server):
    """The last update did not get through: nothing to compare with."""
    platform = Platform(raw_server, *[response(500, "{}")] * 99)
    done = flow(platform.url, seconds=0).finish({"a": 1}, WHILE)
    assert isinstance(done.error, NotDeliveredError)
    assert platform.reads == 0


# Our own side -----------------------------------------------------------------------------------------------------


def test_a_listener_whose_output_is_closed_does_not_stop_the_reports(flow, raw_server):
    """`stream -o ndjson | head -1`."""

    def broken(_):
        raise BrokenPipeError

    platform = Platform(raw_server)
    one = flow(platform.url, hear=broken)
    one.add({"a": 1})
    assert platform.came.acquire(timeout=WHILE)
    assert one.finish({"a": 2}, WHILE).error is None
    assert platform.details == {"a": 2}


def test_a_bug_on_the_reporters_thread_is_no_success(flow, raw_server):
    """Whatever it is: the last state is not on the server."""

    def wrong():
        raise KeyError("secret")

    one = flow(Platform(raw_server).url, heartbeat=0.001, make_heartbeat=wrong)
    one._thread.join(WHILE)
    done = one.finish({"a": 1}, WHILE)
    assert isinstance(done.error, BugError)
    assert "KeyError" in done.error.message
    assert "secret" not in done.error.message
