"""`--until 'progress>=100'`: a gate that opens only when it should."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_jobs_cli.core.errors import UsageError
from nemo_jobs_cli.fields import condition as conditions

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
    ],
)
def test_numbers_compare_as_numbers_and_the_rest_as_text(text, holds):
    """The type of what was reported decides how it compares."""
    assert conditions.parse(text).holds(DETAILS) is holds


@pytest.mark.parametrize("sign", ["=", "==", "!=", ">=", "<=", ">", "<"])
def test_a_missing_key_is_unmet(sign):
    """Not even `!=` holds for what was never reported."""
    assert conditions.parse(f"nothing{sign}1").holds(DETAILS) is False


@pytest.mark.parametrize("text", ["count>=100", "count<100", "done>=0", "tags>0", "none<1", "progress2>1", "tags>a"])
def test_what_has_no_order_is_neither_greater_nor_smaller(text):
    """The text "9" sorts after "100": no gate may open by such an accident."""
    assert conditions.parse(text).holds(DETAILS) is False


@pytest.mark.parametrize(("text", "holds"), [("big=abc", False), ("big!=abc", True), ("big>abc", False)])
def test_a_number_never_equals_a_word(text, holds):
    """A reported number is different from any text, and has no order with it."""
    assert conditions.parse(text).holds(DETAILS) is holds


@pytest.mark.parametrize(
    ("text", "column", "says"),
    [
        ("progress", 8, "no comparison"),
        ("", 0, "no comparison"),
        (">=100", 0, "no key"),
        ("  =1", 2, "no key"),
        ("progress>=", 10, "nothing"),
        ("phase>", 6, "nothing"),
        ("progress>=high", 10, "not a number"),
        ("progress>=  1e999", 12, "not a number"),
        ("train_loss<low", 11, "not a number"),
        ("step=", 5, "nothing"),
        ("step=12%", 5, "not a number"),
    ],
)
def test_a_condition_that_can_never_hold_is_a_usage_error(text, column, says):
    """It points at the character; a wait for hours would be a poor way to find out."""
    with pytest.raises(UsageError, match=says) as caught:
        conditions.parse(text)
    assert caught.value.pointer.line == text
    assert caught.value.pointer.column == column
    assert "progress>=100" in caught.value.hint


@pytest.mark.parametrize(("text", "meant"), [("progress=>50", "'progress>=50'"), ("lr =< 1e-5", "'lr<=1e-5'")])
def test_signs_in_the_wrong_order_are_told(text, meant):
    """As other languages write them."""
    with pytest.raises(UsageError, match="wrong order") as caught:
        conditions.parse(text)
    assert caught.value.hint == f"did you mean {meant}?"
    assert caught.value.pointer.column == text.index("=")


@given(
    st.text(st.characters(exclude_characters="=!<>", codec="utf-8"), min_size=1).map(str.strip).filter(bool),
    st.sampled_from(["=", "==", "!=", ">=", "<=", ">", "<"]),
    st.integers(),
    st.integers(),
)
def test_any_key_and_any_whole_numbers_compare_as_python_does(key, sign, found, wanted):
    """No key is special, and no number is too large."""
    expected = {
        "=": found == wanted,
        "==": found == wanted,
        "!=": found != wanted,
        ">=": found >= wanted,
        "<=": found <= wanted,
        ">": found > wanted,
        "<": found < wanted,
    }
    assert conditions.parse(f"{key}{sign}{wanted}").holds({key: found}) is expected[sign]


def test_a_number_beyond_reason_is_text():
    """Python refuses to read 5,000 digits as a number; that is no traceback here."""
    condition = conditions.parse("key=" + "9" * 5000)
    assert condition.number is None
    assert condition.holds({"key": "9" * 5000})
