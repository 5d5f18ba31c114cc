"""Composing one update out of words, files and a stamp."""

from __future__ import annotations

import pytest

from nemo_jobs_cli.core.errors import UsageError
from nemo_jobs_cli.fields import compose, files, strict_json
from nemo_jobs_cli.settings.model import Settings, Sourced

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
    path.write_text('{"progress": "45", "big": "' + "x" * files.LARGE + '"}')
    made = compose.compose(["x1", "progres=1", "step=2"], [str(path)], HERE)
    assert [warning.split(":")[0].split(" ")[0] for warning in made.warnings] == [str(path), "progres", "the"]
    assert compose.compose(["x1", "stauts=a"], [], HERE).warnings[0].startswith("stauts")


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("odd", ["\u2028", "\u2029", "\x85"])
def test_only_a_line_break_ends_a_line_of_a_file(tmp_path, odd, ending):
    """Text may hold other characters that Unicode calls line ends; an editor does not count them."""
    path = tmp_path / "m.json"
    path.write_text(f'{{"a": "x{odd}y",{ending} "b": 1}}', encoding="utf-8", newline="")
    pointer = compose.compose(["x1"], [str(path)], HERE).parts["b"].place(())
    assert (pointer.label, pointer.line, pointer.column) == (f"{path}:2:7", ' "b": 1}', 6)


def test_a_long_line_of_a_file_is_cut_around_the_place(tmp_path):
    """A compact file is one line; what is shown holds the place and its column still fits."""
    path = tmp_path / "m.json"
    path.write_text('{"a": "' + "x" * 500 + '", "b": 17, "c": "' + "y" * 500 + '"}')
    pointer = compose.compose(["x1"], [str(path)], HERE).parts["b"].place(())
    assert pointer.label == f"{path}:1:516"
    assert len(pointer.line) <= strict_json.MAX_SHOWN
    assert pointer.line[pointer.column :].startswith("17, ")


def test_a_file_with_a_byte_order_mark_keeps_its_columns(tmp_path):
    """Windows writes one; it is no part of the first line."""
    path = tmp_path / "m.json"
    path.write_text('{"a": 1}', encoding="utf-8-sig")
    assert compose.compose(["x1"], [str(path)], HERE).parts["a"].place(()) == (f"{path}:1:7", '{"a": 1}', 6)


def test_an_empty_object_in_a_file_may_be_sent(tmp_path):
    """Who names a file has said what to send; the platform takes `{}`."""
    path = tmp_path / "m.json"
    path.write_text("{}")
    assert compose.compose(["x1"], [str(path)], HERE).body == b"{}"


def test_the_stamp_alone_is_an_update():
    """A sign of life needs no field."""
    assert compose.compose(["x1"], [], HERE, stamp="now").body == b'{"lastUpdated":"now"}'


def test_of_two_files_the_later_wins_whole_keys(tmp_path):
    """Keys are set, not merged: the server does the same."""
    for name, text in (("1.json", '{"a": {"x": 1}, "b": 1}'), ("2.json", '{"a": {"y": 2}}')):
        (tmp_path / name).write_text(text)
    made = compose.compose(["x1"], [str(tmp_path / "1.json"), str(tmp_path / "2.json")], HERE)
    assert made.update.fields == {"a": {"y": 2}, "b": 1}
    assert made.parts["a"].place(("y",)).label == f"{tmp_path / '2.json'}:1:13"


def test_notes_of_words_are_kept():
    """`a=1` is sent as text, and a person may want to know."""
    assert "a=1 is sent as text" in compose.compose(["x1", "a=1"], [], HERE).notes[0]


@pytest.mark.parametrize("allow_large", [True, False])
def test_large_updates_need_a_word(allow_large):
    """4 MiB slow a job down for good."""
    words = ["x1", *(f"k{n}={'x' * 2**20}" for n in range(4))]
    if allow_large:
        assert len(compose.compose(words, [], HERE, allow_large=True).body) > files.TOO_LARGE
        return
    with pytest.raises(UsageError, match=r"the update is 4\.0 MiB"):
        compose.compose(words, [], HERE)


def test_a_field_that_was_taken_as_the_job_is_told():
    """Inside a job one may leave the job away, not the value."""
    with pytest.raises(UsageError) as caught:
        compose.compose(["progress"], [], Settings(job=Sourced("train-x", "NEMO_JOB_ID")))
    assert caught.value.hint == "did you mean progress=...?"


def test_a_misspelt_key_of_a_file_is_warned_of(tmp_path):
    """It is sent as it is; a key that the user made a number is meant."""
    path = tmp_path / "m.json"
    path.write_text('{"progres": 45, "epochs": 3}')
    here = HERE._replace(numbers=Sourced(HERE.numbers.value | {"epochs"}, "--number"))
    made = compose.compose(["x1"], [str(path)], here)
    assert made.update.fields == {"progres": 45, "epochs": 3}
    assert made.warnings == ("progres is not a key that the platform shows; did you mean progress?",)
