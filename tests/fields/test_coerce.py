"""The conversion of the text of a value."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import nearly

from nemo_jobs_cli.core import known_keys
from nemo_jobs_cli.core.errors import Pointer, UsageError
from nemo_jobs_cli.fields import coerce

POINTER = Pointer("argument 2", "key=value", 4)


def convert(key, text):
    """Convert the text of a value; the known numbers are numbers."""
    return coerce.to_value(key, text, known_keys.NUMBERS, POINTER)


@pytest.mark.parametrize(
    ("key", "text", "value", "kind"),
    [
        ("message", "404", "404", "text"),
        ("version", "1.10", "1.10", "text"),
        ("anything", "true", "true", "text"),
        ("step", "12", 12, "number"),
        ("lr", "1e-5", 1e-5, "number"),
        ("loss", "0.31", 0.31, "number"),
        ("accuracy", "0.9", 0.9, "number"),
        ("learning_rate", "5e-05", 5e-05, "number"),
        ("perplexity", "7.4", 7.4, "number"),
        ("validation_loss", "1", 1, "number"),
        ("top5_accuracy", "0.99", 0.99, "number"),
        ("loss_scale", "2", "2", "text"),
        ("accuracy_at_5", "2", "2", "text"),
        ("train_loss", "-0.25", -0.25, "number"),
        ("step", "9007199254740993", 9007199254740993, "number"),
        ("progress", "45", 45, "number"),
        ("progress", "99.5", 99.5, "number"),
        ("progress", "45%", 45, "45% as 45"),
        ("progress", "45.678 %", 45.68, "45.678 % as 45.68"),
        ("progress", "3/10", 30, "3/10 as 30"),
        ("progress", "1/3", 33.33, "1/3 as 33.33"),
        ("progress", "0/10", 0, "0/10 as 0"),
        ("progress", "3 / 10", 30, "3 / 10 as 30"),
        ("progress", "5426/  250000", 2.17, "5426/  250000 as 2.17"),
        ("progress", "0.5/1", 50, "0.5/1 as 50"),
    ],
)
def test_a_value_is_text_unless_its_key_is_a_number(key, text, value, kind):
    """The text itself does not matter."""
    converted = convert(key, text)
    assert converted == (value, kind, "")
    assert type(converted.value) is type(value)


@pytest.mark.parametrize("text", ["101/100", "120%", "7/3"])
def test_more_than_100_percent_is_sent_as_100_with_a_warning(text):
    """The last batch of a loop often overshoots, which must not fail the job."""
    assert convert("progress", text) == (100, f"{text} as 100", f"progress={text} is more than 100 %: sending 100")


@pytest.mark.parametrize(
    ("key", "text", "hint"),
    [
        ("step", "build", """'step:="build"'"""),
        ("step", "", """'step:=""'"""),
        ("lr", ".5", "write lr=0.5"),
        ("lr", "1.", "write lr=1"),
        ("lr", "+5", "write lr=5"),
        ("lr", "1,5", "write lr=1.5"),
        ("lr", "007", "write lr=7"),
        ("lr", "1_000", "write lr=1000"),
        ("lr", "1,000", "write lr=1000 or lr=1.000"),
        ("lr", "1,000,000", "write lr=1000000"),
        ("lr", "1,000.5", "write lr=1000.5"),
        ("lr", "=45", "write lr=45"),
        ("lr", "=", "send text"),
        ("lr", "été", """'lr:="été"'"""),
        ("lr", "a\tb", r"""'lr:="a\tb"'"""),
        ("lr", "0" * 100_000 + "x", "send text"),
        ("lr", " 5 ", "write lr=5"),
        ("lr", "45 %", "write lr=45"),
        ("lr", "-.5e3", "write lr=-0.5e3"),
        ("lr", "nan", "send null: lr:=null"),
        ("progress", "NaN", "leave progress out: the platform's page needs a number"),
        ("lr", "-Infinity", "send null: lr:=null"),
        ("lr", "1e400", """'lr:="1e400"'"""),
        ("lr", "9" * 500, "send text"),
        ("lr", "٣", "send text"),
        ("lr", "it's", "send text"),
        ("progress", "half", "3/10"),
        ("progress", "101", "progress=45%"),
        ("progress", "-1", "progress=45%"),
        ("progress", "1/0", "3/10"),
        ("progress", "-3/10", "3/10"),
        ("progress", "3/-10", "3/10"),
    ],
)
def test_an_invalid_number_is_a_usage_error_with_the_fix(key, text, hint):
    """The fix can be copied."""
    with pytest.raises(UsageError) as caught:
        convert(key, text)
    assert hint in caught.value.hint
    assert caught.value.pointer == POINTER


@pytest.mark.parametrize(
    ("value", "warns"),
    [*((fine, False) for fine in (0, 100, 45.5)), *((bad, True) for bad in (-1, 101, True, "45", None, []))],
)
def test_progress_that_the_platform_cannot_show_gets_a_warning(value, warns):
    """Its page calls .toFixed(2) on the value."""
    assert bool(coerce.progress_warning({"progress": value})) is warns


@given(
    st.sampled_from(sorted(known_keys.NUMBERS)) | st.just("progress"),
    nearly("45", "4.5e1", "45%", "3/10", "3 / 10", "-1", more=st.text("0123456789./%e-+_ ", max_size=2)) | st.text(),
)
def test_any_text_is_a_finite_number_or_a_usage_error(key, text):
    """A converted value is valid JSON."""
    try:
        value = convert(key, text).value
    except UsageError:
        return
    assert json.loads(json.dumps(value, allow_nan=False)) == value
    if key == "progress":
        assert 0 <= value <= 100


@given(st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False)))
def test_every_json_number_keeps_its_value(number):
    """As `json.dumps` writes it."""
    assert convert("lr", json.dumps(number)).value == number


@given(st.text())
def test_text_stays_unchanged(text):
    """For any text."""
    assert convert("message", text).value == text
