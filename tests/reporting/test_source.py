"""The input of `stream`: files that grow or are replaced, FIFOs, stdin, and the updates in their lines."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import tracemalloc
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory import traced_bytes
from raw import CHILD_ENVIRONMENT

from nemo_jobs_cli.core import clock
from nemo_jobs_cli.core.errors import UsageError
from nemo_jobs_cli.fields import lines as field_lines
from nemo_jobs_cli.fields.flow import FlowValues
from nemo_jobs_cli.reporting import source
from nemo_jobs_cli.reporting.match import Matcher
from nemo_jobs_cli.reporting.source import LineReader


class Steps:
    """A sleep that takes the next step instead, and ends the reading after the last one."""

    def __init__(self, *steps):
        self.steps = list(steps)

    def __call__(self, seconds):
        assert seconds == source.POLL_INTERVAL
        if not self.steps:
            raise EOFError
        self.steps.pop(0)()


def follow(path, *steps):
    """Return what is read of a file, with one step at each pause."""
    seen = b""
    before = list(Path("/dev/fd").iterdir())
    todo = Steps(*steps)
    with suppress(EOFError):
        for chunk in source.read_chunks(str(path), follow=True, sleep=todo):
            seen += chunk
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
    """It comes in chunks."""
    path = tmp_path / "m.jsonl"
    whole = os.urandom(source.CHUNK + 5)
    path.write_bytes(whole)
    chunks = list(source.read_chunks(str(path)))
    assert b"".join(chunks) == whole
    assert len(chunks) == 2


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "No such file"),
        (lambda path: path.mkdir(), "Is a directory"),
        (lambda path: path.symlink_to(path), "symbolic links"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path, make, reason):
    """The error names the file and the reason."""
    path = tmp_path / "x"
    make(path)
    with pytest.raises(UsageError) as caught:
        list(source.read_chunks(str(path)))
    assert str(path) in caught.value.message
    assert reason in caught.value.message
    assert caught.value.pointer == ("--input", str(path), None)
    with pytest.raises(UsageError, match=r"cannot read a\\x00b: invalid path"):
        list(source.read_chunks("a\0b", follow=True))


def test_following_a_file_that_grows_and_is_truncated(tmp_path):
    """`: > log` and logrotate with copytruncate truncate it. A pause without new lines changes nothing."""
    path = tmp_path / "log"
    path.write_bytes(b"a\n")
    steps = [append(path, b"b\n"), lambda: None, lambda: path.write_bytes(b"c\n"), append(path, b"d\n")]
    assert follow(path, *steps) == b"a\nb\nc\nd\n"


def test_following_a_file_that_is_replaced(tmp_path):
    """The rest of the old file is read first."""
    path = tmp_path / "log"
    path.write_bytes(b"a\n")

    def rotate():
        append(path, b"b\n")()
        path.rename(tmp_path / "log.1")
        path.write_bytes(b"c\n")

    assert follow(path, rotate, append(path, b"d\n"), rotate) == b"a\nb\nc\nd\nb\nc\n"


def test_following_a_file_that_appears_later(tmp_path):
    """The program that writes it may start later, and make its folder too; without --follow that is an error."""
    path = tmp_path / "run" / "log"
    assert (
        follow(path, lambda: None, path.parent.mkdir, lambda: path.write_bytes(b"a\n"), append(path, b"b\n"))
        == b"a\nb\n"
    )


def test_following_a_file_that_is_missing_for_a_moment(tmp_path):
    """This may happen between two rotations."""
    path = tmp_path / "log"
    path.write_bytes(b"a\n")
    old = tmp_path / "log.1"
    steps = [lambda: path.rename(old), append(old, b"b\n"), lambda: None, lambda: path.write_bytes(b"c\n")]
    assert follow(path, *steps) == b"a\nb\nc\n"


def test_following_a_file_that_becomes_unreadable(tmp_path):
    """Waiting for ever would hide the error."""
    path = tmp_path / "log"
    path.write_bytes(b"a\n")

    def step():
        path.unlink()
        path.mkdir()

    with pytest.raises(UsageError, match="Is a directory"):
        list(source.read_chunks(str(path), follow=True, sleep=Steps(step)))


def test_a_fifo_ends_with_its_last_writer(tmp_path):
    """It is read as the writer writes."""
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
    chunks = source.read_chunks(str(path))
    assert next(chunks) == b"a\n"
    turn.set()
    assert list(chunks) == [b"b\n"]
    writer.join()


def test_following_a_fifo(tmp_path):
    """With --follow it goes on with the next writer."""
    path = tmp_path / "fifo"
    os.mkfifo(path)

    def write(data):
        with open(path, "wb") as fifo:
            fifo.write(data)

    first = threading.Thread(target=write, args=(b"a\n",))
    first.start()
    assert follow(path, lambda: write(b"b\n"), lambda: write(b"c\n")) == b"a\nb\nc\n"
    first.join()


def test_an_idle_input_is_waited_for_in_steps(tmp_path, monkeypatch):
    """A signal just before a blocking read would be handled only after the next line, or never."""
    path, waits = tmp_path / "lines", []
    path.write_bytes(b"a\n")

    def is_readable(_fd, seconds=None):
        waits.append(seconds)
        return len(waits) > 2

    monkeypatch.setattr(source, "is_readable", is_readable)
    assert next(source.read_chunks(str(path))) == b"a\n"
    assert waits == [clock.STEP] * 3


def test_a_fifo_is_not_opened_on_the_main_thread(tmp_path, monkeypatch):
    """A signal just before a blocking `open` would be handled only when a writer comes, or never."""
    path, threads, open_file = tmp_path / "fifo", [], os.open
    os.mkfifo(path)
    writer = threading.Thread(target=lambda: path.write_bytes(b"a\n"))
    writer.start()
    monkeypatch.setattr(os, "open", lambda *given: (threads.append(threading.current_thread()), open_file(*given))[1])
    assert b"".join(source.read_chunks(str(path))) == b"a\n"
    writer.join()
    assert threading.main_thread() not in threads


READ = "from nemo_jobs_cli.reporting import source\nfor chunk in source.read_chunks('-', follow=True): print(chunk, flush=True)"


def test_a_non_blocking_stdin():
    """Another process may share it and have set it so: node does. It is read as it comes, and ends with --follow too."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    pipes = {"stdin": reading, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", READ], env=CHILD_ENVIRONMENT, **pipes)
    os.close(reading)
    for line in (b"a", b"b"):
        os.write(writing, line)
        assert process.stdout.readline() == b"b'%s'\n" % line
    os.close(writing)
    assert process.communicate(timeout=60) == (b"", b"")


@contextmanager
def stdin(path, mode):
    """Use a file as the stdin of this process."""
    before = os.dup(0)
    with open(path, mode) as file:
        os.dup2(file.fileno(), 0)
    try:
        yield
    finally:
        os.dup2(before, 0)
        os.close(before)


def test_a_stdin_that_cannot_be_read(tmp_path):
    """`nemo-jobs stream 0> file` makes it so."""
    with stdin(tmp_path / "out", "wb"), pytest.raises(UsageError, match="cannot read stdin: Bad file descriptor"):
        list(source.read_chunks("-"))


def test_stdin_stays_open(tmp_path):
    """It belongs to the caller."""
    path = tmp_path / "in"
    path.write_bytes(b"a\n")
    with stdin(path, "rb"):
        assert list(source.read_chunks("-")) == [b"a\n"]
        assert os.fstat(0).st_size == 2


# Lines ---------------------------------------------------------------------------------------------------------------


MIB = field_lines.MAX_LINE
PATTERNS = ["tqdm", r"loss=(?P<train_loss>\S+)"]


def read(*chunks, patterns=()):
    """Return the fields, the updates, the lines and the errors of these chunks."""
    errors, fields, updates = [], {}, 0
    values = FlowValues()
    matcher = Matcher(patterns, values) if patterns else None
    reader = LineReader("in", values, lambda error: errors.append(error.message), matcher)
    for batch in [*map(reader.feed, chunks), reader.finish()]:
        fields |= batch.fields
        updates += batch.updates
    return fields, updates, reader.lines, errors


def cut(data, whole):
    """Draw a way to cut `whole` into chunks."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    return [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]


PARTS = st.sampled_from(
    [
        b'{"a": 1}', b'{"b": "\xc3\xa9"}', b"c=3", b"progress=45 step=x", b"\n", b"\r\n", b"\n", b"#", b" ", b"{", b"\xff", b"\xc3",
        b"\xef\xbb\xbf", b'{"a": 1e999}', b"message='x y'",
    ]
)  # fmt: skip


MATCHED_PARTS = st.sampled_from([b"loss=", b"0.5", b"nan", b"\n", b"\r\n", b"\r", b"x", b"45it [00:01", b"\xff", b" "])


@pytest.mark.parametrize(("parts", "patterns"), [(PARTS, ()), (MATCHED_PARTS, PATTERNS)], ids=["parse", "match"])
@given(data=st.data())
def test_chunks_may_be_cut_anywhere(parts, patterns, data):
    """The fields, the counts and the errors are the same, in the same order."""
    whole = data.draw(st.lists(parts, max_size=25).map(b"".join))
    assert read(*cut(data, whole), patterns=patterns) == read(whole, patterns=patterns)


@pytest.mark.parametrize("size", [1, 7, 4096, 64 * 1024, MIB - 1, MIB, 10 * MIB])
@pytest.mark.parametrize(("length", "fits"), [(MIB, True), (MIB + 1, False), (3 * MIB, False)])
def test_a_line_that_is_too_long(size, length, fits):
    """It is reported, and the lines around it count."""
    line = b'{"long": "' + b"x" * (length - 12) + b'"}'
    whole = b"a=1\n" + line + b"\nb=2\nbad\n"
    if size == 1:
        whole, start = whole[-2000:], whole[:-2000]
        chunks = [start, *(whole[at : at + 1] for at in range(len(whole)))]
    else:
        chunks = [whole[at : at + size] for at in range(0, len(whole), size)] if size > 7 else [whole[:9], whole[9:]]
    fields, updates, lines, errors = read(*chunks)
    assert len(fields.pop("long", "")) == (length - 12 if fits else 0)
    assert (fields, updates, lines) == ({"a": "1", "b": "2"}, 2 + fits, 4)
    assert errors == [*([] if fits else ["in:2: longer than 1 MiB"]), "in:4: invalid field 'bad': not key=value"]


def test_a_long_line_takes_no_memory():
    """Only its beginning is kept."""
    reader = LineReader("in", FlowValues(), lambda _: None)
    tracemalloc.start()
    try:
        for _ in range(40):
            assert reader.feed(b"x" * 256 * 1024) == ({}, 0, 0)
        assert traced_bytes() < 2 * MIB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("whole", "result"),
    [
        (b"", ({}, 0, 0, [])),
        (b"\n\n", ({}, 0, 2, [])),
        (b"#x\n", ({}, 0, 1, [])),
        (b"\xef\xbb\xbf", ({}, 0, 1, [])),
        (b'\xef\xbb\xbf{"a": 1}\n', ({"a": 1}, 1, 1, [])),
        (b"\n\xef\xbb\xbfa=1\n", ({"\ufeffa": "1"}, 1, 2, [])),
        (b"a=1", ({"a": "1"}, 1, 1, [])),
        (b'{"a": "1"}\r', ({"a": "1"}, 1, 1, [])),
        (b'{"a": 1}\n' * 1000 + b"a=2\n", ({"a": "2"}, 1001, 1001, [])),
        (b"a=1\n" + b"x" * (MIB + 1), ({"a": "1"}, 1, 2, ["in:2: longer than 1 MiB"])),
        (
            b'a=1\nbad\nm=caf\xe9\n{"b": 2}\nworse\nc=3',
            ({"a": "1", "b": 2, "c": "3"}, 3, 6,
             ["in:2: invalid field 'bad': not key=value", "in:3: not UTF-8 text", "in:5: invalid field 'worse': not key=value"]),
        ),
    ],
    ids=lambda value: str(value)[:20],
)  # fmt: skip
def test_fields_updates_lines_and_errors(whole, result):
    """Only a mark at the start is a byte order mark; the last line needs no line break; errors are in order."""
    assert read(whole) == result


def test_a_byte_order_mark_in_a_later_chunk_is_text():
    """A chunk may begin anywhere in the file."""
    reader = LineReader("in", FlowValues(), list)
    assert reader.feed(b"a=1\n").fields == {"a": "1"}
    assert reader.feed(b"\xef\xbb\xbfb=2\n").fields == {"\ufeffb": "2"}


def test_matched_lines_are_counted_by_line_breaks():
    r"""The \r of a bar is none, and empty lines count; an error names its line."""
    whole = b"start\n\n 10%\r 20%\rloss=bad\nloss=0.5\r\n45it [00:01, 9it/s]\rloss=no"
    fields, updates, lines, errors = read(whole, patterns=PATTERNS)
    assert (fields, updates, lines) == ({"train_loss": 0.5, "step": 45}, 2, 5)
    assert errors == [
        "in:3: invalid train_loss 'bad': must be a number",
        "in:5: invalid train_loss 'no': must be a number",
    ]


def test_a_strict_reader_stops_at_the_first_bad_line():
    """The lines before it count, those after it are not read."""
    for data in (b"a=1\noops\nb=2\n", b"a=1\n\xff\nb=2\n", b"a=1\n" + b"x" * (1 << 20) + b"x\nb=2\n"):
        errors = []
        reader = LineReader("in", FlowValues(frozenset()), errors.append, strict=True)
        assert reader.feed(data).fields == {"a": "1"}
        assert "in:2" in reader.error.message
        assert errors == []
