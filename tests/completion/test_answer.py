"""The answer to a TAB, and the candidates in it."""

from __future__ import annotations

import os
import string
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_jobs_cli.completion import _table, answer, command_line
from nemo_jobs_cli.completion.command_line import unquote
from nemo_jobs_cli.delivery.entry import Entry
from nemo_jobs_cli.delivery.outbox import Outbox
from nemo_jobs_cli.settings import profiles

BREAKS = " \t\n\"'@><=;|&(:"


def test_zsh_and_fish_get_whole_words_with_descriptions():
    """They filter the words themselves, as the user has configured."""
    lines = answer.answer(["fish", "", "show", "-o", "js"], {}).splitlines()
    assert lines == ["words", "text\tfor people and pipes", "json\tone object", "ndjson\tone object per line"]


def test_bash_gets_the_filtered_text_that_it_inserts():
    """The text depends on COMP_WORDBREAKS."""
    assert answer.answer(["bash", BREAKS, "update", "x", "status=ru"], {}) == "words\nrunning\n"
    assert answer.answer(["bash", "", "update", "x", "status=ru"], {}) == "words\nstatus=running\n"


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("log@=no", "log@=\n\n"),
        ("log@=~/no", "log@=\n\n"),
        ("log@=$HOME/no", "log@=\n\n"),
        ("-f~/with\\ sp", "-f\n-f\n"),
        ("-f'with sp", "-f\n\n"),
    ],
)
def test_bash_gets_the_part_of_the_prefix_that_it_replaces(typed, expected):
    """Nothing if bash completes the file itself; the shell handles the quotes, variables and ~ of its name."""
    assert answer.answer(["bash", BREAKS, "update", "x", typed], {}) == f"files\t{expected}"


@pytest.mark.parametrize(
    ("words", "expected"),
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
def test_the_shell_completes_files_folders_and_wrapped_commands(words, expected):
    """The answer has the prefix of the file, or the number of words before the command."""
    text = answer.answer(["zsh", "", *words], {})
    assert text == expected if expected is not None else text.startswith("words\nupdate\t")


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
    "a>=",
]


@given(
    st.lists(st.one_of(st.sampled_from(WORDS), st.text(max_size=12)), max_size=5),
    st.lists(st.one_of(st.sampled_from(WORDS), st.text(max_size=9)), max_size=2).map("".join),
    st.sampled_from(["bash", "zsh", "fish"]),
)
def test_every_line_gets_a_valid_answer(words, typed, shell):
    """Each word is the typed prefix followed by harmless characters."""
    prefix = command_line.parse([unquote(word)[0] for word in [*words, typed]], _table.TREE).prefix
    head, *lines = answer.answer([shell, BREAKS, *words, typed], {"HOME": "/nowhere"}).split("\n")
    assert head.partition("\t")[0] in {"words", "files", "folders", "wrapped"}
    if head == "words" and shell != "bash":
        for word in [line.partition("\t")[0] for line in lines if line]:
            assert word.startswith(prefix)
            assert set(word[len(prefix) :]) <= {*string.ascii_letters, *string.digits, *"_-.:@+/=<>!,"}


@pytest.mark.parametrize("typed", ["a\nb,act", "a\tb,act", "\udcff,act"])
def test_a_word_with_control_characters_is_not_completed(typed):
    """It would split the candidates."""
    assert answer.answer(["zsh", "", "list", "--state", f"'{typed}"], {}) == "words\n"


def test_the_environment_can_set_the_job():
    """NEMO_JOBS_JOB or NEMO_JOB_ID, except the placeholder that the platform sets outside of jobs."""
    for environ, expected in (
        ({"NEMO_JOBS_JOB": "train-x"}, True),
        ({"NEMO_JOB_ID": "train-x"}, True),
        ({"NEMO_JOB_ID": "unknown-job-id"}, False),
        ({}, False),
    ):
        assert ("progress=" in answer.answer(["zsh", "", "update", ""], environ)) is expected


def test_the_program_answers():
    """In a process of its own, without a home folder."""
    ran = subprocess.run(
        [sys.executable, "-m", "nemo_jobs_cli", "__complete", "zsh", "", "config", "s"],
        env={"PATH": os.defpath}, capture_output=True, encoding="utf-8",
    )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "set\t" in ran.stdout


@pytest.mark.parametrize("words", [[], ["bash"]])
def test_an_incomplete_call_is_an_error_without_a_traceback(words):
    """A user may call it by hand."""
    ran = subprocess.run(
        [sys.executable, "-m", "nemo_jobs_cli", "__complete", *words],
        env={"PATH": os.defpath}, capture_output=True, encoding="utf-8",
    )  # fmt: skip
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("error: ")
    assert "Traceback" not in ran.stderr


JOBS = {
    "train-llama": (1, "active", "/prepare,train\ttrain_loss=\tphase=warmup\tstatus=testing\tresumed:=true,false\tbleu:="),
    "eval@v2+x": (2, "completed", "phase=scoring\tf1:="),
}  # fmt: skip


class FakeNames:
    """Two jobs, two workspaces and a profile; `own` is the job of the environment."""

    def __init__(self, own=""):
        self.own = own

    def jobs(self):
        return JOBS

    def workspaces(self):
        return ["default", "research"]

    def profiles(self):
        return ["lab"]

    def own_job(self):
        return self.own


def offered(*words, own=""):
    """Return the candidates that begin with the last of `words`."""
    candidates = answer.candidates(command_line.parse(words, _table.TREE), FakeNames(own))
    return [word for word, _ in candidates if word.startswith(words[-1])]


@pytest.mark.parametrize(
    ("words", "candidates"),
    [
        (("up",), ["update"]),
        (("config", "s"), ["set"]),
        (("show", "--fi"), ["--field"]),
        (("show", "tr"), ["train-llama"]),
        (("show", "eval@"), ["eval@v2+x"]),
        (("run", "tr"), ["train-llama"]),
        (("run", "train-llama", ""), ["--"]),
        (("stream", "e"), ["eval@v2+x"]),
        (("outbox", "flush", "--job", "tr"), ["train-llama"]),
        (("update", "train-llama", "tr"), ["train_loss="]),
        (("update", "train-llama", "re"), ["resumed:="]),
        (("update", "train-llama", "f1"), []),
        (("update", "unknown-job", "f1"), ["f1:="]),
        (("update", "train-llama", "prog"), ["progress="]),
        (("update", "train-llama", "progress=4", "prog"), []),
        (("update", "train-llama", "tags:"), ["tags:=", "tags:@="]),
        (("update", "train-llama", "log@"), ["log@="]),
        (("update", "train-llama", "status=r"), ["status=running"]),
        (("update", "train-llama", "phase="), ["phase=warmup", "phase=scoring", "phase=preparing", "phase=training", "phase=evaluating", "phase=saving"]),
        (("update", "train-llama", "resumed:=t"), ["resumed:=true"]),
        (("update", "train-llama", "message="), []),
        (("show", "train-llama", "--field", "re"), ["resumed"]),
        (("show", "train-llama", "--field=re"), ["--field=resumed"]),
        (("show", "train-llama", "--until", "train_"), ["train_loss>="]),
        (("show", "train-llama", "--until", "phase"), ["phase="]),
        (("show", "train-llama", "--until", "phase!=war"), ["phase!=warmup"]),
        (("show", "train-llama", "--until", "status=co"), ["status=completed"]),
        (("show", "train-llama", "--until", "sta"), ["state=", "status=", "stage="]),
        (("show", "train-llama", "--until", "ag"), ["age>"]),
        (("show", "train-llama", "--until", "state=cancel"), ["state=cancelled", "state=cancelling"]),
        (("list", "--where", "state!=er"), ["state!=error"]),
        (("list", "--state", "active,comp"), ["active,completed"]),
        (("list", "--state", "active,act"), []),
        (("list", "-w", "re"), ["research"]),
        (("list", "--workspace=re"), ["--workspace=research"]),
        (("show", "--profile", ""), ["lab"]),
        (("show", "-o", "n"), ["ndjson"]),
        (("show", "-on"), ["-ondjson"]),
        (("stream", "--match", "t"), ["tqdm"]),
        (("sandbox", "--fault", "conf"), ["conflict:", "conflicts"]),
        (("config", "get", "ho"), ["host"]),
        (("config", "set", "outbox", ""), ["true", "false"]),
        (("config", "set", "api", "a"), ["auto", "attempts"]),
        (("config", "set", "workspace", "d"), ["default"]),
        (("config", "set", "host", ""), []),
        (("config", "set", "ru"), []),
        (("completion", "install", "f"), ["fish"]),
        (("logs", "train-llama", "--step", ""), ["prepare", "train"]),
        (("logs", "--step=t"), []),
        (("show", "--deadline", ""), []),
        (("no-such", "x"), []),
    ],
)  # fmt: skip
def test_each_kind_of_word_is_offered(words, candidates):
    """Commands, options and their values, jobs, steps, fields, values, conditions, states and settings."""
    assert offered(*words) == candidates


def test_the_ids_of_stored_updates_are_offered(tmp_path):
    """Those that `outbox list` prints, wherever the outbox is; the description is the state."""
    folder = tmp_path / "box"
    outbox = Outbox(folder)
    for job in ("j1", "j2"):
        outbox.store(Entry("http://h", "default", job, {"a": 1}, 1.0))
    claim = outbox.claim_job("http://h", "default", "j1")[0]
    ids = {file.id: file.kind for file in outbox.files()}
    assert sorted(ids.values()) == ["claimed", "pending"]
    storage = tmp_path / "job" / "nemo-jobs"
    storage.mkdir(parents=True)
    (storage / "outbox").symlink_to(folder)
    state = tmp_path / "state" / "nemo-jobs"
    state.mkdir(parents=True)
    (state / "outbox").symlink_to(folder)
    for words, environ in (
        (["show", "--outbox-dir", str(folder)], {}),
        (["show"], {"NEMO_JOBS_OUTBOX_DIR": str(folder)}),
        (["drop"], {"XDG_STATE_HOME": str(tmp_path / "state")}),
        (["drop"], {"NEMO_JOB_ID": "x1", "NEMO_JOB_PERSISTENT_JOB_STORAGE_PATH": str(tmp_path / "job")}),
    ):
        rows = answer.answer(["zsh", "", "outbox", *words, ""], environ).splitlines()[1:]
        assert dict(row.split("\t") for row in rows) == ids
    first, second = ids
    assert answer.answer(
        ["bash", BREAKS, "outbox", "drop", first, second[:4]], {"NEMO_JOBS_OUTBOX_DIR": str(folder)}
    ) == (f"words\n{second}\n")
    assert answer.answer(["bash", BREAKS, "outbox", "drop", ""], {"HOME": str(tmp_path)}) == "words\n"
    outbox.release(claim)


def test_settings_that_are_paths_are_completed_by_the_shell():
    """As files or as folders."""
    kinds = {key: answer.answer(["zsh", "", "config", "set", key, ""], {}).partition("\t")[0] for key in profiles.PATHS}
    assert kinds == {"token_file": "files", "ca_file": "files", "outbox_dir": "folders"}


def test_the_first_word_of_an_update_may_be_a_field_if_the_environment_sets_the_job():
    """Inside a job its name can be omitted."""
    assert offered("update", "p") == []
    assert offered("update", "p", own="train-llama") == ["phase=", "percentage_done=", "perplexity=", "progress="]
    assert offered("update", "phase=w", own="train-llama") == ["phase=warmup"]
    assert offered("update", "tr", own="train-llama") == ["train-llama", "train_loss="]


def test_options_are_offered_if_no_argument_is_left():
    """For an empty word after the last argument, without options that are already set."""
    assert "--watch" in offered("show", "train-llama", "")
    assert "--watch" not in offered("show", "train-llama", "--watch", "")


def test_candidates_have_descriptions():
    """Zsh and fish show them."""
    descriptions = dict(answer.candidates(command_line.parse(["show", ""], _table.TREE), FakeNames()))
    assert descriptions == {"train-llama": "active", "eval@v2+x": "completed"}
    descriptions = dict(answer.candidates(command_line.parse(["update", "train-llama", ""], _table.TREE), FakeNames()))
    assert (descriptions["train_loss="], descriptions["progress="]) == ("of this job", "number")
