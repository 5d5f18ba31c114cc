"""Reading a log: all lines once, whatever the pages, the order of arrival and the faults."""

from __future__ import annotations

import itertools
import json
import resource
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_jobs_cli.api import logs
from nemo_jobs_cli.api.session import Session
from nemo_jobs_cli.core import deadline
from nemo_jobs_cli.core.errors import NotDeliveredError, SettingsError
from nemo_jobs_cli.sandbox import _logs
from nemo_jobs_cli.settings.model import Settings, Sourced
from nemo_jobs_cli.transport.messages import Response

SETTINGS = Settings(host=Sourced("http://h", "--host"))
BEGIN = 1_790_000_000


class Server:
    """The log of a sandbox with `count` lines, a second apart; the requests in `failing` get no answer."""

    def __init__(self, failing=(), count=0):
        self.log = []
        self.attempt = "attempt-1"
        self.requests = []
        self.failing = set(failing)
        for n in range(count):
            self.add(n, f"line {n}")

    def add(self, seconds, message, task="task-1"):
        _logs.append(self.log, _logs.to_time(BEGIN + seconds), _logs.Source(self.attempt, "train", task), message)

    def fetch(self, query, limit):
        self.requests.append(dict(query))
        if len(self.requests) in self.failing:
            raise NotDeliveredError("no answer", "wait")
        query, lines = dict(query), self.log
        cursor = query.get("page_cursor", "")
        if "limit" in query and len(cursor) < 20:  # forward: as on the platform, lines of one time have no order
            lines = sorted(lines, key=lambda line: (line.timestamp, hash((cursor, line.number))))
        return _logs.page(lines, "train-x", self.attempt, query)

    def messages(self):
        return [line.message for line in self.log if line.source.attempt == self.attempt]


def read(log):
    """Return the text of the new lines."""
    return [line.message for lines in log.read() for line in lines]


def read_through(log, attempts=100):
    """Return the text of the new lines, reading again after each failure."""
    messages = []
    for _ in range(attempts):
        try:
            for lines in log.read():
                messages += [line.message for line in lines]
        except NotDeliveredError:
            continue
        return messages
    raise AssertionError


@pytest.fixture
def small_pages(monkeypatch):
    """Let a page have ten lines, and that of a poll three."""
    monkeypatch.setattr(logs, "MAX_PAGE", 10)
    monkeypatch.setattr(logs, "POLL_PAGE", 3)


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 20, 21, 95])
def test_all_lines_in_order(small_pages, count):
    """Whatever the number of pages; each is fetched once."""
    server = Server(count=count)
    assert read(logs.Log(server.fetch)) == server.messages()
    assert len(server.requests) == max(1, -(-count // 10))


def test_the_first_lines_come_at_once(small_pages):
    """Not after the whole log has been looked through."""
    server = Server(count=95)
    assert next(logs.Log(server.fetch).read())[0].message == "line 0"
    assert len(server.requests) == 1


def test_lines_of_the_same_time_are_all_there(small_pages):
    """Although their order is not defined."""
    server = Server()
    for n in range(95):
        server.add(0, f"line {n % 30}")
    assert Counter(read(logs.Log(server.fetch))) == Counter(server.messages())


@pytest.mark.parametrize("tail", [0, 1, 5, 10])
def test_the_last_lines(small_pages, tail):
    """One request; later lines follow."""
    server = Server(count=25)
    log = logs.Log(server.fetch, tail=tail)
    assert read(log) == server.messages()[25 - tail :]
    assert len(server.requests) == 1
    server.add(30, "new")
    assert (read(log), read(log)) == (["new"], [])


def test_the_lines_since_a_time(small_pages):
    """Pages before that time are not read."""
    server = Server()
    for n in range(95):
        server.add(n / 100, f"line {n}")
    log = logs.Log(server.fetch, since=BEGIN + 0.8)
    assert read(log) == server.messages()[80:]
    assert len(server.requests) == 2
    assert read(logs.Log(server.fetch, since=BEGIN + 0.8, tail=3)) == server.messages()[-3:]
    server.add(0.1, "late, and before that time")
    server.add(3, "new")
    assert read(log) == ["new"]


def test_a_poll_is_one_small_request(small_pages):
    """Even if there are new lines."""
    server = Server()
    log = logs.Log(server.fetch)
    assert read(log) == []
    server.add(1, "one")
    assert read(log) == ["one"]
    server.add(2, "two")
    assert (read(log), read(log)) == (["two"], [])
    assert server.requests[2:] == [{"tail": "3"}] * 2


def test_many_new_lines_at_once(small_pages):
    """After an outage, say."""
    server = Server()
    server.add(0, "old")
    log = logs.Log(server.fetch)
    assert read(log) == ["old"]
    for n in range(1, 60):
        server.add(n, f"line {n}")
    assert read(log) == server.messages()[1:]


def test_a_late_line(small_pages):
    """It is printed as soon as it is there, and no other line again."""
    server = Server(count=30)
    log = logs.Log(server.fetch)
    read(log)
    server.add(25.5, "late")
    server.add(31, "new")
    assert read(log) == ["late", "new"]
    assert (read(log), log.missed) == ([], 0)


@pytest.mark.parametrize(("moment", "seconds"), [(1, 7.5), (2, 17.5), (3, 22.5)])
def test_a_late_line_while_the_log_is_read(small_pages, moment, seconds):
    """It moves the lines behind it to other pages; all are printed once."""
    server = Server(count=25)

    def fetch(query, limit):
        page = server.fetch(query, limit)
        if len(server.requests) == moment:
            server.add(seconds, "late")
        return page

    log = logs.Log(fetch)
    assert Counter(read(log) + read(log)) == Counter(server.messages())


def test_a_line_that_is_too_late_is_counted(small_pages):
    """It is older than the last lines that are remembered."""
    server = Server(count=30)
    log = logs.Log(server.fetch)
    read(log)
    server.add(0.5, "too late")
    assert (read(log), log.missed) == ([], 1)
    server.add(31, "new")
    assert (read(log), log.missed) == (["new"], 1)


@pytest.mark.parametrize("tail", [None, 2])
@pytest.mark.parametrize("count", [0, 5, 20, 100])
def test_a_new_attempt_is_read_from_its_beginning(small_pages, count, tail):
    """It has its own log, be it shorter, longer or as long."""
    server = Server()
    for n in range(20):
        server.add(n, f"first {n}")
    log = logs.Log(server.fetch, tail=tail)
    assert read(log)[-2:] == ["first 18", "first 19"]
    server.attempt = "attempt-2"
    for n in range(count):
        server.add(100 + n, f"second {n}")
    assert read(log) == server.messages()
    assert read(log) == []


@pytest.mark.parametrize("count", [0, 5, 9, 12])
def test_a_new_attempt_after_lines_that_were_too_old(small_pages, count):
    """Of the old one no line was read."""
    server = Server()
    for n in range(9):
        server.add(n, f"first {n}")
    log = logs.Log(server.fetch, since=BEGIN + 50)
    assert read(log) == []
    server.attempt = "attempt-2"
    for n in range(count):
        server.add(100 + n, f"second {n}")
    assert read(log) == server.messages()
    server.add(200, "later")
    assert (read(log), read(log)) == (["later"], [])


# Times in seconds; a step back is small enough to be within the lines that are remembered.
LINES = st.lists(st.tuples(st.integers(-3, 3), st.sampled_from("abc")), max_size=30)


@given(parts=st.lists(LINES, max_size=6), failing=st.sets(st.integers(1, 40), max_size=20))
def test_no_line_is_lost_or_repeated(parts, failing):
    """Whatever arrives between the reads, late or at the same time, and whichever requests fail."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logs, "MAX_PAGE", 40)
        patch.setattr(logs, "POLL_PAGE", 3)
        server = Server(failing)
        log = logs.Log(server.fetch)
        messages = []
        now = 0
        for lines in parts:
            for step, message in lines:
                server.add(now + step, message)
                now += 1
            messages += read_through(log)
        assert Counter(messages) == Counter(server.messages())
        assert log.missed == 0


@given(
    attempts=st.lists(st.lists(LINES, min_size=1, max_size=3), min_size=2, max_size=3),
    tail=st.none() | st.integers(0, 3),
    since=st.sampled_from([None, 0, 10]),
)
def test_every_later_attempt_is_read_whole(attempts, tail, since):
    """However long it is beside the one before, and whatever was read of that one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logs, "MAX_PAGE", 40)
        patch.setattr(logs, "POLL_PAGE", 3)
        server = Server()
        log = logs.Log(server.fetch, tail=tail, since=None if since is None else BEGIN + since)
        now = 0
        for number, parts in enumerate(attempts):
            server.attempt = f"attempt-{number}"
            messages = []
            for lines in parts:
                for step, message in lines:
                    server.add(now + step, message, f"task-{number}")
                    now += 1
                messages += read(log)
            assert not number or Counter(messages) == Counter(server.messages())
            now += 20


@given(
    count=st.integers(0, 60),
    tail=st.none() | st.integers(0, 12),
    since=st.none() | st.integers(-1, 61),
    later=st.integers(0, 60),
)
def test_where_a_log_begins(count, tail, since, later):
    """The last lines of those since a time, then all that follow."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logs, "MAX_PAGE", 12)
        patch.setattr(logs, "POLL_PAGE", 3)
        server = Server(count=count)
        log = logs.Log(server.fetch, tail=tail, since=None if since is None else BEGIN + since)
        shown = range(max(0, since or 0), count)
        assert read(log) == [f"line {n}" for n in (shown if tail is None else shown[max(0, len(shown) - tail) :])]
        for n in range(later):
            server.add(100 + n, f"line {100 + n}")
        assert read(log) == [f"line {100 + n}" for n in range(later)]
        assert (read(log), log.missed) == ([], 0)


@given(count=st.integers(0, 99), failing=st.sets(st.integers(1, 60), max_size=40))
def test_faults_do_not_change_the_order(count, failing):
    """A log that does not grow is read as if nothing had failed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logs, "MAX_PAGE", 10)
        server = Server(failing, count=count)
        assert read_through(logs.Log(server.fetch)) == server.messages()


class Client:
    """A server of JSON responses by path and query, for a session."""

    trace_id = "trace1"

    def __init__(self, respond):
        self.respond = respond
        self.timeouts = []

    def send(self, request, timeout):
        self.timeouts.append(timeout)
        body = self.respond(request.path.rpartition("/")[2], dict(request.query))
        return Response(200, body if isinstance(body, bytes) else json.dumps(body).encode())


def open_session(client, fake_time):
    """Return a session whose deadline is ten seconds."""
    return Session(SETTINGS, client, deadline.start(10, fake_time.now, fake_time.clock))


def slow_pages(fake_time, seconds, count):
    """Return a server of `count` pages with one line each, which take `seconds`."""

    def respond(path, query):
        fake_time.now += seconds
        number = int(query.get("page_cursor", 0))
        row = {"timestamp": f"2026-01-01T00:00:{number:02}", "job_step": "train", "job_task": "t", "message": "x"}
        return {"data": [row], "total": count, "next_page": str(number + 1) if number < count - 1 else None}

    return respond


def test_each_request_has_its_own_deadline(fake_time):
    """And no more than the time that is left."""
    client = Client(slow_pages(fake_time, 8, 3))
    log = logs.open_log(open_session(client, fake_time), "default", "train-x")
    assert len([line for lines in log.read() for line in lines]) == 3
    assert client.timeouts == [10.0] * 3
    list(log.read(fake_time.now + 2.5))
    assert client.timeouts[3:] == [2.5]


def test_all_pages_end_at_the_same_time(fake_time):
    """A log of any length, and a server that has always one page more, is no reason to wait longer."""
    client = Client(slow_pages(fake_time, 2, 50))
    log = logs.open_log(open_session(client, fake_time), "default", "train-x")
    ends = fake_time.now + 5
    list(itertools.takewhile(lambda _: fake_time.now < ends, log.read(ends)))
    assert client.timeouts == [5.0, 3.0, 1.0]


@pytest.mark.parametrize("large", [range(10), range(30, 40), range(18, 22), range(40)])
@pytest.mark.parametrize("tail", [None, 12, 14])
def test_pages_that_are_too_large_are_halved(fake_time, monkeypatch, large, tail):
    """The transport reads only so many bytes; no page that was read before gets smaller."""
    server = Server()
    for n in range(40):
        server.add(n, f"line {n} {'x' * (1000 if n in large else 10)}")

    def respond(path, query):
        body = json.dumps(server.fetch(tuple(query.items()), None)).encode()
        return body[:5000]

    monkeypatch.setattr(logs, "MAX_PAGE", 16)
    monkeypatch.setattr(logs, "MAX_PAGE_BYTES", 5000)
    client = Client(respond)
    log = logs.open_log(open_session(client, fake_time), "default", "train-x", tail=tail)
    assert read(log) == server.messages()[-(tail or 40) :]
    assert len(client.timeouts) < 25
    server.add(50, "x" * 6000)
    with pytest.raises(SettingsError, match="cannot read the log: a line has more than 0 MiB"):
        read(log)


def test_an_id_is_looked_up_once(fake_time):
    """The next request has the name."""
    paths, job_id = [], "platform-job-WicvmD5m6MVP1azj1EHdxi"

    def respond(path, query):
        paths.append(path)
        return {"data": [{"id": job_id, "name": "train-x"}]} if path == "jobs" else {"data": [], "total": 0}

    log = logs.open_log(open_session(Client(respond), fake_time), "default", job_id)
    assert read(log) == read(log) == []
    assert paths == ["jobs", "logs", "logs"]


@pytest.mark.parametrize("body", [{}, {"data": None}, {"data": [1, {}], "total": "x", "prev_page": 1}])
def test_a_foreign_answer_is_an_empty_log(body, fake_time):
    """It must not end in a bug."""
    assert list(logs.open_log(open_session(Client(lambda *_: body), fake_time), "default", "train-x").read()) == []


@pytest.mark.parametrize("since", [None, 0])
def test_memory_does_not_grow_with_the_log(since):
    """32 MiB in pages of a megabyte, held to a few pages; read forward, or backward first."""
    size, pages = 1000, 32
    text = "x" * 1024

    def fetch(query, limit):
        query = dict(query)
        number = int(query.get("page_cursor", pages if "tail" in query else 1))
        seconds = [divmod(number * size + n, 1000) for n in range(size)]
        rows = [
            {"timestamp": f"2026-01-01T00:{whole // 60:02}:{whole % 60:02}.{rest:03}", "job_step": "s", "job_task": "t", "message": f"{text}{rest}"}
            for whole, rest in seconds
        ]  # fmt: skip
        following, previous = (str(n) if 0 < n <= pages else None for n in (number + 1, number - 1))
        return {"data": rows, "total": size * pages, "next_page": following, "prev_page": previous}

    log = logs.Log(fetch, since=since)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert sum(len(line.message) for lines in log.read() for line in lines) > 31 << 20
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert after - before < 24 << 10, f"{(after - before) >> 10} MiB"
