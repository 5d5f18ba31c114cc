"""What a TAB offers, from what is known without asking anybody."""

from __future__ import annotations

import pytest

from nemo_jobs_cli.completion import answer, command_line, table
from nemo_jobs_cli.settings import profiles

JOBS = {
    "train-llama": (1, "active", "train_loss=\tphase=warmup\tstatus=testing\tresumed:=true,false\tbleu:="),
    "eval@v2+x": (2, "completed", "phase=scoring\taccuracy:="),
}  # fmt: skip


class Known:
    """Two jobs, two workspaces, a profile; `own` is the job that is meant."""

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
    """Return the words that fit the last of `words`."""
    found = answer.candidates(command_line.parse(words, table.TREE), Known(own))
    return [word for word, _ in found if word.startswith(words[-1])]


@pytest.mark.parametrize(
    ("words", "found"),
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
        (("update", "train-llama", "acc"), []),
        (("update", "unknown-job", "acc"), ["accuracy:="]),
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
        (("show", "--deadline", ""), []),
        (("no-such", "x"), []),
    ],
)  # fmt: skip
def test_each_kind_of_word_is_offered(words, found):
    """Commands, options and their values, jobs, fields, values, conditions, states, workspaces, profiles, settings."""
    assert offered(*words) == found


def test_files_belong_to_the_settings_that_are_files():
    """And folders; each path among them has its kind."""
    kinds = {key: answer.answer(["zsh", "", "config", "set", key, ""], {}).partition("\t")[0] for key in profiles.PATHS}
    assert kinds == {"token_file": "files", "ca_file": "files", "outbox_dir": "folders"}


def test_the_first_word_of_an_update_may_be_a_field_where_a_job_is_meant_anyway():
    """Inside a job nobody names it."""
    assert offered("update", "p") == []
    assert offered("update", "p", own="train-llama") == ["phase=", "percentage_done=", "progress="]
    assert offered("update", "phase=w", own="train-llama") == ["phase=warmup"]
    assert offered("update", "tr", own="train-llama") == ["train-llama", "train_loss="]


def test_where_nothing_is_left_the_options_are_shown():
    """An empty word after the last argument."""
    assert "--watch" in offered("show", "train-llama", "")
    assert "--watch" not in offered("show", "train-llama", "--watch", "")


@pytest.mark.parametrize(
    ("words", "directive"),
    [
        (("update", "-f", ""), "files"),
        (("update", "x", "log@=n"), "files"),
        (("update", "x", "--outbox-dir", ""), "folders"),
        (("apply", ""), "files"),
        (("run", "x", "--", "l"), "wrapped"),
        (("show", ""), "words"),
    ],
)
def test_files_and_other_programs_are_the_shells_own_business(words, directive):
    """It knows its quotes and its home."""
    assert answer.answer(["zsh", "", *words], {}).split()[0] == directive


def test_each_word_says_what_it_is():
    """Zsh and fish show it."""
    found = dict(answer.candidates(command_line.parse(["show", ""], table.TREE), Known()))
    assert found == {"train-llama": "active", "eval@v2+x": "completed"}
    found = dict(answer.candidates(command_line.parse(["update", "train-llama", ""], table.TREE), Known()))
    assert (found["train_loss="], found["progress="]) == ("of this job", "number")
