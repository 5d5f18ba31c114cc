"""Lines out of a flow of bytes: bars that return, escapes, pieces cut anywhere, lines without an end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_jobs_cli.reporting import match


def feed(*pieces):
    """Return the lines that these pieces finish, and the unfinished one."""
    line_buffer = match.LineBuffer()
    return [line for piece in pieces for line in line_buffer.feed(piece)], line_buffer.unfinished()


@pytest.mark.parametrize(
    ("pieces", "whole", "rest"),
    [
        ([b"a\nb\n"], ["a", "b"], []),
        ([b"a\r\nb\r\n"], ["a", "b"], []),
        ([b"\r 10%\r 20%"], [" 10%"], [" 20%"]),
        ([b"a", b"b", b"\n"], ["ab"], []),
        ([b"a\r", b"\nb"], ["a"], ["b"]),
        ([b"\n\n\n"], [], []),
        ([b""], [], []),
        ([b"a\x0bb\x0c\n"], ["a\x0bb\x0c"], []),
        ([b"\xc3", b"\xa9\n"], ["é"], []),
        ([b"caf\xe9\n"], ["caf�"], []),
    ],
)
def test_a_line_ends_where_a_terminal_would_begin_another(pieces, whole, rest):
    r"""With \r as with \n, wherever the pieces are cut; an empty one is none."""
    assert feed(*pieces) == (whole, rest)


def test_an_unfinished_line_can_be_looked_at_and_still_grow():
    """A bar shows its state before it returns."""
    line_buffer = match.LineBuffer()
    assert line_buffer.feed(b"45") == []
    assert line_buffer.unfinished() == ["45"]
    assert line_buffer.feed(b"%\r") == ["45%"]
    assert line_buffer.unfinished() == []


@given(
    st.lists(st.sampled_from([b"a", b"\r", b"\n", b"\xc3\xa9", b"\xff", b"\x1b[1m", b"x" * 9000]), max_size=30),
    st.data(),
)
def test_the_cuts_between_pieces_do_not_matter(parts, data):
    """Pipes cut where they like, in the middle of characters and escapes."""
    whole = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    pieces = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert feed(*pieces) == feed(whole)


def test_a_line_without_an_end_takes_no_memory():
    """A program may print megabytes without a line break: the beginning is looked at, the rest let go."""
    line_buffer = match.LineBuffer()
    for _ in range(100):
        assert line_buffer.feed(b"x" * 64 * 1024) == []
    assert len(line_buffer._rest) == match.MAX_LINE
    assert line_buffer.feed(b"y\nz\n") == ["x" * match.MAX_LINE, "z"]


@pytest.mark.parametrize(
    ("raw", "read"),
    [
        (b"\x1b[31mred\x1b[0m", "red"),
        (b"\x1b[38;2;1;2;3mcolour\x1b[m", "colour"),
        (b"\x1b[2K\x1b[1A\x1b[?25lbar", "bar"),
        (b"\x1b[A45%", "45%"),
        (b"\x1b]0;title\x07text", "text"),
        (b"\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        (b"\x1b(Btext", "text"),
        (b"\x1b7saved\x1b8", "saved"),
        (b"end\x1b", "end\x1b"),
        ("━━╸ 45%".encode(), "━━╸ 45%"),
    ],
)
def test_a_line_is_read_without_its_escapes(raw, read):
    """Colours, cursor, titles and links are not what a line says."""
    assert match.plain_text(raw) == read


@pytest.mark.parametrize(
    ("output", "count", "shown"),
    [
        (b"a\nb\nc\n", 2, "b\nc"),
        (b"a\r\nb\r\n", 5, "a\nb"),
        (b"a\nb", 0, ""),
        (b"", 3, ""),
        (b"  \n\n", 3, ""),
        (b"10%\r20%\r30%\nTraceback\n", 2, "30%\nTraceback"),
        (b"10%\r20%\r\nend", 2, "20%\nend"),
        (b"\x1b[31mError\x1b[0m: x\n", 1, "Error: x"),
        (b"caf\xe9\n", 1, "caf�"),
        (b"a\n\nb\n", 3, "a\n\nb"),
    ],
)
def test_the_tail_is_what_a_terminal_would_show(output, count, shown):
    """The last state of each bar, without colours, without the empty lines at the end."""
    assert match.last_lines(output, count, 1000) == shown


@given(st.text(st.sampled_from("aé🚀\n")), st.integers(1, 40))
def test_the_tail_is_bounded_in_bytes(text, most):
    """Whatever is cut, it is the beginning, and no character is cut in two."""
    found = match.last_lines(text.encode(), 1000, most)
    assert len(found.encode()) <= most
    assert text.rstrip().endswith(found)
