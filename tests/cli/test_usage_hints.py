"""Command lines that can't be read: the next step is the right one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_jobs_cli.cli import usage_hints

COMMANDS = ("update", "show", "list", "apply", "config", "outbox", "init")


@pytest.mark.parametrize(
    ("said", "words", "name", "message", "hint"),
    [
        (
            "No such command 'updtae'.",
            ["updtae", "x1", "a=1"],
            "nemo-jobs",
            "No such command",
            "nemo-jobs update x1 a=1?",
        ),
        ("No such command 'UPDATE'.", ["UPDATE", "x1"], "nemo-jobs", "No such command", "nemo-jobs update x1?"),
        ("No such command 'status'.", ["status", "x1"], "nemo-jobs", "No such command", "nemo-jobs show x1?"),
        ("No such command 'x1'.", ["x1", "message=a b"], "nemo-jobs", "No such", "nemo-jobs update x1 'message=a b'?"),
        ("No such command 'zzz'.", ["zzz"], "nemo-jobs", "No such command", "see nemo-jobs --help"),
        (
            "No such option: -w",
            ["-w", "default", "update", "x1"],
            "nemo-jobs",
            "no option -w",
            "nemo-jobs update ... -w",
        ),
        ("No such option: -w", ["-w", "ws", "x1", "a=1"], "nemo-jobs", "no option -w", "nemo-jobs update ... -w"),
        ("No such option: --x", ["--x"], "nemo-jobs", "no option --x", "see nemo-jobs --help"),
        ("No such option: --progress", ["update", "x1", "--progress", "45"], "update", "--progress", "progress=45"),
        ("No such option: --progress=4", ["update", "--progress=4"], "update", "--progress", "no dashes: progress=4"),
        ("No such option: --train-loss", ["update", "--train-loss"], "update", "--train-loss", "train_loss=..."),
        ("No such option: --json", ["list", "--json"], "list", "no option --json", "did you mean -o json?"),
        ("No such option: --json", ["update", "--json"], "update", "no option --json", "-f FILE sends it"),
        ("No such option: --status", ["list", "--status", "x"], "list", "--status", "did you mean --state?"),
        ("No such option: --status", ["show", "--status"], "show", "--status", "--state prints the platform's state"),
        ("No such option: --hots Did you mean --host?", ["show", "--hots"], "show", "--hots", "did you mean --host?"),
        ("No such option: --hots (Possible options: --host, --x)", ["show"], "show", "--hots", "did you mean --host?"),
        ("No such option: --zz", ["config", "set", "--zz"], "config set", "--zz", "see nemo-jobs config set --help"),
        (
            "No such option: --wach (Possible options: --wait, --watch)",
            ["show"],
            "show",
            "--wach",
            "did you mean --watch?",
        ),
        (
            "No such option: --fail (Possible options: --failed, --fail-x)",
            ["apply"],
            "apply",
            "--fail",
            "did you mean --failed?",
        ),
        ("No such option: -p", ["show", "x1", "-profile", "lab"], "show", "no option -p", "two dashes: --profile"),
        (
            "No such option: --progress",
            ["show", "x1", "--progress"],
            "show",
            "--progress",
            "reported: --field progress",
        ),
        (
            "No such option: --profile",
            ["config", "--profile", "lab"],
            "config lab",
            "--profile",
            "options stand after the subcommand: nemo-jobs config COMMAND ... --profile",
        ),
        (
            "No such command 'lst'. Did you mean 'set', 'list'?",
            ["config", "lst"],
            "config lst",
            "'lst'",
            ": nemo-jobs config list?",
        ),
        (
            "No such command 'sett'. Did you mean 'unset', 'set'?",
            ["config", "sett", "host", "a b"],
            "config sett",
            "No such command 'sett'",
            "did you mean: nemo-jobs config set host 'a b'?",
        ),
        ("No such command 'rm'.", ["outbox", "rm", "--all"], "outbox rm", "'rm'", "nemo-jobs outbox drop --all?"),
        ("No such command 'zzz'.", ["config", "zzz"], "config zzz", "'zzz'", "see nemo-jobs config --help"),
        (
            "Got unexpected extra argument (x)",
            ["show", "a", "x"],
            "show",
            "one word too many: x",
            "nemo-jobs show --help",
        ),
        (
            "Got unexpected extra argument(s) (https://me:s3cret@h)",
            ["init", "https://me:s3cret@h"],
            "init",
            "one word too many: https://***@h",
            "did you mean: nemo-jobs init --host https://h?",
        ),
        (
            "No such command 'https://me:s3cret@h'.",
            ["https://me:s3cret@h", "a=1"],
            "nemo-jobs",
            "'https://***@h'",
            "nemo-jobs update 'https://***@h' a=1?",
        ),
        ("No such command 'help'.", ["help"], "nemo-jobs", "'help'", "did you mean: nemo-jobs --help?"),
        ("No such command 'help'.", ["help", "show"], "nemo-jobs", "'help'", "did you mean: nemo-jobs show --help?"),
        ("Option '--host' requires an argument.", ["show", "--host"], "show", "requires an argument", "show --help"),
    ],
)
def test_a_mistake_has_its_next_step(said, words, name, message, hint):
    """What was meant, where it can be told; else where to look it up."""
    error = usage_hints.explain(said, words, COMMANDS, name)
    assert message in error.message
    assert hint in error.hint
    assert error.exit_code == 2


@given(st.text(), st.lists(st.text(), min_size=1), st.sampled_from(["nemo-jobs", "update", "config set"]))
def test_whatever_is_said_becomes_a_sentence(said, words, name):
    """Harmless, and with a next step."""
    error = usage_hints.explain(said, words, COMMANDS, name)
    assert error.hint
    assert "\x1b" not in error.message + error.hint
