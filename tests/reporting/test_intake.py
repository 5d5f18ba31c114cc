"""Pieces of a flow: cut anywhere, they amount to the same; mistakes are told by their line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_jobs_cli.core import known_keys
from nemo_jobs_cli.fields import lines as field_lines
from nemo_jobs_cli.reporting.match import Matcher
from nemo_jobs_cli.reporting.source import Batch, LineReader

MIB = field_lines.MAX_LINE
PATTERNS = ["tqdm", r"loss=(?P<train_loss>\S+)"]


def take(*pieces, patterns=()):
    """Return the fields, the updates, the lines and the complaints that these pieces amount to."""
    said, state, updates = [], {}, 0
    reader = LineReader(
        "in",
        known_keys.NUMBERS,
        lambda error: said.append(error.message),
        Matcher(patterns, known_keys.NUMBERS) if patterns else None,
    )
    for taken in [*map(reader.feed, pieces), reader.finish()]:
        state |= taken.fields
        updates += taken.updates
    return state, updates, reader.lines, said


def cut(data, whole):
    """Draw a cutting of `whole` into pieces."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    return [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]


PARTS = st.sampled_from(
    [
        b'{"a": 1}', b'{"b": "\xc3\xa9"}', b"c=3", b"progress=45 step=x", b"\n", b"\r\n", b"\n", b"#", b" ", b"{", b"\xff", b"\xc3",
        b"\xef\xbb\xbf", b'{"a": 1e999}', b"message='x y'",
    ]
)  # fmt: skip


@given(st.lists(PARTS, max_size=25).map(b"".join), st.data())
def test_the_cuts_between_pieces_do_not_matter(whole, data):
    """Neither for the fields, nor for the counts, nor for what is complained of, and in which order."""
    assert take(*cut(data, whole)) == take(whole)


@given(
    st.lists(
        st.sampled_from([b"loss=", b"0.5", b"nan", b"\n", b"\r\n", b"\r", b"x", b"45it [00:01", b"\xff", b" "]),
        max_size=25,
    ).map(b"".join),
    st.data(),
)
def test_nor_do_they_when_lines_are_matched(whole, data):
    """Bars return with a character of their own."""
    assert take(*cut(data, whole), patterns=PATTERNS) == take(whole, patterns=PATTERNS)


@pytest.mark.parametrize("size", [1, 7, 4096, 64 * 1024, MIB - 1, MIB, 10 * MIB])
@pytest.mark.parametrize(("length", "fits"), [(MIB, True), (MIB + 1, False), (3 * MIB, False)])
def test_a_line_that_is_too_long_is_told_of(size, length, fits):
    """However it comes; the lines around it count, and their numbers stay right."""
    line = b'{"long": "' + b"x" * (length - 12) + b'"}'
    whole = b"a=1\n" + line + b"\nb=2\nbad\n"
    if size == 1:
        whole, start = whole[-2000:], whole[:-2000]
        pieces = [start, *(whole[at : at + 1] for at in range(len(whole)))]
    else:
        pieces = [whole[at : at + size] for at in range(0, len(whole), size)] if size > 7 else [whole[:9], whole[9:]]
    state, updates, lines, said = take(*pieces)
    assert len(state.pop("long", "")) == (length - 12 if fits else 0)
    assert (state, updates, lines) == ({"a": "1", "b": "2"}, 2 + fits, 4)
    assert said == [*([] if fits else ["in:2 is longer than 1 MiB"]), "in:4 is not key=value: 'bad'"]


def test_more_of_a_long_line_is_not_kept():
    """A flow without line breaks takes no memory."""
    reader = LineReader("in", known_keys.NUMBERS, lambda _: None)
    for _ in range(40):
        assert reader.feed(b"x" * 256 * 1024) == Batch({}, 0)
    assert len(reader._rest) == MIB + 1


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_long_last_line_is_told_of(end):
    """At the end as anywhere."""
    assert take(b"a=1\n" + b"x" * (MIB + 1) + end) == ({"a": "1"}, 1, 2, ["in:2 is longer than 1 MiB"])


def test_what_is_not_utf_8_is_told_of_in_the_order_of_the_lines():
    """One bad byte spoils one line."""
    state, updates, lines, said = take(b'a=1\nbad\nm=caf\xe9\n{"b": 2}\nworse\nc=3')
    assert (state, updates, lines) == ({"a": "1", "b": 2, "c": "3"}, 3, 6)
    assert said == ["in:2 is not key=value: 'bad'", "in:3 is not UTF-8 text", "in:5 is not key=value: 'worse'"]


@pytest.mark.parametrize("whole", [b"", b"\n", b"\n\n", b"#x\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"])
def test_nothing_amounts_to_nothing(whole):
    """Blanks and comments are lines, and no updates."""
    assert take(whole) == ({}, 0, whole.count(b"\n") or bool(whole), [])


@pytest.mark.parametrize("last", [b"a=1", b'{"a": "1"}', b'{"a": "1"}\r'])
def test_the_last_line_needs_no_line_break(last):
    """`printf` writes none."""
    assert take(last) == take(last + b"\n") == ({"a": "1"}, 1, 1, [])


def test_a_byte_order_mark_is_no_text():
    """Windows begins files with it; only there it is one."""
    assert take(b'\xef\xbb\xbf{"a": 1}\n') == ({"a": 1}, 1, 1, [])
    assert take(b'\n\xef\xbb\xbf{"a": 1}\n')[3] != []


def test_every_line_counts_as_an_update():
    """What is folded is counted before."""
    assert take(b'{"a": 1}\n' * 1000, b"a=2\n") == ({"a": "2"}, 1001, 1001, [])


def test_matched_lines_are_counted_as_an_editor_counts_them():
    """A bar's returns make no lines, empty lines are some; a complaint names its own."""
    whole = b"start\n\n 10%\r 20%\rloss=nan\nloss=0.5\r\n45it [00:01, 9it/s]\rloss=inf"
    state, updates, lines, said = take(whole, patterns=PATTERNS)
    assert (state, updates, lines) == ({"train_loss": 0.5, "step": 45}, 2, 5)
    assert said == ["in:3: train_loss must be a number: 'nan'", "in:5: train_loss must be a number: 'inf'"]


def test_a_strict_intake_stops_at_the_first_mistake():
    """What stands before it counts; nothing behind it is read."""
    for data in (b"a=1\noops\nb=2\n", b"a=1\n\xff\nb=2\n", b"a=1\n" + b"x" * (1 << 20) + b"x\nb=2\n"):
        heard = []
        reader = LineReader("in", frozenset(), heard.append, strict=True)
        assert reader.feed(data).fields == {"a": "1"}
        assert "in:2" in reader.error.message
        assert heard == []
