"""The loop of --watch and --wait, on a clock that only sleeping advances."""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass, field

import pytest

from nemo_jobs_cli.api import models, wait
from nemo_jobs_cli.api.wait import WaitPlan
from nemo_jobs_cli.core.errors import AuthError, JobFailedError, NotDeliveredError, WaitedError
from nemo_jobs_cli.fields import condition

AWAY = NotDeliveredError("nothing listens on http://h: connection refused (9 attempts)", "is it running?")


def job(status="active", **details):
    """Return a job as polled."""
    return models.parse_job({"name": "train-x", "status": status, "status_details": details})


def reporting(status):
    """Return an active job whose details report a status."""
    return models.parse_job({"name": "train-x", "status": "active", "status_details": {"status": status}})


@dataclass
class Seen:
    """A watcher that records its calls."""

    looks: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    def on_job(self, job):
        """Record the job's state."""
        self.looks.append(job.state)

    def on_outage(self, error):
        """Record the message."""
        self.troubles.append(error.message)


@pytest.fixture
def follow(fake_time):
    """Return a function that follows scripted polls; each error is raised, each job returned."""

    def go(script, *, seconds=0.0, **plan):
        seen = Seen()
        limits = []
        results = iter(script)

        def poll(limit):
            limits.append(limit)
            fake_time.now += seconds
            result = next(results)
            if isinstance(result, Exception):
                raise result
            return result

        seen.limits = limits
        try:
            seen.last = wait.follow(poll, WaitPlan(plan.pop("interval", 2.0), **plan), fake_time.clock, seen)
        except Exception as error:
            error.seen = seen
            raise
        return seen

    return go


def test_the_job_is_polled_every_interval_until_it_has_completed(follow, fake_time):
    """Every poll is shown, including the last."""
    seen = follow([job("pending"), job(), job("brand-new"), job("completed")], interval=5.0)
    assert seen.looks == ["pending", "active", "brand-new", "completed"]
    assert seen.last.state == "completed"
    assert fake_time.slept == [5.0, 5.0, 5.0]


def test_a_slow_server_is_polled_less_often(follow, fake_time):
    """It gets as much time as its response took; after an outage, which took the whole deadline, it does not."""
    follow([job(), AWAY, job("completed")], seconds=7.0)
    assert fake_time.slept == [7.0, 2.0]


def test_a_poll_of_any_length_is_followed_soon(follow, fake_time):
    """It may have waited for hours for the reader of a log; a longer interval of the user stays."""
    follow([job(), job("completed")], seconds=3600.0)
    assert fake_time.slept == [30.0]
    fake_time.slept.clear()
    follow([job(), job("completed")], seconds=3600.0, interval=90.0)
    assert fake_time.slept == [90.0]


@pytest.mark.parametrize(("status", "message"), [("error", "ended in error"), ("cancelled", "was cancelled")])
def test_waiting_fails_if_the_job_does(follow, status, message):
    """The exit code is 8; the error has the platform's reason and the whole job."""
    bad = models.parse_job({"name": "train-x", "status": status, "error_details": {"message": "out of\nmemory"}})
    with pytest.raises(JobFailedError, match=message) as caught:
        follow([job(), bad])
    assert caught.value.message.endswith(r"out of\nmemory")
    assert caught.value.facts["result"] == bad.raw
    assert caught.value.seen.looks == ["active", status]
    assert "nemo-jobs show train-x" in caught.value.hint


@pytest.mark.parametrize("status", ["completed", "error", "cancelled"])
def test_watching_succeeds_whatever_the_final_state(follow, status):
    """--watch only shows the job."""
    assert follow([job(), job(status)], must_succeed=False).last.state == status


@pytest.mark.parametrize("status", ["active", "error"])
def test_a_condition_ends_the_wait_when_it_holds(follow, status):
    """This counts even if the job has failed."""
    until = condition.parse("progress>=50")
    assert follow([job(progress=10), job(status, progress=50)], until=until).last.state == status


@pytest.mark.parametrize(
    ("last", "message"),
    [
        (job("completed", progress=45), "is completed and progress>=50 does not hold: progress is 45"),
        (job("error"), "ended in error and progress>=50 does not hold: progress was never reported"),
    ],
)
def test_a_condition_that_cannot_hold_any_more_is_an_error(follow, last, message):
    """This includes a completed job."""
    with pytest.raises(JobFailedError) as caught:
        follow([job(), last], until=condition.parse("progress>=50"))
    assert message in caught.value.message


def test_a_condition_may_be_on_the_state(follow):
    """It is the platform's, also if a detail has this name."""
    until = condition.parse("state=active or status=failed")
    assert follow([job("pending", state="active"), job("active")], until=until).looks == ["pending", "active"]
    with pytest.raises(JobFailedError, match="does not hold: state is completed, status was never reported"):
        follow([job("completed")], until=until)


@pytest.mark.parametrize("reported", ["completed", "Failed", "done"])
def test_a_timeout_says_that_the_details_report_the_end(follow, reported):
    """Outside the platform's own jobs the state never changes."""
    with pytest.raises(WaitedError) as caught:
        follow(itertools.repeat(reporting(reported)), timeout=0.0)
    assert f"is still in state active, but reports status={reported}" in caught.value.message
    assert caught.value.hint == f"wait for the reported status: --until status={reported}"
    with pytest.raises(WaitedError) as caught:
        follow(itertools.repeat(reporting("running")), timeout=0.0)
    assert "reports" not in caught.value.message


def test_the_timeout_shortens_the_last_sleep_before_a_last_poll(follow, fake_time):
    """A job that ends in the last second still counts; after the timeout the exit code is 9."""
    with pytest.raises(WaitedError, match="train-x is still in state active") as caught:
        follow(itertools.repeat(job()), interval=2.0, timeout=5.0)
    assert fake_time.slept == [2.0, 2.0, 1.0]
    assert len(caught.value.seen.looks) == 4
    assert caught.value.facts["state"] == "active"


def test_a_sleep_is_limited_to_what_the_system_accepts(follow, fake_time):
    """`--interval 200000d` does not overflow."""
    assert follow([job(), job("completed")], interval=1e15).looks == ["active", "completed"]
    assert fake_time.slept == [wait.MAX_SLEEP]
    assert wait.MAX_SLEEP < threading.TIMEOUT_MAX


def test_a_timeout_of_zero_polls_once(follow, fake_time):
    """The poll may take a second; the error has the unmet condition and the value of its key."""
    with pytest.raises(WaitedError, match=r"progress>=50 does not hold: progress is 45") as caught:
        follow([job(progress=45)], timeout=0.0, until=condition.parse("progress>=50"))
    assert caught.value.seen.limits == [1.0]
    assert fake_time.slept == []


def test_a_poll_is_limited_to_the_time_left(follow):
    """A server that hangs does not delay --timeout; without a timeout a poll has no limit."""
    with pytest.raises(WaitedError) as caught:
        follow(itertools.repeat(job()), timeout=3.0, seconds=0.5)
    assert caught.value.seen.limits == [3.0, 1.0]
    assert follow([job("completed")]).limits == [None]


def test_an_outage_is_tolerated_and_reported_once(follow):
    """A second outage is reported again."""
    seen = follow([job(), AWAY, AWAY, job(), AWAY, job("completed")])
    assert seen.looks == ["active", "active", "completed"]
    assert seen.troubles == [AWAY.message, AWAY.message]


def test_without_a_timeout_ten_failures_in_a_row_end_the_wait(follow):
    """The exit code is 7; nine in a row, or ten in total, are not enough. A refused token ends it at once."""
    assert follow([*[AWAY] * 9, job(), *[AWAY] * 9, job("completed")]).looks == ["active", "completed"]
    with pytest.raises(NotDeliveredError) as caught:
        follow([job(), *[AWAY] * 10, job("completed")])
    assert caught.value.seen.looks == ["active"]
    with pytest.raises(AuthError):
        follow([job(), AuthError("no", "log in")])


def test_with_a_timeout_an_outage_is_tolerated_until_it_is_over(follow):
    """The error has the job's last state and the reason of the failed poll."""
    with pytest.raises(WaitedError, match=r"is still in state active; the last poll failed: nothing listens") as caught:
        follow([job(), *[AWAY] * 50], timeout=60.0)
    assert len(caught.value.seen.troubles) == 1


def test_a_platform_that_never_answers_is_a_timeout_without_a_state(follow):
    """The state of the job is unknown."""
    slow = NotDeliveredError("no response in time", "wait longer: --deadline 60", facts={"failure": "timeout"})
    for failure, hint in ((AWAY, "is it running?"), (slow, "wait longer: --timeout TIME")):
        with pytest.raises(WaitedError, match="no response from the platform within --timeout") as caught:
            follow([failure] * 50, timeout=4.0)
        assert caught.value.hint == hint
