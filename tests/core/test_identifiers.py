"""Words that are safe in a shell."""

from __future__ import annotations

import re
import shlex
import string

from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import nearly

from nemo_jobs_cli.core.identifiers import is_key, is_name, is_value

# The server's own pattern (its OpenAPI schema).
PATTERN = re.compile(r"[a-z](?!.*--)[a-z0-9\-@.+_]{1,62}(?<!-)")
NEARLY = st.text("abz09-@.+_A \n\té$;'\"=,:", max_size=70)


@given(st.one_of(NEARLY, st.from_regex(PATTERN, fullmatch=True), st.text(max_size=70)))
def test_is_name_matches_the_servers_pattern(text):
    """Two hyphens, one at the end, 63 characters, a trailing line break."""
    assert is_name(text) == (PATTERN.fullmatch(text) is not None)


@settings(max_examples=500)
@given(nearly("train-x", "a.b+c_d", "/data/ckpt@2", more=st.sampled_from(string.punctuation + " \n")) | NEARLY)
def test_accepted_words_need_no_quotes_in_a_shell(text):
    """They have no quotes or spaces, and are not options."""
    if is_name(text) or is_key(text) or is_value(text):
        assert shlex.quote(text) == text
        assert text[0] not in "-~"
        assert text.isascii()
        assert not set(text) & set("=,:;|&<>()$`*?[]{}!#~\\'\" \t\n")


def test_ordinary_keys_and_values_are_accepted():
    """The rule is not too strict."""
    assert all(map(is_key, ("progress", "train_loss", "lastUpdated", "eval.f1", "_x", "a-b")))
    assert all(map(is_value, ("running", "epoch-3", "/data/ckpt@2", "v1.2+cu", "3", "_x")))
    assert not any(map(is_key, ("", "1st", "a b", "a=b", "a[0]", "-x", "é")))
    assert not any(map(is_value, ("", "two words", "-rf", "a,b", "~root", "$HOME", "a:b", "x" * 64)))
