"""What `--fault` means."""

from __future__ import annotations

import json
import random

import pytest

from nemo_jobs_cli.core.errors import UsageError
from nemo_jobs_cli.sandbox import faults as sandbox_faults
from nemo_jobs_cli.sandbox.faults import Fault

JOBS = "/apis/jobs/v2/workspaces/default/jobs"


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        ("503:0.2", Fault("status", 0.2, status=503)),
        ("429:1", Fault("status", 1.0, status=429)),
        ("404:.5", Fault("status", 0.5, status=404)),
        ("reset:0.1", Fault("reset", 0.1)),
        ("delay:2", Fault("delay", 1.0, seconds=2.0)),
        ("delay:0.05:0.5", Fault("delay", 0.5, seconds=0.05)),
        ("conflict:1", Fault("conflict")),
        ("conflicts", Fault("conflicts")),
        ("attempts-only", Fault("attempts-only")),
    ],
)
def test_specs(spec, fault):
    """Each kind has its form."""
    assert sandbox_faults.parse([spec]) == (fault,)


@pytest.mark.parametrize(
    ("spec", "column", "why"),
    [
        ("", 0, "the fault has no kind"),
        ("50x:0.2", 0, "no kind of fault"),
        ("200:0.2", 0, "no kind of fault"),
        ("Reset:1", 0, "no kind of fault"),
        ("503", 3, "the rate is missing"),
        ("503:", 4, "a number from 0 to 1"),
        ("503:1.5", 4, "a number from 0 to 1"),
        ("503:-1", 4, "a number from 0 to 1"),
        ("503:nan", 4, "a number from 0 to 1"),
        ("503:0.2:3", 8, "takes no more"),
        ("delay", 5, "the delay in seconds is missing"),
        ("delay:4000", 6, "a number from 0 to 3600"),
        ("delay:1:2", 8, "a number from 0 to 1"),
        ("delay:1:1:1", 10, "takes no more"),
        ("conflicts:1", 10, "takes no more"),
        ("attempts-only:1", 14, "takes no more"),
    ],
)
def test_a_bad_spec_points_at_the_part(spec, column, why):
    """What can't be understood is shown with a mark under it, and the forms that can."""
    with pytest.raises(UsageError, match=why) as caught:
        sandbox_faults.parse(["conflicts", spec])
    assert (caught.value.pointer.line, caught.value.pointer.column) == (spec, column)
    assert "503:0.2" in caught.value.hint


def decide(*specs, method="PATCH", path=JOBS, seed=1):
    """Return what happens to a request under these faults."""
    return sandbox_faults.decide(sandbox_faults.parse(specs), method, path, random.Random(seed))


def test_without_faults_all_is_well():
    """Nothing happens to a request unless it was asked for."""
    assert decide() == sandbox_faults.Verdict()
    assert (
        decide("503:0", "reset:0", "conflict:0", "delay:9:0", "conflicts", "attempts-only") == sandbox_faults.Verdict()
    )


@pytest.mark.parametrize("path", ["/openapi.json", "/apis/auth/discovery", "/apis/entities/v2/workspaces"])
def test_only_the_jobs_service_misbehaves(path):
    """Discovery and the like stay well, so that a client can tell what it talks to."""
    assert decide("reset:1", path=path) == sandbox_faults.Verdict()


@pytest.mark.parametrize(("status", "headers"), [(503, ()), (429, (("retry-after", "1"),)), (418, ())])
def test_refusals(status, headers):
    """A refusal is JSON with a detail; only 429 says when to come back."""
    reply = decide(f"{status}:1").reply
    assert (reply.status, reply.headers) == (status, headers)
    assert json.loads(reply.body).keys() == {"detail"}


def test_delays_add_up_and_the_first_refusal_wins():
    """Faults combine: the request waits, and then the first one that ends it does."""
    verdict = decide("delay:1", "delay:0.5", "reset:1", "503:1", "delay:7")
    assert verdict == sandbox_faults.Verdict(1.5, reset=True)
    assert decide("503:1", "429:1", "reset:1").reply.status == 503


def test_only_updates_conflict():
    """A random 409 hits a PATCH, never a read; it looks like the real one."""
    assert decide("conflict:1", method="GET") == sandbox_faults.Verdict()
    reply = decide("conflict:1").reply
    assert (reply.status, reply.headers) == (409, (("x-should-retry", "false"),))


def test_the_rate_is_kept():
    """Of a thousand requests about the said share is hit, and the same ones with the same seed."""
    faults, dice = sandbox_faults.parse(["503:0.2"]), random.Random(7)
    hits = [sandbox_faults.decide(faults, "GET", JOBS, dice).reply is not None for _ in range(1000)]
    assert 150 < sum(hits) < 250
    again = random.Random(7)
    assert hits == [sandbox_faults.decide(faults, "GET", JOBS, again).reply is not None for _ in range(1000)]
