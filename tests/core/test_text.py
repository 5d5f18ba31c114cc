"""Values and untrusted text in messages."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import JSON

from nemo_jobs_cli.core.text import (
    close_matches,
    did_you_mean,
    finite_number,
    hide_tokens,
    is_number,
    one_line,
    percent,
    plain,
    plural,
    printable,
    suggest,
    summary,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain né 🚀", "plain né 🚀"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\nb\tc\rd", "a\\nb\\tc\\rd"),
        ("\x9b0m \x7f \x00", "\\x9b0m \\x7f \\x00"),
        ("\u202eevil", "\\u202eevil"),
        ("\u061cevil", "\\u061cevil"),
        ("\udce9", "\\udce9"),
        ("pay\u200bpal \u200cx\u200d\u2060\ufeff\xad", "pay\\u200bpal \\u200cx\\u200d\\u2060\\ufeff\\xad"),
        ("\U000e0041", "\\U000e0041"),
        ("👩\u200d💻 🏳️\u200d🌈 👩🏽\u200d🚀", "👩\u200d💻 🏳️\u200d🌈 👩🏽\u200d🚀"),
        ("👩\u200d", "👩\\u200d"),
        ("a\u200d💻", "a\\u200d💻"),
        ("\u200d💻", "\\u200d💻"),
        ("x\u00a0\u3000\ue0b0", "x\u00a0\u3000\ue0b0"),
    ],
)
def test_controls_are_shown_as_escapes(text, expected):
    """Text of a server cannot move the cursor, reverse the line or hide a letter; emoji stay."""
    assert one_line(text) == expected


def test_line_breaks_and_tabs_may_stay():
    """In text of several lines."""
    assert printable("a\n\tb\x1b") == "a\n\tb\\x1b"


def test_a_long_line_is_truncated():
    """To the given limit."""
    assert one_line("x" * 100, 10) == "xxxxxxxxx…"


@given(st.text(), st.integers(2, 1000))
def test_one_line_returns_one_printable_line(text, limit):
    """For any text, also as UTF-8."""
    line = one_line(text, limit)
    assert not any(unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for char in line.replace("\u200d", ""))
    line.encode()


@given(JSON)
def test_plain_returns_the_text_or_json(value):
    """A script reads the value that was reported."""
    line = plain(value)
    assert line == value if isinstance(value, str) else json.loads(line) == value


@given(st.text(), JSON, st.integers(min_value=1, max_value=100))
def test_a_short_value_is_one_line(key, value, limit):
    """No value can break a table or control a terminal."""
    line = summary(key, value, limit)
    assert not any(character in line for character in "\n\r\x1b\x9b\u202e")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (45, "45 %"),
        (45.0, "45 %"),
        (33.333333, "33.33 %"),
        (0.5, "0.5 %"),
        (100, "100 %"),
        (0, "0 %"),
        (120, "120 %"),
        (float("nan"), "NaN"),
        (float("inf"), "Infinity"),
        (float("-inf"), "-Infinity"),
        (1e308, "1000000000000000010… %"),
        (-1e308, "-100000000000000001… %"),
        pytest.param(int("9" * 4200), "9999999999999999999… %", id="digits"),
    ],
)
def test_progress_is_shown_in_percent(value, expected):
    """With at most two decimals, as on the platform's page."""
    assert percent(value) == summary("progress", value, 60) == expected


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("progress", "45", "45"),
        ("progress", True, "true"),
        ("step", 45, "45"),
        ("m", {"a": [1, 2]}, '{"a":[1,2]}'),
    ],
)
def test_other_values_are_not_shown_in_percent(key, value, expected):
    """Only a number under `progress` is."""
    assert summary(key, value, 60) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (float("nan"), "NaN"),
        (float("inf"), "Infinity"),
        (float("-inf"), "-Infinity"),
        ([float("nan"), {"a": float("inf")}, 0.5], '[null,{"a":null},0.5]'),
    ],
)
def test_nan_and_infinity_are_shown_by_name(value, expected):
    """Inside a list or an object they are null, so that it stays JSON."""
    assert plain(value) == expected


@pytest.mark.parametrize(
    ("value", "share"),
    [
        (45, 45.0),
        (0.5, 0.5),
        (-1e308, -1e308),
        (float("nan"), None),
        (float("inf"), None),
        pytest.param(int("9" * 4200), None, id="digits"),
        (True, None),
        ("45", None),
        (None, None),
    ],
)
def test_only_a_finite_number_is_drawn(value, share):
    """A server may store integers of 4,000 digits."""
    assert finite_number(value) == share


def test_a_bool_is_not_a_number():
    """Although Python's bool is an int."""
    assert [is_number(value) for value in (1, 1.5, True, "1", None)] == [
        True,
        True,
        False,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("word", "limit", "suggestion"),
    [
        ("stauts", 1, "did you mean status?"),
        ("STATUS", 1, "did you mean status?"),
        ("lastupdate", 1, "did you mean lastUpdated?"),
        ("rain_loss", 2, "did you mean train_loss or val_loss?"),
        ("x", 3, ""),
    ],
)
def test_close_words_are_suggested(word, limit, suggestion):
    """Case does not matter; the closest word comes first."""
    known = ["status", "lastUpdated", "train_loss", "val_loss"]
    assert did_you_mean(close_matches(word, known, limit)) == suggestion
    assert suggest(word, known) == did_you_mean(close_matches(word, known))


def test_suggestions_are_escaped_and_may_have_a_prefix():
    """The known words may come from a server."""
    assert suggest("ab", ["abc\x1b"], prefix="-w ") == "did you mean -w abc\\x1b?"
    assert close_matches("ab", ["abc\x1b"]) == ["abc\x1b"]


@pytest.mark.parametrize(
    ("count", "noun", "text"),
    [
        (0, ("update",), "0 updates"),
        (1, ("retry", "retries"), "1 retry"),
        (2000, ("retry", "retries"), "2,000 retries"),
    ],
)
def test_a_count_has_its_noun_in_the_right_number(count, noun, text):
    """Large numbers are grouped."""
    assert plural(count, *noun) == text


JWT = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJzdWIiOiJtZSJ9.c2ln"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"no job {JWT!r}", "no job '[token]'"),
        (f"/home/me/{JWT}", "/home/me/[token]"),
        (f"tags={JWT[:30]}…", "tags=[token]…"),
        ("no program 'nvapi-abcdefgh1'", "no program '[token]'"),
        ("nhx_obo_v1.abcdefgh.s3cret", "[token]"),
        ("'Authorization Bearer hunter2:x'", "'Authorization Bearer [token]:x'"),
        ("AbCd" * 9 + "a1B2", "[token]"),
        ("Invalid bearer token", "Invalid bearer token"),
        ("trace id 4cb6bf604d5f5b82705e45e725c647b5", "trace id 4cb6bf604d5f5b82705e45e725c647b5"),
        ("platform-job-2HzvGHLuPeXwN5kGsE3mLq", "platform-job-2HzvGHLuPeXwN5kGsE3mLq"),
        ("'platform-job-attempt-2HzvGHLuPeXwN5kGsE3mLq'.", "'platform-job-attempt-2HzvGHLuPeXwN5kGsE3mLq'."),
        (
            "train-llama-3.1-8b-instruct-lora-2026-11-27-run-0001",
            "train-llama-3.1-8b-instruct-lora-2026-11-27-run-0001",
        ),
        ("https://nmp.example.com/Team-A/path0", "https://nmp.example.com/Team-A/path0"),
    ],
)
def test_what_looks_like_a_token_is_hidden(text, shown):
    """Names, ids, paths and URLs stay."""
    assert hide_tokens(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("tok-123456789-abc", "[token]"),
        ("/run/secrets/s3cr3ts3cr3ts3cr3t", "/run/secrets/[token]"),
        ("my-token-2026-prod.txt", "my-token-2026-prod.txt"),
        ("/etc/nemo/production", "/etc/nemo/production"),
        ("nemo-token", "nemo-token"),
    ],
)
def test_where_a_token_is_likely_a_shorter_word_is_hidden(text, shown):
    """Unless it has the form of a file's name."""
    assert hide_tokens(text, 16) == shown
