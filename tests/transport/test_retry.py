"""The retry policy: what is retried, and after which pause."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from nemo_jobs_cli.core import deadline
from nemo_jobs_cli.transport import retry, routes
from nemo_jobs_cli.transport.messages import Failure, Request, Response

REQUEST = Request("PATCH", "/x", (("a", "b"),), b"{}")


class Script:
    """A sender with a list of responses, each of which takes a second of fake time."""

    trace_id = "t"

    def __init__(self, time, *answers):
        self.time, self.answers, self.calls = time, list(answers), []

    def send(self, request, timeout):
        self.calls.append((request, timeout))
        self.time.now += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def send(time, script, seconds=10.0, **more):
    """Send the request with a deadline of so many seconds."""
    return retry.send(REQUEST, script, deadline.start(seconds, time.now, time.clock), **more)


def test_success_takes_one_attempt_and_no_pause(fake_time):
    """The request is sent unchanged."""
    script = Script(fake_time, Response(200, b"null"))
    ended = send(fake_time, script)
    assert (ended.last.status, ended.attempts, ended.conflicts) == (200, 1, 0)
    assert script.calls == [(REQUEST, 10)]
    assert fake_time.slept == []


def test_conflicts_and_failures_are_retried_until_success(fake_time):
    """The header x-should-retry of a 409 is ignored; each pause is reported."""
    retries = []
    script = Script(
        fake_time,
        Response(409, headers={"x-should-retry": "false"}),
        Failure("reset", "gone"),
        Response(200, b"null"),
    )
    ended = send(fake_time, script, on_retry=lambda last, wait: retries.append((last, wait)))
    assert (ended.last.status, ended.attempts, ended.conflicts) == (200, 3, 1)
    assert [wait for _, wait in retries] == fake_time.slept == [0.05, 0.1]


@pytest.mark.parametrize("last", [Response(422), Response(409, b'{"detail":"the job is deletion_pending"}')])
def test_a_final_response_ends_the_retries(fake_time, last):
    """It would be the same again; a 409 too, unless it is about a write race."""
    assert send(fake_time, Script(fake_time, last)).attempts == 1


NO_ATTEMPT = Response(404, b'{"detail":"Job \'x\' has no current attempt."}')


def test_a_job_without_an_attempt_is_waited_for(fake_time):
    """It gets one when it starts."""
    ended = send(fake_time, Script(fake_time, NO_ATTEMPT, NO_ATTEMPT, Response(200, b"null")))
    assert (ended.last.status, ended.attempts) == (200, 3)


def test_an_attempt_that_is_gone_is_not_waited_for(fake_time):
    """Its id never comes back."""
    exact = REQUEST._replace(path=routes.attempt_status_details("ws", "x", "platform-job-attempt-1"))
    script = Script(fake_time, NO_ATTEMPT)
    ended = retry.send(exact, script, deadline.start(10, fake_time.now, fake_time.clock))
    assert ended.attempts == 1


def test_the_deadline_ends_the_retries_with_the_last_response(fake_time):
    """The error is about that response."""
    fake_time.dice = 0.999
    ended = send(fake_time, Script(fake_time, Response(503)))
    assert ended.last.status == 503
    assert fake_time.now <= 1011
    assert ended.attempts > 3


def test_a_deadline_of_zero_is_one_attempt(fake_time):
    """Even a failure that may pass is not retried."""
    assert send(fake_time, Script(fake_time, Failure("refused", "x")), seconds=0).attempts == 1


@pytest.mark.parametrize(
    ("lasts", "again"),
    [
        (map(Response, (408, 409, 425, 429, 500, 502, 503, 504)), True),
        (map(Response, (200, 301, 400, 401, 403, 404, 405, 422)), False),
        ((Failure(kind, "x") for kind in ("dns", "refused", "connect", "timeout", "reset", "protocol", "proxy")), True),
        ((Failure(kind, "x") for kind in ("tls", "tls-settings", "proxy-settings")), False),
    ],
)
def test_what_may_pass_is_retried_and_wrong_settings_are_not(lasts, again):
    """Only a certificate, a file and a proxy variable need a change."""
    for last in lasts:
        assert retry.is_transient(last) is again
        assert (retry.pause(last, 1, 10, lambda: 0.5) is not None) is again


def test_the_window_doubles_and_ends_at_two_seconds():
    """Full jitter: the largest random number gives the window itself."""
    windows = [retry.pause(Response(503), attempts, 100, lambda: 1.0) for attempts in range(1, 8)]
    assert windows == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]


def test_the_pause_after_a_conflict_grows_with_the_response_time():
    """A slow response means a long queue of writers, which an early retry would lengthen."""
    assert retry.pause(Response(409, seconds=1.0), 1, 100, lambda: 1.0) == 1.5
    assert retry.pause(Response(409, seconds=0.01), 1, 100, lambda: 1.0) == 0.1


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": " 0 "}, 0.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:05 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 5.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:27:00 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 0.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:05 GMT"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:05 -0000", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:05 GMT", "date": "Wed, 21 Oct 2026 07:28:00 -0000"}, None),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:05 -0000", "date": "Wed, 21 Oct 2026 07:28:00 -0000"}, 5.0),
        (
            {"retry-after": "Wed, 21 Oct 2026 07:28:05 +9999999999999999999", "date": "Wed, 21 Oct 2026 07:28:00 GMT"},
            None,
        ),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:05 +9999", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"retry-after": "Mon, 01 Jan 0001 00:00:00 +2359", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 0.0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "٣"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_in_both_forms(headers, seconds):
    """Dates are relative to the server's own Date; anything else is ignored."""
    assert retry.retry_after(Response(429, headers=headers)) == seconds


DATE = st.builds(
    "{}, {} {} {} {:02}:{:02}:{:02} {}".format,
    st.sampled_from(["Mon", "Foo"]),
    st.integers(1, 31),
    st.sampled_from(["Jan", "Dec"]),
    st.integers(0, 10_000),
    st.integers(0, 23),
    st.integers(0, 59),
    st.integers(0, 60),
    st.sampled_from(["GMT", "GMT", "+0130", "-0000", "+9999", ""]),
)
RETRY_AFTER = DATE | st.integers(0, 10**20).map(str) | st.text(max_size=40)
# A year of two digits means another one (RFC 5322, 4.3).
FULL_YEARS = st.datetimes(datetime(1000, 1, 1))  # noqa: DTZ001 - the test adds a zone


@given(DATE | RETRY_AFTER, DATE | DATE | st.text(max_size=40))
def test_any_retry_after_header_is_tolerated(value, date):
    """An unreadable header is ignored."""
    answer = Response(503, headers={"retry-after": value, "date": date})
    seconds = retry.retry_after(answer)
    event("ignored" if seconds is None else "date" if "," in value else "seconds")
    assert seconds is None or seconds >= 0
    assert retry.pause(answer, 1, 1e12, lambda: 0.5) == 0.05 + (seconds or 0)


@given(FULL_YEARS, FULL_YEARS, st.sampled_from([0, 90, -720]))
def test_a_date_means_the_seconds_from_the_servers_own_date(then, now, minutes):
    """In any zone; one that has passed means at once."""
    zone = timezone(timedelta(minutes=minutes))
    then, now = (date.replace(microsecond=0, tzinfo=zone) for date in (then, now))
    headers = {"retry-after": format_datetime(then), "date": format_datetime(now)}
    assert retry.retry_after(Response(503, headers=headers)) == max(0.0, (then - now).total_seconds())


def test_a_pause_beyond_the_deadline_stops_at_once():
    """No attempt could follow it."""
    assert retry.pause(Response(429, headers={"retry-after": "30"}), 1, 10, lambda: 0.0) is None


@given(
    st.one_of(
        st.builds(Response, st.integers(100, 599), seconds=st.floats(0, 60)),
        st.builds(Failure, st.sampled_from(["dns", "tls", "timeout", "reset"]), st.just("x")),
    ),
    st.integers(1, 10_000),
    st.floats(0, 3600),
    st.floats(0, 1, exclude_max=True),
)
def test_a_pause_never_passes_the_deadline(last, attempts, left, dice):
    """It is None, or not negative and shorter than the time left."""
    wait = retry.pause(last, attempts, left, lambda: dice)
    assert wait is None or 0 <= wait < left
