"""Test several workers with many jobs, and real servers that are slow, busy, gone or rejecting."""

from __future__ import annotations

import json
import re
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw import read_request, response

from nemo_jobs_cli.api.session import open_session
from nemo_jobs_cli.core.clock import SYSTEM_CLOCK
from nemo_jobs_cli.core.errors import AuthError, NotDeliveredError, RejectedError
from nemo_jobs_cli.core.outcome import Delivered, Dropped, Kept, Update
from nemo_jobs_cli.delivery import batch, pool
from nemo_jobs_cli.delivery.pool import ROUNDS, Throttle
from nemo_jobs_cli.settings.model import Settings, Sourced
from nemo_jobs_cli.transport.client import Client
from nemo_jobs_cli.transport.messages import Failure, Response

NOBODY = "http://127.0.0.1:1"  # nothing listens there
NOT_SENT = type(None)


def queues(*jobs, each=1, workspace="ws"):
    """Return numbered updates of each job, not coalesced."""
    updates = [Update(workspace, job, {"step": step}) for step in range(each) for job in jobs]
    return batch.group_by_job([batch.BatchItem(update, "f:1") for update in updates], coalesce=False)


def to_server(url, seconds=20.0):
    """Return the settings of a server, without an outbox."""
    return Settings(host=Sourced(url, "--host"), deadline=Sourced(seconds, "--deadline"))


class Results(list):
    """Updates and their outcomes."""

    def add(self, item, outcome):
        """Record the outcome of an update."""
        self.append((item.update, outcome))

    def kinds(self, job=None):
        """Return the kinds of all outcomes, or of one job's, in their order."""
        return [type(outcome) for update, outcome in self if job in {None, update.job}]


def make_pool(settings, work, workers=4, clock=SYSTEM_CLOCK, on_result=None):
    """Return a pool, and the list of its results."""
    results = Results()
    session = open_session(settings, clock.now(), clock=clock)
    return pool.WorkerPool(work, session, workers, on_result or results.add), results


def send(settings, work, workers=4):
    """Send everything, and return the results."""
    workers, results = make_pool(to_server(settings) if isinstance(settings, str) else settings, work, workers)
    workers.run()
    return results


def run(workers):
    """Run a pool in a thread."""
    thread = threading.Thread(target=workers.run)
    thread.start()
    return thread


def job_of(request):
    """Return the job of a raw request."""
    return re.search(rb"/jobs/([^/ ]+)/status-details", request)[1].decode()


def step_of(request):
    """Return the step in a raw request."""
    return json.loads(request.partition(b"\r\n\r\n")[2])["step"]


def test_jobs_are_sent_at_once_and_updates_of_one_job_are_not(raw_server):
    """Three workers: the server answers only when three jobs are in flight."""
    together = threading.Barrier(3, timeout=60)
    busy, twice = set(), []

    def handler(connection, seen, stop):
        job = job_of(read_request(connection))
        if job in busy:
            twice.append(job)
        busy.add(job)
        together.wait()
        busy.discard(job)
        connection.sendall(response(200))

    assert send(raw_server(handler).url, queues("j1", "j2", "j3", each=4), workers=3).kinds() == [Delivered] * 12
    assert twice == []


@pytest.mark.parametrize("workers", [1, 2, 64])
def test_there_are_no_more_connections_than_workers_or_jobs(raw_server, workers):
    """One per worker, kept open over all its jobs."""
    connections = []

    def handler(connection, seen, stop):
        connections.append(1)
        while read_request(connection):
            connection.sendall(b"HTTP/1.1 200 X\r\nContent-Type: application/json\r\nContent-Length: 4\r\n\r\nnull")

    work = queues("j1", "j2", "j3", each=5)
    assert send(raw_server(handler).url, work, workers).kinds() == [Delivered] * 15
    assert len(connections) <= min(workers, 3)


@pytest.mark.parametrize("status", [429, 503])
def test_all_workers_obey_a_retry_after(raw_server, status):
    """After the first one nobody sends for that long, not even retries of other failures."""
    lock = threading.Lock()
    first, early = [], []

    def handler(connection, seen, stop):
        read_request(connection)
        with lock:
            now = time.monotonic()
            if first and 1.0 < now - first[0] < 3.0:  # requests in flight may still arrive before
                early.append(now - first[0])
            if not first:
                first.append(now)
                connection.sendall(response(status, "{}", "Retry-After: 3"))
                return
        connection.sendall(response(200) if now - first[0] > 3 else response(500, "{}"))

    results = send(raw_server(handler).url, queues(*(f"j{number}" for number in range(12)), each=2))
    assert results.kinds() == [Delivered] * 24
    assert early == []


@pytest.fixture
def busy_pool(fake_time, monkeypatch):
    """Return a function that sends one update within a time, while another worker gets a 503 with a Retry-After.

    It returns the outcome, and the time limit of each request.
    """

    def send_one(seconds, retry_after):
        timeouts = []

        def respond(client, request, timeout):
            timeouts.append(timeout)
            if len(timeouts) > 1:
                return Response(200, b"null")
            workers.record(Response(503, b"{}", {"retry-after": str(retry_after)}), started=fake_time.now)
            return Response(500, b"{}")

        monkeypatch.setattr(Client, "send", respond)
        workers, results = make_pool(to_server(NOBODY, seconds), queues("j1"), 1, fake_time.clock)
        workers.run()
        return results[0][1], timeouts

    return send_one


def test_a_retry_after_up_to_the_deadline_fails_without_a_request(busy_pool, fake_time):
    """It counts for all workers; a later deadline waits for the whole hour."""
    for seconds in (10, 3600):
        began = fake_time.now
        outcome, timeouts = busy_pool(10, seconds)
        assert (type(outcome), timeouts, fake_time.now < began + 10) == (NotDeliveredError, [10], True)
    began = fake_time.now
    outcome, timeouts = busy_pool(7200, 3600)
    assert (type(outcome), len(timeouts), fake_time.now - began) == (Delivered, 2, pytest.approx(3600))


def test_the_next_job_is_sent_after_the_wait_that_the_server_asks_for(raw_server):
    """Nothing else wakes a single worker."""
    server = raw_server([response(503, "{}", "Retry-After: 1"), response(200)])
    workers, results = make_pool(to_server(server.url, seconds=0.9), queues("j1", "j2"), 1)
    thread = threading.Thread(target=workers.run, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    assert (results.kinds("j1"), len(results.kinds("j2"))) == ([NotDeliveredError], 1)


def test_after_a_retry_after_an_attempt_ends_with_the_deadline(busy_pool, fake_time):
    """The wait that the server has asked for counts: the attempt gets what is left, not what it would have had."""
    began = fake_time.now
    outcome, timeouts = busy_pool(10, 6)
    assert (type(outcome), timeouts) == (Delivered, [10, pytest.approx(4)])
    assert fake_time.now - began == pytest.approx(6)


def test_a_busy_server_gets_half_as_many_requests_at_once(raw_server):
    """After a 503, until it has served some."""
    lock = threading.Lock()
    here, most, refused = [], [], []
    together = threading.Barrier(4, timeout=60)

    def handler(connection, seen, stop):
        read_request(connection)
        with lock:
            first = len(refused) < 4
            if first:
                refused.append(1)
            here.append(1)
        if first:
            together.wait()
        else:
            stop.wait(0.05)
        with lock:
            if not first:
                most.append(len(here))
            here.pop()
        connection.sendall(response(503, "{}", "Retry-After: 0") if first else response(200))

    results = send(raw_server(handler).url, queues(*(f"j{number}" for number in range(8))))
    assert (results.kinds(), len(refused)) == ([Delivered] * 8, 4)
    # The four refused requests are repeated; new ones after that find half of the places.
    assert max(most[4:]) <= 2


def test_a_timeout_halves_the_requests_at_once():
    """A server that is too slow gets less, as one that says that it is busy; a failure to connect changes nothing."""
    throttle, allowed = Throttle(7), []
    for now, kind in enumerate(("refused", "reset", "timeout", "timeout")):
        throttle.record(Failure(kind, "x"), now + 0.5, started=now)
        allowed.append(throttle.allowed)
    assert allowed == [7, 7, 3, 1]


@pytest.mark.parametrize(
    ("status", "kinds"),
    [
        (401, [Delivered, AuthError, NOT_SENT, NOT_SENT]),
        (422, [Delivered, RejectedError, Delivered, Delivered]),
    ],
)
def test_after_a_failure_the_rest_of_the_job_is_not_sent(raw_server, status, kinds):
    """Sending the third after the second was lost would change the order; a rejected one is lost for good anyway."""

    def handler(connection, seen, stop):
        request = read_request(connection)
        failed = (job_of(request), step_of(request)) == ("j1", 1)
        connection.sendall(response(status, "{}") if failed else response(200))

    results = send(raw_server(handler).url, queues("j1", "j2", each=4), workers=1)
    assert (results.kinds("j1"), results.kinds("j2")) == (kinds, [Delivered] * 4)


def test_stop_waits_for_requests_in_flight(raw_server):
    """Two were sent and are reported; nothing else is sent."""
    both = threading.Barrier(3, timeout=60)
    go = threading.Event()

    def handler(connection, seen, stop):
        seen.append(read_request(connection))
        both.wait()
        go.wait(10)
        connection.sendall(response(200))

    server = raw_server(handler)
    workers, results = make_pool(to_server(server.url), queues("j1", "j2", "j3", each=3), 2)
    running = run(workers)
    both.wait()
    workers.stop()
    go.set()
    workers.wait()
    assert len(server.seen) == 2
    assert sorted(results.kinds(), key=str) == sorted([Delivered] * 2 + [NOT_SENT] * 4, key=str)
    running.join(20)
    assert not running.is_alive()


def test_stop_wakes_workers_that_wait_for_the_server(raw_server):
    """A Retry-After of an hour is no reason to hang."""
    server = raw_server([response(429, "{}", "Retry-After: 3600")])
    workers, results = make_pool(to_server(server.url), queues("j1", "j2"), 1)
    running = run(workers)
    while not results:
        time.sleep(0.01)
    workers.stop()
    running.join(20)
    assert (results.kinds()[0], len(server.seen)) == (NotDeliveredError, 1)


def test_a_bug_in_a_worker_is_raised_and_stops_the_others(raw_server):
    """It does not die in a thread."""
    server = raw_server([response(200)])
    work = queues(*(f"j{number}" for number in range(50)))
    workers, _ = make_pool(to_server(server.url), work, 2, on_result=lambda *_: 1 // 0)
    for wait in (workers.run, workers.wait):
        with pytest.raises(ZeroDivisionError):
            wait()
    assert len(server.seen) < 50


@pytest.mark.parametrize(
    ("options", "kinds"),
    [
        ({}, [NotDeliveredError, NOT_SENT, NOT_SENT]),
        ({"store": True}, [Kept] * 3),
        ({"best_effort": True}, [Dropped] * 3),
    ],
)
def test_a_server_that_is_away_follows_the_settings(settings, options, kinds):
    """One error per job; or all stored; or each tried and dropped."""
    assert send(settings(NOBODY, **options), queues("j1", each=3)).kinds() == kinds


def test_each_update_of_a_job_is_tried_before_it_is_dropped(settings, raw_server):
    """The server may be back for the next one."""
    server = raw_server([response(503, "{}")] * 2 + [response(200)])
    configured = settings(server.url, best_effort=True)
    assert send(configured, queues("j1", each=3)).kinds() == [Dropped, Dropped, Delivered]


def test_the_rest_of_a_job_is_stored_as_one_entry(settings):
    """Two entries of one moment could change places."""
    results = send(settings(NOBODY, store=True), queues("j1", each=3))
    (path,) = {outcome.path for _, outcome in results}
    assert json.loads(Path(path).read_bytes())["fields"] == {"step": 2}


def test_an_outbox_that_cannot_be_written_stores_nothing(settings, outbox):
    """Nothing is reported as stored; the rest of the job is not sent."""
    outbox.folder.parent.write_text("", encoding="utf-8")
    assert send(settings(NOBODY, store=True), queues("j1", each=2)).kinds() == [NotDeliveredError, NOT_SENT]


def test_stored_updates_of_a_job_are_delivered_first(settings, outbox, start_sandbox, unused_port):
    """In one request with the new one; the outbox is empty afterwards."""

    def work(fields):
        return batch.group_by_job([batch.BatchItem(Update("ws", "j1", fields), "f:1")], coalesce=False)

    host = f"http://127.0.0.1:{unused_port}"
    assert send(settings(host, store=True), work({"a": 1, "b": 1})).kinds() == [Kept]
    server = start_sandbox(port=unused_port)
    assert send(settings(host, store=True, seconds=20.0), work({"b": 2})).kinds() == [Delivered]
    assert server.jobs["ws", "j1"].details == {"a": 1, "b": 2}
    assert outbox.names() == []


def test_requests_in_flight_together_halve_once():
    """Eight responses of one busy moment are one message; a late one still restarts the count of successes."""
    throttle = Throttle(8)
    for _ in range(8):
        throttle.busy(10.0, None, started=9.0)
    assert throttle.allowed == 4
    for _ in range(ROUNDS * 4 - 1):
        throttle.success()
    throttle.busy(10.5, None, started=9.0)
    throttle.success()
    assert throttle.allowed == 4
    throttle.busy(11.0, None, started=10.5)
    assert throttle.allowed == 2
    throttle.busy(12.0, None, started=11.0)
    assert throttle.allowed == 1


@pytest.mark.parametrize("workers", [2, 4, 64])
def test_the_throttle_recovers_slowly_to_the_number_of_workers(workers):
    """One more after some rounds of success."""
    throttle = Throttle(workers)
    throttle.busy(1.0, None, started=1.0)
    for allowed in range(workers // 2, workers):
        for _ in range(ROUNDS * allowed):
            assert throttle.allowed == allowed
            throttle.success()
    for _ in range(1000):
        throttle.success()
    assert throttle.allowed == workers


def test_the_longest_retry_after_applies():
    """To all workers, until it is over."""
    throttle = Throttle(4)
    assert throttle.wait(10.0) == 0
    for now, seconds in ((10.0, 5.0), (10.0, 1.0), (11.0, None)):
        throttle.busy(now, seconds, started=9.0)
    assert [throttle.wait(now) for now in (10.0, 12.0, 15.0, 20.0)] == [5, 3, 0, 0]


@given(
    st.integers(1, 64),
    st.lists(st.tuples(st.booleans(), st.floats(0, 100), st.none() | st.floats(0, 100)), max_size=60),
)
def test_the_throttle_stays_between_one_and_the_number_of_workers(workers, events):
    """For any order of events."""
    throttle = Throttle(workers)
    for busy, now, retry_after in events:
        if busy:
            throttle.busy(now, retry_after, started=now)
        else:
            throttle.success()
        assert 1 <= throttle.allowed <= workers
        assert throttle.wait(now) >= (retry_after or 0 if busy else 0) - 1e-9
