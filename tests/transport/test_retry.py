"""The retry policy: what is retried, and after which pause."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_jobs_cli.core import deadline
from nemo_jobs_cli.transport import retry
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


DATE = st.from_regex(r"\A((Mon|Foo), )?[0-9]{1,3}[ -](Jan|Foo)[ -][0-9]{1,5}( [0-9:.]{1,9})? ?([+-]?[0-9]{0,20}|GMT)\Z")


@given(DATE | st.text(max_size=40), DATE | st.text(max_size=40))
def test_any_retry_after_header_is_tolerated(value, date):
    """An unreadable header is ignored."""
    answer = Response(503, headers={"retry-after": value, "date": date})
    seconds = retry.retry_after(answer)
    assert seconds is None or seconds >= 0
    assert retry.pause(answer, 1, 1e12, lambda: 0.5) == 0.05 + (seconds or 0)


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
