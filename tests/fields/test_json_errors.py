"""The words for what is wrong with JSON."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_jobs_cli.core.errors import UsageError
from nemo_jobs_cli.fields import json_errors, strict_json


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
    assert json_errors.worded(text, *old, in_word=False) == json_errors.worded(text, *new, in_word=False)
    assert json_errors.first_trouble(text, in_word=False).offset == text.index(",")


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
        strict_json.load_value(text, "argument 2", before="key:=")
    assert caught.value.hint.startswith(hint) or hint in caught.value.hint
    assert "the command" not in caught.value.hint


@given(st.text(), st.booleans())
def test_every_refused_text_has_a_place_and_a_hint(text, in_word):
    """Inside the text, or right behind it."""
    try:
        json.loads(text)
    except ValueError:
        found = json_errors.first_trouble(text, in_word=in_word)
        assert 0 <= found.offset <= len(text)
        assert found.message
        assert found.hint
