"""Parsing `--fault`, and which requests a fault hits."""

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
        ("no-attempt:5", Fault("no-attempt", seconds=5.0)),
    ],
)
def test_specs(spec, fault):
    """Each kind has its own form."""
    assert sandbox_faults.parse([spec]) == (fault,)


@pytest.mark.parametrize(
    ("spec", "column", "why"),
    [
        ("", 0, "the kind is missing"),
        ("50x:0.2", 0, "unknown kind '50x'"),
        ("200:0.2", 0, "unknown kind '200'"),
        ("Reset:1", 0, "unknown kind 'Reset'"),
        ("503", 3, "the rate is missing"),
        ("503:", 4, "a number from 0 to 1"),
        ("503:1.5", 4, "a number from 0 to 1"),
        ("503:-1", 4, "a number from 0 to 1"),
        ("503:nan", 4, "a number from 0 to 1"),
        ("503:0.2:3", 8, "unexpected value after 503:0.2"),
        ("delay", 5, "the delay in seconds is missing"),
        ("delay:4000", 6, "a number from 0 to 3600"),
        ("delay:1:2", 8, "a number from 0 to 1"),
        ("delay:1:1:1", 10, "unexpected value"),
        ("conflicts:1", 10, "unexpected value"),
        ("no-attempt:5:1", 13, "unexpected value"),
        ("no-attempt", 10, "the time in seconds is missing"),
    ],
)
def test_an_error_points_at_the_invalid_part(spec, column, why):
    """The hint lists the valid forms."""
    with pytest.raises(UsageError, match=why) as caught:
        sandbox_faults.parse(["conflicts", spec])
    assert (caught.value.pointer.line, caught.value.pointer.column) == (spec, column)
    assert ("did you mean reset? " in caught.value.hint) == (spec == "Reset:1")
    assert "503:0.2" in caught.value.hint


def effect(*specs, method="PATCH", path=JOBS, seed=1):
    """Return the effect of faults on a request."""
    return sandbox_faults.effect(sandbox_faults.parse(specs), method, path, random.Random(seed))


@pytest.mark.parametrize(
    ("specs", "method", "path"),
    [
        ((), "PATCH", JOBS),
        (("503:0", "reset:0", "conflict:0", "delay:9:0", "conflicts", "no-attempt:9"), "PATCH", JOBS),
        (("conflict:1",), "GET", JOBS),
        (("reset:1",), "PATCH", "/openapi.json"),
        (("reset:1",), "PATCH", "/apis/auth/discovery"),
        (("reset:1",), "PATCH", "/apis/entities/v2/workspaces"),
    ],
)
def test_other_requests_are_unaffected(specs, method, path):
    """A rate of 0, a read for `conflict`, and every service but jobs."""
    assert effect(*specs, method=method, path=path) == sandbox_faults.Effect()


@pytest.mark.parametrize(
    ("spec", "status", "headers"),
    [
        ("503:1", 503, ()),
        ("429:1", 429, (("retry-after", "1"),)),
        ("418:1", 418, ()),
        ("conflict:1", 409, (("x-should-retry", "false"),)),
    ],
)
def test_a_refusal_is_json_with_a_detail(spec, status, headers):
    """Only 429 has Retry-After; a conflict looks like the platform's."""
    response = effect(spec).response
    assert (response.status, response.headers) == (status, headers)
    assert json.loads(response.body).keys() == {"detail"}


def test_delays_add_up_and_the_first_refusal_wins():
    """Faults combine: the request waits, and then the first fault that ends it does."""
    assert effect("delay:1", "delay:0.5", "reset:1", "503:1", "delay:7") == sandbox_faults.Effect(1.5, reset=True)
    assert effect("503:1", "429:1", "reset:1").response.status == 503


def test_the_rate_is_a_share_of_requests():
    """About a fifth of a thousand requests is hit."""
    faults, rng = sandbox_faults.parse(["503:0.2"]), random.Random(7)
    hits = [sandbox_faults.effect(faults, "GET", JOBS, rng).response is not None for _ in range(1000)]
    assert 150 < sum(hits) < 250
