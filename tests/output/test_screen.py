"""The output format, the colors and the width."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import struct
import subprocess
import sys
import termios

import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw import CHILD_ENVIRONMENT

from nemo_jobs_cli.core.errors import ExitCode, UsageError
from nemo_jobs_cli.output import screen
from nemo_jobs_cli.settings.model import Flags, Screen


@pytest.fixture
def terminal(monkeypatch):
    """Return a function that makes stdout a terminal of so many columns, and stderr if asked."""
    opened = []

    def make(columns, stream="stdout"):
        leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        opened.extend([os.fdopen(leader, "rb", buffering=0), os.fdopen(follower, "w")])
        monkeypatch.setattr(sys, stream, opened[-1])

    yield make
    for file in reversed(opened):
        file.close()


COLORS = {"TERM": "xterm"}


@pytest.mark.parametrize(
    ("flags", "environ", "color"),
    [
        (Flags(), COLORS, True),
        (Flags(), {**COLORS, "NO_COLOR": ""}, True),
        (Flags(), {**COLORS, "NO_COLOR": "1"}, False),
        (Flags(), {**COLORS, "NO_COLOR": "0"}, False),
        (Flags(no_color=True), COLORS, False),
        (Flags(), {"TERM": "dumb"}, False),
        (Flags(), {"TERM": ""}, False),
        (Flags(), {}, False),
    ],
)
@pytest.mark.parametrize("stderr", [False, True])
def test_a_terminal_gets_colors_unless_they_are_disabled(terminal, flags, environ, color, stderr):
    """NO_COLOR counts if it is not empty (no-color.org)."""
    terminal(100, "stderr" if stderr else "stdout")
    assert screen.make_screen(flags, environ, stderr=stderr) == Screen(color=color, terminal=True, width=100)


@pytest.mark.parametrize("environ", [COLORS, {**COLORS, "FORCE_COLOR": "1", "GITHUB_ACTIONS": "true", "CI": "1"}])
def test_a_pipe_never_gets_escape_codes(monkeypatch, environ):
    """CI logs are read as text; a pipe has no width."""
    reader, writer = os.pipe()
    with os.fdopen(reader), os.fdopen(writer, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        assert screen.make_screen(Flags(), {**environ, "COLUMNS": "200"})._replace(annotate=False) == Screen()


@pytest.mark.parametrize("output", ["json", "ndjson"])
def test_data_has_one_format_on_a_terminal_and_in_a_pipe(terminal, output):
    """Only text is decorated; the flag overrides the variable."""
    terminal(100)
    assert screen.make_screen(Flags(output=output), COLORS) == Screen(output=output)
    assert screen.make_screen(Flags(), {**COLORS, "NEMO_JOBS_OUTPUT": output}) == Screen(output=output)
    assert screen.make_screen(Flags(output="text"), {**COLORS, "NEMO_JOBS_OUTPUT": output}).color
    assert screen.make_screen(Flags(), {**COLORS, "NEMO_JOBS_OUTPUT": ""}).output == "text"


def test_each_stream_has_its_own_screen(terminal, monkeypatch):
    """`nemo-jobs show x | less` leaves stderr a terminal."""
    terminal(100, "stderr")
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert not screen.make_screen(Flags(), COLORS).terminal
    assert screen.make_screen(Flags(), COLORS, stderr=True).terminal


@pytest.mark.parametrize(
    ("flags", "environ", "message"),
    [
        (Flags(output="xml"), {"NEMO_JOBS_OUTPUT": "text"}, "invalid --output 'xml': use text, json or ndjson"),
        (Flags(output=""), {}, "invalid --output '': use text, json or ndjson"),
        (Flags(), {"NEMO_JOBS_OUTPUT": "yaml"}, "invalid NEMO_JOBS_OUTPUT 'yaml'"),
    ],
)
def test_an_unknown_format_is_a_usage_error(flags, environ, message):
    """It names the flag or the variable."""
    with pytest.raises(UsageError, match=message) as caught:
        screen.make_screen(flags, environ)
    assert caught.value.hint in {"write, for example: --output text", "write, for example: NEMO_JOBS_OUTPUT=text"}


@pytest.mark.parametrize(
    ("columns", "variable", "width"),
    [
        (132, None, 132),
        (40, "100", 40),
        (0, None, 80),
        (0, "", 80),
        (0, "100", 100),
        (0, "0", 80),
        (0, "-5", 80),
        (0, "wide", 80),
        (0, "١٢٠", 80),
        (0, "²", 80),
        (0, "9" * 5000, 80),
    ],
)
def test_the_width_is_that_of_the_terminal(terminal, columns, variable, width):
    """COLUMNS counts only if the terminal does not know its size; else the width is 80."""
    terminal(columns)
    assert screen.make_screen(Flags(), COLORS | ({} if variable is None else {"COLUMNS": variable})).width == width


def test_a_terminal_without_a_descriptor_has_the_width_of_columns(monkeypatch):
    """Notebooks and test runners replace stdout with such objects."""
    fake = io.StringIO()
    fake.isatty = lambda: True
    monkeypatch.setattr(sys, "stdout", fake)
    assert screen.make_screen(Flags(), {"COLUMNS": "90"}).width == 90


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_closed_stream_is_not_a_terminal(closed):
    """Cron jobs and daemons close their streams."""
    code = (
        "from nemo_jobs_cli.output.screen import make_screen; from nemo_jobs_cli.settings.model import Flags, Screen; "
    )
    code += "raise SystemExit(7 if make_screen(Flags()) == make_screen(Flags(), stderr=True) == Screen() else 1)"
    ran = subprocess.run(
        ["/bin/sh", "-c", f'"$0" -c "$1" {closed}', sys.executable, code],
        env=CHILD_ENVIRONMENT,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=30,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (7, b"", b"")


@pytest.mark.parametrize(
    ("argv", "output"),
    [
        ([], "text"),
        (["update", "x", "-o", "json"], "json"),
        (["-ojson"], "json"),
        (["-o=json"], "json"),
        (["--output", "ndjson"], "ndjson"),
        (["--output=json", "nonsense", "--what"], "json"),
        (["-o", "json", "-o", "text"], "text"),
        (["-o", "text", "--output=ndjson"], "ndjson"),
        (["-o"], "text"),
        (["--output"], "text"),
        (["--output="], "text"),
        (["-o", "xml"], "text"),
        (["-o", "--"], "text"),
        (["--", "-o", "json"], "text"),
        (["-o", "json", "--", "-o", "text"], "json"),
        (["x", "-", "--outputs=json", "--out=json"], "text"),
        (["-o", "JSON"], "text"),
        (["\udcff", "", "-o\x00"], "text"),
    ],
)
def test_the_output_format_of_an_invalid_command_line_is_guessed(argv, output):
    """With -o json a usage error is JSON, too."""
    assert screen.guess_output(tuple(argv), {}) == output


def test_the_variable_counts_if_there_is_no_flag():
    """Even an invalid flag overrides it."""
    assert screen.guess_output(["update"], {"NEMO_JOBS_OUTPUT": "ndjson"}) == "ndjson"
    assert screen.guess_output(["-o", "text"], {"NEMO_JOBS_OUTPUT": "ndjson"}) == "text"
    assert screen.guess_output(["-o", "xml"], {"NEMO_JOBS_OUTPUT": "ndjson"}) == "text"
    assert screen.guess_output([], {"NEMO_JOBS_OUTPUT": "xml"}) == "text"


@given(st.lists(st.one_of(st.sampled_from(["-o", "--", "--output", "json", "-ojson"]), st.text(max_size=6))), st.text())
def test_guessing_the_output_format_never_fails(argv, variable):
    """It happens while an error is handled."""
    assert screen.guess_output(argv, {"NEMO_JOBS_OUTPUT": variable}) in screen.OUTPUTS


@pytest.mark.parametrize(
    "words", [("config", "list", "-o", "json", "--what"), ("config", "list", "-ojson", "--host=h")]
)
def test_a_failure_has_the_requested_format(nemo_jobs, words):
    """Whether it can be parsed or not."""
    ran = nemo_jobs(*words)
    assert ran.code in {ExitCode.USAGE, ExitCode.SETTINGS}
    assert ran.json["exit_code"] == ran.code
