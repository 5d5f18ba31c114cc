"""Results of checks, their exit code, and what blocks later checks."""

from __future__ import annotations

from nemo_jobs_cli.core.errors import (
    ExitCode,
    NotDeliveredError,
    SettingsError,
)
from nemo_jobs_cli.doctor.check import Check, Diagnosis
from nemo_jobs_cli.settings.model import Flags

FAILED = Check.fail("dns", SettingsError("no", "do"))


def test_a_failure_has_the_message_of_its_error():
    """And its hint, exit code and facts."""
    failure = Check.fail("tls", SettingsError("no trust", "--ca-file FILE", facts={"failure": "tls"}))
    assert failure == Check("tls", "fail", "no trust", "--ca-file FILE", ExitCode.SETTINGS, {"failure": "tls"})
    assert type(failure.exit_code) is int


def test_a_trace_id_is_shown_if_the_hint_refers_to_it():
    """The operators can look it up in the server's logs."""
    facts = {"trace_id": "abc1"}
    outage = NotDeliveredError("busy", "the trace id finds it in the server's logs", facts=facts)
    assert Check.fail("http", outage).message == "busy (trace id abc1)"
    assert Check.fail("http", NotDeliveredError("refused", "is it running?", facts=facts)).message == "refused"


def test_a_diagnosis_counts_its_deadline_from_the_start_of_the_process(tmp_path):
    """Nothing is retried, and nothing is blocked."""
    diagnosis = Diagnosis.start(Flags(deadline="2"), {"HOME": str(tmp_path)}, 100.0)
    assert (diagnosis.deadline.ends, diagnosis.deadline.once) == (102.0, True)
    assert (diagnosis.error, diagnosis.host_blocked, diagnosis.auth_blocked, diagnosis.headers) == (None, "", "", None)


def test_no_repr_shows_a_secret(diagnose):
    """Not in a traceback either."""
    diagnosis = diagnose(NEMO_JOBS_TOKEN="s3cret")
    diagnosis.headers = {"Authorization": "Bearer s3cret"}
    assert "s3cret" not in repr(diagnosis)
