"""The hints for command lines that cannot be parsed."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_jobs_cli.cli import _usage_hints, main

COMMANDS = ("update", "show", "list", "apply", "config", "outbox", "init")


@pytest.mark.parametrize(
    ("complaint", "line", "message", "hint"),
    [
        ("No such command 'updtae'.", "updtae x1 a=1", "no such command: ", "nemo-jobs update x1 a=1?"),
        ("No such command 'UPDATE'.", "UPDATE x1", "no such command: ", "nemo-jobs update x1?"),
        ("No such command 'status'.", "status x1", "no such command: ", "nemo-jobs show x1?"),
        ("No such command 'x1'.", "x1 'message=a b'", "no such command: x1", "nemo-jobs update x1 'message=a b'?"),
        ("No such command 'zzz'.", "zzz", "no such command: ", "see nemo-jobs --help"),
        ("No such option: -w", "-w default update x1", "no such option: -w", "nemo-jobs update ... -w"),
        ("No such option: -w", "-w ws x1 a=1", "no such option: -w", "nemo-jobs update ... -w"),
        ("No such option: --x", "--x", "no such option: --x", "see nemo-jobs --help"),
        ("No such option: --progress", "update x1 --progress 45", "--progress", "progress=45"),
        ("No such option: --progress=4", "update --progress=4", "--progress", "without dashes: progress=4"),
        ("No such option: --train-loss", "update --train-loss", "--train-loss", "train_loss=..."),
        ("No such option: --json", "list --json", "no such option: --json", "did you mean -o json?"),
        ("No such option: --json", "update --json", "no such option: --json", "-f FILE to send it"),
        ("No such option: --status", "list --status x", "--status", "use --state for the platform's state, or --where"),
        ("No such option: --status", "show --status", "--status", "use --state for the platform's state"),
        ("No such option: --hots Did you mean --host?", "show --hots", "--hots", "did you mean --host?"),
        ("No such option: --hots (Possible options: --host, --x)", "show", "--hots", "did you mean --host?"),
        ("No such option: --zz", "config set --zz", "--zz", "see nemo-jobs config set --help"),
        ("No such option: --wach (Possible options: --wait, --watch)", "show", "--wach", "did you mean --watch?"),
        ("No such option: --fail (Possible options: --failed, --fail-x)", "apply", "--fail", "did you mean --failed?"),
        ("No such option: -p", "show x1 -profile lab", "no such option: -p", "two dashes: --profile"),
        ("No such option: --progress", "show x1 --progress", "--progress", "reported value: --field progress"),
        (
            "No such option: --profile",
            "config --profile lab",
            "--profile",
            "write options after the subcommand: nemo-jobs config COMMAND ... --profile",
        ),
        ("No such command 'lst'. Did you mean 'set', 'list'?", "config lst", ": lst", ": nemo-jobs config list?"),
        (
            "No such command 'sett'. Did you mean 'unset', 'set'?",
            "config sett host 'a b'",
            "no such command: sett",
            "did you mean: nemo-jobs config set host 'a b'?",
        ),
        ("No such command 'rm'.", "outbox rm --all", ": rm", "nemo-jobs outbox drop --all?"),
        ("No such command 'zzz'.", "config zzz", ": zzz", "see nemo-jobs config --help"),
        ("Got unexpected extra argument (x)", "show a x", "unexpected argument: x", "nemo-jobs show --help"),
        ("Got unexpected extra argument (llama)", "list llama", "unexpected argument: llama", "list --name llama?"),
        ("Got unexpected extra arguments (a b)", "list a b", "unexpected argument: a b", "nemo-jobs list --help"),
        (
            "Got unexpected extra argument(s) (https://me:s3cret@h)",
            "init https://me:s3cret@h",
            "unexpected argument: https://***@h",
            "did you mean: nemo-jobs init --host https://h?",
        ),
        (
            "No such command 'https://me:s3cret@h'.",
            "https://me:s3cret@h a=1",
            ": https://***@h",
            "nemo-jobs update 'https://***@h' a=1?",
        ),
        ("No such command 'help'.", "help", ": help", "did you mean: nemo-jobs --help?"),
        ("No such command 'help'.", "help show", ": help", "did you mean: nemo-jobs show --help?"),
        ("Option '--host' requires an argument.", "show --host", "--host needs a value", "show --help"),
    ],
)
def test_a_mistake_has_a_hint(complaint, line, message, hint):
    """The probable intention if there is one, else the help to read."""
    words = shlex.split(line)
    error = _usage_hints.explain(complaint, words, COMMANDS, main.command_name(words))
    assert message in error.message
    assert hint in error.hint
    assert error.exit_code == 2


@given(st.text(), st.lists(st.text(), min_size=1), st.sampled_from(["nemo-jobs", "update", "config set"]))
def test_any_complaint_becomes_an_error_with_a_hint(complaint, words, name):
    """Without escape codes."""
    error = _usage_hints.explain(complaint, words, COMMANDS, name)
    assert error.hint
    assert "\x1b" not in error.message + error.hint
