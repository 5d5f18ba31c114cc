"""The loop of --watch and --wait, on a clock that moves only when it sleeps."""

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
    """Return a job as a look finds it."""
    return models.parse_job({"name": "train-x", "status": status, "status_details": details})


@dataclass
class Seen:
    """A watcher that remembers."""

    looks: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    def on_job(self, found):
        """Remember the job's status."""
        self.looks.append(found.state)

    def on_outage(self, error):
        """Remember the message."""
        self.troubles.append(error.message)


@pytest.fixture
def follow(fake_time):
    """Return a function that follows scripted looks; each error is raised, each job returned."""

    def go(script, *, seconds=0.0, **plan):
        seen = Seen()
        limits = []
        looks = iter(script)

        def look(limit):
            limits.append(limit)
            fake_time.now += seconds
            found = next(looks)
            if isinstance(found, Exception):
                raise found
            return found

        seen.limits = limits
        try:
            seen.last = wait.follow(look, WaitPlan(plan.pop("interval", 2.0), **plan), fake_time.clock, seen)
        except Exception as error:
            error.seen = seen
            raise
        return seen

    return go


def test_it_looks_every_interval_until_the_job_has_completed(follow, fake_time):
    """Every look is shown, the last one too."""
    seen = follow([job("pending"), job(), job("brand-new"), job("completed")], interval=5.0)
    assert seen.looks == ["pending", "active", "brand-new", "completed"]
    assert seen.last.state == "completed"
    assert fake_time.slept == [5.0, 5.0, 5.0]


def test_a_finished_job_is_answered_at_once(follow, fake_time):
    """No sleep, one look."""
    assert follow([job("completed")]).looks == ["completed"]
    assert fake_time.slept == []


@pytest.mark.parametrize(("status", "says"), [("error", "ended in error"), ("cancelled", "was cancelled")])
def test_a_gate_fails_when_the_job_ends_badly(follow, status, says):
    """Exit code 8, with the platform's own words and the whole answer."""
    bad = models.parse_job({"name": "train-x", "status": status, "error_details": {"message": "out of\nmemory"}})
    with pytest.raises(JobFailedError, match=says) as caught:
        follow([job(), bad])
    assert caught.value.message.endswith(r"out of\nmemory")
    assert caught.value.facts["result"] == bad.raw
    assert caught.value.seen.looks == ["active", status]
    assert "nemo-jobs show train-x" in caught.value.hint


@pytest.mark.parametrize("status", ["completed", "error", "cancelled"])
def test_watching_alone_is_content_with_any_end(follow, status):
    """--watch shows; it does not judge."""
    assert follow([job(), job(status)], must_succeed=False).last.state == status


@pytest.mark.parametrize("status", ["active", "error"])
def test_a_condition_ends_the_wait_when_it_holds(follow, status):
    """Whoever says what to wait for gets that, whatever the job does then."""
    until = condition.parse("progress>=50")
    assert follow([job(progress=10), job(status, progress=50)], until=until).last.state == status


@pytest.mark.parametrize(
    ("last", "says"),
    [
        (job("completed", progress=45), "is completed and progress>=50 does not hold: progress is 45"),
        (job("error"), "ended in error and progress>=50 does not hold: progress was never reported"),
    ],
)
def test_a_condition_that_can_hold_no_more_fails_the_gate(follow, last, says):
    """A completed job fails it too: what was waited for never came."""
    with pytest.raises(JobFailedError) as caught:
        follow([job(), last], until=condition.parse("progress>=50"))
    assert says in caught.value.message


def test_the_timeout_cuts_the_last_sleep_and_looks_once_more(follow, fake_time):
    """A job that ends in the last second still counts; time over is exit code 9."""
    with pytest.raises(WaitedError, match="train-x is still active") as caught:
        follow(itertools.repeat(job()), interval=2.0, timeout=5.0)
    assert fake_time.slept == [2.0, 2.0, 1.0]
    assert len(caught.value.seen.looks) == 4
    assert caught.value.facts["state"] == "active"


def test_a_pause_is_no_longer_than_a_clock_can_sleep(follow, fake_time):
    """`--interval 200000d` is a long time, and no overflow."""
    assert follow([job(), job("completed")], interval=1e15).looks == ["active", "completed"]
    assert fake_time.slept == [wait.MAX_SLEEP]
    assert wait.MAX_SLEEP < threading.TIMEOUT_MAX


def test_a_timeout_of_nothing_looks_once(follow, fake_time):
    """`--timeout 0` asks how things stand; the one look gets a second."""
    with pytest.raises(WaitedError) as caught:
        follow([job()], timeout=0.0)
    assert caught.value.seen.limits == [1.0]
    assert fake_time.slept == []


def test_a_look_gets_no_more_than_the_time_left(follow):
    """A server that hangs can't make --timeout late; without one a look takes what it needs."""
    with pytest.raises(WaitedError) as caught:
        follow(itertools.repeat(job()), timeout=3.0, seconds=0.5)
    assert caught.value.seen.limits == [3.0, 1.0]
    assert follow([job("completed")]).limits == [None]


def test_time_over_says_what_was_waited_for(follow):
    """The unmet condition and the value that it met."""
    with pytest.raises(WaitedError, match=r"progress>=50 does not hold: progress is 45"):
        follow([job(progress=45)], timeout=0.0, until=condition.parse("progress>=50"))


def test_an_outage_is_tolerated_and_said_once(follow):
    """Each new outage is said again, since the last one was over."""
    seen = follow([job(), AWAY, AWAY, job(), AWAY, job("completed")])
    assert seen.looks == ["active", "active", "completed"]
    assert seen.troubles == [AWAY.message, AWAY.message]


def test_without_a_timeout_ten_failures_in_a_row_are_the_end(follow):
    """Exit code 7 then: nobody waits for a platform that is gone. Nine are not enough, nor ten in all."""
    assert follow([*[AWAY] * 9, job(), *[AWAY] * 9, job("completed")]).looks == ["active", "completed"]
    with pytest.raises(NotDeliveredError) as caught:
        follow([job(), *[AWAY] * 10, job("completed")])
    assert caught.value.seen.looks == ["active"]


def test_with_a_timeout_an_outage_is_tolerated_until_it_is_over(follow):
    """Then the error says both: how the job stood and that the platform did not answer."""
    with pytest.raises(WaitedError, match=r"is still active; the last poll failed: nothing listens") as caught:
        follow([job(), *[AWAY] * 50], timeout=60.0)
    assert len(caught.value.seen.troubles) == 1


def test_a_platform_that_never_answers_in_time_is_said_so(follow):
    """Nothing is known of the job, so nothing is claimed."""
    with pytest.raises(WaitedError, match="no answer from the platform within --timeout") as caught:
        follow([AWAY] * 50, timeout=4.0)
    assert caught.value.hint == "is it running?"


def test_what_waiting_cannot_mend_ends_it(follow):
    """A refused token does not get better by asking every two seconds."""
    with pytest.raises(AuthError):
        follow([job(), AuthError("no", "log in")])
