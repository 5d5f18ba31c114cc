"""The grammar of an update's words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_jobs_cli.core import known_keys
from nemo_jobs_cli.core.errors import Pointer, UsageError
from nemo_jobs_cli.fields import parse as fields

FILES = {"notes.txt": "line 1\nline 2\n", "m.json": '{"a": [1]}', "-": "from stdin", "p.txt": "45", "p.json": "101"}


def parse(*words):
    """Parse words that follow a job."""
    return fields.parse_fields(
        [(f"argument {n}", word) for n, word in enumerate(words, 2)], known_keys.NUMBERS, FILES.__getitem__
    )


@pytest.mark.parametrize(
    ("word", "key", "value", "kind"),
    [
        ("message=batch 3 of 10", "message", "batch 3 of 10", "text"),
        ("message=", "message", "", "text"),
        ("a=b=c", "a", "b=c", "text"),
        ("a=:=1", "a", ":=1", "text"),
        ("a=@/etc/passwd", "a", "@/etc/passwd", "text"),
        ("url=http://x/?a=@b", "url", "http://x/?a=@b", "text"),
        ("a.b[0]=x", "a.b[0]", "x", "text"),
        ("with space=x", "with space", "x", "text"),
        ("né🚀=x", "né🚀", "x", "text"),
        ("a\n'\"=x", "a\n'\"", "x", "text"),
        ("a:b=x", "a:b", "x", "text"),
        ("a@b=x", "a@b", "x", "text"),
        ("progress=45", "progress", 45, "number"),
        ("a:=1", "a", 1, "JSON number"),
        ("a:=true", "a", True, "JSON boolean"),
        ("a:=null", "a", None, "JSON null"),
        ('a:=[1, {"b": 2}]', "a", [1, {"b": 2}], "JSON list"),
        ("a:=1e-5", "a", 1e-5, "JSON number"),
        ('step:="build"', "step", "build", "JSON string"),
        ("log@=notes.txt", "log", "line 1\nline 2\n", "text of notes.txt"),
        ("log@=-", "log", "from stdin", "text of stdin"),
        ("m:@=m.json", "m", {"a": [1]}, "JSON object of m.json"),
    ],
)
def test_the_marker_left_of_the_first_equals_sign_decides(word, key, value, kind):
    """Everything right of it is the value and never anything else."""
    (field,) = parse(word).fields
    assert (field.key, field.value, field.kind) == (key, value, kind)
    assert field.pointer.label == "argument 2"
    assert field.pointer.line == word


def test_the_later_of_two_equal_keys_wins():
    """As in a shell script that appends an override."""
    assert [(f.key, f.value) for f in parse("a=1", "b=2", "a=3").fields] == [("b", "2"), ("a", "3")]


@pytest.mark.parametrize(
    ("word", "column", "message"),
    [
        ("=x", 0, "no key"),
        (":=1", 0, "no key"),
        ("@=f", 0, "no key"),
        (":@=f", 0, "no key"),
        ("log@=", 5, "names no file"),
        ("m:@=", 4, "names no file"),
        ("a:=[1,", 6, "invalid JSON"),
        ("step=build", 5, "must be a number"),
        ("caf\udce9=1", 3, "not UTF-8"),
        ("m=caf\udce9", 5, "not UTF-8"),
    ],
)
def test_a_mistake_is_pointed_at(word, column, message):
    """The mark stands under the character."""
    with pytest.raises(UsageError) as caught:
        parse(word)
    assert message in caught.value.message
    assert (caught.value.pointer.label, caught.value.pointer.column) == ("argument 2", column)


def test_a_json_file_may_begin_with_a_byte_order_mark():
    """Editors on Windows write one; a text keeps it, since it is taken exactly."""
    parsed = fields.parse_fields(
        [("argument 2", "a:@=m.json"), ("argument 3", "b@=m.json")], known_keys.NUMBERS, lambda _: "\ufeff{}"
    )
    assert [field.value for field in parsed.fields] == [{}, "\ufeff{}"]


def test_a_long_word_is_cut_where_it_is_shown_as_wrong():
    """A whole file may have landed in an argument; the mark still stands under its character."""
    with pytest.raises(UsageError) as caught:
        parse("step=" + "9" * 50_000 + "x")
    assert len(caught.value.pointer.line) <= 100
    assert caught.value.pointer.line[caught.value.pointer.column] == "9"
    with pytest.raises(UsageError) as caught:
        parse("a=" + "x" * 50_000 + "\udce9")
    assert caught.value.pointer.line[caught.value.pointer.column] == "\udce9"


def test_a_files_name_is_harmless_on_a_terminal():
    """It may hold escapes; the message shows them as such."""
    with pytest.raises(UsageError) as caught:
        fields.parse_fields([("argument 2", "m:@=e\x1b[31m.json")], known_keys.NUMBERS, lambda _: "[")
    assert caught.value.message.startswith("e\\x1b[31m.json:1:2: ")


def test_a_mistake_in_a_file_names_the_file():
    """The word is fine there; the file's third character is not."""
    with pytest.raises(UsageError) as caught:
        fields.parse_fields([("argument 2", "m:@=m.json")], known_keys.NUMBERS, lambda _: "{}}")
    assert caught.value.pointer == Pointer("m.json:1:3", "{}}", 2)


def test_a_word_without_a_separator_is_an_error():
    """In the words of a command line before anything is read, and in words from elsewhere."""
    read = []
    with pytest.raises(UsageError, match="argument 3 is not key=value: 'of'"):
        fields.split_job(["train", "a@=notes.txt", "of"])
    with pytest.raises(UsageError, match="argument 3 is not key=value: 'of'"):
        fields.parse_fields([("argument 2", "a@=notes.txt"), ("argument 3", "of")], known_keys.NUMBERS, read.append)
    assert read == []


def test_the_first_word_without_a_separator_is_the_job():
    """All later words are fields, and positions count from 1."""
    assert fields.split_job(["train", "a=1", "b="]) == ("train", [("argument 2", "a=1"), ("argument 3", "b=")])
    assert fields.split_job(["a=1", "b=2"]) == (None, [("argument 1", "a=1"), ("argument 2", "b=2")])
    assert fields.split_job([]) == (None, [])


def test_an_empty_job_is_an_error():
    """An unset $JOB must not silently mean one's own job."""
    with pytest.raises(UsageError, match="JOB is empty"):
        fields.split_job(["", "a=1"])


def test_a_misspelt_key_is_a_warning_and_is_sent():
    """It may be meant; the key it resembles must not be there already."""
    assert "did you mean progress?" in parse("progres=45").warnings[0]
    assert parse("progres=45", "progress=45").warnings == ()
    assert fields.parse_fields([("argument 2", "stages=4")], known_keys.NUMBERS | {"stages"}, str).warnings == ()


def test_text_that_looks_like_a_number_is_a_note():
    """Only people at a terminal hear of it."""
    parsed = parse("loss=0.3")
    assert parsed.fields[0].value == "0.3"
    assert parsed.notes == ("loss=0.3 is sent as text; loss:=0.3 sends a number (or --number loss)",)
    assert parse("note=hello").notes == ()
    assert parse("message=404", "status=2").notes == ()


@pytest.mark.parametrize(
    "word", ['progress:="45"', "progress:=101", "progress@=p.txt", "progress:@=p.json", "progress:=null"]
)
def test_progress_that_is_no_number_is_sent_with_a_warning(word):
    """Who writes JSON says exactly what is wanted, but the platform's page will break."""
    assert "progress" in parse(word).warnings[0]


def test_progress_as_the_text_of_a_file_names_the_other_marker():
    """It is one character away."""
    assert "progress:@= reads a number" in parse("progress@=p.txt").warnings[0]


def test_a_files_values_are_checked_too():
    """Sent as they are, with the same warning."""
    assert fields.value_warnings({"progress": "45"}, "m.json")[0].startswith("m.json: progress")
    assert fields.value_warnings({"progress": 45, "a": 1}, "m.json") == ()
    assert fields.value_warnings({}, "m.json") == ()
    assert fields.value_warnings({"progress": 101}, "-") == ("stdin: progress 101 is outside 0-100",)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda k: "=" not in k and k[-1] not in ":@" and k not in known_keys.NUMBERS),
       st.text(st.characters(exclude_categories=["Cs"])))  # fmt: skip
def test_any_text_comes_through_unchanged(key, value):
    """For every key without a separator and every value."""
    (field,) = parse(f"{key}={value}").fields
    assert (field.key, field.value) == (key, value)


@given(st.lists(st.text()))
def test_no_words_end_in_anything_but_fields_or_a_usage_error(words):
    """Whatever a shell hands over; no file is read unless a marker asks for it."""
    read = []

    def read_text(path):
        read.append(path)
        return "{}"

    try:
        job, rest = fields.split_job(words)
        parsed = fields.parse_fields(rest, known_keys.NUMBERS, read_text)
    except UsageError as error:
        if error.pointer is not None and error.pointer.column is not None:
            assert 0 <= error.pointer.column <= len(error.pointer.line)
    else:
        assert len(parsed.fields) <= len(rest)
        assert job is None or "=" not in job
    assert len(read) <= sum("@=" in word for word in words)


def test_a_key_that_is_given_twice_is_told():
    """The last one counts, as in a file's stead it would be an error."""
    found = parse("progress=1", "progress=2")
    assert [field.value for field in found.fields] == [2]
    assert found.warnings == ("progress is given twice: the last one counts",)


def test_a_file_as_curl_names_it_is_text_with_a_note():
    """No value ever reads a file; who means it learns how."""
    found = parse("log=@notes.txt", "at=@")
    assert [field.value for field in found.fields] == ["@notes.txt", "@"]
    assert found.notes == ("log=@notes.txt is sent as text; log@=notes.txt sends what the file holds",)
