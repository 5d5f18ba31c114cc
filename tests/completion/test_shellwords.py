"""Words with quotes, and what bash puts in their place."""

from __future__ import annotations

import re
import shlex

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from nemo_jobs_cli.completion.command_line import bash_replacements, unquote

BREAKS = " \t\n\"'@><=;|&(:"  # bash's default
PLAIN = st.text("ab=:@ '\"\\$`!", max_size=20)


@given(st.text(max_size=30).filter(lambda text: "\0" not in text))
def test_what_was_quoted_means_itself_again(text):
    """Python's own quoting is the witness."""
    assert unquote(shlex.quote(text)) == (text, -1)


@given(PLAIN)
def test_a_whole_word_is_unquoted_as_by_shlex(raw):
    r"""Compare all words but those in which shlex differs from POSIX: it keeps the backslash of "\$" and "\`"."""
    assume('"' not in raw or not re.search(r"\\[$`]", raw))
    try:
        words = shlex.split(raw)
    except ValueError:
        return
    if len(words) == 1 and not raw[:1].isspace() and not raw[-1:].isspace():
        assert unquote(raw)[0] == words[0]


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (r'"\$ \` \" \\"', '$ ` " \\'),
        (r'"\a \! \'"', r"\a \! \'"),
        (r"\$\`\a\ ", "$`a "),
        (r"'\$\`'", r"\$\`"),
        ('a\\\nb"c\\\nd"', "abcd"),
    ],
)
def test_backslashes_escape_what_posix_says(raw, text):
    r"""In double quotes only $ ` " \ (section 2.2.3), elsewhere any character; a line break after one disappears."""
    assert unquote(raw) == (text, -1)


@pytest.mark.parametrize(
    ("raw", "text", "opened"),
    [
        ("", "", -1),
        ('"tra', "tra", 0),
        ('message="batch 3', "message=batch 3", 8),
        ("it\\'s", "it's", -1),
        ("'it\\", "it\\", 0),
        ('"a\\"b', 'a"b', 0),
        ('"a\\nb"', "a\\nb", -1),
        ("'a'\"b", "ab", 3),
    ],
)
def test_a_word_that_is_being_typed_has_an_open_quote(raw, text, opened):
    """The place of it decides what bash replaces."""
    assert unquote(raw) == (text, opened)


@pytest.mark.parametrize(
    ("raw", "words", "breaks", "given_"),
    [
        ("tr", ["train-x", "trial"], BREAKS, ["train-x", "trial"]),
        ("status=ru", ["status=running"], BREAKS, ["running"]),
        ("status=ru", ["status=running"], " \t\n", ["status=running"]),
        ('status="ru', ["status=running"], BREAKS, ["running"]),
        ('"status=ru', ["status=running"], BREAKS, ["status=running"]),
        ("train@v", ["train@v2"], BREAKS, ["@v2"]),
        ("log@", ["log@="], BREAKS, ["@="]),
        ("tags:", ["tags:=", "tags:@="], BREAKS, ["=", "@="]),
        ("", ["a>=", "b"], BREAKS, ["a\\>=", "b"]),
        ("loss\\>=", ["loss>=1"], BREAKS, ["1"]),
        ("'loss>", ["loss>="], BREAKS, ["loss>="]),
        ('"tra"', ["train-x"], BREAKS, ["in-x"]),
        ("log@=~/no", ["log@="], BREAKS, [""]),
        ("log@=with\\ sp", ["log@="], BREAKS, [""]),
        ("log@=no", ["log@="], " \t\n", ["log@="]),
        ("my\\ log@=no", ["my log@="], " \t\n", ["my\\ log@="]),
        ("-f$HOME/no", ["-f"], BREAKS, ["-f"]),
        ("log@='with sp", ["log@="], " \t\n", [""]),
    ],
)
def test_bash_gets_what_stands_behind_its_last_break(raw, words, breaks, given_):
    """And what follows an open quote needs no backslash."""
    assert bash_replacements(raw, words, breaks) == given_


@given(st.text("ab=:@.+", max_size=6), st.text("ab=:@.+>", max_size=6), st.sampled_from([BREAKS, " \t\n", " =:"]))
def test_what_stands_there_and_what_is_put_there_are_the_word(typed, rest, breaks):
    """Whatever the user's COMP_WORDBREAKS are."""
    (put,) = bash_replacements(typed, [typed + rest], breaks)
    cut = max((typed.rfind(char) + 1 for char in breaks), default=0)
    cut -= typed[cut - 1 : cut] == "@"
    assert unquote(typed[:cut] + put) == (typed + rest, -1)
