"""What a check-up knows so far, and what hangs on what."""

from __future__ import annotations

import pytest

from nemo_jobs_cli.core.errors import SettingsError
from nemo_jobs_cli.doctor import check, checkup
from nemo_jobs_cli.settings.model import Flags

FAILED = check.failed("dns", SettingsError("no", "do"))


@pytest.fixture
def case(tmp_path):
    """Give the case of an empty home."""
    return checkup.begin(Flags(deadline="2"), {"HOME": str(tmp_path)}, 100.0)


def test_a_case_begins_with_what_can_be_known(case):
    """The deadline counts from the start of the process, and nothing is tried twice."""
    assert (case.limit.ends, case.limit.once) == (102.0, True)
    assert (case.fault, case.stopped, case.barred, case.auth) == (None, "", "", None)


def test_without_a_host_nothing_may_be_asked(tmp_path):
    """Least of all the default."""
    case = checkup.begin(Flags(host="ftp://x"), {"HOME": str(tmp_path)}, 0.0)
    assert isinstance(case.fault, SettingsError)
    assert case.stopped == case.barred == "as the host is not known"


def test_a_failure_stops_what_hangs_on_it(case):
    """With its name as the reason."""
    assert case.stop(FAILED) is FAILED
    assert (case.stopped, case.barred) == ("as dns failed", "")
    case.bar(check.skip("token", "unknown"))
    assert case.barred == "as token is not known"


def test_each_line_comes_when_it_is_found(case):
    """A person who waits sees where it hangs."""
    looked = []

    def look(name):
        def inner(_):
            looked.append(name)
            yield check.ok(name, "1")
            yield check.ok(name, "2")

        return inner

    lines = checkup.run(case, [look("a"), look("b")])
    assert looked == []
    assert next(lines).name == "a"
    assert looked == ["a"]
    assert [line.name for line in lines] == ["a", "b", "b"]


def test_a_case_shows_no_secret(tmp_path):
    """Not even in a traceback of a test."""
    case = checkup.begin(Flags(), {"HOME": str(tmp_path), "NEMO_JOBS_TOKEN": "s3cret"}, 0.0)
    case.auth = {"Authorization": "Bearer s3cret"}
    assert "s3cret" not in repr(case)
