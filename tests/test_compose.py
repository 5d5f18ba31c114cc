"""Composing one update out of words, files and a stamp."""

from __future__ import annotations

import pytest

from nemo_jobs_cli import compose, inputs
from nemo_jobs_cli.errors import UsageError
from nemo_jobs_cli.settings import Settings, Sourced

HERE = Settings(workspace=Sourced("research", "--workspace"))
IN_JOB = Settings(job=Sourced("my-job", "NEMO_JOB_ID"))


@pytest.fixture
def file(tmp_path):
    """Return a file with an object."""
    path = tmp_path / "m.json"
    path.write_text('{\n "a": {"b": [1, 2]},\n "lastUpdated": "then"\n}')
    return str(path)


def test_files_then_the_stamp_then_words(file):
    """The later ones win, and the body is compact JSON."""
    made = compose.compose(["train-x", "lastUpdated=mine", "c=é"], [file], HERE, stamp="now")
    assert made.update == ("research", "train-x", {"a": {"b": [1, 2]}, "lastUpdated": "mine", "c": "é"})
    assert made.body == '{"a":{"b":[1,2]},"lastUpdated":"mine","c":"é"}'.encode()
    assert compose.compose(["train-x"], [file], HERE, stamp="now").update.fields["lastUpdated"] == "now"


def test_every_part_knows_where_it_was_written(file):
    """As deep as it can: the line of the file, the word, the flag."""
    parts = compose.compose(["train-x", "c=1"], [file], HERE, stamp="now").parts
    assert parts["a"].place(()).label == f"{file}:2:7"
    assert parts["a"].place(("b", 1)).label == f"{file}:2:17"
    assert parts["a"].place(("nowhere",)).label == f"{file}:2:7"
    assert parts["c"].place(("x",)).label == "argument 2"
    assert parts["lastUpdated"].place(()).label == "--stamp"
    assert parts["a"].kind == "JSON object"


def test_a_part_of_stdin_is_named_so(monkeypatch):
    """There is no file to name."""
    import io

    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b'{"a": 1}')))
    assert compose.compose(["train-x"], ["-"], HERE).parts["a"].place(()).label == "stdin:1:7"


def test_inside_a_job_its_name_is_the_default():
    """And a name on the command line wins."""
    assert compose.compose(["a=1"], [], IN_JOB).update.job == "my-job"
    assert compose.compose(["other", "a=1"], [], IN_JOB).update.job == "other"


@pytest.mark.parametrize(
    ("words", "settings", "message"),
    [
        (["a=1"], HERE, "which job"),
        (["train-x"], HERE, "nothing to send"),
        ([], IN_JOB, "nothing to send"),
        (["a=1"], Settings(job=Sourced("Bad Name", "NEMO_JOBS_JOB")), "NEMO_JOBS_JOB is not a job name"),
        (
            ["x1", "a=1"],
            Settings(workspace=Sourced("Bad", "NEMO_JOBS_WORKSPACE")),
            r"workspace \(NEMO_JOBS_WORKSPACE\)",
        ),
        (["", "a=1"], IN_JOB, "JOB is empty"),
    ],
)
def test_what_cannot_be_sent_is_a_usage_error(words, settings, message):
    """No job, no field, no possible name."""
    with pytest.raises(UsageError, match=message):
        compose.compose(words, [], settings)


def test_warnings_of_all_sources_come_together(tmp_path):
    """Of files, of words, of the size."""
    path = tmp_path / "m.json"
    path.write_text('{"progress": "45", "big": "' + "x" * inputs.LARGE + '"}')
    made = compose.compose(["x1", "progres=1", "step=2"], [str(path)], HERE)
    assert [warning.split(":")[0].split(" ")[0] for warning in made.warnings] == [str(path), "progres", "the"]
    assert compose.compose(["x1", "stauts=a"], [], HERE).warnings[0].startswith("stauts")
