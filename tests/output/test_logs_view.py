"""Lines of a log: bytes in a pipe, text on a terminal, JSON."""

from __future__ import annotations

import json

import pytest

from nemo_jobs_cli.api.logs import Line
from nemo_jobs_cli.output.logs_view import LogView, terminal_text
from nemo_jobs_cli.settings.model import Screen

PIPE = Screen()
TERMINAL = Screen(terminal=True)
COLOR = Screen(terminal=True, color=True)


def line(message, time="2026-09-21T14:13:20.5", step="train"):
    """Return a line of a step."""
    return Line(time, step, "task-1", message)


@pytest.fixture
def shown(capfdbinary):
    """Return a function that prints lines and returns the bytes."""

    def show(*lines, screen=PIPE, **options):
        LogView(screen, **options).print(lines)
        out, err = capfdbinary.readouterr()
        assert err == b""
        return out

    return show


@pytest.mark.parametrize("message", ["", "a\tb", "\x1b[31mred\x1b[0m", "one\r\ntwo\n", "ü\u202e\x00", " 10%|#"])
def test_a_pipe_gets_the_bytes(shown, message):
    """As the job printed them, and a line break."""
    assert shown(line(message)) == message.encode() + b"\n"


def test_a_lone_surrogate_is_escaped(shown):
    """It has no bytes."""
    assert shown(line("a\ud800")) == b"a\\ud800\n"


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("plain ü", "plain ü"),
        ("\x1b[1;38:5:9mred\x1b[0m and\ttab", "red and\ttab"),
        ("10%\r20%", "10%\\r20%"),
        ("\x1b]0;title\x07\x1b[2J\x9b31m", "\\x1b]0;title\\x07\\x1b[2J\\x9b31m"),
        ("\u202eevil", "\\u202eevil"),
    ],
)
def test_a_terminal_gets_no_controls(shown, message, text):
    """Colors are left out, the rest is escaped."""
    assert terminal_text(message) == text
    assert shown(line(message), screen=COLOR) == f"{text}\n".encode()


def test_timestamps(shown):
    """UTC; dim in color."""
    assert shown(line("a"), timestamps=True) == b"2026-09-21T14:13:20.5Z a\n"
    assert shown(line("a"), screen=COLOR, timestamps=True) == b"\x1b[2m2026-09-21T14:13:20.5Z \x1b[0ma\n"
    assert shown(line("a", time="\x1b[2J"), screen=TERMINAL, timestamps=True) == b"\\x1b[2J a\n"


def test_a_new_step_is_announced_on_a_terminal(shown):
    """Not the first one, and not in a pipe."""
    lines = [line("a"), line("b"), line("c", step="eval\x1b"), line("d", step="eval\x1b")]
    assert shown(*lines, screen=TERMINAL) == b"a\nb\n--- step eval\\x1b ---\nc\nd\n"
    assert shown(*lines) == b"a\nb\nc\nd\n"


def test_json(shown, capfdbinary):
    """A line is an object, or all are one."""
    result = {"time": "2026-09-21T14:13:20.5Z", "step": "train", "task": "task-1", "message": "a\x1b"}
    head = {"schema": 1, "command": "logs", "outcome": "ok", "exit_code": 0}
    rows = shown(line("a\x1b"), line("b"), screen=Screen(output="ndjson")).splitlines()
    assert json.loads(rows[0]) == {**head, "result": result}
    assert json.loads(rows[1])["result"]["message"] == "b"
    LogView(Screen(output="json")).print_all([line("a\x1b")])
    assert json.loads(capfdbinary.readouterr().out) == {**head, "result": [result]}


def test_missed_lines_are_a_warning(capsys):
    """Each line counts once; the number given is that of all."""
    view = LogView(PIPE)
    for missed in (0, 2, 2, 3):
        view.warn_missed(missed, "train-x")
    text = "arrived too late to be printed; read the whole log: nemo-jobs logs train-x"
    assert capsys.readouterr().err == f"warning: 2 lines {text}\nwarning: 1 line {text}\n"
