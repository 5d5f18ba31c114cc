"""A flow of updates to real servers that refuse, hang, die and recover, with tiny intervals."""

from __future__ import annotations

import json
import queue
import sys
import tempfile
import threading
import time
from itertools import pairwise
from types import SimpleNamespace

import httpx
import pytest
from raw import read_request, response
from waiting import LIMIT, until

from nemo_jobs_cli.api.session import open_session
from nemo_jobs_cli.core import clock, deadline, job_lock
from nemo_jobs_cli.core.clock import SYSTEM_CLOCK
from nemo_jobs_cli.core.errors import (
    AuthError,
    BugError,
    NotDeliveredError,
    NotFoundError,
    RejectedError,
    SettingsError,
    SupersededAttemptError,
)
from nemo_jobs_cli.core.outcome import Delivered, FlowResult, Slowed, Target
from nemo_jobs_cli.reporting import _flow_session, pace, reporter
from nemo_jobs_cli.reporting.coalesce import Coalescer
from nemo_jobs_cli.reporting.reporter import Reporter
from nemo_jobs_cli.settings import resolve
from nemo_jobs_cli.settings.model import Attempt, Credential, Flags, Settings, Sourced
from nemo_jobs_cli.transport import connection, retry
from nemo_jobs_cli.transport.client import Client

JOB_ID = "platform-job-2HzvGHLuPeXwN5kGsE3mLq"

OK = response(200)
BUSY = response(503, '{"detail":"Service Unavailable"}')
EXPIRED = response(401, '{"detail":"Invalid or expired token"}')
REFUSED = response(422, '{"detail":[{"type":"x","loc":["body"],"msg":"no","input":1}]}')


class Platform:
    """A server that responds to PATCHes by a script, then with 200, and keeps the details of one job.

    `hang` gives no response, and applies the request just before the first read. `die` closes the connection. A
    function gets the request and returns the response.
    """

    def __init__(self, raw_server, *script, read=None):
        self.script, self.read = list(script), read
        self.details, self.late = {}, []
        self.patches, self.reads, self.times = [], 0, []
        self.url = raw_server(self.serve).url
        self.received = threading.Semaphore(0)

    def serve(self, connection, seen, stop):
        """Respond to one request."""
        request = read_request(connection)
        if request.startswith(b"GET"):
            self.reads += 1
            for body in self.late:
                self.details |= body
            self.late.clear()
            if self.read == "hang":
                stop.wait()
                return
            job = json.dumps({"name": "train-x", "status_details": self.details})
            connection.sendall(self.read or response(200, job))
            return
        body = json.loads(request.partition(b"\r\n\r\n")[2])
        self.patches.append(body)
        self.times.append(time.monotonic())
        answer = self.script.pop(0) if self.script else OK
        self.received.release()
        if answer == "hang":
            self.late.append(body)
            stop.wait()
        elif answer != "die":
            answer = answer(request) if callable(answer) else answer
            if answer == OK:
                self.details |= body
            connection.sendall(answer)


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch, tmp_path):
    """Make outages short, and give each test job locks of its own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(retry, "WIDEST_WINDOW", 0.02)
    monkeypatch.setattr(reporter, "RETRY_INTERVAL", 0.02)
    monkeypatch.setattr(pace, "FIRST_BACKOFF", 0.02)
    monkeypatch.setattr(pace, "LATENCIES", 0.0)


@pytest.fixture
def flow():
    """Return a function that starts a reporter; its events are in `events`."""
    started = []

    def start(
        url,
        *,
        job="train-x",
        interval=0.01,
        seconds=10.0,
        credential=None,
        on_event=None,
        coalescer=None,
        attempt=None,
        **more,
    ):
        settings = Settings(
            host=Sourced(url, "--host"),
            deadline=Sourced(seconds, "--deadline"),
            credential=credential,
            attempt=attempt,
        )
        if credential is not None and credential.kind == "file":
            settings = settings._replace(flags=Flags(token_file=credential.secret))
        events = queue.Queue()
        reporting = Reporter(
            Target("default", job),
            Coalescer(interval) if coalescer is None else coalescer,
            lambda: open_session(settings, SYSTEM_CLOCK.now(), renews=True),
            on_event=on_event or (lambda event: isinstance(event, Slowed) or events.put(event)),
            **more,
        )
        reporting.events = events
        started.append(reporting)
        reporting.start()
        return reporting

    yield start
    for reporting in started:
        reporting.finish({}, 0)


def next_event(flow, kind):
    """Return the next event of a reporter, which must be of a kind."""
    event = flow.events.get(timeout=LIMIT)
    assert isinstance(event, kind), event
    return event


# Without trouble ----------------------------------------------------------------------------------------------------


def test_the_first_and_the_last_update_are_always_sent(flow, raw_server):
    """Those in between are coalesced, whatever the interval."""
    platform = Platform(raw_server)
    reporting = flow(platform.url, interval=3600)
    reporting.add({"step": 1})
    assert next_event(reporting, Delivered).update.fields == {"step": 1}
    for step in range(2, 100):
        reporting.add({"step": step})
    reporting.add({"loss": 0.5, "step": 100}, updates=3)
    result = reporting.finish({"status": "completed"}, LIMIT)
    assert platform.patches == [{"step": 1}, {"step": 100, "loss": 0.5, "status": "completed"}]
    assert result == FlowResult(updates=103, requests=2)
    assert platform.reads == 0


def test_a_long_wait_at_the_end_is_reported_once(flow, raw_server, monkeypatch):
    """While the last update is under way; a short one is not worth a line."""
    platform = Platform(raw_server)
    release, waits = threading.Event(), []

    def answer(_request):
        assert release.wait(LIMIT)
        return OK

    def on_wait(limit):
        waits.append(limit)
        release.set()

    flow(platform.url).finish({"a": 1}, LIMIT, on_wait)
    assert waits == []
    monkeypatch.setattr(clock, "LONG_WAIT", 0.0)
    platform.script = [answer]
    assert flow(platform.url).finish({"a": 2}, LIMIT, on_wait).error is None
    assert waits == [LIMIT]


def test_a_wait_that_is_over_is_not_reported(flow, raw_server, monkeypatch):
    """A deadline may end before a wait is long."""
    monkeypatch.setattr(reporter, "GRACE", 0.0)
    waits = []
    result = flow(Platform(raw_server, "hang").url).finish({"a": 1}, 0.1, waits.append)
    assert isinstance(result.error, NotDeliveredError)
    assert waits == []


def test_nothing_is_sent_after_the_end(flow, raw_server):
    """A late `add` of another thread changes nothing; a second `finish` is harmless."""
    platform = Platform(raw_server)
    reporting = flow(platform.url)
    assert reporting.finish({"a": 1}, LIMIT).updates == 1
    reporting.add({"a": 2})
    assert reporting.finish({"a": 3}, LIMIT) == FlowResult(updates=1, requests=1)
    assert platform.patches == [{"a": 1}]


def test_counts_are_exact_with_two_threads(flow, raw_server):
    """One adds while the other sends."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        reporting = flow(Platform(raw_server).url, interval=0)
        count = 0
        while reporting.flow.requests < 60:
            for _ in range(200):
                reporting.add({"step": count})
                count += 1
        assert reporting.finish({}, LIMIT).updates == count
    finally:
        sys.setswitchinterval(before)


def test_heartbeats(flow, raw_server):
    """They repeat after each silent interval, and are no updates."""
    times = iter(range(1000))
    platform = Platform(raw_server)
    reporting = flow(platform.url, heartbeat=0.02, make_stamp=lambda: {"lastUpdated": next(times)})
    heartbeats = [next_event(reporting, Delivered).update.fields["lastUpdated"] for _ in range(3)]
    assert heartbeats == [0, 1, 2]
    assert reporting.finish({}, LIMIT).updates == 0


def test_no_heartbeat_before_a_silent_interval(flow, raw_server):
    """It counts from the last request, or from the start."""
    platform = Platform(raw_server)
    reporting = flow(platform.url, heartbeat=3600, make_stamp=lambda: {"lastUpdated": "now"})
    for step in range(3):
        reporting.add({"step": step})
        next_event(reporting, Delivered)
    assert reporting.finish({}, LIMIT).requests == 3
    assert platform.patches == [{"step": 0}, {"step": 1}, {"step": 2}]


def test_every_request_has_the_time(flow, raw_server):
    """Also the last one; an update's own `lastUpdated` is kept."""
    times = iter(range(9))
    platform = Platform(raw_server)
    reporting = flow(platform.url, stamp=True, make_stamp=lambda: {"lastUpdated": next(times)})
    reporting.add({"a": 1})
    next_event(reporting, Delivered)
    reporting.finish({"a": 2}, LIMIT)
    assert platform.patches == [{"lastUpdated": 0, "a": 1}, {"lastUpdated": 1, "a": 2}]
    own = flow(platform.url, stamp=True, make_stamp=lambda: {"lastUpdated": next(times)})
    own.add({"lastUpdated": "mine"})
    next_event(own, Delivered)
    own.finish({"a": 3}, LIMIT)
    assert platform.patches[2:] == [{"lastUpdated": "mine"}, {"lastUpdated": 3, "a": 3}]


@pytest.mark.parametrize(
    ("read", "details", "sent"),
    [
        (None, {"progress": 80}, {"progress": 5, "a": 0}),
        (BUSY, {}, {"progress": 5}),
        (response(403, '{"detail":"Forbidden"}'), {}, {"progress": 5}),
        (response(200, "null"), {}, {"progress": 5}),
    ],
)
def test_what_is_stored_can_be_reset_with_the_first_request(flow, raw_server, read, details, sent):
    """Below the first updates; it is read once, and a failed read holds nothing up."""
    platform = Platform(raw_server, read=read)
    platform.details |= details
    added, seen = threading.Event(), []

    def reset(stored):
        assert added.wait(LIMIT)
        seen.append(dict(stored))
        return {"progress": 0, "a": 0} if stored else {}

    reporting = flow(platform.url, reset=reset)
    reporting.add({"progress": 5})
    added.set()
    next_event(reporting, Delivered)
    assert reporting.finish({"b": 1}, LIMIT).error is None
    assert (platform.patches, platform.reads, seen) == ([sent, {"b": 1}], 1, [details])


def test_details_that_never_arrive_hold_the_first_update_up_only_shortly(flow, raw_server, monkeypatch):
    """The update goes out as it is, plus what `reset` makes of no details."""
    monkeypatch.setattr(deadline, "ONE_ATTEMPT_LIMIT", 0.1)
    platform = Platform(raw_server, read="hang")
    reporting = flow(platform.url, reset=lambda _stored: {"progress": 0})
    reporting.add({"status": "running"})
    assert platform.received.acquire(timeout=LIMIT / 4)  # an attempt may take twice as long
    reporting.finish({}, LIMIT)
    assert platform.patches == [{"progress": 0, "status": "running"}]


def test_a_failing_message_does_not_end_the_flow(flow, raw_server):
    """Everything arrives; in the end the bug is the error."""

    def on_event(_):
        raise ValueError("cannot print")

    platform = Platform(raw_server)
    reporting = flow(platform.url, on_event=on_event)
    for step in (1, 2):
        reporting.add({"step": step})
        assert platform.received.acquire(timeout=LIMIT)
    result = reporting.finish({"step": 3}, LIMIT)
    assert platform.patches == [{"step": 1}, {"step": 2}, {"step": 3}]
    assert isinstance(result.error, BugError)
    assert "ValueError" in result.error.message


def test_a_heartbeat_without_fields_is_not_sent(flow, raw_server):
    """The profile may drop its key."""
    called = threading.Semaphore(0)
    platform = Platform(raw_server)
    reporting = flow(platform.url, heartbeat=0.01, make_stamp=lambda: called.release() or {})
    assert called.acquire(timeout=LIMIT)
    assert called.acquire(timeout=LIMIT)
    assert reporting.finish({}, LIMIT) == FlowResult()
    assert platform.patches == []


def test_an_id_is_resolved_once(flow, start_sandbox):
    """Later updates use the name, because the routes take names only."""
    server = start_sandbox(jobs=("train-x",))
    server.jobs["default", "train-x"].record["id"] = JOB_ID
    reporting = flow(server.url, job=JOB_ID)
    for step in range(3):
        reporting.add({"step": step})
        assert next_event(reporting, Delivered).update.job == "train-x"
    assert reporting.finish({}, LIMIT).error is None
    assert [row.split()[0] for row in server.rows] == ["GET", "PATCH", "PATCH", "PATCH"]


def test_the_route_of_a_newer_server_is_remembered(flow, start_sandbox):
    """Only the first update tries the older route."""
    server = start_sandbox(has_attempts=True)
    reporting = flow(server.url)
    for step in range(3):
        reporting.add({"step": step})
        next_event(reporting, Delivered)
    reporting.finish({}, LIMIT)
    assert ["attempts/current" in row for row in server.rows] == [False, True, True, True]


# Outages ----------------------------------------------------------------------------------------------------------


def test_a_server_that_starts_later_gets_the_newest_state(flow, start_sandbox, unused_port):
    """The outage and its end are one event each."""
    reporting = flow(f"http://127.0.0.1:{unused_port}", seconds=0.1)
    reporting.add({"step": 1, "first": True})
    next_event(reporting, NotDeliveredError)
    for step in range(2, 50):
        reporting.add({"step": step})
    until(lambda: reporting.flow.errors >= 3)
    server = start_sandbox(port=unused_port)
    assert next_event(reporting, Delivered).update.fields == {"step": 49, "first": True}  # the first news since
    result = reporting.finish({}, LIMIT)
    assert result.error is None
    assert result.errors >= 3
    assert result.requests >= result.retries + result.errors + 1
    assert server.jobs["default", "train-x"].details == {"step": 49, "first": True}


@pytest.mark.parametrize("trouble", [BUSY, "die", response(409, "{}")], ids=["503", "dies", "409"])
def test_short_trouble_is_retried_silently(flow, raw_server, trouble):
    """A gateway restarts, a connection breaks, or there is a conflict."""
    platform = Platform(raw_server, trouble, trouble, trouble)
    reporting = flow(platform.url)
    reporting.add({"step": 1})
    assert next_event(reporting, Delivered).attempts == 4
    result = reporting.finish({}, LIMIT)
    assert (result.requests, result.retries, result.errors, result.error) == (4, 3, 0, None)
    assert platform.details == {"step": 1}


def test_the_last_update_is_retried_until_its_deadline(flow, raw_server):
    """Nothing follows that could replace it."""
    result = flow(Platform(raw_server, BUSY, "die").url).finish({"a": 1}, LIMIT)
    assert (result.requests, result.retries, result.error) == (3, 2, None)


def test_an_outage_does_not_end_the_last_update(flow, raw_server, monkeypatch):
    """It is an error only of those before it."""
    monkeypatch.setattr(_flow_session, "OUTAGE", 0.0)
    reporting = flow(Platform(raw_server, OK, BUSY, "die").url, interval=3600)
    reporting.add({"a": 1})
    next_event(reporting, Delivered)
    result = reporting.finish({"a": 2}, LIMIT)
    assert (result.requests, result.retries, result.errors, result.error) == (4, 2, 0, None)


def test_each_outage_is_one_event(flow, raw_server):
    """The next outage is another one."""
    times = iter([True] * 6 + [False] + [True] * 3 + [False])
    platform = Platform(raw_server, *[lambda _: response(500, "{}") if next(times) else OK] * 11)
    reporting = flow(platform.url, seconds=0)  # one attempt each
    reporting.add({"a": 1})
    next_event(reporting, NotDeliveredError)
    next_event(reporting, Delivered)
    reporting.add({"a": 2})
    next_event(reporting, NotDeliveredError)
    next_event(reporting, Delivered)
    result = reporting.finish({}, LIMIT)
    assert (result.errors, result.requests, result.retries, result.error) == (9, 11, 0, None)


def test_an_outage_that_changes_its_kind_is_told(flow, raw_server):
    """After a restart the server wants a login: only a person can help, and must learn of it."""
    platform = Platform(raw_server, BUSY, BUSY, *[EXPIRED] * 2, BUSY)
    reporting = flow(platform.url, seconds=0)  # one attempt each
    reporting.add({"a": 1})
    for kind in (NotDeliveredError, AuthError, NotDeliveredError, Delivered):
        next_event(reporting, kind)
    reporting.finish({}, LIMIT)  # reads the details once more, which needs the server


def test_a_server_that_hangs_does_not_delay_the_end(flow, raw_server, monkeypatch):
    """`finish` is bounded, and its error names --deadline."""
    monkeypatch.setattr(reporter, "GRACE", 0.1)
    platform = Platform(raw_server, "hang", "hang")
    reporting = flow(platform.url, seconds=1)
    reporting.add({"step": 1})
    assert platform.received.acquire(timeout=LIMIT)
    began = time.monotonic()
    result = reporting.finish({"step": 2}, 0.3)
    assert time.monotonic() - began > 0.3
    assert isinstance(result.error, NotDeliveredError)
    assert "--deadline" in result.error.hint


@pytest.mark.parametrize(("header", "pause"), [("60", 60), ("86400", pace.LONGEST), ("1", 2.5)])
def test_retry_after_is_obeyed(flow, raw_server, monkeypatch, header, pause):
    """Beyond the deadline of an update too, but not for hours; newer fields wait as well, except at the end."""
    monkeypatch.setattr(connection, "time", SimpleNamespace(monotonic=lambda: 0.0))  # a response takes no time
    monkeypatch.setattr(retry, "WIDEST_WINDOW", 2.5)
    clock = [100.0]
    coalescer = Coalescer(0.01)
    platform = Platform(raw_server, response(503, "{}", f"Retry-After: {header}"))
    reporting = flow(platform.url, seconds=0, coalescer=coalescer, now=lambda: clock[0])
    reporting.add({"a": 1})
    next_event(reporting, NotDeliveredError)
    assert coalescer.due_in(clock[0]) == pytest.approx(pause, abs=0.1)  # with jitter
    clock[0] += pause - 0.5
    reporting.add({"b": 1})
    assert coalescer.due_in(clock[0]) == pytest.approx(0.5, abs=0.1)
    clock[0] += 0.6
    reporting.add({"b": 2})
    assert next_event(reporting, Delivered).update.fields == {"a": 1, "b": 2}
    assert reporting.finish({}, LIMIT).requests == 2


def test_a_lock_that_stays_held_delays_an_update_only_shortly(flow, raw_server):
    """A process that hangs with it is no reason to wait as long as for a busy server."""
    platform = Platform(raw_server)
    key = f"{platform.url} default train-x"
    with job_lock.hold(key, deadline.start(LIMIT, SYSTEM_CLOCK.now(), SYSTEM_CLOCK)) as acquired:
        assert acquired
        reporting = flow(platform.url, seconds=1)
        reporting.add({"a": 1})
        next_event(reporting, Delivered)


def test_a_slow_request_is_not_abandoned(flow, raw_server):
    """The server would handle it anyway: the deadline limits only the last report."""
    held = threading.Event()

    def slow(_):
        held.wait(0.6)
        return OK

    platform = Platform(raw_server, slow)
    reporting = flow(platform.url, seconds=0.2)
    reporting.add({"a": 1})
    assert next_event(reporting, Delivered).attempts == 1
    assert len(platform.patches) == 1


def test_a_request_in_flight_leaves_time_for_the_last_report(flow, raw_server, monkeypatch):
    """A server that never answers the former may answer the latter."""
    monkeypatch.setattr(_flow_session, "SHARE_IN_FLIGHT", 1 / LIMIT)
    platform = Platform(raw_server, "hang")
    reporting = flow(platform.url)
    reporting.add({"a": 1})
    assert platform.received.acquire(timeout=LIMIT)
    result = reporting.finish({"a": 2}, LIMIT)
    assert (result.error, platform.details) == (None, {"a": 2})


def test_the_last_report_is_one_long_attempt(flow, raw_server, monkeypatch):
    """It is not cut off while the server may still answer."""
    send, limits = Client.send, []
    monkeypatch.setattr(Client, "send", lambda *given: limits.append(given[2]) or send(*given))
    assert flow(Platform(raw_server).url).finish({"a": 1}, 1000).error is None
    assert limits == [pytest.approx(1000, abs=LIMIT)]


def take_pauses(events, kind):
    """Return the pauses before the next event of a kind."""
    pauses = []
    while not isinstance(event := events.get(timeout=LIMIT), kind):
        pauses += [event.pause] if isinstance(event, Slowed) else []
    return pauses


@pytest.mark.parametrize(("answer", "kind"), [(OK, Delivered), (REFUSED, RejectedError)])
def test_a_slow_server_slows_the_flow_down(flow, raw_server, monkeypatch, answer, kind):
    """Nine times as long as the response took; each such pause is an event, and counted."""
    monkeypatch.setattr(pace, "LATENCIES", 9.0)

    def slow(_):
        time.sleep(0.1)
        return answer

    events = queue.Queue()
    platform = Platform(raw_server, slow)
    reporting = flow(platform.url, on_event=events.put)
    reporting.add({"a": 1})
    assert take_pauses(events, kind) == []
    reporting.add({"a": 2})
    (pause,) = take_pauses(events, Delivered)
    assert pause >= 0.8
    assert platform.times[1] - platform.times[0] >= pause
    result = reporting.finish({}, LIMIT)
    assert result.slowed == 1 + sum(isinstance(event, Slowed) for event in events.queue)


@pytest.mark.parametrize("seconds", [10.0, 0.0], ids=["retries", "one attempt each"])
def test_an_overloaded_server_slows_the_flow_down(flow, raw_server, monkeypatch, seconds):
    """Each pause after a 503, but not after a broken connection, is an event, and counted."""
    monkeypatch.setattr(pace, "FIRST_BACKOFF", 0.2)
    events = queue.Queue()
    platform = Platform(raw_server, "die", BUSY, BUSY)
    reporting = flow(platform.url, seconds=seconds, on_event=events.put)
    reporting.add({"a": 1})
    pauses = take_pauses(events, Delivered)
    gaps = [later - earlier for earlier, later in pairwise(platform.times[1:])]
    assert len(pauses) == len(gaps) == 2
    assert all(gap >= pause >= 0.1 for gap, pause in zip(gaps, pauses, strict=True))
    result = reporting.finish({}, LIMIT)
    assert result.slowed == 2 + sum(isinstance(event, Slowed) for event in events.queue)


def test_heartbeats_follow_the_pace(flow, raw_server, monkeypatch):
    """A fleet of idle jobs would drown a slow server as well."""
    monkeypatch.setattr(pace, "LATENCIES", 9.0)

    def slow(_):
        time.sleep(0.05)
        return OK

    platform = Platform(raw_server, slow, slow, slow)
    reporting = flow(platform.url, heartbeat=0.01, make_stamp=lambda: {"lastUpdated": "now"})
    for _ in range(3):
        next_event(reporting, Delivered)
    assert min(later - earlier for earlier, later in pairwise(platform.times)) >= 0.05 * (1 + 0.9 * 9)
    reporting.finish({}, LIMIT)


@pytest.mark.parametrize("first", [OK, BUSY])
def test_no_pause_is_announced_after_the_end(flow, raw_server, monkeypatch, first):
    """Nothing follows the last report, and its retries do not wait for the pace."""
    monkeypatch.setattr(pace, "LATENCIES", 9.0)
    monkeypatch.setattr(pace, "FIRST_BACKOFF", 9 * LIMIT)

    def slow(_):
        time.sleep(0.1)
        return first

    events = queue.Queue()
    result = flow(Platform(raw_server, slow).url, on_event=events.put).finish({"a": 1}, LIMIT)
    assert (result.slowed, result.error) == (0, None)
    assert [type(event) for event in events.queue] == [Delivered]


def test_deadline_0_is_one_attempt(flow, raw_server, monkeypatch):
    """It has a time limit of its own."""
    monkeypatch.setattr(reporter, "GRACE", 0.0)
    held = threading.Event()

    def slow(_):
        held.wait(0.3)
        return OK

    platform = Platform(raw_server, slow)
    result = flow(platform.url, seconds=0).finish({"a": 1}, 0)
    assert result == FlowResult(updates=1, requests=1)


def test_the_last_update_does_not_wait_for_a_retry(flow, raw_server):
    """Fields that wait for a retry are sent with it, at once."""
    platform = Platform(raw_server, response(503, "{}", "Retry-After: 3600"))
    reporting = flow(platform.url)
    reporting.add({"a": 1, "b": 1})
    assert platform.received.acquire(timeout=LIMIT)
    result = reporting.finish({"a": 2}, LIMIT)
    assert platform.patches == [{"a": 1, "b": 1}, {"a": 2, "b": 1}]
    assert (result.requests, result.error) == (2, None)


@pytest.mark.parametrize("answer", [BUSY, response(503, "{}", "Retry-After: 3600")], ids=["soon", "later"])
def test_a_request_in_flight_at_the_end_is_not_retried(flow, raw_server, monkeypatch, answer):
    """The last update replaces it; it counts as a request all the same."""
    ended = threading.Event()

    def busy(_):
        ended.wait(LIMIT)
        return answer

    platform = Platform(raw_server, busy)
    reporting = flow(platform.url)
    reporting.add({"a": 1})
    assert platform.received.acquire(timeout=LIMIT)
    end = _flow_session.FlowSession.end
    monkeypatch.setattr(_flow_session.FlowSession, "end", lambda *words: (end(*words), ended.set()))
    result = reporting.finish({"a": 2}, LIMIT)
    assert (result.requests, result.error) == (2, None)
    assert platform.patches == [{"a": 1}, {"a": 2}]


# Credentials ----------------------------------------------------------------------------------------------------


def only(token):
    """Return a response function that accepts one token."""
    return lambda request: OK if f"Bearer {token}\r\n".encode() in request else EXPIRED


def from_file(path):
    """Return the credential of `--token-file`."""
    return Credential("file", str(path), "--token-file")


@pytest.mark.parametrize("is_last", [False, True])
def test_an_expired_token_is_read_again(flow, raw_server, tmp_path, is_last):
    """There is no event; for the last update no later one could replace it."""
    file = tmp_path / "token"
    file.write_text("old", encoding="utf-8")
    platform = Platform(raw_server, only("old"), *[only("new")] * 5)
    reporting = flow(platform.url, credential=from_file(file))
    reporting.add({"a": 1})
    next_event(reporting, Delivered)
    file.write_text("new", encoding="utf-8")
    if not is_last:
        reporting.add({"a": 2})
        assert next_event(reporting, Delivered).update.fields == {"a": 2}
    result = reporting.finish({"a": 2} if is_last else {}, LIMIT)
    assert result == FlowResult(updates=2, requests=3, retries=1)
    assert platform.details == {"a": 2}


def test_a_missing_token_file_is_tried_again(flow, raw_server, tmp_path):
    """It is being replaced: the error is an event, and the update follows later."""
    file = tmp_path / "token"
    file.write_text("old", encoding="utf-8")
    platform = Platform(raw_server, only("old"), *[only("new")] * 9999)
    reporting = flow(platform.url, credential=from_file(file))
    reporting.add({"a": 1})
    next_event(reporting, Delivered)
    file.unlink()
    reporting.add({"a": 2})
    next_event(reporting, AuthError)
    new = tmp_path / "new"
    new.write_text("new", encoding="utf-8")
    new.replace(file)
    next_event(reporting, Delivered)
    assert reporting.finish({}, LIMIT).error is None
    assert platform.details == {"a": 2}


def test_a_failed_token_exchange_is_retried_after_a_pause(raw_server, tmp_path, monkeypatch):
    """A renewal during a flow waits between attempts as any other, and the end of the flow ends the wait."""
    monkeypatch.setattr(retry, "FIRST_WINDOW", 20.0)
    monkeypatch.setattr(retry, "WIDEST_WINDOW", 20.0)
    exchanges, exchanged = [response(200, '{"access_token": "old"}')], threading.Semaphore(0)

    def serve(connection, seen, stop):
        path = read_request(connection).split(b" ")[1]
        if path.endswith(b"/status-details"):
            connection.sendall(EXPIRED)
        elif path != b"/token":
            oidc = {"workload_token_exchange_enabled": True, "workload_token_endpoint": f"{url}/token"}
            connection.sendall(response(200, json.dumps({"oidc": oidc})))
        else:
            connection.sendall(exchanges.pop(0) if exchanges else BUSY)
            exchanged.release()

    url = raw_server(serve).url
    file = tmp_path / "identity"
    file.write_text("identity", encoding="utf-8")
    monkeypatch.setenv("NMP_BASE_URL", url)
    monkeypatch.setenv("NMP_WORKLOAD_IDENTITY_TOKEN_FILE", str(file))
    clock = SYSTEM_CLOCK._replace(random=lambda: 0.5)
    settings = resolve.load_settings(Flags())
    reporting = Reporter(
        Target("default", "train-x"),
        Coalescer(0.01),
        lambda: open_session(settings, SYSTEM_CLOCK.now(), clock=clock, renews=True),
    )
    reporting.start()
    reporting.add({"a": 1})
    for _ in range(2):  # at the start, and after the 401
        assert exchanged.acquire(timeout=LIMIT)
    assert not exchanged.acquire(timeout=0.3)
    assert isinstance(reporting.finish({}, 0).error, AuthError)


def test_a_rejected_field_does_not_take_the_last_report_with_it(flow, raw_server):
    """Otherwise a job that has ended would look as if it ran."""
    platform = Platform(raw_server, OK, REFUSED)
    reporting = flow(platform.url, interval=LIMIT)
    reporting.add({"a": 1})
    next_event(reporting, Delivered)
    reporting.add({"bad": 2})
    assert isinstance(reporting.finish({"status": "completed"}, LIMIT).error, RejectedError)
    assert platform.patches[1:] == [{"bad": 2, "status": "completed"}, {"status": "completed"}]
    assert reporting.reported == {"a": 1, "status": "completed"}


def test_a_token_that_stays_refused_is_one_event(flow, raw_server):
    """It is tried again now and then, and is the final error."""
    platform = Platform(raw_server, *[EXPIRED] * 999)
    reporting = flow(platform.url, credential=Credential("token", "t", "NEMO_JOBS_TOKEN"))
    reporting.add({"a": 1})
    next_event(reporting, AuthError)
    for _ in range(3):
        assert platform.received.acquire(timeout=LIMIT)
    result = reporting.finish({}, LIMIT)
    assert isinstance(result.error, AuthError)
    assert reporting.events.empty()
    assert result.requests == result.errors == len(platform.patches)


def test_bad_settings_are_tried_again(flow, raw_server, tmp_path):
    """A token file may be written after the start; no request is counted until then."""
    file = tmp_path / "token"
    platform = Platform(raw_server)
    reporting = flow(platform.url, credential=from_file(file))
    reporting.add({"a": 1})
    next_event(reporting, SettingsError)
    new = tmp_path / "new"
    new.write_text("t", encoding="utf-8")
    new.replace(file)
    next_event(reporting, Delivered)
    result = reporting.finish({}, LIMIT)
    assert (result.requests, result.retries, result.error) == (1, 0, None)


# Errors ---------------------------------------------------------------------------------------------------------


def test_a_job_that_is_created_later_gets_its_updates(flow, start_sandbox):
    """A 404 may pass while a training runs for days."""
    server = start_sandbox(strict=True)
    reporting = flow(server.url)
    reporting.add({"a": 1})
    next_event(reporting, NotFoundError)
    job = {"name": "train-x", "source": "test", "spec": {}, "platform_spec": {"steps": [{"name": "train"}]}}
    httpx.post(f"{server.url}/apis/jobs/v2/workspaces/default/jobs", json=job).raise_for_status()
    next_event(reporting, Delivered)
    assert reporting.finish({}, LIMIT).error is None


@pytest.fixture
def attempts_server(start_sandbox):
    """Return a function that starts a sandbox with the route of attempts."""
    return lambda *faults: start_sandbox(*faults, has_attempts=True, jobs=("train-x",))


def begin_attempt(server):
    """Begin a new attempt of the job."""
    httpx.post(f"{server.url}/apis/jobs/v2/workspaces/default/jobs/train-x/rerun").raise_for_status()


@pytest.mark.parametrize("is_last", [False, True])
def test_a_superseded_attempt_ends_the_flow(flow, attempts_server, is_last):
    """One event and no further request: neither heartbeats nor the last update overwrite the new attempt."""
    server = attempts_server()
    attempt = Attempt("default", "train-x", server.jobs["default", "train-x"].record["attempt_id"])
    reporting = flow(server.url, attempt=attempt, heartbeat=0.01, make_stamp=lambda: {"lastUpdated": "now"})
    reporting.add({"a": 1})
    next_event(reporting, Delivered)
    begin_attempt(server)
    if not is_last:
        reporting.add({"a": 2})
        while isinstance(event := reporting.events.get(timeout=LIMIT), Delivered):
            pass
        assert isinstance(event, SupersededAttemptError)
        reporting.add({"a": 3})
    result = reporting.finish({"status": "completed"}, LIMIT)
    assert isinstance(result.error, SupersededAttemptError)
    assert (reporting.unacknowledged.fields, server.jobs["default", "train-x"].details) == ({}, {})
    errors = [type(event) for event in reporting.events.queue if not isinstance(event, Delivered)]
    assert errors == ([SupersededAttemptError] if is_last else [])  # else it was taken above
    assert sum("409" in row for row in server.rows) == 1


def test_a_job_without_an_attempt_gets_its_updates_when_it_starts(flow, attempts_server):
    """The newest ones; the wait for the attempt is no rejection."""
    server = attempts_server("no-attempt:3600")
    reporting = flow(server.url, seconds=0.05)
    reporting.add({"a": 1, "b": 1})
    assert "no attempt yet" in next_event(reporting, NotDeliveredError).message
    reporting.add({"a": 2})
    begin_attempt(server)
    next_event(reporting, Delivered)
    assert reporting.finish({}, LIMIT).error is None
    assert server.jobs["default", "train-x"].details == {"a": 2, "b": 1}


def test_an_attempt_that_never_starts_leaves_the_rest_to_the_outbox(flow, attempts_server):
    """It was not delivered (7), and is not rejected."""
    reporting = flow(attempts_server("no-attempt:3600").url, seconds=0.05)
    reporting.add({"a": 1})
    result = reporting.finish({"b": 1}, 0.2)
    assert isinstance(result.error, NotDeliveredError)
    assert reporting.unacknowledged.fields == {"a": 1, "b": 1}


def test_a_rejected_update_is_dropped(flow, raw_server):
    """Each is an event, and the last one is the final error, even after an outage."""
    platform = Platform(raw_server, REFUSED, REFUSED, OK, response(500, "{}"))
    reporting = flow(platform.url, seconds=0)
    reporting.add({"a": 1})
    next_event(reporting, RejectedError)
    reporting.add({"b": 1})
    next_event(reporting, RejectedError)
    reporting.add({"c": 1})
    next_event(reporting, Delivered)
    reporting.add({"d": 1})
    next_event(reporting, NotDeliveredError)
    next_event(reporting, Delivered)
    result = reporting.finish({}, LIMIT)
    assert platform.details == {"c": 1, "d": 1}
    assert isinstance(result.error, RejectedError)
    assert (result.errors, result.requests) == (3, 5)


# Late requests --------------------------------------------------------------------------------------------------


@pytest.fixture
def short_attempts(monkeypatch):
    """Give up on a request early."""
    monkeypatch.setattr(_flow_session, "ATTEMPT_LIMIT", 0.3)


@pytest.mark.usefixtures("short_attempts")
@pytest.mark.parametrize("last", [{}, {"other": 1}], ids=["nothing-left", "something-left"])
def test_a_late_request_is_repaired_at_the_end(flow, raw_server, last):
    """After a timeout the details are read once, and what differs is sent again."""
    platform = Platform(raw_server, "hang")
    reporting = flow(platform.url, seconds=0.3)
    reporting.add({"step": 1, "same": 1})
    next_event(reporting, NotDeliveredError)
    reporting.add({"step": 2})
    seen = next_event(reporting, Delivered).update.fields
    if seen["step"] == 1:
        next_event(reporting, Delivered)
    result = reporting.finish(last, LIMIT)
    assert platform.details == {"step": 2, "same": 1, **last}
    assert platform.reads == 1
    assert platform.patches[-1] == {"step": 2}
    assert result.error is None


def test_details_that_are_right_are_not_repaired(flow, raw_server):
    """The uncertain request changed nothing."""
    platform = Platform(raw_server, BUSY)
    reporting = flow(platform.url)
    reporting.add({"a": 1})
    next_event(reporting, Delivered)
    reporting.finish({"a": 2}, LIMIT)
    assert platform.reads == 1
    assert platform.patches == [{"a": 1}, {"a": 1}, {"a": 2}]


@pytest.mark.parametrize(
    ("first", "events"), [((OK, REFUSED), (Delivered, RejectedError)), ((REFUSED,), (RejectedError,))]
)
def test_a_rejected_update_is_not_repaired(flow, raw_server, first, events):
    """The uncertain request was for the same key, whether it was accepted or not."""
    platform = Platform(raw_server, BUSY, *first)
    reporting = flow(platform.url)
    for number, kind in enumerate(events):
        reporting.add({"a": number})
        next_event(reporting, kind)
    result = reporting.finish({"b": 1}, LIMIT)
    assert platform.patches == [{"a": 0}, *({"a": number} for number in range(len(events))), {"b": 1}]
    assert isinstance(result.error, RejectedError)


@pytest.mark.parametrize("read", [response(403, '{"detail":"Forbidden"}'), response(200, "{}")], ids=["403", "odd"])
def test_details_that_cannot_be_read_are_no_error(flow, raw_server, read):
    """Every update was acknowledged, and a writer may lack permission to read."""
    platform = Platform(raw_server, BUSY, read=read)
    result = flow(platform.url).finish({"a": 1}, LIMIT)
    assert result.error is None
    assert platform.reads == 1


@pytest.mark.usefixtures("short_attempts")
def test_a_repair_that_fails_is_the_final_error(flow, raw_server):
    """The server then has an older state."""
    platform = Platform(raw_server, "hang", OK, EXPIRED)
    reporting = flow(platform.url, seconds=0.3)
    reporting.add({"a": 1})
    next_event(reporting, NotDeliveredError)
    platform.late[:] = [{"a": 0}]
    next_event(reporting, Delivered)
    assert isinstance(reporting.finish({}, LIMIT).error, AuthError)


def test_nothing_is_repaired_during_an_outage(flow, raw_server):
    """The last update was not delivered, so there is nothing to compare."""
    platform = Platform(raw_server, *[response(500, "{}")] * 99)
    result = flow(platform.url, seconds=0).finish({"a": 1}, 0)
    assert isinstance(result.error, NotDeliveredError)
    assert platform.reads == 0


# Callbacks -----------------------------------------------------------------------------------------------------


def test_a_bug_on_the_thread_is_an_error(flow, raw_server):
    """The last state is not on the server; the message holds no values."""
    failed = threading.Event()

    def wrong():
        failed.set()
        raise KeyError("secret")

    reporting = flow(Platform(raw_server).url, heartbeat=0.001, make_stamp=wrong)
    assert failed.wait(LIMIT)
    result = reporting.finish({"a": 1}, LIMIT)
    assert isinstance(result.error, BugError)
    assert "KeyError" in result.error.message
    assert "secret" not in result.error.message
