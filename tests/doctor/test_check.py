"""Results of checks, their exit code, and what blocks later checks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_jobs_cli.core.errors import (
    WORST_FIRST,
    AuthError,
    ExitCode,
    NotDeliveredError,
    SettingsError,
    worst_exit_code,
)
from nemo_jobs_cli.doctor import check
from nemo_jobs_cli.doctor.check import Check, Diagnosis
from nemo_jobs_cli.settings.model import Flags

FAILED = Check.fail("dns", SettingsError("no", "do"))
CHECKS = st.lists(
    st.one_of(
        st.sampled_from([SettingsError, AuthError, NotDeliveredError]).map(
            lambda kind: Check.fail("f", kind("m", "h"))
        ),
        st.just(Check.ok("o", "fine")),
        st.just(Check.warn("w", "soon", "do")),
        st.just(Check.skip("s", "reason")),
    )
)


def test_a_failure_has_the_message_of_its_error():
    """And its hint, exit code and facts."""
    failure = Check.fail("tls", SettingsError("no trust", "--ca-file FILE", facts={"failure": "tls"}))
    assert failure == Check("tls", "fail", "no trust", "--ca-file FILE", ExitCode.SETTINGS, {"failure": "tls"})
    assert type(failure.code) is int


def test_a_trace_id_is_shown_if_the_hint_refers_to_it():
    """The operators can look it up in the server's logs."""
    facts = {"trace_id": "abc1"}
    outage = NotDeliveredError("busy", "the trace id finds it in the server's logs", facts=facts)
    assert Check.fail("http", outage).message == "busy (trace id abc1)"
    assert Check.fail("http", NotDeliveredError("refused", "is it running?", facts=facts)).message == "refused"


@given(CHECKS)
def test_the_exit_code_is_that_of_the_worst_failure(checks):
    """0 if there is none."""
    code = check.exit_code(checks)
    failures = {result.code for result in checks if result.level == "fail"}
    assert code == worst_exit_code(failures)
    assert (code != 0) is bool(failures)
    assert all(WORST_FIRST.index(code) <= WORST_FIRST.index(failure) for failure in failures)


@given(CHECKS)
def test_the_summary_counts_failures_and_warnings(checks):
    """Or says that there are none; -q prints only these."""
    summary = check.summary(checks)
    problems = sum(result.needs_action for result in checks)
    assert problems == sum(result.level in {"fail", "warn"} for result in checks)
    assert sum(int(word) for word in summary.split() if word.isdigit()) == problems
    assert (summary == "no problems found") is (problems == 0)


@pytest.mark.parametrize(("count", "summary"), [(1, "1 failed, 1 warning"), (2, "2 failed, 2 warnings")])
def test_the_summary_has_a_plural(count, summary):
    """One warning is not `1 warnings`."""
    assert check.summary([FAILED, Check.warn("w", "m", "f")] * count) == summary


def test_a_diagnosis_counts_its_deadline_from_the_start_of_the_process(tmp_path):
    """Nothing is retried, and nothing is blocked."""
    diagnosis = Diagnosis.start(Flags(deadline="2"), {"HOME": str(tmp_path)}, 100.0)
    assert (diagnosis.deadline.ends, diagnosis.deadline.once) == (102.0, True)
    assert (diagnosis.error, diagnosis.host_blocked, diagnosis.auth_blocked, diagnosis.headers) == (None, "", "", None)


def test_without_a_valid_host_nothing_is_sent(diagnose):
    """Not even to the default one."""
    diagnosis = diagnose(Flags(host="ftp://x"))
    assert isinstance(diagnosis.error, SettingsError)
    assert diagnosis.host_blocked == diagnosis.auth_blocked == "host is unknown"


def test_a_failure_blocks_later_checks(diagnose):
    """Its name is the reason."""
    diagnosis = diagnose()
    assert diagnosis.block_host(FAILED) is FAILED
    assert (diagnosis.host_blocked, diagnosis.auth_blocked) == ("dns failed", "")
    diagnosis.block_auth(Check.skip("token", "unknown"))
    assert diagnosis.auth_blocked == "token is unknown"
    assert check.skip_all(["a", "b"], "dns failed") == [
        Check("a", "skip", "dns failed"),
        Check("b", "skip", "dns failed"),
    ]


def test_checks_run_one_by_one(diagnose):
    """So that each result is printed at once."""
    started = []

    def make_check(name):
        def run(_):
            started.append(name)
            yield Check.ok(name, "1")
            yield Check.ok(name, "2")

        return run

    results = check.run(diagnose(), [make_check("a"), make_check("b")])
    assert started == []
    assert next(results).name == "a"
    assert started == ["a"]
    assert [result.name for result in results] == ["a", "b", "b"]


def test_no_repr_shows_a_secret(diagnose):
    """Not in a traceback either."""
    diagnosis = diagnose(NEMO_JOBS_TOKEN="s3cret")
    diagnosis.headers = {"Authorization": "Bearer s3cret"}
    assert "s3cret" not in repr(diagnosis)
