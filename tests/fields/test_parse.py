"""The grammar of fields."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import nearly

from nemo_jobs_cli.core import known_keys
from nemo_jobs_cli.core.errors import Pointer, UsageError
from nemo_jobs_cli.fields import parse as fields

FILES = {"notes.txt": "line 1\nline 2\n", "m.json": '{"a": [1]}', "-": "from stdin", "p.txt": "45", "p.json": "101"}


def parse(*words):
    """Parse the words after a job."""
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
    """Everything right of it is the value."""
    (field,) = parse(word).fields
    assert (field.key, field.value, field.kind) == (key, value, kind)
    assert field.pointer == ("argument 2", word, None)


def test_the_last_of_equal_keys_wins_with_a_warning():
    """As in a shell script that appends an override."""
    parsed = parse("a=1", "b=2", "a=3")
    assert [(field.key, field.value) for field in parsed.fields] == [("b", "2"), ("a", "3")]
    assert parsed.warnings == ("a is given twice: using the last value",)


@pytest.mark.parametrize(
    ("word", "column", "message"),
    [
        ("=x", 0, "no key"),
        (":=1", 0, "no key"),
        ("@=f", 0, "no key"),
        (":@=f", 0, "no key"),
        ("log@=", 5, "no file name"),
        ("m:@=", 4, "no file name"),
        ("a:=[1,", 6, "invalid JSON"),
        ("step=build", 5, "must be a number"),
        ("caf\udce9=1", 3, "not UTF-8"),
        ("m=caf\udce9", 5, "not UTF-8"),
    ],
)
def test_an_error_points_at_its_character(word, column, message):
    """By its offset in the word."""
    with pytest.raises(UsageError) as caught:
        parse(word)
    assert message in caught.value.message
    assert (caught.value.pointer.label, caught.value.pointer.column) == ("argument 2", column)


def test_a_json_file_may_begin_with_a_byte_order_mark():
    """Windows editors write one; text keeps it."""
    parsed = fields.parse_fields([("1", "a:@=m.json"), ("2", "b@=m.json")], frozenset(), lambda _: "\ufeff{}")
    assert [field.value for field in parsed.fields] == [{}, "\ufeff{}"]


def test_an_error_shortens_a_long_word_around_its_character():
    """The argument may be a whole file."""
    with pytest.raises(UsageError) as caught:
        parse("a=" + "x" * 50_000 + "\udce9")
    pointer = caught.value.pointer
    assert len(pointer.line) <= 100
    assert pointer.line[pointer.column] == "\udce9"


def test_an_error_in_a_file_names_the_file():
    """Not the word, and with terminal controls escaped."""
    with pytest.raises(UsageError) as caught:
        fields.parse_fields([("argument 2", "m:@=e\x1b[31m.json")], frozenset(), lambda _: "{}}")
    assert caught.value.pointer == Pointer("e\\x1b[31m.json:1:3", "{}}", 2)
    assert caught.value.message.startswith("e\\x1b[31m.json:1:3: ")


def test_a_word_without_a_separator_is_an_error_before_any_file_is_read():
    """On a command line and in words from elsewhere."""
    with pytest.raises(UsageError, match="argument 3: invalid field 'of': not key=value"):
        fields.split_job(["train", "a@=notes.txt", "of"])
    with pytest.raises(UsageError, match="argument 3: invalid field 'of': not key=value"):
        fields.parse_fields([("argument 2", "a@=notes.txt"), ("argument 3", "of")], frozenset(), pytest.fail)


def test_words_from_elsewhere_get_no_advice_about_job():
    """A line of a stream has no JOB."""
    with pytest.raises(UsageError) as caught:
        fields.parse_fields([("line 1", "a:=1"), ("line 1", "of")], frozenset(), pytest.fail)
    assert "JOB" not in caught.value.hint


def test_the_first_word_without_a_separator_is_the_job():
    """All others are fields; positions count from 1. An unset $JOB does not mean the job of the environment."""
    assert fields.split_job(["train", "a=1", "b="]) == ("train", [("argument 2", "a=1"), ("argument 3", "b=")])
    assert fields.split_job(["a=1", "b=2"]) == (None, [("argument 1", "a=1"), ("argument 2", "b=2")])
    assert fields.split_job([]) == (None, [])
    with pytest.raises(UsageError, match="empty job name in JOB"):
        fields.split_job(["", "a=1"])


def test_a_misspelled_key_is_sent_with_a_warning():
    """Unless the key that it resembles is given too, or it is in --number."""
    assert "did you mean progress?" in parse("progres=45").warnings[0]
    assert parse("progres=45", "progress=45").warnings == ()
    assert fields.parse_fields([("argument 2", "stages=4")], known_keys.NUMBERS | {"stages"}, str).warnings == ()


def test_text_that_looks_like_a_number_or_a_file_gets_a_note():
    """A value never reads a file, unlike with curl; the note says how to send the number or the file."""
    parsed = parse("bleu=0.3", "note=hello", "message=404", "log=@notes.txt", "at=@")
    assert [field.value for field in parsed.fields] == ["0.3", "hello", "404", "@notes.txt", "@"]
    assert parsed.notes == (
        "bleu=0.3 is sent as text; bleu:=0.3 sends a number (or --number bleu)",
        "log=@notes.txt is sent as text; log@=notes.txt sends the file's text",
    )


@pytest.mark.parametrize(
    "word", ['progress:="45"', "progress:=101", "progress@=p.txt", "progress:@=p.json", "progress:=null"]
)
def test_json_and_files_send_any_progress_with_a_warning(word):
    """The platform's page cannot show it; the text of a file may be a number with another marker."""
    (warning,) = parse(word).warnings
    assert warning.startswith("progress ")
    assert warning.endswith("; use progress:@= to send a number") is ("p.txt" in word)


def test_the_values_of_a_file_get_warnings_too():
    """They are sent unchanged."""
    assert fields.value_warnings({"progress": "45"}, "m.json")[0].startswith("m.json: progress")
    assert fields.value_warnings({"progress": 45, "a": 1}, "m.json") == ()
    assert fields.value_warnings({}, "m.json") == ()
    assert fields.value_warnings({"progress": 101}, "-") == ("stdin: progress 101 is not from 0 to 100",)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda k: "=" not in k and k[-1] not in ":@" and k not in known_keys.NUMBERS),
       st.text(st.characters(exclude_categories=["Cs"])))  # fmt: skip
def test_any_text_is_sent_unchanged(key, value):
    """For every key without `=` and every value."""
    (field,) = parse(f"{key}={value}").fields
    assert (field.key, field.value) == (key, value)


@given(st.lists(nearly("train-x", "a=1", "a:=1", 'a:={"b": [1, 2]}', "a@=f", "a:@=f", "a:=NaN") | st.text()))
def test_any_words_are_fields_or_a_usage_error(words):
    """A file is read only for a marker."""
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
