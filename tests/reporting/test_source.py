"""Flows of bytes: files that end, grow, are cut or replaced, FIFOs, stdin of any kind."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from raw import CHILD_ENVIRONMENT

from nemo_jobs_cli.core.errors import UsageError
from nemo_jobs_cli.reporting import source


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
