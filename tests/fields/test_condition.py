"""`--until 'progress>=100'`: it holds only if it should."""

from __future__ import annotations

import operator
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_jobs_cli.core.errors import UsageError
from nemo_jobs_cli.fields import condition

DETAILS = {
    "progress": 45,
    "loss": 0.25,
    "big": 2**53 + 1,
    "phase": "train",
    "version": "1.10",
    "count": "9",
    "done": True,
    "none": None,
    "tags": ["a", 1],
    "when": "2026-11-24T10:00:00Z",
    "empty": "",
    "text": "0.31",
    "metrics": {"a": 0.5, "b.c": {"d": 1}, "loss": [{"value": 3}, {"value": 2}]},
    "x.y": 1,
    "x": {"y": 2},
    "state": "active",
}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("progress>=45", True),
        ("progress>45", False),
        ("progress<=45", True),
        ("progress<45", False),
        ("progress=45", True),
        ("progress==45.0", True),
        ("progress!=45", False),
        ("progress >= 40 ", True),
        ("progress>=50%", False),
        ("progress>=45 %", True),
        ("progress>=4.5e1", True),
        ("loss<.3", True),
        ("loss<-1", False),
        ("big=9007199254740993", True),
        ("big=9007199254740992", False),
        ("big!=abc", True),
        ("phase=train", True),
        ("phase!=eval", True),
        ("phase>eval", True),
        ("phase>=zzz", False),
        ("version=1.10", True),
        ("version=1.1", False),
        ("when>=2026-11-24T09", True),
        ("done=true", True),
        ("done=1", False),
        ("none=null", True),
        ('tags=["a",1]', True),
        ("empty=", True),
        ("phase=", False),
        ("phase!=", True),
        ("phase=a=b", False),
        ("text<0.5", True),
        ("text>0.5", False),
        ("text>=0.310", True),
        ("text=0.31", True),
        ("text=0.310", False),
        ("count<100", True),
        ("count>=100", False),
        ("metrics.a>=0.5", True),
        ("metrics.b.c.d=1", True),
        ("metrics.loss.0.value=3", True),
        ("metrics.loss.-1.value=2", True),
        ("metrics.loss.2.value=2", False),
        ("metrics.a.b=1", False),
        ("x.y=1", True),
        ("state=active", True),
        ("state=completed", False),
        ("state!=active", False),
        ("phase=eval or phase=train", True),
        ("phase=eval or progress>=50", False),
        ("progress>=50 OR phase=train or loss>1", True),
        ("message=this or that", False),
        ("phase=either this or that", False),
    ],
)
def test_numbers_compare_as_numbers_and_the_rest_as_text(text, holds):
    """The type of the reported value decides; a text that is a number is smaller or greater as a number."""
    assert condition.parse(text).holds(DETAILS) is holds


@pytest.mark.parametrize("sign", ["=", "==", "!=", ">=", "<=", ">", "<"])
def test_a_missing_key_never_holds(sign):
    """Not even with `!=`."""
    assert condition.parse(f"nothing{sign}1").holds(DETAILS) is False


@pytest.mark.parametrize(
    "text", ["phase>=100", "phase<100", "done>=0", "tags>0", "none<1", "progress2>1", "tags>a", "big>abc", "big=abc"]
)
def test_values_without_an_order_are_neither_greater_nor_smaller(text):
    """A text is not compared with a number, and must not end a wait; a number is neither equal to a text."""
    assert condition.parse(text).holds(DETAILS) is False


@pytest.mark.parametrize(
    ("text", "column", "reason"),
    [
        ("progress", 8, "no comparison"),
        ("", 0, "no comparison"),
        (">=100", 0, "no key before >="),
        ("  =1", 2, "no key before ="),
        ("progress>=", 10, "no value after >="),
        ("phase>", 6, "no value after >"),
        ("progress>=high", 10, "progress needs a number"),
        ("progress>=  1e999", 12, "progress needs a number"),
        ("train_loss<low", 11, "train_loss needs a number"),
        ("step=", 5, "no value after ="),
        ("step=12%", 5, "step needs a number"),
        ("my_loss<low", 8, "my_loss needs a number"),
        ("phase=a or progress>=", 21, "no value after >="),
        ("phase=a or progress>=x", 21, "progress needs a number"),
    ],
)
def test_a_condition_that_can_never_hold_is_a_usage_error(text, column, reason):
    """It points at the character, before a wait of hours in vain."""
    with pytest.raises(UsageError) as caught:
        condition.parse(text)
    assert caught.value.message == f"invalid --until: {reason}"
    assert caught.value.pointer == ("--until", text, column)
    assert "progress>=100" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "age", "holds"), [("age>10m", 601, True), ("age > 600", 600, False), ("age<=1h30m", 5400.0, True)]
)
def test_an_age_is_a_duration(text, age, holds):
    """Plain numbers are seconds."""
    assert condition.parse(text).holds({"age": age}) is holds
    assert not condition.parse(text).holds({})
    with pytest.raises(UsageError, match="invalid duration in --until: 'old'"):
        condition.parse("age>old")


@pytest.mark.parametrize(
    ("text", "sign", "meant"),
    [("progress=>50", "=>", "'progress>=50'"), ("lr =< 1e-5", "=<", "'lr<=1e-5'"), ("a<>b", "<>", "'a!=b'")],
)
def test_operators_of_other_languages_get_the_right_one(text, sign, meant):
    """Otherwise `a<>b` would wait for a text that is smaller than `>b`."""
    with pytest.raises(UsageError, match=f"unknown operator {sign}") as caught:
        condition.parse(text)
    assert caught.value.hint == f"did you mean {meant}?"
    assert caught.value.pointer.column == text.index(sign)


@pytest.mark.parametrize(
    ("text", "column", "meant"),
    [
        ("status=completed or failed", 17, "'status=completed or status=failed'"),
        ("state == completed OR error or cancelled", 19, "'state==completed or state==error or state==cancelled'"),
        ("progress>=50 or phase=eval or test", 27, "'phase=eval or phase=test'"),
        ("status=completed||failed", 16, "'status=completed or status=failed'"),
        ("status = a || b or c", 11, "'status=a or status=b or status=c'"),
    ],
)
def test_each_alternative_needs_its_key(text, column, meant):
    """Else a gate would wait in vain for the text `completed or failed`."""
    with pytest.raises(UsageError, match="compares with one value") as caught:
        condition.parse(text)
    assert caught.value.hint == f"did you mean {meant}?"
    assert caught.value.pointer.column == column


@pytest.mark.parametrize(
    ("text", "column", "reason", "meant"),
    [
        ("or age>10m", 0, "no condition before or", "'age>10m'"),
        (" AND progress >= 50", 1, "no condition before AND", "'progress >= 50'"),
        ("|| phase=a", 0, "no condition before ||", "phase=a"),
        ("phase=a or or loss>1", 8, "no condition after or", "'phase=a or loss>1'"),
        ("phase=a or loss>1 or", 18, "no condition after or", "'phase=a or loss>1'"),
        ("or phase=a or loss>1", 0, "no condition before or", "'phase=a or loss>1'"),
        ("progress>=50 or", 13, "no condition after or", "'progress>=50'"),
        ("phase=a &&", 8, "no condition after &&", "phase=a"),
        ("||phase=a", 0, "no condition before ||", "phase=a"),
        ("&& phase=a||", 0, "no condition before &&", "'phase=a||'"),
        ("phase=a||", 7, "no condition after ||", "phase=a"),
    ],
)
def test_a_joining_word_needs_a_condition_on_both_sides(text, column, reason, meant):
    """Else a gate would wait in vain for the key `or age` or the text `a or`."""
    with pytest.raises(UsageError, match=re.escape(reason)) as caught:
        condition.parse(text)
    assert caught.value.hint == f"did you mean {meant}?"
    assert caught.value.pointer == ("--until", text, column)


@pytest.mark.parametrize(
    "text",
    [
        "or=1",
        "and>2",
        "||=1",
        "message=this or",
        "message=a || b",
        "phase=door",
        "phase=||",
        "phase==||",
        "url=?a=1&b=2",
    ],
)
def test_a_joining_word_can_be_a_key_or_a_part_of_a_text(text):
    """Words join only between blanks; a message may contain them."""
    assert condition.parse(text).text == text


@pytest.mark.parametrize("join", [" and ", " AND ", " && ", " || ", "&&", "||", "|| ", " &&"])
def test_only_or_joins_conditions(join):
    """Anything else is refused instead of being read as a text that never comes."""
    text = f"phase=eval{join}progress>=50"
    with pytest.raises(UsageError, match="can only be joined with or") as caught:
        condition.parse(text)
    assert caught.value.pointer == ("--until", text, text.index(join.strip()))


@pytest.mark.parametrize(
    ("text", "column", "reason"),
    [
        ("or or", 5, "no comparison"),
        ("||", 2, "no comparison"),
        ("phase=a or =b", 11, "no key before ="),
        ("phase=a || >5", 8, "conditions can only be joined with or"),
    ],
)
def test_a_joining_word_needs_more_than_an_operator(text, column, reason):
    """The error is that of the part that is missing."""
    with pytest.raises(UsageError) as caught:
        condition.parse(text)
    assert (caught.value.message, caught.value.pointer.column) == (f"invalid --until: {reason}", column)


@pytest.mark.parametrize(
    ("text", "description"),
    [
        ("progress>=50", "progress is 45"),
        ("text>0.5", "text is 0.31 (text)"),
        ("phase=eval", "phase is train"),
        ("phase=eval or gone=1 or phase=test", "phase is train, gone was never reported"),
        ("state=completed", "state is active"),
        ("metrics.a>1", "metrics.a is 0.5"),
    ],
)
def test_a_description_names_the_values(text, description):
    """For the message after a timeout: a text explains why no number was compared."""
    assert condition.parse(text).describe(DETAILS) == description


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({}, "no lastUpdated"),
        ({"lastUpdated": "now"}, "lastUpdated is not a time"),
        ({"lastUpdated": 1}, "lastUpdated is not a time"),
        ({"lastUpdated": "2026-11-27T08:00:00Z"}, "the job has ended"),
    ],
)
def test_the_description_of_an_unknown_age_has_the_reason(values, reason):
    """The age of a job counts until its end."""
    assert condition.parse("age>1").describe(values) == f"age is unknown ({reason})"


@given(
    st.text(st.characters(exclude_characters="=!<>", codec="utf-8"), min_size=1)
    .map(str.strip)
    .filter(lambda key: key and not re.search(r"&&|\|\||\b(or|and)\b", key, re.IGNORECASE)),
    st.sampled_from(["=", "==", "!=", ">=", "<=", ">", "<"]),
    st.integers(),
    st.integers(),
)
def test_integers_compare_as_in_python(key, sign, reported, wanted):
    """For any key and of any size."""
    compare = {"=": "eq", "==": "eq", "!=": "ne", ">=": "ge", "<=": "le", ">": "gt", "<": "lt"}[sign]
    holds = condition.parse(f"{key}{sign}{wanted}").holds({key: reported})
    assert holds is getattr(operator, compare)(reported, wanted)


def test_a_number_of_5000_digits_is_text():
    """Python refuses to convert it."""
    until = condition.parse("key=" + "9" * 5000)
    assert until.holds({"key": "9" * 5000})
