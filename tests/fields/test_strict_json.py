"""Strict JSON: which text is an error, where the error points, and that any other text is accepted."""

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
    ("", 0, "invalid JSON: it is empty", "did the command that writes it fail?"),
    ("  \n ", 0, "invalid JSON: it is empty", "0.5"),
    ("hello", 0, "expecting value", '{"progress": 45}'),
    ("[hello]", 1, "expecting value", "write a JSON value there"),
    ("True", 0, "expecting value", "lowercase"),
    ("[1, None]", 4, "expecting value", "lowercase"),
    ("{'a': 1}", 1, "property name", "JSON strings"),
    ("{a: 1}", 1, "property name", "double quotes"),
    ("[1,]", 2, "trailing comma", "remove it"),
    ('{"a":1 , \n}', 7, "trailing comma", "remove it"),
    ('{"a":1', 6, "expecting ',' delimiter", "ends too early"),
    ('{"a": ', 5, "expecting value", "ends too early"),
    ('{"a":1 "b":2}', 7, "expecting ',' delimiter", "add a comma"),
    ('{"a" 1}', 5, "expecting ':' delimiter", "write numbers"),
    ('{"a" "b"}', 5, "expecting ':' delimiter", "write a colon"),
    ('{"a":1} x', 8, "extra data", "keep one JSON value"),
    ('{"a":1}\n{"a":2}\n', 8, "extra data", "keep one JSON value"),
    ("[1 2, NaN]", 3, "expecting ',' delimiter", ""),
    ("[.5]", 1, "expecting value", "write numbers as 0.5"),
    ("[+5]", 1, "expecting value", "no plus sign"),
    ("[05]", 2, "expecting ',' delimiter", "no leading zero"),
    ("[1.]", 2, "expecting ',' delimiter", "digits on both sides"),
    ("[1_000]", 2, "expecting ',' delimiter", "write numbers"),
    ('// why\n{"a":1}', 0, "expecting value", "no comments"),
    ('{"a":1,"b":{"a":2,"a":3}}', 18, 'duplicate key "a"', "keep one"),
    ('{"a":1,"\\u0061":2}', 7, "duplicate key", "keep one"),
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
    ("[" * 201 + "]" * 201, 200, "nested more than 200 levels deep", "flatten"),
    ("[" * 100_000, 200, "nested more than 200 levels deep", "flatten"),
    ('"a\tb"', 2, "invalid control character", r"a tab as \t"),
    ('["a]', 1, "unterminated string", 'close the string with "'),
    (r'"\d"', 1, "escape", r"backslash as \\"),
]


@pytest.mark.parametrize(("text", "offset", "message", "hint"), REFUSED)
def test_an_error_names_its_reason_its_fix_and_its_place(text, offset, message, hint):
    """Also for values that the platform would lose."""
    with pytest.raises(UsageError) as caught:
        strict_json.load_value(text, "m.json")
    error = caught.value
    assert message in error.message
    assert hint in error.hint
    assert error.pointer == strict_json.pointer_at(text, offset, "m.json")
    assert error.message.startswith(error.pointer.label)


@pytest.mark.parametrize(
    "text",
    ["9" * 4300, "1e308", "1e99", '"\\ud83d\\ude80"', "[" * 200 + "]" * 200, '"NaN"', '{"a":{"a":1}}', '["{{{"]', "-0", '"\\\\ud800"',
     '["\\ud83d\\ude80 \\u00e9"]', '{"at":"12:30","u":"http://x"}', '{"a":1} \n', "[1e+99, 5e-324, 1e-400]", json.dumps("9" * 5000),
     '"' + "[" * 300 + '"', json.dumps([[{"a": "]]"}]] * 300), json.dumps({str(n): [[]] for n in range(300)}), "[" + "1" * 150 + "]"],
)  # fmt: skip
def test_valid_text_near_the_limits_is_accepted(text):
    """The limits are exact, and strings may hold anything."""
    assert strict_json.load_value(text, "x") == json.loads(text)


@pytest.mark.parametrize(
    ("text", "prefix", "pointer"),
    [
        ('{\n  "a": 1,\n  "b": tru\n}', "", ("m.json:3:8", '  "b": tru', 7)),
        ('{"a":1,}', "tags:=", ("m.json", 'tags:={"a":1,}', 12)),
    ],
)
def test_an_error_points_into_a_file_or_into_the_whole_word(text, prefix, pointer):
    """In a file by line and column, counted from 1 as editors do; an argument has no lines."""
    with pytest.raises(UsageError) as caught:
        strict_json.load_value(text, "m.json", prefix=prefix)
    assert caught.value.pointer == pointer


@given(st.text(min_size=1), st.integers(-5, 2000), st.integers(1, 300))
def test_a_shortened_line_keeps_its_character(text, at, times):
    """The pointer marks the same character as before, at either end too; a server may name one that does not exist."""
    line = text * times
    column = at % len(line)
    pointer = strict_json.shorten(Pointer("argument 1", line, column))
    assert len(pointer.line) <= strict_json.MAX_SHOWN
    assert pointer.line[pointer.column] == line[column]
    assert "\n" not in strict_json.pointer_at(line, at, "body").line


def test_an_ellipsis_marks_each_cut():
    """Without a column, the beginning of a line helps most."""
    assert strict_json.shorten(Pointer("x", "ab" * 100)) == Pointer("x", "ab" * 49 + "a…", None)
    assert strict_json.shorten(Pointer("x", "ab")) == Pointer("x", "ab", None)
    line = strict_json.shorten(Pointer("x", "ab" * 200, 200)).line
    assert (line[0], line[-1]) == ("…", "…")


@pytest.mark.parametrize(
    "text", ['{"a":"' + "x" * 4_000_000 + '","a":1}', '["' + "\\n" * 2_000_000], ids=["key", "escapes"]
)
def test_megabytes_are_searched_in_little_memory(text):
    """A pattern that backtracks takes half a gigabyte for a long string."""
    code = (
        "import resource, sys; from nemo_jobs_cli.fields import _json_errors; text = sys.stdin.read();"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; _json_errors.find_error(text, in_word=False);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    ran = subprocess.run([sys.executable, "-c", code], input=text, capture_output=True, encoding="utf-8", check=True)
    assert int(ran.stdout) < 100_000


@pytest.mark.parametrize(
    ("limit", "digits", "message"),
    [
        (0, 4301, "x:1:1: integer with more than 4300 digits\n"),
        (640, 1000, "x:1:1: cannot read this JSON: an integer has too many digits for Python\n"),
    ],
)
def test_the_limit_on_digits_holds_with_any_limit_of_python(limit, digits, message):
    """PYTHONINTMAXSTRDIGITS may lift or lower it; digits in a string are no integer."""
    code = (
        "from nemo_jobs_cli.core import errors; from nemo_jobs_cli.fields import strict_json\n"
        "strict_json.load_value('\"' + '9' * 5000 + '\"', 'x')\n"
        f"try: strict_json.load_value('9' * {digits}, 'x')\n"
        "except errors.UsageError as error: print(error.message)"
    )
    words = [sys.executable, "-X", f"int_max_str_digits={limit}", "-c", code]
    ran = subprocess.run(words, capture_output=True, encoding="utf-8")
    assert ran.stdout == message, ran.stderr


def test_a_small_object_is_read_nearly_as_fast_as_by_json_alone():
    """A stream has hundreds of thousands a second; the test counts calls, since time depends on the machine."""
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
    """The server accepts nothing else."""
    with pytest.raises(UsageError, match=f"m.json:1:3: expected a JSON object, got {name}"):
        strict_json.load_object(f"  {text}", "m.json")


@given(VALUES)
def test_every_json_value_survives_a_round_trip(value):
    """`load_value` reads what `dumps` writes."""
    text = strict_json.dumps(value).decode()
    assert strict_json.load_value(text, "x") == value
    assert strict_json.type_name(value) == strict_json.type_name(json.loads(text))


@given(VALUES, st.booleans())
def test_each_value_is_found_by_its_path(value, pretty):
    """JSON text parsed from the offset on gives the value, for every path."""
    text = json.dumps(value, indent=2 if pretty else None)
    for path, expected in paths(value):
        assert json.JSONDecoder().raw_decode(text, _json_errors.find_value(text, path))[0] == expected


def paths(value, path=()):
    """Return every path in a value, with the value there."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [(path, value), *(found for key, one in inner for found in paths(one, (*path, key)))]


@pytest.mark.parametrize("path", [("b",), ("a", 5), ("a", "x"), ("a", 0, 0), ("a", 1, "b", 0), ("b", "c")])
def test_a_missing_path_has_no_offset(path):
    """The server may report a key that the user did not write."""
    assert _json_errors.find_value('{"a": [1, {"b": 2}]}', path) is None
    assert _json_errors.find_value("", path) is None
    assert _json_errors.find_value("1", path) is None


def naive(text):
    """Return the value that slow but obvious rules accept; raise ValueError."""

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
def test_the_fast_path_accepts_exactly_what_the_obvious_rules_accept(text):
    """For any text: the same value, or a usage error that points into the shown line."""
    try:
        expected = naive(text)
    except ValueError:
        with pytest.raises(UsageError) as caught:
            strict_json.load_value(text, "x")
        pointer = caught.value.pointer
        assert 0 <= pointer.column <= len(pointer.line)
    else:
        assert strict_json.load_value(text, "x") == expected


@pytest.mark.parametrize(
    ("text", "reason", "offset"),
    [
        ("[1 , ]", "Expecting value", 5),
        ("[1 , ]", "Illegal trailing comma before end of array", 3),
        ('{"a":1,}', "Expecting property name enclosed in double quotes", 7),
        ('{"a":1,}', "Illegal trailing comma before end of object", 6),
    ],
)
def test_a_trailing_comma_is_the_same_error_in_every_python(monkeypatch, text, reason, offset):
    """3.13 has its own message for it, and another offset."""

    def loads(text, **_):
        raise json.JSONDecodeError(reason, text, offset)

    monkeypatch.setattr(_json_errors.json, "loads", loads)
    with pytest.raises(UsageError, match="invalid JSON: trailing comma") as caught:
        strict_json.load_value(text, "m.json")
    assert (caught.value.hint, caught.value.pointer.column) == ("remove it", text.index(","))


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("hello", "for plain text write key=text"),
        ("", 'write JSON, e.g. 0.5, true, "text" or {"a": 1}'),
        ("{a:1}", "the shell removes quotes"),
        ("[x,y]", "the shell removes quotes"),
        ('{a:"1"}', "in double quotes"),
        (".5", "write numbers as 0.5"),
        ("'text'", 'use " for JSON strings'),
    ],
)
def test_an_argument_has_hints_of_its_own(text, hint):
    """A shell causes other errors than an editor."""
    with pytest.raises(UsageError) as caught:
        strict_json.load_value(text, "argument 2", prefix="key:=")
    assert caught.value.hint.startswith(hint) or hint in caught.value.hint
    assert "the command" not in caught.value.hint
