"""The channel of a wrapped command: a real FIFO with shells, many writers, floods and no reader."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import select
import shutil
import stat
import struct
import subprocess
import sys
import tempfile
import termios
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from raw import CHILD_ENVIRONMENT
from waiting import until

from nemo_jobs_cli.run import channel
from nemo_jobs_cli.run.channel import Channel, ChannelTarget, write_update

TARGET = ChannelTarget("http://127.0.0.1:8080", "default", "train")


class Reader(Channel):
    """A channel that collects its lines; `wait` returns them once there are `count`."""

    def __init__(self, whose=TARGET):
        self.chunks = []
        self.changed = threading.Condition()
        self.is_started = self.is_finished = False
        super().__init__(whose, self.collect)

    def start(self):
        self.is_started = True
        super().start()

    def finish(self):
        self.is_finished = True
        super().finish()

    def collect(self, data):
        with self.changed:
            self.chunks.append(data)
            self.changed.notify()

    @property
    def lines(self):
        return [line for line in b"".join(self.chunks).split(b"\n") if line]

    def wait(self, count):
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.lines) >= count, 20)
        return self.lines


@pytest.fixture
def reader():
    """Return a channel that is being read."""
    reader = Reader()
    reader.start()
    yield reader
    if not reader.is_finished:
        reader.finish()


def fill(reader):
    """Fill the FIFO of a channel with lines, and return how many."""
    fifo, written = os.open(reader.path, os.O_WRONLY | os.O_NONBLOCK), 0
    with suppress(BlockingIOError):
        while True:
            written += os.write(fifo, b"a=1\n" * 1024)
    os.close(fifo)
    return written // 4


@pytest.fixture
def unread():
    """Return a channel that nobody reads yet, with a full FIFO."""
    reader = Reader()
    fill(reader)
    yield reader
    if not reader.is_started:
        reader.start()
    if not reader.is_finished:
        reader.finish()


def sh(script, reader):
    """Run a shell script that has the channel."""
    environment = {**CHILD_ENVIRONMENT, "NEMO_JOBS_CHANNEL": str(reader.path)}
    subprocess.run(["sh", "-c", script], env=environment, check=True, timeout=60)


def test_lines_are_read_while_the_command_runs(reader):
    """A line written in two parts comes once."""
    with open(reader.path, "wb", buffering=0) as fifo:
        fifo.write(b"a=1\nb=")
        assert reader.wait(1) == [b"a=1"]
        fifo.write(b"2\n")
        assert reader.wait(2) == [b"a=1", b"b=2"]


def test_finish_reads_what_was_written(reader):
    """The last line may have no line break."""
    sh('printf "a=1\\nb=2" > "$NEMO_JOBS_CHANNEL"', reader)
    reader.finish()
    assert reader.lines == [b"a=1", b"b=2"]


def test_a_full_fifo_is_drained_at_the_end(monkeypatch):
    """Its last line may be incomplete, with no room for a line break."""
    is_ending, write = threading.Event(), os.write

    class Held(Reader):
        """A channel that reads its first line, and nothing more until the end."""

        def collect(self, data):
            super().collect(data)
            assert is_ending.wait(20)

    def write_late(*words):
        try:
            return write(*words)
        finally:
            is_ending.set()

    reader = Held()
    reader.start()
    fifo = os.open(reader.path, os.O_RDWR | os.O_NONBLOCK)
    os.write(fifo, b"first\n")
    reader.wait(1)
    count = fill(reader)
    os.write(fifo, os.read(fifo, 4096)[:-4] + b"b=12")
    os.close(fifo)
    monkeypatch.setattr(channel.os, "write", write_late)  # as the end tries to wake the thread
    reader.finish()
    assert reader.lines == [b"first", *[b"a=1"] * (count - 1), b"b=12"]


def test_endless_lines_do_not_delay_the_end():
    """What was written until the end is read, and nothing more."""

    class Endless(Reader):
        def collect(self, data):
            super().collect(data)
            os.write(fifo, data)

    reader = Endless()
    fifo = os.open(reader.path, os.O_WRONLY | os.O_NONBLOCK)
    reader.start()
    os.write(fifo, b"a=1\n")
    reader.wait(3)
    ending = threading.Thread(target=reader.finish, daemon=True)
    ending.start()
    ending.join(20)
    assert not ending.is_alive()
    os.close(fifo)


def test_updates_of_many_writers_arrive_whole(reader):
    """POSIX keeps lines of up to PIPE_BUF bytes together; those of a writer keep their order."""
    count = 500
    code = (
        "import sys; from nemo_jobs_cli.run import channel; channel.WRITE_TIMEOUT = 60\n"
        "from nemo_jobs_cli.run.channel import ChannelTarget, write_update\n"
        f"for n in range({count}): assert write_update(sys.argv[1], ChannelTarget(*{tuple(TARGET)!r}), "
        "{'writer': int(sys.argv[2]), 'n': n, 'text': 'x' * (n * 6)})"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", code, str(reader.path), str(number)], env=CHILD_ENVIRONMENT)
        for number in range(4)
    ]
    assert [writer.wait(60) for writer in writers] == [0] * 4
    reader.finish()
    lines = [json.loads(line) for line in reader.lines]
    assert len(lines) == 4 * count
    for number in range(4):
        assert [one["n"] for one in lines if one["writer"] == number] == list(range(count))


def test_lines_are_bytes(reader):
    """The parser reports what is wrong with them."""
    with open(reader.path, "wb") as fifo:
        fifo.write(b"\x00\xff\xfe\n\r\n\x80=1\n")
    assert reader.wait(3) == [b"\x00\xff\xfe", b"\r", b"\x80=1"]


def test_a_line_that_is_too_long_becomes_a_bad_line(reader):
    """It takes no memory, is not lost silently, and is reported once."""
    with open(reader.path, "wb") as fifo:
        fifo.write(b'a=1\n{"message": "' + b"x" * 3 * 1024 * 1024)
        fifo.write(b"x" * 1024 * 1024 + b'"}\nb=2\n')
    read = [b"a=1", b"(a line of more than 1 MiB)", b"b=2"]
    assert reader.wait(3) == read
    assert write_update(str(reader.path), TARGET, {"c": 3})
    assert reader.wait(4) == [*read, b'{"c": 3}']


def test_the_longest_line_is_read(reader):
    """Whatever the pieces are in which it arrives; one byte more is too long."""
    longest = b"x" * 1024 * 1024
    with open(reader.path, "r+b", buffering=0) as fifo:
        for line in (longest, longest + b"x"):
            for piece in (line[:-1], line[-1:]):
                fifo.write(piece)
                until(lambda: not struct.unpack("i", fcntl.ioctl(fifo, termios.FIONREAD, bytes(4)))[0])
            fifo.write(b"\n")
    assert reader.wait(2) == [longest, b"(a line of more than 1 MiB)"]


def test_another_reader_takes_only_what_it_reads(unread, monkeypatch):
    """`cat` on the channel is a mistake, but the channel goes on."""
    thief = os.open(unread.path, os.O_RDONLY | os.O_NONBLOCK)
    with suppress(BlockingIOError):
        while True:
            os.read(thief, 65536)
    os.close(thief)
    poll, polls, has_read = select.poll, [], threading.Event()

    class EarlyPoll:
        """A poll whose first result is from before the other reader has read."""

        def __init__(self):
            self.real = poll()
            self.register = self.real.register

        def poll(self, *words):
            polls.append(words)
            if len(polls) == 1:
                return [(0, select.POLLIN)]
            has_read.set()
            return self.real.poll(*words)

    monkeypatch.setattr(channel.select, "poll", EarlyPoll)
    unread.start()
    assert has_read.wait(20)
    assert write_update(str(unread.path), TARGET, {"a": 1})
    assert unread.wait(1) == [b'{"a": 1}']


def test_the_folder_is_private_and_removed():
    """No other user may report for the job."""
    before = sorted(Path("/dev/fd").iterdir())
    reader = Reader()
    reader.start()
    folder = reader.path.parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(reader.path.stat().st_mode) == 0o600
    assert stat.S_ISFIFO(reader.path.stat().st_mode)
    assert json.loads((folder / channel.TARGET).read_text(encoding="utf-8")) == TARGET._asdict()
    reader.finish()
    assert not folder.exists()
    assert sorted(Path("/dev/fd").iterdir()) == before


def test_a_channel_that_cannot_be_made_leaves_no_files(tmp_path, monkeypatch):
    """The disk may be full."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            Channel(TARGET, lambda _: None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [1, channel.ATOMIC - 10, channel.ATOMIC - 9, 3 * 1024 * 1024])
def test_updates_of_any_size_keep_their_order(reader, size, monkeypatch):
    """Each is one line that a FIFO takes in one piece, and its file is removed."""
    sizes, write = [], os.write

    def note_size(number, data):
        sizes.append(len(data))
        return write(number, data)

    monkeypatch.setattr(channel.os, "write", note_size)
    updates = [{"n": 1}, {"a": "x" * size}, {"n": 2, "a": "é" * size}, {"n": 3}]
    for fields in updates:
        assert write_update(str(reader.path), TARGET, fields)
    reader.finish()
    assert [json.loads(line) for line in reader.lines] == updates
    assert max(sizes) <= channel.ATOMIC


def test_the_file_of_a_large_update_is_removed(reader):
    """A training may report for days."""
    assert write_update(str(reader.path), TARGET, {"a": "x" * channel.ATOMIC})
    reader.wait(1)
    assert {file.name for file in reader.path.parent.iterdir()} == {channel.FIFO, channel.TARGET}


def test_a_large_update_without_room_leaves_no_file(unread, monkeypatch):
    """It is sent to the server instead."""
    monkeypatch.setattr(channel, "WRITE_TIMEOUT", 0.01)
    assert not write_update(str(unread.path), TARGET, {"a": "x" * channel.ATOMIC})
    assert {file.name for file in unread.path.parent.iterdir()} == {channel.FIFO, channel.TARGET}


@pytest.mark.parametrize(
    "line", [b"@large-0123456789abcdef", b"@large-../../../../etc/passwd", b"@/etc/passwd", b"@job.json", b"x @large-1"]
)
def test_a_line_cannot_read_other_files(reader, line):
    """It is text of the command, and reported as a bad line."""
    with open(reader.path, "wb") as fifo:
        fifo.write(line + b"\n")
    assert reader.wait(1) == [line]


def test_an_update_can_ask_for_the_outbox(reader):
    """The last one that asks names the folder."""
    for folder in (None, "/one", "/two\udcff", None):
        assert write_update(str(reader.path), TARGET, {"a": 1}, folder)
    assert reader.outbox_dir is None
    reader.finish()
    assert reader.outbox_dir == "/two\udcff"


@pytest.mark.parametrize("field", ChannelTarget._fields)
def test_a_channel_of_another_job_is_not_used(reader, field):
    """Its update goes to the server."""
    assert not write_update(str(reader.path), TARGET._replace(**{field: "other"}), {"a": 1})
    reader.finish()
    assert reader.lines == []


def test_a_removed_channel_is_not_used(reader):
    """The wrapped command has ended."""
    reader.finish()
    assert not write_update(str(reader.path), TARGET, {"a": 1})


def test_a_channel_without_a_reader_is_not_used(tmp_path):
    """`run` was killed, and its folder is still there."""
    (tmp_path / channel.TARGET).write_text(json.dumps(TARGET._asdict()), encoding="utf-8")
    os.mkfifo(tmp_path / channel.FIFO)
    assert not write_update(str(tmp_path / channel.FIFO), TARGET, {"a": 1})


@pytest.mark.parametrize("path", ["", "/", "no/such/place", "a\0b", "/dev/null", "\udce9"])
def test_a_path_that_is_no_channel_is_not_used(path):
    """The variable can hold anything."""
    assert not write_update(path, TARGET, {"a": 1})


def link(place, to):
    """Replace a file or folder by a symlink."""
    if place.is_dir():
        place.rename(to)
    else:
        place.unlink()
        to.touch()
    place.symlink_to(to)


@pytest.mark.parametrize(
    "take_over",
    [
        link,
        lambda path, victim: link(path.parent, victim),
        lambda path, victim: (path.unlink(), path.touch()),
        lambda path, victim: os.chown(path, 65534, -1),
        lambda path, victim: os.chown(path.parent, 65534, -1),
        lambda path, victim: path.parent.chmod(0o720),
        lambda path, victim: path.parent.chmod(0o702),
    ],
)
def test_a_channel_that_another_user_may_control_is_not_used(tmp_path, monkeypatch, take_over):
    """After the end of `run` anybody can create its folder again, with a link in place of the FIFO."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    reader, victim = Reader(), tmp_path / "victim"
    reader.start()
    try:
        take_over(reader.path, victim)
    except PermissionError:
        pytest.skip("only root can give a file to another user")
    assert not write_update(str(reader.path), TARGET, {"a": 1})
    if victim.is_file():
        assert victim.read_bytes() == b""
    reader.finish()
    assert reader.lines == []


def test_a_channel_of_another_user_is_not_used(reader, monkeypatch):
    """Whatever the user's number; root has the lowest."""
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert not write_update(str(reader.path), TARGET, {"a": 1})


def test_a_channel_is_read_from_a_fifo_only(tmp_path, monkeypatch):
    """Another user may have replaced the new folder in a place without a sticky bit."""
    victim = tmp_path / "victim"
    victim.touch()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(os, "mkfifo", lambda path, _: Path(path).symlink_to(victim))
    with pytest.raises(OSError, match="symbolic links"):
        Channel(TARGET, lambda _: None)
    assert list(tmp_path.iterdir()) == [victim]


def test_no_file_takes_the_place_of_a_removed_channel(reader, monkeypatch):
    """A shell that writes late would create it, and go on writing to nobody."""
    remove = shutil.rmtree

    def rmtree(folder, **options):
        with pytest.raises(FileNotFoundError):
            reader.path.write_text("a=1\n", encoding="utf-8")
        remove(folder, **options)

    monkeypatch.setattr(shutil, "rmtree", rmtree)
    reader.finish()
    assert not list(reader.path.parent.parent.glob(f"{reader.path.parent.name}*"))


@pytest.mark.parametrize("identity", ["", "[]", "null", "{", "\xff", "{}"])
def test_a_channel_without_a_job_is_not_used(reader, identity):
    """It may be for any job."""
    Path(reader.path.parent / channel.TARGET).write_text(identity, "latin-1")
    assert not write_update(str(reader.path), TARGET, {"a": 1})


def test_a_full_channel_makes_the_writer_wait(unread, monkeypatch):
    """Nothing is lost, and the order holds."""
    limits, poll = [], select.poll

    class Poll:
        """A poll that has the channel read, if it waits with a limit: that of the writer."""

        def __init__(self):
            self.real = poll()
            self.register = self.real.register

        def poll(self, *limit):
            if limit:
                limits.append(*limit)
                unread.start()
                return self.real.poll(20_000)
            return self.real.poll()

    monkeypatch.setattr(channel.select, "poll", Poll)
    assert write_update(str(unread.path), TARGET, {"last": 1})
    assert limits == [1000 * channel.WRITE_TIMEOUT]
    unread.finish()
    assert unread.lines[-1] == b'{"last": 1}'


def test_a_channel_that_stays_full_is_not_used(unread, monkeypatch):
    """A stopped reader must not hold up an update."""
    monkeypatch.setattr(channel, "WRITE_TIMEOUT", 0.01)
    assert not write_update(str(unread.path), TARGET, {"last": 1})
    unread.start()
    unread.finish()
    assert b'{"last": 1}' not in unread.lines
