"""Lines that are updates: JSON or fields, folded as if each had been applied in turn."""

from __future__ import annotations

import json
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_jobs_cli.core import known_keys
from nemo_jobs_cli.core.errors import NemoJobsError, UsageError
from nemo_jobs_cli.fields import lines, strict_json

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.sampled_from("abc") | TEXT, VALUES, max_size=4)
DUMPED = st.builds(
    lambda value, ascii_only, indent: json.dumps(value, ensure_ascii=ascii_only, separators=indent),
    OBJECTS,
    st.booleans(),
    st.sampled_from([None, (",", ":"), (" ,", " : ")]),
)
WORDS = st.sampled_from(
    ["a=1", "b=x", "progress=45", "progress=3/10", "c:=[1]", "message='batch 3'", "step=7", '"d e"=f']
)
TYPED = st.lists(WORDS, min_size=1, max_size=3).map(" ".join)
SILENT = st.sampled_from(["", " ", "\t", "\r", "# a comment", "  # x=1"])
BAD = st.sampled_from(
    [
        "x", "=1", "step=x", "progress=200", "a:=[", "a:=NaN", "f@=/etc/hosts", "f:@=-", "a='", "{", "{}x", '{"a":1}{"b":2}',
        '{"a":NaN}', '{"a":1e999}', '{"a":-1e999}', '{"a":1,"a":2}', '{"a":"\\ud800"}', '{"a":' + "9" * 5000 + "}",
        '{"a":' + "[" * 300 + "]" * 300 + "}", '{"a":' + "[" * 100_000, '{"a": 1,}', "[1]", '{"a":"\t"}',
    ]
)  # fmt: skip
LINES = st.one_of(DUMPED, TYPED, SILENT, BAD).map(lambda line: line.replace("\n", ""))


def fold(text, first=1):
    """Return what lines amount to, and the errors."""
    errors = []
    return lines.merge(text, first, "in", known_keys.NUMBERS, errors.append), errors


def one_by_one(found, first):
    """Apply lines in order, each by itself: the fields, the updates and the messages of errors."""
    state, updates, said = {}, 0, []
    for number, line in enumerate(found, first):
        bare = line.strip(" \t\r")
        if not bare or bare.startswith("#"):
            continue
        try:
            state.update(lines.parse_line(bare, "in", known_keys.NUMBERS, number))
            updates += 1
        except NemoJobsError as error:
            said.append(error.message)
    return state, updates, said


@given(st.lists(LINES, max_size=12), st.integers(1, 10**6), st.booleans(), st.sampled_from(["\n", "\r\n"]))
def test_a_fold_is_each_line_applied_in_order(found, first, ended, end):
    """Whatever lines are mixed, whichever of them the fast way takes; bad ones are told of by their numbers."""
    text = end.join(found) + (end if ended and found else "")
    read, errors = fold(text, first)
    state, updates, said = one_by_one(found, first)
    assert read.fields == state
    assert list(map(repr, read.fields.values())) == [repr(state[key]) for key in read.fields]  # 1 is not True, nor 1.0
    assert read.updates == updates
    assert [error.message for error in errors] == said
    assert read.lines == text.count("\n") + (not text.endswith("\n") and bool(text))


@given(st.lists(DUMPED, min_size=1, max_size=6))
def test_an_object_is_what_it_is_elsewhere(found):
    """As in a file of `update -f`."""
    state = {}
    for line in found:
        state |= strict_json.load_object(line, "file")
    read, errors = fold("\n".join(found) + "\n")
    assert read == (state, len(found), len(found))
    assert errors == []


@given(st.text(st.sampled_from('{}[]":,\\u0dDcCeE+-19 \tatrueNn'), max_size=30).map('{"a":{}'.__add__) | BAD)
def test_what_is_refused_elsewhere_is_refused_here(line):
    """And with the same words; a line's number stands in for that of the file."""
    read, errors = fold(f'{{"z": 1}}\n{line}\n{{"y": 2}}\n')
    try:
        expected = lines.parse_line(line.strip(" \t\r"), "in", known_keys.NUMBERS, 2)
    except UsageError as error:
        assert [one.message for one in errors] == [error.message]
        expected = {}
    else:
        assert errors == []
    assert read.fields == {"z": 1} | expected | {"y": 2}
    assert read.lines == 3


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        ("progress=45", {"progress": 45}),
        ("progress=3/10 status=running", {"progress": 30, "status": "running"}),
        ('message="batch 3 of 10"', {"message": "batch 3 of 10"}),
        ("message='it is' x=y", {"message": "it is", "x": "y"}),
        (r"message=a\ b", {"message": "a b"}),
        ("a=1\tb=2", {"a": "1", "b": "2"}),
        ("  a=1  ", {"a": "1"}),
        ("message=10\u00a0%", {"message": "10\u00a0%"}),
        ("message=a\u2028b\x0bc\x85d", {"message": "a\u2028b\x0bc\x85d"}),
        ("tags:=[1,2]", {"tags": [1, 2]}),
        ("""tags:='["a", "b"]'""", {"tags": ["a", "b"]}),
        ("message=# a=1", {"message": "#", "a": "1"}),
        ("message=#1", {"message": "#1"}),
        ("a=1 a=2", {"a": "2"}),
        ('{"progress": "45"}', {"progress": "45"}),
        ('  {"a": 1}\r', {"a": 1}),
        ("{}", {}),
        ("message={}", {"message": "{}"}),
        ("a=$HOME b=`id` c=*", {"a": "$HOME", "b": "`id`", "c": "*"}),
        ("message=<~/x;y&z|", {"message": "<~/x;y&z|"}),
    ],
)
def test_a_line_is_json_or_words(line, fields):
    """Words as one types them after `nemo-jobs update`, but that nothing is expanded."""
    read, errors = fold(line)
    assert (read.fields, errors) == (fields, [])


@given(
    st.dictionaries(
        st.text(st.sampled_from("abc .é"), min_size=1),
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n")),
        min_size=1,
    )
)
def test_words_are_quoted_as_in_a_shell(fields):
    """`shlex.quote` of whatever text brings it through."""
    words = {f"k{key}": text for key, text in fields.items()}
    read, errors = fold(" ".join(shlex.quote(f"{key}={text}") for key, text in words.items()))
    assert (read.fields, errors) == (words, [])


@pytest.mark.parametrize(
    ("line", "message", "column"),
    [
        ("a=1 step=x", "in:7: step must be a number: 'x'", 5),
        ("progress=200", "in:7: progress must be 0 to 100: '200'", 9),
        ("a:=[1,", "in:7: invalid JSON: expecting value", 6),
        ("=1", "in:7 has no key: '=1'", 0),
        ("hello", "in:7 is not key=value: 'hello'", None),
        ("a='b", "in:7: no closing quotation", None),
        ("a=b\\", "in:7: no escaped character", None),
        ('{"a": NaN}', "in:7:7: NaN is not JSON, and the platform would store it as null", 6),
        ('{"a": 1, "a": 2}', 'in:7:10: duplicate key "a"', 9),
        ("{", "in:7:2: invalid JSON: expecting property name enclosed in double quotes", 1),
    ],
)
def test_a_mistake_names_its_line_and_its_character(line, message, column):
    """As mistakes on a command line are pointed at."""
    _, (error,) = fold(f'{{"ok": 1}}\n\n{line}\nb=2\n', 5)
    assert error.message.startswith(message)
    assert error.pointer.column == column
    assert error.hint


@pytest.mark.parametrize("line", ["[1]", "a=1 m.json", "-f m.json", "@m.json", "[INFO] step 3"])
def test_a_line_is_not_answered_with_options_of_update(line):
    """There is no -f in a stream: the hint says what a line may be."""
    _, (error,) = fold(line)
    assert "is not key=value" in error.message
    assert error.hint == 'write key=value or {"key": value}; to find fields in other text: --match'


@pytest.mark.parametrize("word", ["f@={}", "f:@={}", "'f@={}'", "f@=-", "f:@=-", "f:@=/dev/stdin", "a=1 f@={}"])
def test_no_line_reads_a_file(word, tmp_path):
    """A program repeats what others told it: `message@=/etc/passwd` must stay harmless."""
    path = tmp_path / "secret.json"
    path.write_text('"secret"')
    read, (error,) = fold(word.format(path))
    assert read.fields == {}
    assert "a line can't read a file" in error.message
    assert "secret" not in error.hint


@given(st.text(st.sampled_from("f:@=-/{}\"' \t"), max_size=12))
def test_no_line_can_be_worded_so_that_it_reads_a_file(line):
    """Whatever it is made of, a line opens nothing."""
    import builtins
    import os

    opened = []
    before = builtins.open, os.open
    builtins.open = os.open = lambda *given, **_: opened.append(given)
    try:
        fold(line)
    finally:
        builtins.open, os.open = before
    assert opened == []


def test_a_long_path_is_not_repeated_in_full():
    """A complaint is one line."""
    _, (error,) = fold("f@=" + "x" * 100_000)
    assert len(error.message) < 200


@pytest.mark.parametrize("before", range(11))
def test_a_number_that_may_overflow_is_seen_wherever_it_stands(before):
    """The look that spares the second one may take no shortcut too many."""
    lead, tail = "x" * before, "x" * 1000
    for suspect in ("9" * 100, "9" * 109, "1" + "0" * 308 + ".5", "e100", "E100", "1e+99", "1E+99"):
        assert not strict_json.is_plain(lead + suspect + tail), suspect
        assert not strict_json.is_plain(lead + suspect), suspect
    for harmless in ("9" * 99, "9" * 95 + "." + "9" * 95, "e99", "E99", "1e-999"):
        assert strict_json.is_plain(lead + harmless + tail), harmless
    read, (error,) = fold("# " + lead + '\n{"a": 1}\n{"a": 1' + "0" * 309 + '.0, "b": 1}\n{"c": 2}\n')
    assert read.fields == {"a": 1, "c": 2}
    assert error.message.startswith("in:3:")
    assert "too large" in error.message


def test_bad_may_stop_it():
    """What stands before the mistake counts, and is counted."""
    read = lines.merge("a=1\noops\nb=2\n", 1, "in", frozenset(), lambda _: True)
    assert read == ({"a": "1"}, 2, 1)
