"""What a check-up finds, and the exit code that follows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_jobs_cli.core import worst
from nemo_jobs_cli.core.errors import WORST_FIRST, AuthError, ExitCode, NotDeliveredError, SettingsError
from nemo_jobs_cli.doctor import check

ERRORS = [SettingsError, AuthError, NotDeliveredError]


def test_a_failure_says_what_the_error_says():
    """The words, the next step, the code and the facts of the command that would meet it."""
    made = check.failed("tls", SettingsError("no trust", "--ca-file FILE", facts={"failure": "tls"}))
    assert made == ("tls", "fail", "no trust", "--ca-file FILE", ExitCode.SETTINGS, {"failure": "tls"})
    assert type(made.code) is int


def test_a_trace_id_is_told_where_it_helps():
    """The next step of an outage is to look it up in the server's logs."""
    facts = {"trace_id": "abc1"}
    outage = NotDeliveredError("busy", "the trace id finds it in the server's logs", facts=facts)
    assert check.failed("http", outage).says == "busy (trace id abc1)"
    assert check.failed("http", NotDeliveredError("refused", "is it running?", facts=facts)).says == "refused"


def test_what_was_not_checked_says_why():
    """One line each."""
    assert [(one.name, one.level, one.says, one.code) for one in check.skipped(("a", "b"), "as x failed")] == [
        ("a", "skip", "as x failed", 0),
        ("b", "skip", "as x failed", 0),
    ]


LINES = st.lists(
    st.one_of(
        st.sampled_from(ERRORS).map(lambda kind: check.failed("f", kind("m", "h"))),
        st.just(check.ok("o", "fine")),
        st.just(check.warn("w", "soon", "do")),
        st.just(check.skip("s", "why")),
    )
)


@given(LINES)
def test_the_exit_code_is_the_worst_failures(found):
    """Nothing but a failure makes it other than 0, and none is outvoted by a milder one."""
    code = check.exit_code(found)
    failures = {one.code for one in found if one.level == "fail"}
    assert code == worst.of(failures)
    assert (code == 0) is not any(one.level == "fail" for one in found)
    assert all(WORST_FIRST.index(code) <= WORST_FIRST.index(one) for one in failures)


@given(LINES)
def test_the_summary_counts(found):
    """Failures and warnings; where there is neither, it says so."""
    said = check.summary(found)
    troubles = sum(one.is_trouble for one in found)
    assert sum(int(word) for word in said.split() if word.isdigit()) == troubles
    assert (said == "nothing wrong was found") is (troubles == 0)


@pytest.mark.parametrize(("level", "trouble"), [("ok", False), ("skip", False), ("warn", True), ("fail", True)])
def test_trouble_is_what_somebody_should_see(level, trouble):
    """It is what -q leaves."""
    assert check.Check("n", level, "s").is_trouble is trouble
