"""Lines that are updates: JSON or fields, merged as if each had been applied in order."""

from __future__ import annotations

import json
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import nearly

from nemo_jobs_cli.core import known_keys
from nemo_jobs_cli.core.errors import NemoJobsError, UsageError
from nemo_jobs_cli.fields import lines, strict_json
from nemo_jobs_cli.fields.flow import MAX_KEYS, FlowValues

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
NOT_FINITE = st.sampled_from(
    ['{"a":NaN}', '{"a":1e999}', '{"a":-1e999, "b":[NaN]}', "a:=NaN", "progress=nan step=1e400"]
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
IGNORED = st.sampled_from(["", " ", "\t", "\r", "# a comment", "  # x=1"])
BAD = st.sampled_from(
    [
        "x", "=1", "step=x", "progress=200", "a:=[", "f@=/etc/hosts", "f:@=-", "a='", "{", "{}x", '{"a":1}{"b":2}',
        '{"a":1,"a":2}', '{"a":"\\ud800"}', '{"a":' + "9" * 5000 + "}",
        '{"a":' + "[" * 300 + "]" * 300 + "}", '{"a":' + "[" * 100_000, '{"a": 1,}', "[1]", '{"a":"\t"}',
    ]
)  # fmt: skip
GOOD = nearly('{"a": 1}', '{"a": {"b": [2]}}', "a=1 step=3", "a:=[1]", more=st.text("{}[]\",:= '1", max_size=1))
LINES = st.one_of(DUMPED, TYPED, IGNORED, NOT_FINITE, BAD).map(lambda line: line.replace("\n", ""))


def merge(text, first=1):
    """Return the merged lines, and the errors."""
    errors = []
    return lines.merge(text, first, "in", values(), errors.append), errors


def values(notes=None):
    """Return the values of a flow; their notes go to a list."""
    return FlowValues(known_keys.NUMBERS, ([] if notes is None else notes).append)


def one_by_one(all_lines, first):
    """Apply lines in order: return the fields, the number of updates and the error messages."""
    fields, updates, messages = {}, 0, []
    for number, line in enumerate(all_lines, first):
        bare = line.strip(" \t\r")
        if not bare or bare.startswith("#"):
            continue
        try:
            fields |= lines.parse_line(bare, "in", values(), number)
            updates += 1
        except NemoJobsError as error:
            messages.append(error.message)
    return fields, updates, messages


@given(st.lists(LINES, max_size=12), st.integers(1, 10**6), st.booleans(), st.sampled_from(["\n", "\r\n"]))
def test_lines_merge_as_if_applied_in_order(all_lines, first, ended, end):
    """For any mix of lines, with and without the fast path; errors name the number of the line."""
    text = end.join(all_lines) + (end if ended and all_lines else "")
    merged, errors = merge(text, first)
    fields, updates, messages = one_by_one(all_lines, first)
    assert merged.fields == fields
    assert list(map(repr, merged.fields.values())) == [repr(fields[key]) for key in merged.fields]  # 1 is not True
    assert merged.updates == updates
    assert [error.message for error in errors] == messages
    assert merged.lines == text.count("\n") + (not text.endswith("\n") and bool(text))


@given(st.lists(DUMPED, min_size=1, max_size=6))
def test_an_object_has_the_same_fields_as_in_a_file(all_lines):
    """As with `update -f`."""
    fields = {}
    for line in all_lines:
        fields |= strict_json.load_object(line, "file")
    assert merge("\n".join(all_lines) + "\n") == ((fields, len(all_lines), len(all_lines)), [])


@pytest.mark.parametrize("char", ["x", "é"])
def test_a_line_has_a_mebibyte_at_most(char):
    """In bytes, with its key."""
    most = f"ab={char * ((lines.MAX_LINE - 4) // len(char.encode()))}"
    assert lines.parse_line(most, "in", values()) == {"ab": most[3:]}
    with pytest.raises(UsageError, match="in:1: longer than 1 MiB"):
        lines.parse_line(most + "xx", "in", values())


@given(st.text(st.sampled_from('{}[]":,\\u0dDcCeE+-19 \tatrueNn'), max_size=30).map('{"a":{}'.__add__) | BAD | GOOD)
def test_a_bad_line_does_not_affect_the_others(line):
    """Its error is the one of `parse_line`."""
    merged, errors = merge(f'{{"z": 1}}\n{line}\n{{"y": 2}}\n')
    try:
        expected = lines.parse_line(line.strip(" \t\r"), "in", values(), 2)
    except UsageError as error:
        assert [one.message for one in errors] == [error.message]
        expected = {}
    else:
        assert errors == []
    assert merged.fields == {"z": 1} | expected | {"y": 2}
    assert merged.lines == 3


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
    """Words are split as in a shell, but nothing is expanded."""
    merged, errors = merge(line)
    assert (merged.fields, errors) == (fields, [])


@given(
    st.dictionaries(
        st.text(st.sampled_from("abc .é"), min_size=1),
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n")),
        min_size=1,
    )
)
def test_words_are_quoted_as_in_a_shell(fields):
    """`shlex.quote` works for any text."""
    words = {f"k{key}": text for key, text in fields.items()}
    merged, errors = merge(" ".join(shlex.quote(f"{key}={text}") for key, text in words.items()))
    assert (merged.fields, errors) == (words, [])


@pytest.mark.parametrize(
    ("line", "message", "column"),
    [
        ("a=1 step=x", "in:7: invalid step 'x': must be a number", 5),
        ("progress=200", "in:7: invalid progress '200': must be from 0 to 100", 9),
        ("a:=[1,", "in:7: invalid JSON: expecting value", 6),
        ("=1", "in:7: invalid field '=1': no key", 0),
        ("hello", "in:7: invalid field 'hello': not key=value", None),
        ("a='b", "in:7: no closing quotation", None),
        ("a=b\\", "in:7: no escaped character", None),
        ('{"a": "\\ud800"}', "in:7:7: lone surrogate, which the platform cannot store", 6),
        ('{"a": 1, "a": 2}', 'in:7:10: duplicate key "a"', 9),
        ("{", "in:7:2: invalid JSON: expecting property name enclosed in double quotes", 1),
    ],
)
def test_an_error_points_at_line_and_character(line, message, column):
    """As on a command line."""
    _, (error,) = merge(f'{{"ok": 1}}\n\n{line}\nb=2\n', 5)
    assert error.message.startswith(message)
    assert error.pointer.column == column
    assert error.hint


@pytest.mark.parametrize("line", ["[1]", "a=1 m.json", "-f m.json", "@m.json", "[INFO] step 3"])
def test_a_hint_for_a_line_has_no_options_of_update(line):
    """A stream has no -f."""
    _, (error,) = merge(line)
    assert "not key=value" in error.message
    assert error.hint == 'write key=value or {"key": value}; use --match to find fields in other text'


@pytest.mark.parametrize("word", ["f@={}", "f:@={}", "'f@={}'", "f@=-", "f:@=-", "f:@=/dev/stdin", "a=1 f@={}"])
def test_a_line_never_reads_a_file(word, tmp_path):
    """A program may repeat text from elsewhere: `message@=/etc/passwd` must be harmless."""
    path = tmp_path / "secret.json"
    path.write_text('"secret"', encoding="utf-8")
    merged, (error,) = merge(word.format(path))
    assert merged.fields == {}
    assert error.message.startswith("in:1: cannot read '")
    assert "secret" not in error.hint


@given(st.text(st.sampled_from("f:@=-/{}\"' \t"), max_size=12))
def test_any_line_opens_no_file(line):
    """For any mix of the characters with a meaning."""
    import builtins
    import os

    opened = []
    before = builtins.open, os.open
    builtins.open = os.open = lambda *given, **_: opened.append(given)
    try:
        merge(line)
    finally:
        builtins.open, os.open = before
    assert opened == []


@pytest.mark.parametrize("before", range(11))
def test_a_number_that_may_overflow_is_found_at_any_offset(before):
    """The search looks at every tenth character only."""
    lead, tail = "x" * before, "x" * 1000
    for suspect in ("9" * 100, "9" * 109, "1" + "0" * 308 + ".5", "e100", "E100", "1e+99", "1E+99"):
        assert not strict_json.is_plain(lead + suspect + tail), suspect
        assert not strict_json.is_plain(lead + suspect), suspect
    for harmless in ("9" * 99, "9" * 95 + "." + "9" * 95, "e99", "E99", "1e-999"):
        assert strict_json.is_plain(lead + harmless + tail), harmless
    merged, errors = merge("# " + lead + '\n{"a": 1}\n{"a": 1' + "0" * 309 + '.0, "b": 1}\n{"c": 2}\n')
    assert (merged.fields, errors) == ({"a": None, "b": 1, "c": 2}, [])


@pytest.mark.parametrize(
    ("line", "fields", "keys"),
    [
        ('{"step":2,"loss":NaN}', {"step": 2, "loss": None}, "loss"),
        ('{"step":2,"loss":-Infinity,"lr":1e999}', {"step": 2, "loss": None, "lr": None}, "loss lr"),
        ('{"step":2,"m":{"a":[1,NaN,{"b":Infinity}]}}', {"step": 2, "m": {"a": [1, None, {"b": None}]}}, "m"),
        ("step=2 loss=nan lr=-inf a_loss=Infinity", {"step": 2, "loss": None, "lr": None, "a_loss": None}, "loss lr a_loss"),
        ("step=2 lr=1e999 a:=NaN b:=[Infinity]", {"step": 2, "lr": None, "a": None, "b": [None]}, "lr a b"),
        ('{"step":2,"progress":NaN}', {"step": 2}, "progress"),
        ("step=2 progress=nan", {"step": 2}, "progress"),
        ("step=2 message=nan", {"step": 2, "message": "nan"}, ""),
    ],
)  # fmt: skip
def test_nan_and_infinity_do_not_cost_the_rest_of_a_line(line, fields, keys):
    """They are sent as null, once noted for each key; the platform's page breaks on a progress of null."""
    notes = []
    assert lines.merge(f"{line}\n" * 3, 1, "in", values(notes), pytest.fail) == (fields, 3, 3)
    end = "it is not sent" if keys == "progress" else "null is sent"
    assert notes == [f"{key} contains NaN or Infinity, which JSON does not have: {end}" for key in keys.split()]


def test_text_that_looks_like_a_number_is_noted_once():
    """After ten values or at the end, if every value of the key looks so; JSON strings are meant as text."""
    notes = []
    flow = values(notes)
    for n in range(12):
        lines.merge(f'bleu={n} version={n}{"" if n else ".x"} message=3\n{{"a": "3"}}\n', 1, "in", flow, pytest.fail)
        assert len(notes) == (n >= 9)
    lines.merge("f1=0.5\n", 1, "in", flow, pytest.fail)
    flow.finish()
    assert notes == [
        f"{key} is sent as text, although it looks like a number; --number {key} sends one" for key in ("bleu", "f1")
    ]


def test_a_misspelled_key_has_one_note():
    """Also if its text looks like a number, and whatever many lines at once say."""
    notes = []
    flow = values(notes)
    for line in ("progres=1 mesage=x\n" * 12, "progres=2 step=3 bleu:=1\n"):
        flow.check_keys(lines.merge(line, 1, "in", flow, pytest.fail).fields)
    flow.finish()
    assert notes == [
        "mesage is not a key that the platform shows; did you mean message?",
        "progres is not a key that the platform shows; did you mean progress?",
    ]


def test_the_remembered_keys_are_bounded():
    """A program may invent a key per line."""
    notes = []
    flow = values(notes)
    for n in range(MAX_KEYS):
        flow.check_keys({f"key{n}": n})
    for _ in range(2):
        flow.check_keys({"progres": 1})
    assert notes == []  # one that is not remembered would have a note each time


def test_the_keys_with_notes_are_bounded():
    """A program may invent a key per line."""
    notes = []
    flow = values(notes)
    lines.merge("".join(f"a{n}=1 b{n}:=NaN\n" for n in range(2 * MAX_KEYS)), 1, "in", flow, pytest.fail)
    flow.finish()
    assert len(notes) == 2 * MAX_KEYS


def test_an_error_may_stop_the_merge():
    """The lines before it count."""
    assert lines.merge("a=1\noops\nb=2\n", 1, "in", values(), lambda _: True) == ({"a": "1"}, 2, 1)
