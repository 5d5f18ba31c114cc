"""Updates composed from words, files and a stamp."""

from __future__ import annotations

import pytest

from nemo_jobs_cli.core.errors import Problem, UsageError
from nemo_jobs_cli.fields import files
from nemo_jobs_cli.fields.compose import compose, problem_rows
from nemo_jobs_cli.settings.model import Settings, Sourced

SETTINGS = Settings(workspace=Sourced("research", "--workspace"))
IN_JOB = Settings(job=Sourced("my-job", "NEMO_JOB_ID"))


@pytest.fixture
def write(tmp_path):
    """Return a function that writes `m.json` and returns its path."""

    def write(text, **options):
        path = tmp_path / "m.json"
        path.write_text(text, **options)
        return str(path)

    return write


def test_words_win_over_the_stamp_and_the_stamp_over_files(write):
    """The body is compact JSON; each part has its location, as deep as it can."""
    file = write('{\n "a": {"b": [1, 2]},\n "lastUpdated": "then"\n}')
    composed = compose(["train-x", "lastUpdated=mine", "c=é"], [file], SETTINGS, stamp=Sourced("now", "--stamp"))
    assert composed.update == ("research", "train-x", {"a": {"b": [1, 2]}, "lastUpdated": "mine", "c": "é"})
    assert composed.body == '{"a":{"b":[1,2]},"lastUpdated":"mine","c":"é"}'.encode()
    composed = compose(["train-x", "c=1"], [file], SETTINGS, stamp=Sourced("now", "--stamp"))
    assert composed.update.fields["lastUpdated"] == "now"
    assert composed.parts["a"].kind == "JSON object"
    for key, path, label in [
        ("a", (), f"{file}:2:7"),
        ("a", ("b", 1), f"{file}:2:17"),
        ("a", ("nowhere",), f"{file}:2:7"),
        ("c", ("x",), "argument 2"),
        ("lastUpdated", (), "--stamp"),
    ]:
        assert composed.parts[key].locate(path).label == label


def test_a_part_of_stdin_is_located_there(monkeypatch):
    """Stdin has no file name."""
    import io

    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b'{"a": 1}')))
    assert compose(["train-x"], ["-"], SETTINGS).parts["a"].locate(()).label == "stdin:1:7"


def test_the_job_of_the_settings_is_the_default():
    """As inside a job; a name on the command line wins."""
    assert compose(["a=1"], [], IN_JOB).update.job == "my-job"
    assert compose(["other", "a=1"], [], IN_JOB).update.job == "other"


@pytest.mark.parametrize(
    ("words", "settings", "message"),
    [
        (["a=1"], SETTINGS, "no job given"),
        (["train-x"], SETTINGS, "nothing to send"),
        ([], IN_JOB, "nothing to send"),
        (["a=1"], Settings(job=Sourced("Bad Name", "NEMO_JOBS_JOB")), "invalid job name in NEMO_JOBS_JOB"),
        (
            ["x1", "a=1"],
            Settings(workspace=Sourced("Bad", "NEMO_JOBS_WORKSPACE")),
            r"workspace name in NEMO_JOBS_WORKSPACE",
        ),
        (["", "a=1"], IN_JOB, "empty job name in JOB"),
    ],
)
def test_an_incomplete_update_is_a_usage_error(words, settings, message):
    """No job, no field, or an invalid name."""
    with pytest.raises(UsageError, match=message):
        compose(words, [], settings)


def test_warnings_come_from_files_words_and_the_size(write):
    """In this order."""
    file = write('{"progress": "45", "big": "' + "x" * files.LARGE + '"}')
    composed = compose(["x1", "progres=1", "step=2", "a=1"], [file], SETTINGS)
    assert "a=1 is sent as text" in composed.notes[0]
    assert [warning.split(":")[0].split(" ")[0] for warning in composed.warnings] == [file, "progres", "the"]
    assert compose(["x1", "stauts=a"], [], SETTINGS).warnings[0].startswith("stauts")


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("odd", ["\u2028", "\u2029", "\x85"])
def test_only_a_line_break_ends_a_line_of_a_file(write, odd, ending):
    """Strings may hold other line ends of Unicode, which editors do not count."""
    file = write(f'{{"a": "x{odd}y",{ending} "b": 1}}', encoding="utf-8", newline="")
    assert compose(["x1"], [file], SETTINGS).parts["b"].locate(()) == (f"{file}:2:7", ' "b": 1}', 6)


def test_a_byte_order_mark_does_not_count_as_a_column(write):
    """Windows editors write one."""
    file = write('{"a": 1}', encoding="utf-8-sig")
    assert compose(["x1"], [file], SETTINGS).parts["a"].locate(()) == (f"{file}:1:7", '{"a": 1}', 6)


def test_an_empty_object_and_the_stamp_alone_are_updates(write):
    """The platform accepts `{}`."""
    assert compose(["x1"], [write("{}")], SETTINGS).body == b"{}"
    assert compose(["x1"], [], SETTINGS, stamp=Sourced("now", "--stamp")).body == b'{"lastUpdated":"now"}'


def test_the_later_of_two_files_wins_whole_keys(write, tmp_path):
    """Objects are replaced, not merged, as on the server."""
    (tmp_path / "1.json").write_text('{"a": {"x": 1}, "b": 1}', encoding="utf-8")
    file = write('{"a": {"y": 2}}')
    composed = compose(["x1"], [str(tmp_path / "1.json"), file], SETTINGS)
    assert composed.update.fields == {"a": {"y": 2}, "b": 1}
    assert composed.parts["a"].locate(("y",)).label == f"{file}:1:13"


def test_a_key_read_as_the_job_gets_a_hint():
    """Inside a job one may omit the job, but not the value."""
    with pytest.raises(UsageError, match="progress was read as the job") as caught:
        compose(["progress"], [], Settings(job=Sourced("train-x", "NEMO_JOB_ID")))
    assert caught.value.hint == "did you mean progress=...?"


def test_a_misspelled_key_of_a_file_is_sent_with_a_warning(write):
    """Unless it is in --number."""
    settings = SETTINGS._replace(numbers=Sourced(SETTINGS.numbers.value | {"epochs"}, "--number"))
    composed = compose(["x1"], [write('{"progres": 45, "epochs": 3}')], settings)
    assert composed.update.fields == {"progres": 45, "epochs": 3}
    assert composed.warnings == ("progres is not a key that the platform shows; did you mean progress?",)


def test_a_stamp_from_a_setting_alone_is_no_update():
    """The user has named no field, for example because a variable is unset."""
    with pytest.raises(UsageError, match="nothing to send: no fields given"):
        compose(["x1"], [], SETTINGS, stamp=Sourced("now", "profile lab"))


def test_a_problem_of_the_server_points_at_what_was_written(write):
    """At the word, the line of the file, or the body as sent; else at its path in the request."""
    file = write('{"tags": [1,\n 2]}')
    composed = compose(["x1", "step=3"], [file], SETTINGS)
    problems = [
        Problem(("body", "step"), "too small", "3"),
        Problem(("body", "tags", 1), "not text", "2"),
        Problem(("body", 5), "bad", ""),
        Problem(("body", "other"), "missing", "there"),
        Problem(("body",), "no", "whole"),
        Problem(("query", "page_size"), "too big", "9"),
        Problem((), "no", ""),
    ]
    rows = problem_rows(problems, composed)
    assert [(row["wrote"], row["where"]) for row in rows] == [
        ("step=3", "argument 2"),
        ("2]}", f"{file}:2:2"),
        ('{"tags":[1,2],"step":3}', "the body as sent:1:6"),
        ("there", "body.other"),
        ("whole", "body"),
        ("9", "query.page_size"),
        ("", "the request"),
    ]
    assert (rows[1]["says"], rows[1]["loc"]) == ("not text", ["body", "tags", 1])
