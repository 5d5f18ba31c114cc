"""Repeating a request: when it goes on, when it stops, what it counts."""

from __future__ import annotations

from nemo_jobs_cli.core import deadline
from nemo_jobs_cli.transport import exchange
from nemo_jobs_cli.transport.exchange import Request
from nemo_jobs_cli.transport.messages import Failure, Response

REQUEST = Request("PATCH", "/x", (("a", "b"),), b"{}")


class Script:
    """A sender that gives the answers of a list, each taking a second of fake time."""

    trace_id = "t"

    def __init__(self, time, *answers):
        self.time, self.answers, self.calls = time, list(answers), []

    def send(self, method, path, timeout, *, query=(), body=None, content_type="application/json"):
        self.calls.append((method, path, timeout, query, body))
        self.time.now += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def run(time, script, seconds=10.0, **more):
    """Exchange the request with a deadline of so many seconds."""
    return exchange.run(REQUEST, script, deadline.start(seconds, time.now, time.clock), **more)


def test_success_at_once_is_one_try_without_a_wait(fake_time):
    """The common case sleeps nowhere and sends what it was given."""
    script = Script(fake_time, Response(200, b"null"))
    ended = run(fake_time, script)
    assert (ended.last.status, ended.tries, ended.conflicts) == (200, 1, 0)
    assert script.calls == [("PATCH", "/x", 10 * deadline.SHARE_OF_ATTEMPT, (("a", "b"),), b"{}")]
    assert fake_time.slept == []


def test_conflicts_and_failures_are_tried_again_until_it_works(fake_time):
    """A 409 is not the end, whatever its x-should-retry header says; each wait is announced."""
    heard = []
    script = Script(
        fake_time,
        Response(409, headers={"x-should-retry": "false"}),
        Failure("reset", "gone"),
        Response(200, b"null"),
    )
    ended = run(fake_time, script, on_retry=lambda last, wait: heard.append((last, wait)))
    assert (ended.last.status, ended.tries, ended.conflicts) == (200, 3, 1)
    assert [wait for _, wait in heard] == fake_time.slept == [0.05, 0.1]


def test_a_final_answer_ends_it(fake_time):
    """A 422 will be a 422 again."""
    assert run(fake_time, Script(fake_time, Response(422))).tries == 1


def test_the_deadline_ends_it_and_the_last_answer_stays(fake_time):
    """What was wrong at the end is what the error will say."""
    fake_time.dice = 0.999
    ended = run(fake_time, Script(fake_time, Response(503)))
    assert ended.last.status == 503
    assert fake_time.now <= 1011
    assert ended.tries > 3


def test_a_deadline_of_zero_is_one_try(fake_time):
    """Who asks for one attempt gets one."""
    assert run(fake_time, Script(fake_time, Failure("refused", "x")), seconds=0).tries == 1


def test_a_caller_may_forbid_retries(fake_time):
    """Some callers know that waiting is useless."""
    assert run(fake_time, Script(fake_time, Failure("refused", "x")), may_retry=lambda _: False).tries == 1
