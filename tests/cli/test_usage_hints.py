"""The hints for command lines that cannot be parsed."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_jobs_cli.cli import _usage_hints, app


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ("updtae x1 a=1", "no such command: updtae", "did you mean: nemo-jobs update x1 a=1?"),
        ("UPDATE x1", "no such command: UPDATE", "did you mean: nemo-jobs update x1?"),
        ("status x1", "no such command: status", "did you mean: nemo-jobs show x1?"),
        ("x1 'message=a b'", "no such command: x1", "did you mean: nemo-jobs update x1 'message=a b'?"),
        ("zzz", "no such command: zzz", "see nemo-jobs --help"),
        ("-w default update x1", "no such option: -w", "write options after the command: nemo-jobs update ... -w"),
        ("-w ws x1 a=1", "no such option: -w", "write options after the command: nemo-jobs update ... -w"),
        ("--x", "no such option: --x", "see nemo-jobs --help"),
        ("update x1 --progress 45", "no such option: --progress", "write fields without dashes: progress=45"),
        ("update --progress=4", "no such option: --progress", "write fields without dashes: progress=4"),
        ("update x1 --message='a b'", "no such option: --message", "write fields without dashes: 'message=a b'"),
        ("update --train-loss", "no such option: --train-loss", "write fields without dashes: train_loss=..."),
        ("list --json", "no such option: --json", "did you mean -o json?"),
        ("update --json", "no such option: --json", "use -o json to print JSON, or -f FILE to send it"),
        ("list --status x", "no such option: --status", "use --state for the platform's state, or --where"),
        ("show --status", "no such option: --status", "use --state for the platform's state, or --field status"),
        (
            "update x1 a=1 --token t",
            "no such option: --token",
            "keep tokens off the command line: use --token-file FILE",
        ),
        ("show --hots", "no such option: --hots", "did you mean --host?"),
        ("config set --zz", "no such option: --zz", "see nemo-jobs config set --help"),
        ("show --wach", "no such option: --wach", "did you mean --watch?"),
        ("apply --fail", "no such option: --fail", "did you mean --failed?"),
        ("show x1 -profile lab", "no such option: -p", "write long options with two dashes: --profile"),
        ("show x1 --progress", "no such option: --progress", "print the reported value: --field progress"),
        (
            "config --profile lab",
            "no such option: --profile",
            "write options after the subcommand: nemo-jobs config COMMAND ... --profile",
        ),
        ("config lst", "no such command: lst", "did you mean: nemo-jobs config list?"),
        ("config sett host 'a b'", "no such command: sett", "did you mean: nemo-jobs config set host 'a b'?"),
        ("outbox rm --all", "no such command: rm", "did you mean: nemo-jobs outbox drop --all?"),
        ("config zzz", "no such command: zzz", "see nemo-jobs config --help"),
        ("show a x", "unexpected argument: x", "see nemo-jobs show --help"),
        ("show a loss", "unexpected argument: loss", "did you mean --field loss?"),
        ("list llama", "unexpected argument: llama", "did you mean --name llama?"),
        ("logs a 'my step'", "unexpected argument: my step", "see nemo-jobs logs --help"),
        ("logs a train", "unexpected argument: train", "did you mean --step train?"),
        ("stream a x.log", "unexpected argument: x.log", "did you mean --input x.log?"),
        ("stream a loss=1", "unexpected argument: loss=1", "did you mean: nemo-jobs update a loss=1?"),
        (
            "stream --header 'K: s3cret=' a loss=1 'message=x y'",
            "unexpected argument: loss=1 message=x y",
            "did you mean: nemo-jobs update JOB loss=1 'message=x y'?",
        ),
        ("updat --header 'K: s3cret' a", "no such command: updat", "did you mean: nemo-jobs update?"),
        ("updat a loss=1 --token s3cret", "no such command: updat", "did you mean: nemo-jobs update a loss=1?"),
        ("patch a -H 'Authorization: Bearer s3cret'", "no such command: patch", "did you mean: nemo-jobs update a?"),
        ("outbox flsh --header=K:s3cret", "no such command: flsh", "did you mean: nemo-jobs outbox flush?"),
        ("outbox flush a", "unexpected argument: a", "did you mean --job a?"),
        ("apply -f x", "no such option: -f", "write the file without an option: nemo-jobs apply FILE"),
        ("apply --file x", "no such option: --file", "write the file without an option: nemo-jobs apply FILE"),
        ("stream a --file x", "no such option: --file", "did you mean --input?"),
        ("list -n 5", "no such option: -n", "did you mean --limit?"),
        ("list a b", "unexpected argument: a b", "see nemo-jobs list --help"),
        (
            "init https://me:s3cret@h",
            "unexpected argument: https://***@h",
            "did you mean: nemo-jobs init --host https://h?",
        ),
        (
            "https://me:s3cret@h a=1",
            "no such command: https://***@h",
            "did you mean: nemo-jobs update 'https://***@h' a=1?",
        ),
        ("help", "no such command: help", "did you mean: nemo-jobs --help?"),
        ("version", "no such command: version", "did you mean: nemo-jobs --version?"),
        ("help show", "no such command: help", "did you mean: nemo-jobs show --help?"),
        ("show --host", "--host needs a value", "see nemo-jobs show --help"),
        ("show --wait=1", "--wait takes no value", "see nemo-jobs show --help"),
        ("config get", "missing argument: KEY", "see nemo-jobs config get --help"),
        ("run --tail x -- true", "invalid --tail 'x': must be a whole number", "see nemo-jobs run --help"),
        ("run --tail -1 -- true", "invalid --tail '-1': must be at least 0", "see nemo-jobs run --help"),
        ("apply f --concurrency 99", "invalid --concurrency '99': must be from 1 to 64", "see nemo-jobs apply --help"),
    ],
)
def test_a_mistake_has_a_hint(nemo_jobs, line, message, hint):
    """The message is Typer's in our words; the hint is the probable intention if there is one, else the help to read."""
    ran = nemo_jobs(*shlex.split(line))
    first, last = ran.err.splitlines()
    assert ran.code == 2
    assert first.startswith(f"error: {message}")
    assert last.startswith(f"next: {hint}")


@given(st.text(), st.lists(st.text(), min_size=1), st.sampled_from(["nemo-jobs", "update", "config set"]))
def test_any_complaint_becomes_an_error_with_a_hint(complaint, words, name):
    """Without escape codes."""
    error = _usage_hints.explain(complaint, words, app.COMMANDS, name)
    assert error.hint
    assert "\x1b" not in error.message + error.hint
