"""How a check-up is shown: in a pipe, as JSON, on a terminal."""

from __future__ import annotations

import json

import pytest

from nemo_jobs_cli.core.errors import AuthError, SettingsError
from nemo_jobs_cli.doctor import check, view
from nemo_jobs_cli.settings.model import Screen

FOUND = [
    check.ok("host", "https://h (--host)", value="https://h"),
    check.warn("config", "open\x1b[31m", "chmod 600 'a\tb'"),
    check.failed("tls", SettingsError("no trust", "--ca-file FILE")),
    check.skip("read", "as tls failed"),
    check.failed("write", AuthError("no", "ask")),
]


def test_in_a_pipe_a_check_is_a_line(capsys):
    """Four columns, whatever they hold."""
    assert view.show(Screen(), FOUND) == 3
    out, err = capsys.readouterr()
    assert out == (
        "ok\thost\thttps://h (--host)\t\n"
        "warn\tconfig\topen\\x1b[31m\tchmod 600 'a\\tb'\n"
        "fail\ttls\tno trust\t--ca-file FILE\n"
        "skip\tread\tas tls failed\t\n"
        "fail\twrite\tno\task\n"
    )
    assert err == ""


def test_quiet_leaves_what_needs_doing(capsys):
    """And the exit code."""
    assert view.show(Screen(quiet=True), FOUND) == 3
    assert [line.split("\t")[1] for line in capsys.readouterr().out.splitlines()] == ["config", "tls", "write"]
    assert view.show(Screen(quiet=True, terminal=True), FOUND[:1]) == 0
    assert tuple(capsys.readouterr()) == ("", "")


@pytest.mark.parametrize("output", ["json", "ndjson"])
def test_json_is_one_object_with_every_check(capsys, output):
    """Also with -q: a program chooses for itself."""
    assert view.show(Screen(output=output, quiet=True), FOUND) == 3
    told = json.loads(capsys.readouterr().out)
    assert (told["command"], told["outcome"], told["exit_code"]) == ("doctor", "failed", 3)
    assert [(one["name"], one["level"], one["exit_code"]) for one in told["result"]] == [
        ("host", "ok", 0), ("config", "warn", 0), ("tls", "fail", 3), ("read", "skip", 0), ("write", "fail", 4),
    ]  # fmt: skip
    assert told["result"][0] == {
        "name": "host", "level": "ok", "says": "https://h (--host)", "fix": "", "exit_code": 0, "facts": {"value": "https://h"},
    }  # fmt: skip


def test_where_nothing_is_wrong_the_outcome_is_ok(capsys):
    """Warnings are no failure."""
    assert view.show(Screen(output="json"), FOUND[:2]) == 0
    assert json.loads(capsys.readouterr().out)["outcome"] == "ok"


def test_on_a_terminal_the_fix_stands_below(capsys):
    """Names are aligned; the fix is one line, however long, so that it can be copied."""
    long = check.warn("version", "word " * 30, "chmod 600 " + "x" * 200)
    view.show(Screen(terminal=True, width=60), [FOUND[0], long])
    out, err = capsys.readouterr()
    rows = out.splitlines()
    assert rows[0].rstrip() == "✓ host        https://h (--host)"
    assert all(row.startswith(" " * 14) for row in rows[2:])
    assert rows[-1] == " " * 14 + "fix: chmod 600 " + "x" * 200
    assert err == "1 to look at\n"


def test_colours_only_where_they_are_wanted(capsys):
    """NO_COLOR leaves the marks."""
    view.show(Screen(terminal=True), FOUND)
    plain = capsys.readouterr().out
    view.show(Screen(terminal=True, color=True), FOUND)
    coloured = capsys.readouterr().out
    assert "\x1b" not in plain
    assert "\x1b[1;31m✗" in coloured
    assert [row.strip()[:1] for row in plain.splitlines() if not row.startswith("   ")] == ["✓", "!", "✗", "-", "✗"]


def test_a_line_is_shown_before_the_next_check_is_made(capsys):
    """Whoever waits sees for what."""
    seen = []

    def found():
        yield FOUND[0]
        seen.append(capsys.readouterr().out)
        yield FOUND[3]

    view.show(Screen(), found())
    assert seen == ["ok\thost\thttps://h (--host)\t\n"]


def test_every_name_fits_its_column():
    """A longer one would not be aligned."""
    from nemo_jobs_cli.doctor import remote
    from nemo_jobs_cli.output import settings_view
    from nemo_jobs_cli.settings.model import Settings

    names = {name for name, _, _ in settings_view.settings_rows(Settings())}
    names |= {*remote.WAY, *remote.ANSWER, "settings", "config", "token_file", "rank", "channel", "expiry", "read", "write", "exists"}  # fmt: skip
    assert max(map(len, names)) <= view.WIDEST_NAME
