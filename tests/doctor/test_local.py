"""Checks of this machine: settings, files, the token, the surroundings, the outbox."""

from __future__ import annotations

import threading
import time

import pytest

from nemo_jobs_cli.delivery.entry import Entry
from nemo_jobs_cli.delivery.outbox import BROKEN, Outbox
from nemo_jobs_cli.doctor import local
from nemo_jobs_cli.doctor.check import Diagnosis
from nemo_jobs_cli.settings.model import Flags

SECRET = "tok-123456789"
HOST = "https://nmp.example.com"


@pytest.fixture
def file(home):
    """Return the path of the config file."""
    return home / ".config/nemo-jobs/config.toml"


@pytest.fixture(autouse=True)
def _slow_machine(monkeypatch):
    """Wait longer for the outbox on a busy machine."""
    monkeypatch.setattr(local, "OUTBOX_LIMIT", 60.0)


def results(check, diagnosis):
    """Return the results of a check by name; none shows the token."""
    checks = list(check(diagnosis))
    assert len({result.name for result in checks}) == len(checks)
    assert SECRET not in str(checks)
    return {result.name: result for result in checks}


def test_settings_are_shown_with_their_sources(diagnose):
    """Host, workspace and job always, others if they are set; the token and the outbox have own checks."""
    diagnosis = diagnose(Flags(host=HOST, deadline="5"), NEMO_JOBS_JOB="train-x", NEMO_JOBS_OUTBOX="1")
    checks = results(local.settings, diagnosis)
    assert [(check.name, check.level, check.message) for check in checks.values()] == [
        ("host", "ok", f"{HOST} (--host)"),
        ("workspace", "ok", "default (default)"),
        ("job", "ok", "train-x (NEMO_JOBS_JOB)"),
        ("deadline", "ok", "5 (--deadline)"),
    ]
    assert checks["host"].facts == {"value": HOST, "origin": "--host"}


def test_an_invalid_name_is_a_usage_failure(diagnose):
    """Exit code 2, as for an update; an invalid workspace blocks the checks in it."""
    diagnosis = diagnose(Flags(workspace="My Team"), NEMO_JOBS_JOB="Train X")
    checks = results(local.settings, diagnosis)
    assert [(checks[name].level, checks[name].exit_code) for name in ("workspace", "job")] == [("fail", 2)] * 2
    assert diagnosis.auth_blocked == "workspace failed"


def test_a_broken_config_file_is_one_failure(diagnose, file):
    """What it may set is unknown, the rest is checked."""
    file.write_text("x = [", encoding="utf-8")
    diagnosis = diagnose(Flags(workspace="research"))
    checks = results(local.settings, diagnosis)
    assert (checks["settings"].level, checks["settings"].exit_code) == ("fail", 3)
    assert (checks["host"].level, checks["workspace"].level, checks["job"].level) == ("skip", "ok", "skip")
    assert results(local.files, diagnosis)["config"].level == "skip"
    assert results(local.token, diagnosis)["token"].level == "skip"
    assert results(local.outbox, diagnosis)["outbox"].level == "ok"


@pytest.mark.parametrize(
    ("anonymous", "level", "blocked", "headers"), [(False, "skip", "token is unknown", None), (True, "ok", "", {})]
)
def test_with_a_broken_config_file_the_token_is_unknown(diagnose, file, anonymous, level, blocked, headers):
    """Unless --anonymous says that none is sent."""
    file.write_text("x = [", encoding="utf-8")
    diagnosis = diagnose(Flags(host=HOST, workspace="research", anonymous=anonymous))
    assert results(local.token, diagnosis)["token"].level == level
    assert (diagnosis.auth_blocked, diagnosis.headers) == (blocked, headers)


def test_with_a_broken_config_file_the_default_workspace_is_unknown(diagnose, file):
    """Checks in `default` would mislead."""
    file.write_text("x = [", encoding="utf-8")
    diagnosis = diagnose(Flags(host=HOST, anonymous=True))
    assert results(local.settings, diagnosis)["workspace"].level == "skip"
    assert diagnosis.auth_blocked == "workspace is unknown"


@pytest.mark.parametrize(
    ("values", "bits", "level"),
    [(f'token = "{SECRET}"', 0o600, "ok"), (f'token = "{SECRET}"', 0o644, "warn"), ("", 0o644, "ok")],
)
def test_a_config_file_with_a_token_must_be_private(diagnose, file, values, bits, level):
    """The fix is a command."""
    file.write_text(f'[profiles.default]\nhost = "{HOST}"\n{values}\n', encoding="utf-8")
    file.chmod(bits)
    check = results(local.files, diagnose())["config"]
    assert (check.level, check.fix) == (level, f"chmod 600 {file}" if level == "warn" else "")


def test_no_config_file_no_home_folder_no_job_and_no_token_are_not_problems(diagnose):
    """Jobs have none; each command may name its own job, and the platform may not require a token."""
    diagnosis = diagnose()
    assert results(local.settings, diagnosis)["job"].level == "skip"
    assert (results(local.token, diagnosis)["token"].message, diagnosis.headers) == ("no token is set", {})
    assert results(local.files, diagnose())["config"].message.startswith("no file (")
    assert next(local.files(Diagnosis.start(Flags(), {}, 0.0))).level == "skip"


def test_a_token_file_must_be_private(diagnose, tmp_path):
    """The fix quotes its path; a missing file is the token's failure."""
    path = tmp_path / "my token"
    path.write_text(SECRET, encoding="utf-8")
    path.chmod(0o640)
    check = results(local.files, diagnose(Flags(token_file=str(path))))["token_file"]
    assert (check.level, check.fix) == ("warn", f"chmod 600 '{path}'")
    path.chmod(0o400)
    assert results(local.files, diagnose(Flags(token_file=str(path))))["token_file"].level == "ok"
    for name in ("/dev/null/none", "~nobody-here/token", "a\0b", "-"):
        assert "token_file" not in results(local.files, diagnose(Flags(token_file=name)))


def test_a_token_is_read_and_not_shown(diagnose, tmp_path):
    """It is only in the headers."""
    path = tmp_path / "token"
    path.write_text(f"{SECRET}\n", encoding="utf-8")
    diagnosis = diagnose(Flags(host=HOST, token_file=str(path)))
    assert results(local.token, diagnosis)["token"].message == "file (--token-file)"
    assert diagnosis.headers == {"Authorization": f"Bearer {SECRET}"}


@pytest.mark.parametrize(
    ("flags", "variables"),
    [
        (Flags(host="http://nmp.example.com"), {"NEMO_JOBS_TOKEN": SECRET}),
        (Flags(host=HOST, token_file="/dev/null/none"), {}),
        (Flags(host=HOST), {"NMP_ACCESS_TOKEN": SECRET, "NMP_BASE_URL": "https://other"}),
        (Flags(host=HOST), {"NEMO_JOBS_TOKEN": f"{SECRET} x"}),
    ],
    ids=["plain http", "missing file", "another host", "not a token"],
)
def test_a_token_that_cannot_be_sent_blocks_authenticated_checks(diagnose, flags, variables):
    """An update would fail with the same code."""
    diagnosis = diagnose(flags, **variables)
    check = results(local.token, diagnosis)["token"]
    assert (check.level, check.exit_code) == ("fail", 3)
    assert (diagnosis.auth_blocked, diagnosis.headers, diagnosis.host_blocked) == ("token failed", None, "")


def test_a_workload_token_is_exchanged_later(diagnose, tmp_path):
    """That needs the platform."""
    path = tmp_path / "identity"
    path.write_text(SECRET, encoding="utf-8")
    diagnosis = diagnose(NMP_WORKLOAD_IDENTITY_TOKEN_FILE=str(path), NMP_BASE_URL=HOST)
    assert results(local.token, diagnosis)["token"].level == "ok"
    assert diagnosis.headers is None


def test_a_rank_that_does_not_report_is_a_warning(diagnose):
    """Its updates would be missed."""
    check = results(local.surroundings, diagnose(RANK="3", WORLD_SIZE="8"))["rank"]
    assert (check.level, "--all-ranks" in check.fix) == ("warn", True)
    assert results(local.surroundings, diagnose(RANK="0", WORLD_SIZE="8")) == {}


def test_the_channel_of_an_enclosing_run_is_shown(diagnose, tmp_path):
    """Updates go through it."""
    checks = results(local.surroundings, diagnose(NEMO_JOBS_CHANNEL=str(tmp_path / "c")))
    assert "NEMO_JOBS_CHANNEL" in checks["channel"].message


def check_outbox(diagnose, folder, **flags):
    """Return the result of the outbox's check."""
    return results(local.outbox, diagnose(Flags(host=HOST, outbox_dir=str(folder), **flags)))["outbox"]


def test_the_outbox_is_counted_and_not_changed(diagnose, tmp_path):
    """By names alone: no entry is claimed or opened."""
    box = Outbox(tmp_path / "box")
    for host, job in ((HOST, "a"), (HOST, "b"), ("https://other", "c"), (HOST, "d"), (HOST, "e")):
        box.store(Entry(host, "ws", job, {"x": 1}, time.time() - 7200))
    claims = [box.claim(name) for name in box.names(HOST)[-2:]]
    box.reject(claims[0], "no")
    box.set_aside(claims[1], {"x": 1}, "older")
    (box.folder / BROKEN / "x.json").write_text("{", encoding="utf-8")
    before = sorted((path, path.stat().st_mtime_ns) for path in box.folder.rglob("*"))
    check = check_outbox(diagnose, box.folder)
    assert check.level == "warn"
    assert abs(check.facts["oldest"] - (time.time() - 7200)) < 60
    assert {**check.facts, "oldest": 0} == {
        "waiting": 2, "elsewhere": 1, "rejected": 1, "aside": 1, "broken": 1, "oldest": 0,
    }  # fmt: skip
    assert sorted((path, path.stat().st_mtime_ns) for path in box.folder.rglob("*")) == before


def test_a_missing_outbox_is_not_created(diagnose, tmp_path):
    """The first stored update creates it."""
    check = check_outbox(diagnose, tmp_path / "a/b", outbox=True)
    assert (check.level, "empty" in check.message) == ("ok", True)
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("folder", ["a", "a/b"])
def test_an_outbox_that_cannot_be_written_is_a_failure_if_it_is_on(diagnose, tmp_path, monkeypatch, folder):
    """Updates could not be stored. The missing permission is simulated, as root can write everywhere."""
    (tmp_path / "a").write_text("", encoding="utf-8")
    check = check_outbox(diagnose, tmp_path / folder, outbox=True)
    assert (check.level, check.exit_code, "is not a folder" in check.message) == ("fail", 3, True)
    assert check_outbox(diagnose, tmp_path / folder).level == "ok"
    monkeypatch.setattr(local.os, "access", lambda path, mode: path != tmp_path)
    check = check_outbox(diagnose, tmp_path / "new", outbox=True)
    assert (check.level, "is not writable" in check.message) == ("fail", True)


@pytest.mark.parametrize(("outbox", "level"), [(True, "fail"), (False, "warn")])
def test_an_unreadable_outbox_is_a_failure_if_it_is_on(diagnose, monkeypatch, tmp_path, outbox, level):
    """Otherwise a warning."""

    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("nemo_jobs_cli.delivery.outbox.os.listdir", refuse)
    check = check_outbox(diagnose, tmp_path, outbox=outbox)
    assert (check.level, "Permission denied" in check.message) == (level, True)


def test_an_outbox_that_hangs_is_a_failure(diagnose, monkeypatch, tmp_path):
    """A network file system that is down never responds."""
    end = threading.Event()
    monkeypatch.setattr(local, "OUTBOX_LIMIT", 0.05)
    monkeypatch.setattr(Outbox, "names", lambda *_: end.wait(60))
    check = check_outbox(diagnose, tmp_path)
    assert (check.level, check.exit_code, "no response" in check.message) == ("fail", 3, True)
    end.set()


@pytest.mark.parametrize(("outbox", "level", "code"), [(None, "skip", 0), (True, "fail", 3)])
def test_without_a_home_folder_there_is_no_outbox(outbox, level, code):
    """That is a failure if it is on."""
    (check,) = local.outbox(Diagnosis.start(Flags(outbox=outbox), {}, 0.0))
    assert (check.level, check.exit_code) == (level, code)
