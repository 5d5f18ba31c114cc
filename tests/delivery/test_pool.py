"""Several workers, many jobs: real servers that are slow, busy, gone, or picky."""

from __future__ import annotations

import json
import re
import signal
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from raw import read_request, response

from nemo_jobs_cli.api.session import open_session
from nemo_jobs_cli.core import deadline
from nemo_jobs_cli.core.clock import SYSTEM_CLOCK
from nemo_jobs_cli.core.errors import AuthError, NotDeliveredError, NotFoundError, RejectedError, SettingsError
from nemo_jobs_cli.core.outcome import Delivered, Dropped, Kept, Update
from nemo_jobs_cli.delivery import batch, pool
from nemo_jobs_cli.sandbox import faults as sandbox_faults
from nemo_jobs_cli.sandbox import server as sandbox
from nemo_jobs_cli.settings.model import Settings, Sourced
from nemo_jobs_cli.transport.messages import Request


def lanes(*jobs, each=1):
    """Return so many numbered updates of each job, not folded."""
    items = [
        batch.BatchItem(Update("ws", job, {"step": step}), f"f:{job}:{step}") for step in range(each) for job in jobs
    ]
    return batch.group_by_job(items, coalesce=False)


def session_to(url, seconds=20.0, clock=SYSTEM_CLOCK, **more):
    """Return a conversation with a server."""
    where = Settings(host=Sourced(url, "--host"), deadline=Sourced(seconds, "--deadline"), **more)
    return open_session(where, clock.now(), clock=clock)


class Ears:
    """What a crew tells."""

    def __init__(self):
        self.results = []

    def __call__(self, result):
        self.results.append(result)

    def of(self, job):
        """Return what became of the updates of a job, in the order in which it was told."""
        return [one.outcome for one in self.results if one.item.update.job == job]

    def kinds(self):
        """Return the kinds of all outcomes."""
        return [type(one.outcome) for one in self.results]


def send(url, work, workers=4, *, fail_fast=False, **more):
    """Let a crew send everything, and return what it told."""
    ears = Ears()
    pool.WorkerPool(work, session_to(url, **more), workers, ears, fail_fast=fail_fast).run()
    return ears


@contextmanager
def platform(*faults, seed=1, **more):
    """Run a sandbox with faults."""
    server = sandbox.start(sandbox.Options(faults=sandbox_faults.parse(faults), seed=seed, **more))
    try:
        yield server
    finally:
        sandbox.stop(server)


def job_of(request):
    """Return the job that a raw request is for."""
    return re.search(rb"/jobs/([^/ ]+)/status-details", request)[1].decode()


def step_of(request):
    """Return the step that a raw request reports."""
    return json.loads(request.partition(b"\r\n\r\n")[2])["step"]


def test_all_arrives_in_order_within_a_job_whatever_the_server_does():
    """A quarter of all requests fails; each job's steps are acknowledged one after the other, each once."""
    with platform("503:0.1", "conflict:0.1", "reset:0.05") as server:
        log = []
        original = server.respond

        def respond(request):
            response = original(request)
            if response is not None and response.status == 200:
                log.append((request.target, json.loads(request.body)["step"]))
            return response

        server.respond = respond
        ears = send(server.url, lanes("j1", "j2", "j3", "j4", "j5", each=20))
    assert ears.kinds() == [Delivered] * 100
    assert sum(outcome.attempts for outcome in (one.outcome for one in ears.results)) > 110
    for path in {path for path, _ in log}:
        assert [step for one, step in log if one == path] == list(range(20))
    for job in ("j1", "j5"):
        assert [outcome.update.fields["step"] for outcome in ears.of(job)] == list(range(20))


def test_jobs_go_side_by_side_and_one_job_never_meets_itself(raw_server):
    """Three workers: three jobs are on their way at once; the answers wait for all three."""
    together = threading.Barrier(3, timeout=10)
    busy, twice = set(), []

    def handler(connection, seen, stop):
        request = read_request(connection)
        job = job_of(request)
        if job in busy:
            twice.append(job)
        busy.add(job)
        together.wait()
        busy.discard(job)
        connection.sendall(response(200))

    ears = send(raw_server(handler).url, lanes("j1", "j2", "j3", each=4), workers=3)
    assert ears.kinds() == [Delivered] * 12
    assert twice == []


@pytest.mark.parametrize("workers", [1, 2, 64])
def test_no_more_connections_than_asked_for_or_of_use(raw_server, workers):
    """One each worker, kept alive over all its jobs; no worker without a job."""
    connections = []

    def handler(connection, seen, stop):
        connections.append(1)
        while read_request(connection):
            connection.sendall(b"HTTP/1.1 200 X\r\nContent-Type: application/json\r\nContent-Length: 4\r\n\r\nnull")

    ears = send(raw_server(handler).url, lanes("j1", "j2", "j3", each=5), workers=workers)
    assert ears.kinds() == [Delivered] * 15
    assert len(connections) <= min(workers, 3)


@pytest.mark.parametrize("status", [429, 503])
def test_what_one_worker_is_asked_all_obey(raw_server, status):
    """After the first Retry-After nobody sends for that long, retries of other failures neither."""
    lock = threading.Lock()
    told, early = [], []

    def handler(connection, seen, stop):
        read_request(connection)
        with lock:
            now = time.monotonic()
            if told and 1.0 < now - told[0] < 3.0:  # what was on its way already may still come
                early.append(now - told[0])
            if not told:
                told.append(now)
                connection.sendall(response(status, "{}", "Retry-After: 3"))
                return
        connection.sendall(response(200) if now - told[0] > 3 else response(500, "{}"))

    ears = send(raw_server(handler).url, lanes(*(f"j{number}" for number in range(12)), each=2))
    assert ears.kinds() == [Delivered] * 24
    assert early == []


def test_who_is_asked_to_wait_for_longer_than_the_deadline_sends_nothing_more(raw_server, fake_time):
    """The first update fails; the next begins when the hour is over, on a clock that a test can turn."""
    answers = [response(503, "{}", "Retry-After: 3600"), response(200)]
    server = raw_server(answers)
    talk = session_to(server.url, clock=fake_time.clock)
    ears = Ears()
    crew = pool.WorkerPool(lanes("j1"), talk, 1, ears)
    crew.run()
    assert ears.kinds() == [NotDeliveredError]
    assert crew.seconds_to_wait() == 3600
    polite = pool._ThrottledSender(talk.sender, crew, deadline.start(10, fake_time.now, fake_time.clock))
    assert polite.send(Request("PATCH", "/x", body=b"{}"), 5)[:2] == (
        "timeout",
        "the server has asked to wait for longer",
    )
    assert (len(server.seen), fake_time.slept) == (1, [])
    patient = pool._ThrottledSender(talk.sender, crew, deadline.start(7200, fake_time.now, fake_time.clock))
    assert patient.send(Request("PATCH", "/x", body=b"{}"), 5).status == 200
    assert fake_time.slept == [3600]
    assert crew.seconds_to_wait() == 0


def test_a_busy_server_gets_fewer_at_once(raw_server):
    """After a 503 no more than half as many stand before it, until it has taken some."""
    lock = threading.Lock()
    here, most, refused = [], [], []
    together = threading.Barrier(4, timeout=10)

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

    ears = send(raw_server(handler).url, lanes(*(f"j{number}" for number in range(8))), workers=4)
    assert ears.kinds() == [Delivered] * 8
    assert len(refused) == 4
    assert most
    # The four that were refused repeat theirs; what begins anew afterwards finds half of the places.
    assert max(most[4:]) <= 2


def test_what_is_left_of_a_job_after_a_failure_is_not_sent(raw_server):
    """Sending the third after the second was lost would turn the order around; other jobs go on."""

    def handler(connection, seen, stop):
        request = read_request(connection)
        seen.append((job_of(request), step_of(request)))
        connection.sendall(response(401 if seen[-1] == ("j1", 1) else 200, "{}"))

    server = raw_server(handler)
    ears = send(server.url, lanes("j1", "j2", each=4), workers=1)
    assert [type(outcome) for outcome in ears.of("j1")] == [Delivered, AuthError, type(None), type(None)]
    assert [type(outcome) for outcome in ears.of("j2")] == [Delivered] * 4
    assert ("j1", 2) not in server.seen


def test_a_refused_update_holds_nothing_up(raw_server):
    """A 422 will be one tomorrow, too: the rest of the job is worth sending."""

    def handler(connection, seen, stop):
        request = read_request(connection)
        connection.sendall(response(422, '{"detail":[]}') if step_of(request) == 1 else response(200))

    ears = send(raw_server(handler).url, lanes("j1", each=3))
    assert ears.kinds() == [Delivered, RejectedError, Delivered]


def test_a_job_that_is_not_there_fails_by_itself():
    """The others arrive."""
    with platform(strict=True, jobs=("j2",)) as server:
        work = [batch.JobQueue("default", lane.job, tuple(replace(one, update=one.update._replace(workspace="default"))
                                                     for one in lane.items)) for lane in lanes("j1", "j2", each=2)]  # fmt: skip
        ears = send(server.url, work)
    assert [type(outcome) for outcome in ears.of("j1")] == [NotFoundError, type(None)]
    assert [type(outcome) for outcome in ears.of("j2")] == [Delivered] * 2


def test_fail_fast_begins_nothing_after_the_first_failure(raw_server):
    """What was on its way is told; jobs that nobody has taken are not told at all."""

    def handler(connection, seen, stop):
        seen.append(read_request(connection))
        connection.sendall(response(403, "{}"))

    server = raw_server(handler)
    ears = send(server.url, lanes(*(f"j{number}" for number in range(50)), each=2), workers=1, fail_fast=True)
    assert ears.kinds() == [AuthError, type(None)]
    assert len(server.seen) == 1


def test_stop_lets_what_is_on_its_way_end(raw_server):
    """`stop` returns when the two that were sent are told, and nothing else was sent."""
    both = threading.Barrier(3, timeout=10)
    go = threading.Event()

    def handler(connection, seen, stop):
        seen.append(read_request(connection))
        both.wait()
        go.wait(10)
        connection.sendall(response(200))

    server = raw_server(handler)
    ears = Ears()
    crew = pool.WorkerPool(lanes("j1", "j2", "j3", each=3), session_to(server.url), 2, ears)
    running = threading.Thread(target=crew.run)
    running.start()
    both.wait()
    stopping = threading.Thread(target=crew.stop)
    stopping.start()
    go.set()
    stopping.join(20)
    assert not stopping.is_alive()
    assert len(server.seen) == 2
    assert sorted(ears.kinds(), key=str) == sorted([Delivered] * 2 + [type(None)] * 4, key=str)
    running.join(20)
    assert not running.is_alive()


def test_stop_wakes_those_who_wait_for_the_server(raw_server):
    """A Retry-After of an hour is no reason to hang."""
    server = raw_server([response(429, "{}", "Retry-After: 3600")])
    ears = Ears()
    told = threading.Event()

    def hear(result):
        ears(result)
        told.set()

    crew = pool.WorkerPool(lanes("j1", "j2"), session_to(server.url), 1, hear)
    running = threading.Thread(target=crew.run)
    running.start()
    assert told.wait(20)
    crew.stop()
    running.join(20)
    assert ears.kinds()[0] is NotDeliveredError
    assert len(server.seen) == 1


def test_a_bug_in_a_worker_is_raised_and_ends_the_others(raw_server):
    """It doesn't die in a thread that nobody looks at."""
    server = raw_server([response(200)])

    def hear(_):
        raise ZeroDivisionError

    crew = pool.WorkerPool(lanes(*(f"j{number}" for number in range(50))), session_to(server.url), 2, hear)
    with pytest.raises(ZeroDivisionError):
        crew.run()
    assert len(server.seen) < 50
    with pytest.raises(ZeroDivisionError):
        crew.stop()


def test_without_work_there_is_nothing_to_do():
    """An empty file."""
    assert send("http://127.0.0.1:1", []).results == []


GONE = "http://127.0.0.1:1"  # nobody listens there


def test_without_an_outbox_one_failure_a_job_is_told():
    """The rest of the job is left, and was not tried."""
    ears = send(GONE, lanes("j1", "j2", each=3), seconds=0.0)
    assert [type(outcome) for outcome in ears.of("j1")] == [NotDeliveredError, type(None), type(None)]


def test_an_outbox_keeps_a_jobs_rest_as_one(tmp_path):
    """All three are kept in one entry: two entries of one moment could change places."""
    where = {"outbox": Sourced(value=True, source="x"), "outbox_dir": Sourced(str(tmp_path / "box"), "x")}
    ears = send(GONE, lanes("j1", each=3), seconds=0.0, **where)
    assert ears.kinds() == [Kept] * 3
    (path,) = {outcome.path for outcome in ears.of("j1")}
    assert json.loads(Path(path).read_bytes())["fields"] == {"step": 2}


def test_what_an_outbox_holds_of_a_job_goes_first(tmp_path):
    """The kept update and the new one become one request, and the box is empty afterwards."""
    box = tmp_path / "box"
    where = {"outbox": Sourced(value=True, source="x"), "outbox_dir": Sourced(str(box), "x")}
    with platform() as server:
        host = server.url
    kept = send(
        host,
        [batch.JobQueue("ws", "j1", (batch.BatchItem(Update("ws", "j1", {"a": 1, "b": 1}), "f:1"),))],
        seconds=0.0,
        **where,
    )
    assert kept.kinds() == [Kept]
    port = int(host.rpartition(":")[2])
    with platform(port=port) as server:
        new = [batch.JobQueue("ws", "j1", (batch.BatchItem(Update("ws", "j1", {"b": 2}), "f:1"),))]
        assert send(host, new, **where).kinds() == [Delivered]
        job = server.jobs["ws", "j1"]
        assert job.details == {"a": 1, "b": 2}
    assert not list((box / "pending").iterdir())


def test_an_outbox_that_cannot_be_written_is_an_error_of_its_own(tmp_path):
    """Nothing was kept, so nothing is said to be; the rest of the job is left."""
    (tmp_path / "file").write_text("")
    where = {"outbox": Sourced(value=True, source="x"), "outbox_dir": Sourced(str(tmp_path / "file" / "box"), "x")}
    assert send(GONE, lanes("j1", each=2), seconds=0.0, **where).kinds() == [SettingsError, type(None)]


def test_best_effort_drops_one_by_one(tmp_path):
    """Each has its chance, and each is counted."""
    where = {"best_effort": Sourced(value=True, source="x"), "outbox_dir": Sourced(str(tmp_path / "box"), "x")}
    assert send(GONE, lanes("j1", each=3), seconds=0.0, **where).kinds() == [Dropped] * 3


KEPT_ALIVE = b"HTTP/1.1 200 X\r\nContent-Type: application/json\r\nContent-Length: 1\r\n\r\n%d"


def test_a_dripping_answer_over_a_connection_that_stands_is_cut_off(raw_server):
    """Each byte would begin a socket's timeout anew; the next attempt gets a connection of its own."""

    def handler(connection, seen, stop):
        seen.append(read_request(connection))
        connection.sendall(KEPT_ALIVE % 1)
        if len(seen) == 1:
            seen.append(read_request(connection))
            for byte in KEPT_ALIVE * 10:
                connection.sendall(bytes([byte]))
                if stop.wait(0.05):
                    return

    server = raw_server(handler)
    sender = session_to(server.url).sender
    assert sender.send(Request("GET", "/a"), 20).body == b"1"
    began = time.monotonic()
    failure = sender.send(Request("GET", "/b"), 0.4)
    assert (failure.kind, failure.detail) == ("timeout", "the request was sent, no response came")
    assert 0.3 < time.monotonic() - began < 2
    assert sender.send(Request("GET", "/c"), 20).body == b"1"
    assert [request.split()[1] for request in server.seen] == [b"/a", b"/b", b"/c"]
    sender.close()


def test_a_connection_that_the_server_has_closed_is_not_used_again(raw_server):
    """Without a failed attempt, where the end has already been seen."""
    closed = threading.Event()

    def handler(connection, seen, stop):
        seen.append(read_request(connection))
        connection.sendall(KEPT_ALIVE % len(seen))
        connection.close()
        closed.set()

    sender = session_to(raw_server(handler).url).sender
    assert sender.send(Request("GET", "/a"), 20).body == b"1"
    assert closed.wait(20)
    assert sender.send(Request("GET", "/b"), 20).body == b"2"
    sender.close()


@pytest.mark.parametrize("before", [0, 1, 3])
def test_an_answer_that_a_signal_has_cut_off_is_never_taken_for_the_next_ones(raw_server, before):
    """Neither on the first request of a connection nor on a later one: or a lost update would count as delivered."""
    go = threading.Event()

    def handler(connection, seen, stop):
        while request := read_request(connection):
            seen.append(request)
            if b"/cut" in request:
                signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
                go.wait(20)
            connection.sendall(KEPT_ALIVE % (2 if b"/cut" in request else 1))

    class StopError(BaseException):
        """What the handler raises."""

    def stop(*_):
        raise StopError

    sender = session_to(raw_server(handler).url).sender
    old = signal.signal(signal.SIGUSR1, stop)
    try:
        for _ in range(before):
            assert sender.send(Request("GET", "/a"), 20).body == b"1"
        with pytest.raises(StopError):
            sender.send(Request("GET", "/cut"), 20)
    finally:
        signal.signal(signal.SIGUSR1, old)
    go.set()
    assert sender.send(Request("GET", "/next"), 20).body == b"1"
    sender.close()
