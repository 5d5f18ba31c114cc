"""How checks are printed: in a pipe, as JSON, on a terminal."""

from __future__ import annotations

import json

import pytest

from nemo_jobs_cli.core.errors import AuthError, SettingsError
from nemo_jobs_cli.doctor import remote, view
from nemo_jobs_cli.doctor.check import Check
from nemo_jobs_cli.output import settings_view
from nemo_jobs_cli.settings.model import Screen, Settings

CHECKS = [
    Check.ok("host", "https://h (--host)", value="https://h"),
    Check.warn("config", "open\x1b[31m", "chmod 600 'a\tb'"),
    Check.fail("tls", SettingsError("no trust", "--ca-file FILE")),
    Check.skip("read", "tls failed"),
    Check.fail("write", AuthError("no", "ask")),
]


def test_in_a_pipe_a_check_is_one_line(capsys):
    """Always with four columns."""
    assert view.show(Screen(), CHECKS) == 3
    out, err = capsys.readouterr()
    assert out == (
        "ok\thost\thttps://h (--host)\t\n"
        "warn\tconfig\topen\\x1b[31m\tchmod 600 'a\\tb'\n"
        "fail\ttls\tno trust\t--ca-file FILE\n"
        "skip\tread\ttls failed\t\n"
        "fail\twrite\tno\task\n"
    )
    assert err == ""


def test_quiet_prints_only_warnings_and_failures(capsys):
    """The exit code is the same."""
    assert view.show(Screen(quiet=True), CHECKS) == 3
    assert [line.split("\t")[1] for line in capsys.readouterr().out.splitlines()] == ["config", "tls", "write"]
    assert view.show(Screen(quiet=True, terminal=True), CHECKS[:1]) == 0
    assert tuple(capsys.readouterr()) == ("", "")


@pytest.mark.parametrize("output", ["json", "ndjson"])
def test_json_is_one_object_with_all_checks(capsys, output):
    """Also with -q."""
    assert view.show(Screen(output=output, quiet=True), CHECKS) == 3
    document = json.loads(capsys.readouterr().out)
    assert (document["command"], document["outcome"], document["exit_code"]) == ("doctor", "failed", 3)
    assert [(check["name"], check["level"], check["exit_code"]) for check in document["result"]] == [
        ("host", "ok", 0), ("config", "warn", 0), ("tls", "fail", 3), ("read", "skip", 0), ("write", "fail", 4),
    ]  # fmt: skip
    assert document["result"][0] == {
        "name": "host", "level": "ok", "message": "https://h (--host)", "fix": "", "exit_code": 0, "facts": {"value": "https://h"},
    }  # fmt: skip


def test_the_outcome_is_ok_despite_warnings(capsys):
    """They do not fail."""
    assert view.show(Screen(output="json"), CHECKS[:2]) == 0
    assert json.loads(capsys.readouterr().out)["outcome"] == "ok"


def test_on_a_terminal_the_fix_is_on_a_line_of_its_own(capsys):
    """Names are aligned; the fix is one line of any length, so that it can be copied."""
    long = Check.warn("version", "word " * 30, "chmod 600 " + "x" * 200)
    view.show(Screen(terminal=True, width=60), [CHECKS[0], long])
    out, err = capsys.readouterr()
    rows = out.splitlines()
    assert rows[0].rstrip() == "✓ host        https://h (--host)"
    assert all(row.startswith(" " * 14) for row in rows[2:])
    assert rows[-1] == " " * 14 + "fix: chmod 600 " + "x" * 200
    assert err == "1 warning\n"
    view.show(Screen(terminal=True), CHECKS)
    assert capsys.readouterr().err == "2 failures, 1 warning\n"
    view.show(Screen(terminal=True), CHECKS[:1])
    assert capsys.readouterr().err == "no problems found\n"


def test_a_terminal_without_colors_has_the_marks(capsys):
    """As with NO_COLOR."""
    view.show(Screen(terminal=True), CHECKS)
    plain = capsys.readouterr().out
    view.show(Screen(terminal=True, color=True), CHECKS)
    assert "\x1b[1;31m✗" in capsys.readouterr().out
    assert "\x1b" not in plain
    assert [row.strip()[:1] for row in plain.splitlines() if not row.startswith("   ")] == ["✓", "!", "✗", "-", "✗"]


def test_a_check_is_printed_before_the_next_one_runs(capsys):
    """A user sees which one takes long."""
    printed = []

    def checks():
        yield CHECKS[0]
        printed.append(capsys.readouterr().out)
        yield CHECKS[3]

    view.show(Screen(), checks())
    assert printed == ["ok\thost\thttps://h (--host)\t\n"]


def test_every_name_fits_its_column():
    """A longer one would not be aligned."""
    names = {name for name, _, _ in settings_view.settings_rows(Settings())}
    names |= {*remote.NETWORK_CHECKS, *remote.SERVER_CHECKS, "settings", "config", "token_file", "completion"}
    assert max(map(len, names)) <= view.NAME_WIDTH
