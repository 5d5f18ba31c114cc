"""Which requests may be applied late, and what they have overwritten."""

from __future__ import annotations

import pytest

from nemo_jobs_cli.reporting._late_requests import LateRequests
from nemo_jobs_cli.transport.messages import Failure, Response


@pytest.mark.parametrize(
    ("last", "may_be_late"),
    [
        *((Failure(kind, "x"), True) for kind in ("timeout", "reset", "protocol")),
        *((Failure(kind, "x"), False) for kind in ("dns", "refused", "connect", "tls", "proxy")),
        *((Response(status), True) for status in (500, 502, 503, 504)),
        *((Response(status), False) for status in (200, 401, 404, 409, 422, 429, 499)),
    ],
)
def test_only_a_request_that_the_server_may_have_got_can_be_late(last, may_be_late):
    """And that it has not answered: a 4xx is an answer."""
    late = LateRequests()
    late.note({"a": 1}, last)
    assert bool(late) is may_be_late


def test_what_a_late_request_has_overwritten():
    """Keys of all such requests whose stored value is not the acknowledged one, or that are gone."""
    late = LateRequests()
    late.note({"same": 0, "old": 0}, Failure("timeout", "x"))
    late.note({"gone": 0, "unacknowledged": 0}, Failure("reset", "x"))
    late.acknowledge({"same": 1, "old": 1, "gone": 1, "other": 1})
    assert late.overwritten({"same": 1, "old": 0, "other": 0, "unacknowledged": 0}) == {"old": 1, "gone": 1}
