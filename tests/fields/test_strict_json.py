"""Strict JSON: what is refused, where the error points, and that nothing else is refused."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_jobs_cli.core.errors import Pointer, UsageError
from nemo_jobs_cli.fields import _json_errors, strict_json

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=20,
)

REFUSED = [
    ("", 0, "nothing where JSON is needed", "did the command fail"),
    ("  \n ", 0, "nothing where JSON is needed", "0.5"),
    ("hello", 0, "expecting value", '{"progress": 45}'),
    ("[hello]", 1, "expecting value", "a JSON value is needed"),
    ("True", 0, "expecting value", "small letters"),
    ("[1, None]", 4, "expecting value", "small letters"),
    ("{'a': 1}", 1, "property name", "JSON quotes"),
    ("{a: 1}", 1, "property name", "double quotes"),
    ("[1,]", 2, "a comma and nothing after it", "last comma"),
    ('{"a":1 , \n}', 7, "a comma and nothing after it", "last comma"),
    ('{"a":1', 6, "expecting ',' delimiter", "ends too early"),
    ('{"a": ', 5, "expecting value", "ends too early"),
    ('{"a":1 "b":2}', 7, "expecting ',' delimiter", "put a comma"),
    ('{"a" 1}', 5, "expecting ':' delimiter", "JSON writes numbers"),
    ('{"a" "b"}', 5, "expecting ':' delimiter", "write a colon"),
    ('{"a":1} x', 8, "extra data", "only one JSON value"),
    ('{"a":1}\n{"a":2}\n', 8, "extra data", "only one JSON value"),
    ("[1 2, NaN]", 3, "expecting ',' delimiter", ""),
    ("[.5]", 1, "expecting value", "JSON writes numbers as 0.5"),
    ("[+5]", 1, "expecting value", "no plus"),
    ("[05]", 2, "expecting ',' delimiter", "no 0 in front"),
    ("[1.]", 2, "expecting ',' delimiter", "digits around the point"),
    ("[1_000]", 2, "expecting ',' delimiter", "JSON writes numbers"),
    ('// why\n{"a":1}', 0, "expecting value", "no comments"),
    ('{"a":1,"b":{"a":2,"a":3}}', 18, 'the key "a" stands twice', "keep one"),
    ('{"a":1,"\\u0061":2}', 7, "stands twice", "keep one"),
    ("[NaN]", 1, "NaN is not JSON", '"NaN"'),
    ('{"a": -Infinity}', 6, "-Infinity is not JSON", "null"),
    ("Infinity", 0, "Infinity is not JSON", "null"),
    ("[1, 1e400]", 4, "too large", "text"),
    ("[1E+400]", 1, "too large", "text"),
    ("-1" + "0" * 400 + ".0", 0, "too large", "text"),
    ("9" * 4301, 0, "more than 4300 digits", "text"),
    (r'"a\ud800"', 0, "surrogate", r"\ud83d\ude80"),
    ('["\\uDc00"]', 1, "surrogate", "whole pair"),
    ('["\ud800"]', 1, "surrogate", "whole pair"),
    (r'{"\ud83d": 1}', 1, "surrogate", "whole pair"),
    ("[" * 201 + "]" * 201, 200, "nested more than 200 deep", "flatter"),
    ("[" * 100_000, 200, "nested more than 200 deep", "flatter"),
    ('"a\tb"', 2, "invalid control character", r"a tab as \t"),
    ('["a]', 1, "unterminated string", 'close the text with "'),
    (r'"\d"', 1, "escape", r"backslash as \\"),
]


@pytest.mark.parametrize(("text", "offset", "message", "hint"), REFUSED)
def test_what_the_platform_would_lose_is_refused(text, offset, message, hint):
    """Each mistake has its sentence, its fix, and a pointer to its character."""
    with pytest.raises(UsageError) as caught:
        strict_json.load_value(text, "m.json")
    error = caught.value
    assert message in error.message
    assert hint in error.hint
    expected = strict_json.pointer_at(text, offset, "m.json")
    assert (error.pointer.label, error.pointer.column) == (expected.label, expected.column)
    assert error.message.startswith(error.pointer.label)


@pytest.mark.parametrize(
    "text",
    ["9" * 4300, "1e308", "1e99", '"\\ud83d\\ude80"', "[" * 200 + "]" * 200, '"NaN"', '{"a":{"a":1}}', '["{{{"]', "-0", '"\\\\ud800"',
     '["\\ud83d\\ude80 \\u00e9"]', '{"at":"12:30","u":"http://x"}', '{"a":1} \n', "[1e+99, 5e-324, 1e-400]", json.dumps("9" * 5000),
     '"' + "[" * 300 + '"', json.dumps([[{"a": "]]"}]] * 300), json.dumps({str(n): [[]] for n in range(300)}), "[" + "1" * 150 + "]"],
)  # fmt: skip
def test_what_only_looks_wrong_is_taken(text):
    """The limits are exact, and strings may hold anything."""
    assert strict_json.load_value(text, "x") == json.loads(text)


def test_a_pointer_into_a_file_names_line_and_column():
    """From 1, as editors count."""
    with pytest.raises(UsageError) as caught:
        strict_json.load_object('{\n  "a": 1,\n  "b": tru\n}', "m.json")
    pointer = caught.value.pointer
    assert (pointer.label, pointer.line, pointer.column) == ("m.json:3:8", '  "b": tru', 7)


def test_a_pointer_into_a_word_shows_the_whole_word():
    """An argument has no lines; the mark stands under its character."""
    with pytest.raises(UsageError) as caught:
        strict_json.load_value('{"a":1,}', "argument 2", prefix="tags:=")
    pointer = caught.value.pointer
    assert (pointer.label, pointer.line, pointer.column) == ("argument 2", 'tags:={"a":1,}', 12)


def test_a_long_line_is_cut_around_the_trouble():
    """A minified file is one line of megabytes; what was cut is shown as cut."""
    text = "[" + "1," * 5000 + "x," + "1," * 5000 + "1]"
    with pytest.raises(UsageError) as caught:
        strict_json.load_value(text, "m.json")
    pointer = caught.value.pointer
    assert len(pointer.line) <= strict_json.MAX_SHOWN
    assert pointer.line[pointer.column] == "x"
    assert (pointer.line[0], pointer.line[-1]) == ("…", "…")


@given(st.text(min_size=1), st.integers(min_value=0), st.integers(1, 300))
def test_a_cut_line_still_holds_its_character(text, at, times):
    """The mark stands under the same character as before, at either end too."""
    line = text * times
    column = at % len(line)
    made = strict_json.shorten(Pointer("argument 1", line, column))
    assert len(made.line) <= max(strict_json.MAX_SHOWN, min(len(line), strict_json.MAX_SHOWN))
    assert made.line[made.column] == line[column]


def test_a_line_without_a_column_is_cut_at_its_end():
    """All of it is meant, and its beginning says most."""
    assert strict_json.shorten(Pointer("x", "ab" * 100)) == Pointer("x", "ab" * 49 + "a…", None)
    assert strict_json.shorten(Pointer("x", "ab")) == Pointer("x", "ab", None)


@pytest.mark.parametrize("text", ['{"a":"' + "x" * 4_000_000 + '","a":1}', '["' + "\\n" * 2_000_000])
def test_megabytes_are_searched_in_little_memory(text):
    """Backtracking over a long string once took half a gigabyte."""
    code = (
        "import resource, sys; from nemo_jobs_cli.fields import _json_errors; text = sys.stdin.read();"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; _json_errors.find_error(text, in_word=False);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    ran = subprocess.run([sys.executable, "-c", code], input=text, capture_output=True, text=True, check=True)
    assert int(ran.stdout) < 100_000


def test_the_limit_on_digits_holds_where_python_has_none():
    """PYTHONINTMAXSTRDIGITS=0 lifts Python's; the platform has its own. Digits in a text are no integer."""
    code = (
        "from nemo_jobs_cli.core import errors; from nemo_jobs_cli.fields import strict_json as jsontext; jsontext.load_value('\"' + '9' * 5000 + '\"', 'x')\n"
        "try: jsontext.load_value('9' * 4301, 'x')\n"
        "except errors.UsageError as error: print(error.message)"
    )
    ran = subprocess.run([sys.executable, "-X", "int_max_str_digits=0", "-c", code], capture_output=True, text=True)
    assert ran.stdout == "x:1:1: an integer of more than 4300 digits\n", ran.stderr


def test_a_limit_of_pythons_own_is_an_error_too():
    """PYTHONINTMAXSTRDIGITS can also be lowered; no traceback then."""
    code = (
        "from nemo_jobs_cli.core import errors\n"
        "from nemo_jobs_cli.fields import strict_json as jsontext\n"
        "try: jsontext.load_value('9' * 1000, 'x')\n"
        "except errors.UsageError as error: print(error.message)"
    )
    ran = subprocess.run([sys.executable, "-X", "int_max_str_digits=640", "-c", code], capture_output=True, text=True)
    assert ran.stdout == "x:1:1: this JSON can't be read\n", ran.stderr


def test_a_small_object_is_read_nearly_as_fast_as_by_json_alone():
    """A stream reads hundreds of thousands a second; counted in calls, since time depends on the machine."""
    text = '{"step": 120, "loss": 0.25, "message": "ok"}'
    strict_json.load_object(text, "x")
    calls = []
    sys.setprofile(lambda frame, event, arg: calls.append(event) if event == "call" else None)
    try:
        strict_json.load_object(text, "x")
    finally:
        sys.setprofile(None)
    assert len(calls) <= 7


@pytest.mark.parametrize(
    ("text", "name"), [("[1]", "list"), ('"a"', "string"), ("null", "null"), ("1", "number"), ("true", "boolean")]
)
def test_an_update_must_be_an_object(text, name):
    """The server takes nothing else."""
    with pytest.raises(UsageError, match=f"a JSON {name} where an object is needed"):
        strict_json.load_object(f"  {text}", "m.json")


@given(VALUES)
def test_every_json_value_makes_the_round_trip(value):
    """What is written is read back as it was."""
    text = strict_json.dumps(value).decode()
    assert strict_json.load_value(text, "x") == value
    assert strict_json.type_name(value) == strict_json.type_name(json.loads(text))


@given(VALUES, st.booleans())
def test_each_value_is_located_where_it_stands(value, pretty):
    """Reading from the found place on gives the value itself, for every path."""
    text = json.dumps(value, indent=2 if pretty else None)
    lines = text.split("\n")
    decoder = json.JSONDecoder()
    for path, expected in paths(value):
        row, column = strict_json.locate(text, path)
        rest = "\n".join([lines[row - 1][column - 1 :], *lines[row:]])
        assert decoder.raw_decode(rest)[0] == expected


def paths(value, at=()):
    """Return every path in a value, with what stands there."""
    found = [(at, value)]
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        found += paths(one, (*at, key))
    return found


@pytest.mark.parametrize("path", [("b",), ("a", 5), ("a", "x"), ("a", 0, 0)])
def test_a_path_that_is_not_there_has_no_place(path):
    """The server may complain of something that was not written."""
    assert strict_json.locate('{"a": [1, {"b": 2}]}', path) is None
    assert strict_json.locate("", path) is None


def naive(text):
    """Return the value that slow but obvious rules accept, or raise ValueError."""

    def pairs(items):
        if len({key for key, _ in items}) < len(items):
            raise ValueError
        return dict(items)

    def fail(_):
        raise ValueError

    def walk(value, depth):
        if depth > 200 or (isinstance(value, float) and math.isinf(value)):
            raise ValueError
        if isinstance(value, str):
            value.encode()
        for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            walk(inner, depth + 1)
        for key in value if isinstance(value, dict) else ():
            key.encode()

    value = json.loads(text, object_pairs_hook=pairs, parse_constant=fail)
    walk(value, 1)
    return value


@given(
    st.text('{}[]",:0123456789eE.+-\\ud8 \n\tNaInfity', max_size=30)
    | VALUES.map(json.dumps).flatmap(
        lambda text: st.tuples(st.integers(0, len(text)), st.text('{}[]",:\\1eN', max_size=2)).map(
            lambda cut: text[: cut[0]] + cut[1] + text[cut[0] :]
        )
    )
)
def test_the_fast_way_accepts_exactly_what_the_obvious_rules_accept(text):
    """For any text: the same value, or a usage error whose mark stands inside the shown line."""
    try:
        expected = naive(text)
    except ValueError:
        with pytest.raises(UsageError) as caught:
            strict_json.load_value(text, "x")
        pointer = caught.value.pointer
        assert 0 <= pointer.column <= len(pointer.line)
    else:
        assert strict_json.load_value(text, "x") == expected


@given(st.text(), st.integers(-5, 2000))
def test_any_offset_has_a_pointer(text, offset):
    """A server may name a character that was never sent."""
    pointer = strict_json.pointer_at(text, offset, "body")
    assert "\n" not in pointer.line


@pytest.mark.parametrize(
    ("text", "old", "new"),
    [
        ("[1 , ]", ("Expecting value", 5), ("Illegal trailing comma before end of array", 3)),
        (
            '{"a":1,}',
            ("Expecting property name enclosed in double quotes", 7),
            ("Illegal trailing comma before end of object", 6),
        ),
    ],
)
def test_a_last_comma_reads_the_same_in_every_python(text, old, new):
    """3.13 has its own sentence for it, and another offset."""
    assert _json_errors._reword(text, *old, in_word=False) == _json_errors._reword(text, *new, in_word=False)
    assert _json_errors.find_error(text, in_word=False).offset == text.index(",")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("hello", "for plain text write key=text"),
        ("", 'write JSON, e.g. 0.5, true, "text" or {"a": 1}'),
        ("{a:1}", "the shell takes quotes away"),
        ("[x,y]", "the shell takes quotes away"),
        ('{a:"1"}', "in double quotes"),
        (".5", "JSON writes numbers as 0.5"),
        ("'text'", "JSON quotes with"),
    ],
)
def test_a_word_has_hints_of_its_own(text, hint):
    """What went wrong in a shell is not what goes wrong in a file."""
    with pytest.raises(UsageError) as caught:
        strict_json.load_value(text, "argument 2", prefix="key:=")
    assert caught.value.hint.startswith(hint) or hint in caught.value.hint
    assert "the command" not in caught.value.hint


@given(st.text(), st.booleans())
def test_every_refused_text_has_a_place_and_a_hint(text, in_word):
    """Inside the text, or right behind it."""
    try:
        json.loads(text)
    except ValueError:
        found = _json_errors.find_error(text, in_word=in_word)
        assert 0 <= found.offset <= len(text)
        assert found.message
        assert found.hint
