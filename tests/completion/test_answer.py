"""The answer to a TAB, as completion scripts get it."""

from __future__ import annotations

import os
import string
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_jobs_cli.completion import answer as quick
from nemo_jobs_cli.completion import command_line, table
from nemo_jobs_cli.completion.command_line import unquote
from nemo_jobs_cli.core.identifiers import is_name

BREAKS = " \t\n\"'@><=;|&(:"


def test_zsh_and_fish_get_whole_words_with_what_they_are():
    """They choose those that fit themselves, in the way their user likes."""
    lines = quick.answer(["fish", "", "show", "-o", "js"], {}).splitlines()
    assert lines == ["words", "text\tfor people and pipes", "json\tone object", "ndjson\tan object a line"]


def test_bash_gets_what_it_puts_in_the_place_of_what_it_takes_for_the_word():
    """And of those that fit."""
    assert quick.answer(["bash", BREAKS, "update", "x", "status=ru"], {}) == "words\nrunning\n"
    assert quick.answer(["bash", "", "update", "x", "status=ru"], {}) == "words\nstatus=running\n"


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("log@=no", "log@=\n\n"),
        ("log@=~/no", "log@=\n\n"),
        ("log@=$HOME/no", "log@=\n\n"),
        ("-f~/with\\ sp", "-f\n-f\n"),
        ("-f'with sp", "-f\n\n"),
    ],
)
def test_bash_is_told_what_it_takes_for_a_part_of_a_files_name(typed, answer):
    """Nothing, where it completes the file by itself; the file's own name is the shell's business, quotes, ~ and all."""
    assert quick.answer(["bash", BREAKS, "update", "x", typed], {}) == f"files\t{answer}"


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["update", "x", "-f", "a"], "files\t\n"),
        (["update", "x", "log@=a"], "files\tlog@=\n"),
        (["update", "x", "--file=a"], "files\t--file=\n"),
        (["update", "--outbox-dir", ""], "folders\t\n"),
        (["run", "x", "--", "ls", ""], "wrapped\t4\n"),
        (["config", "set", "host", "x"], "words\n"),
        ([], None),
    ],
)
def test_what_the_shell_does_itself(words, answer):
    """Files and folders behind what stands before them; another program behind so many words."""
    found = quick.answer(["zsh", "", *words], {})
    assert found == answer if answer is not None else found.startswith("words\nupdate\t")


WORDS = [
    "update",
    "show",
    "list",
    "run",
    "--",
    "--state",
    "--until",
    "-w",
    "-f",
    "x",
    "active,",
    "log@=",
    "phase=",
    "loss>=",
]


@given(
    st.lists(st.one_of(st.sampled_from(WORDS), st.text(max_size=12)), max_size=5),
    st.lists(st.one_of(st.sampled_from(WORDS), st.text(max_size=9)), max_size=2).map("".join),
    st.sampled_from(["bash", "zsh", "fish"]),
)
def test_no_line_breaks_it(words, typed, shell):
    """Whatever is typed: an answer, whose words are what is there already and harmless letters behind it."""
    prefix = command_line.parse([unquote(word)[0] for word in [*words, typed]], table.TREE).prefix
    head, *lines = quick.answer([shell, BREAKS, *words, typed], {"HOME": "/nowhere"}).split("\n")
    assert head.partition("\t")[0] in {"words", "files", "folders", "wrapped"}
    if head == "words" and shell != "bash":
        for word in [line.partition("\t")[0] for line in lines if line]:
            assert word.startswith(prefix)
            assert set(word[len(prefix) :]) <= {*string.ascii_letters, *string.digits, *"_-.:@+/=<>!,"}


@pytest.mark.parametrize("typed", ["a\nb,act", "a\tb,act", "\udcff,act"])
def test_what_can_not_stand_on_a_line_is_not_completed(typed):
    """It would become other words."""
    assert quick.answer(["zsh", "", "list", "--state", f"'{typed}"], {}) == "words\n"


def test_the_job_that_is_meant_is_that_of_the_environment():
    """NEMO_JOBS_JOB, or the job this runs in; what the platform writes outside of jobs is none."""
    for environ, meant in (
        ({"NEMO_JOBS_JOB": "train-x"}, True),
        ({"NEMO_JOB_ID": "train-x"}, True),
        ({"NEMO_JOB_ID": "unknown-job-id"}, False),
        ({}, False),
    ):
        assert ("progress=" in quick.answer(["zsh", "", "update", ""], environ)) is meant


def test_the_program_answers_before_anything_else():
    """In a process of its own, without a home."""
    ran = subprocess.run(
        [sys.executable, "-m", "nemo_jobs_cli", "__complete", "zsh", "", "config", "s"],
        env={"PATH": os.defpath}, capture_output=True, text=True,
    )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "set\t" in ran.stdout
    assert is_name("set")


@pytest.mark.parametrize("words", [[], ["bash"]])
def test_a_call_that_is_none_is_an_error_and_no_traceback(words):
    """Somebody calls it by hand."""
    ran = subprocess.run(
        [sys.executable, "-m", "nemo_jobs_cli", "__complete", *words],
        env={"PATH": os.defpath}, capture_output=True, text=True,
    )  # fmt: skip
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("error: ")
    assert "Traceback" not in ran.stderr
