"""What the text of one value means."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_jobs_cli.core import known_keys
from nemo_jobs_cli.core.errors import Pointer, UsageError
from nemo_jobs_cli.fields import coerce

AT = Pointer("argument 2", "key=value", 4)


def understand(key, text):
    """Understand a value with the well-known numbers."""
    return coerce.to_value(key, text, known_keys.NUMBERS, AT)


@pytest.mark.parametrize(
    ("key", "text", "value", "kind"),
    [
        ("message", "404", "404", "text"),
        ("version", "1.10", "1.10", "text"),
        ("anything", "true", "true", "text"),
        ("step", "12", 12, "number"),
        ("lr", "1e-5", 1e-5, "number"),
        ("train_loss", "-0.25", -0.25, "number"),
        ("step", "9007199254740993", 9007199254740993, "number"),
        ("progress", "45", 45, "number"),
        ("progress", "99.5", 99.5, "number"),
        ("progress", "45%", 45, "45% as 45"),
        ("progress", "45.678 %", 45.68, "45.678 % as 45.68"),
        ("progress", "3/10", 30, "3/10 as 30"),
        ("progress", "1/3", 33.33, "1/3 as 33.33"),
        ("progress", "0/10", 0, "0/10 as 0"),
        ("progress", "0.5/1", 50, "0.5/1 as 50"),
    ],
)
def test_a_value_is_text_unless_its_key_is_a_number(key, text, value, kind):
    """Nothing is guessed from a value's looks."""
    found = understand(key, text)
    assert (found.value, found.kind, found.warning) == (value, kind, "")
    assert type(found.value) is type(value)


@pytest.mark.parametrize("text", ["101/100", "120%", "7/3"])
def test_an_overshoot_is_clamped_and_said(text):
    """The last batch of a loop often overshoots; a job at 101 % is no reason to fail it."""
    found = understand("progress", text)
    assert found.value == 100
    assert text in found.warning


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
        ("lr", "=", "to send text"),
        ("lr", "été", """'lr:="été"'"""),
        ("lr", "a\tb", r"""'lr:="a\tb"'"""),
        ("lr", "0" * 100_000 + "x", "to send text"),
        ("lr", " 5 ", "write lr=5"),
        ("lr", "-.5e3", "write lr=-0.5e3"),
        ("lr", "nan", """'lr:="nan"'"""),
        ("lr", "Infinity", """'lr:="Infinity"'"""),
        ("lr", "1e400", """'lr:="1e400"'"""),
        ("lr", "9" * 500, "to send text"),
        ("lr", "٣", "to send text"),
        ("lr", "it's", "to send text"),
        ("progress", "half", "3/10"),
        ("progress", "101", "progress=45%"),
        ("progress", "-1", "progress=45%"),
        ("progress", "1/0", "3/10"),
        ("progress", "-3/10", "3/10"),
        ("progress", "3/-10", "3/10"),
    ],
)
def test_what_is_no_number_is_a_usage_error_with_the_fix(key, text, hint):
    """The hint can be typed as it stands."""
    with pytest.raises(UsageError) as caught:
        understand(key, text)
    assert hint in caught.value.hint
    assert caught.value.pointer == AT


@pytest.mark.parametrize(
    ("value", "warns"),
    [
        (0, False),
        (100, False),
        (45.5, False),
        (-1, True),
        (101, True),
        (True, True),
        ("45", True),
        (None, True),
        ([], True),
    ],
)
def test_progress_that_the_platform_cannot_show_is_warned_of(value, warns):
    """Its page calls .toFixed(2) on the value."""
    assert bool(coerce.progress_warning(value)) is warns


@given(st.sampled_from(sorted(known_keys.NUMBERS)), st.text())
def test_any_text_is_a_finite_number_or_a_usage_error(key, text):
    """There is no third way, and what comes out is JSON."""
    try:
        found = understand(key, text)
    except UsageError:
        return
    assert json.loads(json.dumps(found.value, allow_nan=False)) == found.value
    if key == "progress":
        assert 0 <= found.value <= 100


@given(st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False)))
def test_every_json_number_is_taken_as_it_is(number):
    """What json writes is what is sent."""
    assert understand("lr", json.dumps(number)).value == number


@given(st.text())
def test_text_stays_as_it_is(text):
    """Byte for byte."""
    assert understand("message", text).value == text
