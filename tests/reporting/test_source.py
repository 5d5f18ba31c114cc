"""Flows of bytes: files that end, grow, are cut or replaced, FIFOs, stdin of any kind."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw import CHILD_ENVIRONMENT

from nemo_jobs_cli.core import known_keys
from nemo_jobs_cli.core.errors import UsageError
from nemo_jobs_cli.fields import lines as field_lines
from nemo_jobs_cli.reporting import source
from nemo_jobs_cli.reporting.match import Matcher
from nemo_jobs_cli.reporting.source import Batch, LineReader


class Steps:
    """A sleep that does the next step instead, and ends the reading after the last."""

    def __init__(self, *steps):
        self.steps = list(steps)

    def __call__(self, seconds):
        assert seconds == source.POLL_INTERVAL
        if not self.steps:
            raise EOFError
        self.steps.pop(0)()


def follow(path, *steps):
    """Return what is read of a file while these steps are taken, one at each pause."""
    seen = b""
    before = list(Path("/dev/fd").iterdir())
    todo = Steps(*steps)
    with suppress(EOFError):
        for piece in source.read_chunks(str(path), follow=True, sleep=todo):
            seen += piece
    assert todo.steps == []
    assert len(list(Path("/dev/fd").iterdir())) == len(before)  # nothing stays open
    return seen


def append(path, data):
    """Return a step that appends to a file."""

    def step():
        with open(path, "ab") as out:
            out.write(data)

    return step


def test_a_file_is_read_to_its_end(tmp_path):
    """In pieces, all of it."""
    path = tmp_path / "m.jsonl"
    whole = os.urandom(source.CHUNK + 5)
    path.write_bytes(whole)
    found = list(source.read_chunks(str(path)))
    assert b"".join(found) == whole
    assert len(found) == 2


def test_an_empty_file_holds_nothing(tmp_path):
    """And is no error."""
    path = tmp_path / "empty"
    path.touch()
    assert list(source.read_chunks(str(path))) == []


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: None, "No such file"),
        (lambda path: path.mkdir(), "Is a directory"),
        (lambda path: path.symlink_to(path), "symbolic links"),
    ],
)
def test_what_can_not_be_read_is_named(tmp_path, make, says):
    """With its reason and a next step."""
    path = tmp_path / "x"
    make(path)
    with pytest.raises(UsageError) as caught:
        list(source.read_chunks(str(path)))
    assert str(path) in caught.value.message
    assert says in caught.value.message
    assert caught.value.pointer == ("--input", str(path), None)


def test_a_name_that_is_none_is_no_bug():
    """No file has a NUL in its name."""
    with pytest.raises(UsageError, match=r"cannot read a\\x00b: not a usable name"):
        list(source.read_chunks("a\0b"))


def test_a_file_that_grows_is_followed(tmp_path):
    """Its end is no end; a pause without news is none either."""
    path = tmp_path / "log"
    path.write_bytes(b"a\n")
    assert follow(path, append(path, b"b\n"), lambda: None, append(path, b"c\n")) == b"a\nb\nc\n"


def test_a_file_that_is_cut_is_read_from_its_beginning(tmp_path):
    """`: > log`, and logrotate with copytruncate."""
    path = tmp_path / "log"
    path.write_bytes(b"a long line\n")
    assert follow(path, lambda: path.write_bytes(b"new\n"), append(path, b"more\n")) == b"a long line\nnew\nmore\n"


def test_a_file_that_is_replaced_is_followed_by_its_name(tmp_path):
    """And what the old one got until then is read first."""
    path = tmp_path / "log"
    path.write_bytes(b"a\n")

    def rotate():
        append(path, b"b\n")()
        path.rename(tmp_path / "log.1")
        path.write_bytes(b"c\n")

    assert follow(path, rotate, append(path, b"d\n"), rotate) == b"a\nb\nc\nd\nb\nc\n"


def test_a_file_that_is_gone_for_the_moment_is_waited_for(tmp_path):
    """Between two rotations there may be none."""
    path = tmp_path / "log"
    path.write_bytes(b"a\n")
    old = tmp_path / "log.1"
    steps = [lambda: path.rename(old), append(old, b"b\n"), lambda: None, lambda: path.write_bytes(b"c\n")]
    assert follow(path, *steps) == b"a\nb\nc\n"


def test_a_file_that_is_replaced_by_what_can_not_be_read_is_an_error(tmp_path):
    """Waiting for ever would hide it."""
    path = tmp_path / "log"
    path.write_bytes(b"a\n")

    def step():
        path.unlink()
        path.mkdir()

    with pytest.raises(UsageError, match="Is a directory"):
        list(source.read_chunks(str(path), follow=True, sleep=Steps(step)))


def test_a_fifo_ends_with_its_last_writer(tmp_path):
    """And is read as it comes."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    turn = threading.Event()

    def write():
        with open(path, "wb", buffering=0) as fifo:
            fifo.write(b"a\n")
            turn.wait(20)
            fifo.write(b"b\n")

    writer = threading.Thread(target=write)
    writer.start()
    found = source.read_chunks(str(path))
    assert next(found) == b"a\n"
    turn.set()
    assert list(found) == [b"b\n"]
    writer.join()


def test_a_fifo_is_followed_from_writer_to_writer(tmp_path):
    """With --follow the end of one is the chance of the next."""
    path = tmp_path / "fifo"
    os.mkfifo(path)

    def write(data):
        with open(path, "wb") as fifo:
            fifo.write(data)

    first = threading.Thread(target=write, args=(b"a\n",))
    first.start()
    assert follow(path, lambda: write(b"b\n"), lambda: write(b"c\n")) == b"a\nb\nc\n"
    first.join()


READ = "from nemo_jobs_cli.reporting import source as feeds\nfor piece in feeds.read_chunks('-', follow={follow}): print(piece, flush=True)"


def child(stdin, *, follow=False):
    """Return a process that reads its stdin piece by piece."""
    return subprocess.Popen(
        [sys.executable, "-c", READ.format(follow=follow)],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=CHILD_ENVIRONMENT,
    )


@pytest.mark.parametrize("follow", [False, True])
def test_stdin_is_read_as_it_comes_and_ends(follow):
    """A pipe's pieces are not collected; nobody can follow beyond its end."""
    process = child(subprocess.PIPE, follow=follow)
    process.stdin.write(b"a\n")
    process.stdin.flush()
    assert process.stdout.readline() == b"b'a\\n'\n"
    assert process.communicate(b"b\n", 20) == (b"b'b\\n'\n", b"")
    assert process.returncode == 0


def test_a_stdin_that_is_set_not_to_wait_is_waited_for():
    """Whoever shares it may have done so: node does."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    process = child(reading)
    os.close(reading)
    for line in (b"a", b"b"):
        os.write(writing, line)
        assert process.stdout.readline() == b"b'%s'\n" % line
    os.close(writing)
    assert process.communicate(timeout=20) == (b"", b"")


@contextmanager
def stdin(path, mode):
    """Have a file as this process's stdin."""
    before = os.dup(0)
    with open(path, mode) as file:
        os.dup2(file.fileno(), 0)
    try:
        yield
    finally:
        os.dup2(before, 0)
        os.close(before)


def test_a_stdin_that_can_not_be_read_is_named(tmp_path):
    """`nemo-jobs stream 0> file`."""
    with stdin(tmp_path / "out", "wb"), pytest.raises(UsageError, match="cannot read stdin: Bad file descriptor"):
        list(source.read_chunks("-"))


def test_a_stdin_of_the_caller_stays_open(tmp_path):
    """It isn't ours to close."""
    path = tmp_path / "in"
    path.write_bytes(b"a\n")
    with stdin(path, "rb"):
        assert list(source.read_chunks("-")) == [b"a\n"]
        assert os.fstat(0).st_size == 2


# Lines ---------------------------------------------------------------------------------------------------------------


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
