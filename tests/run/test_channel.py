"""The side channel: a real FIFO, with shells, many writers, floods and dead ends."""

from __future__ import annotations

import json
import os
import resource
import stat
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from raw import CHILD_ENVIRONMENT

from nemo_jobs_cli.run import channel
from nemo_jobs_cli.run.channel import Channel, ChannelTarget, write_update

TARGET = ChannelTarget("http://127.0.0.1:8080", "default", "train")


class Reader(Channel):
    """A channel that keeps what it hears; `wait` returns it once it has so many lines."""

    def __init__(self, whose=TARGET):
        self.heard = []
        self.changed = threading.Condition()
        super().__init__(whose, self.hear)

    def hear(self, data):
        with self.changed:
            self.heard.append(data)
            self.changed.notify()

    @property
    def lines(self):
        return [line for line in b"".join(self.heard).split(b"\n") if line]

    def wait(self, count):
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.lines) >= count, 20)
        return self.lines


@pytest.fixture
def reader():
    """Return a channel that is read, and is taken away afterwards."""
    made = Reader()
    made.start()
    yield made
    if not made._ending.is_set():
        made.finish()


@pytest.fixture
def unread():
    """Return a channel that nobody reads yet, its FIFO full."""
    made = Reader()
    made.written = 0
    fifo = os.open(made.path, os.O_WRONLY | os.O_NONBLOCK)
    with suppress(BlockingIOError):
        while True:
            made.written += os.write(fifo, b"a=1\n" * 1024)
    os.close(fifo)
    yield made
    if made._thread.ident is None:
        made.start()
    if not made._ending.is_set():
        made.finish()


def sh(script, reader):
    """Run a shell script that knows the channel."""
    environment = {**CHILD_ENVIRONMENT, "NEMO_JOBS_CHANNEL": str(reader.path)}
    subprocess.run(["sh", "-c", script], env=environment, check=True, timeout=60)


def test_a_shell_speaks_with_echo(reader):
    """One line an echo, in order; the FIFO has no end between two writers."""
    sh('echo progress=45 > "$NEMO_JOBS_CHANNEL"; echo \'{"step": 1}\' > "$NEMO_JOBS_CHANNEL"', reader)
    assert reader.wait(2) == [b"progress=45", b'{"step": 1}']


def test_lines_are_heard_while_the_command_runs(reader):
    """Nothing waits for the end, and a line that is cut in two is heard once, whole."""
    with open(reader.path, "wb", buffering=0) as fifo:
        fifo.write(b"a=1\nb=")
        assert reader.wait(1) == [b"a=1"]
        fifo.write(b"2\n")
        assert reader.wait(2) == [b"a=1", b"b=2"]


def test_finish_hears_what_was_written_until_then(reader):
    """Also the last line without its line break."""
    sh('printf "a=1\\nb=2" > "$NEMO_JOBS_CHANNEL"', reader)
    reader.finish()
    assert reader.lines == [b"a=1", b"b=2"]


def test_a_full_fifo_is_drained_at_the_end(unread):
    """What a reader found no time for is not lost."""
    unread._ending.set()
    unread.start()
    unread.finish()
    assert unread.lines == [b"a=1"] * (unread.written // 4)


def test_a_full_fifo_may_end_in_the_middle_of_a_line(unread):
    """There is no room then for the line break that would end it."""
    fifo = os.open(unread.path, os.O_RDWR | os.O_NONBLOCK)
    os.write(fifo, os.read(fifo, 4096)[:-4] + b"b=12")
    os.close(fifo)
    unread._ending.set()
    unread.start()
    unread.finish()
    assert unread.lines == [*[b"a=1"] * (unread.written // 4 - 1), b"b=12"]


def test_lines_that_make_more_lines_do_not_hold_the_end_up(reader):
    """What was written until the end is heard, and that is all."""
    fifo = os.open(reader.path, os.O_WRONLY)
    reader._on_lines = lambda data: (reader.hear(data), os.write(fifo, data))
    os.write(fifo, b"a=1\n")
    reader.wait(3)
    ending = threading.Thread(target=reader.finish, daemon=True)
    ending.start()
    ending.join(20)
    assert not ending.is_alive()
    os.close(fifo)


def test_a_writer_in_the_background_does_not_hold_the_end_up(reader):
    """What a command leaves behind may write for ever."""
    writer = subprocess.Popen(
        [sys.executable, "-c", f"with open({str(reader.path)!r}, 'w') as f:\n while True: f.write('a=1\\n' * 20000)"],
        stderr=subprocess.DEVNULL,
        env=CHILD_ENVIRONMENT,
    )
    try:
        reader.wait(20_000)
        ending = threading.Thread(target=reader.finish, daemon=True)
        ending.start()
        ending.join(20)
        assert not ending.is_alive()
    finally:
        writer.kill()
        writer.wait()


def test_ten_thousand_updates_of_many_writers_arrive_whole(reader):
    """POSIX keeps lines of up to PIPE_BUF together; each writer's come in its order."""
    code = (
        "import sys; from nemo_jobs_cli.run.channel import ChannelTarget, write_update\n"
        f"for n in range(2500): assert write_update(sys.argv[1], ChannelTarget(*{tuple(TARGET)!r}), "
        "{'writer': int(sys.argv[2]), 'n': n, 'text': 'x' * (n % 3000)})"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", code, str(reader.path), str(number)], env=CHILD_ENVIRONMENT)
        for number in range(4)
    ]
    assert [writer.wait(60) for writer in writers] == [0] * 4
    reader.finish()
    found = [json.loads(line) for line in reader.lines]
    assert len(found) == 10_000
    for number in range(4):
        assert [one["n"] for one in found if one["writer"] == number] == list(range(2500))


def test_ten_thousand_echoes_arrive(reader):
    """A loop in a shell loses nothing."""
    sh('n=0; while [ $n -lt 10000 ]; do n=$((n+1)); echo step=$n; done > "$NEMO_JOBS_CHANNEL"', reader)
    reader.finish()
    assert reader.lines == [f"step={n}".encode() for n in range(1, 10_001)]


def test_binary_is_passed_on_as_it_is(reader):
    """Who reads the lines says what is wrong with them."""
    with open(reader.path, "wb") as fifo:
        fifo.write(b"\x00\xff\xfe\n\r\n\x80=1\n")
    assert reader.wait(3) == [b"\x00\xff\xfe", b"\r", b"\x80=1"]


def test_a_line_without_an_end_is_replaced_by_what_is_no_update(reader):
    """It can't take memory for ever, and its middle must not go missing silently."""
    with open(reader.path, "wb") as fifo:
        fifo.write(b'a=1\n{"message": "' + b"x" * 3 * 1024 * 1024)
        fifo.write(b"x" * 1024 * 1024 + b'"}\nb=2\n')
    assert reader.wait(3) == [b"a=1", b"(a line of more than 1 MiB)", b"b=2"]


def test_another_reader_costs_what_it_takes_and_no_more(unread):
    """`cat` on the channel is somebody's mistake; ours goes on."""
    thief = os.open(unread.path, os.O_RDONLY | os.O_NONBLOCK)
    with suppress(BlockingIOError):
        while True:
            os.read(thief, 65536)
    os.close(thief)
    unread._read()  # as if it had come between the look and the reading
    assert unread.heard == []
    unread.start()
    assert write_update(str(unread.path), TARGET, {"a": 1})
    assert unread.wait(1) == [b'{"a": 1}']


def test_the_folder_is_private_and_gone_afterwards():
    """Nobody else may speak for the job."""
    reader = Reader()
    reader.start()
    folder = reader.path.parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(reader.path.stat().st_mode) == 0o600
    assert stat.S_ISFIFO(reader.path.stat().st_mode)
    assert json.loads((folder / channel.TARGET).read_text()) == TARGET._asdict()
    reader.finish()
    assert not folder.exists()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(reader._fd)


def test_a_channel_that_can_not_be_made_leaves_nothing(tmp_path, monkeypatch):
    """A full disk is no reason to litter."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            Channel(TARGET, lambda _: None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_the_command_does_not_inherit_the_reading_end(reader):
    """Else what it leaves behind would write to a channel that nobody reads, for ever."""
    assert not os.get_inheritable(reader._fd)


def test_an_update_is_handed_over_in_one_line(reader):
    """What `update` inside the command does."""
    assert write_update(str(reader.path), TARGET, {"progress": 45, "message": "é\n=", "list": [1, None]})
    (line,) = reader.wait(1)
    assert json.loads(line) == {"progress": 45, "message": "é\n=", "list": [1, None]}


def test_an_update_that_is_large_as_a_whole_goes_key_by_key(reader):
    """Each of its lines stays together."""
    fields = {str(n): "x" * 2000 for n in range(5)}
    assert write_update(str(reader.path), TARGET, fields)
    found = [json.loads(line) for line in reader.wait(5)]
    assert found == [{key: value} for key, value in fields.items()]


@pytest.mark.parametrize(("size", "taken"), [(channel.ATOMIC - 10, True), (channel.ATOMIC - 9, False)])
def test_a_value_larger_than_what_stays_together_goes_its_usual_way(reader, size, taken):
    """And nothing of its update has been written then."""
    assert write_update(str(reader.path), TARGET, {"b": 1, "a": "x" * size}) is taken
    reader.finish()
    assert [set(json.loads(line)) for line in reader.lines] == ([{"b"}, {"a"}] if taken else [])


@pytest.mark.parametrize("field", ChannelTarget._fields)
def test_a_channel_of_another_job_takes_nothing(reader, field):
    """An update for another job goes its usual way."""
    assert not write_update(str(reader.path), TARGET._replace(**{field: "other"}), {"a": 1})
    reader.finish()
    assert reader.lines == []


def test_a_dead_channel_takes_nothing(reader):
    """`run` is over: its folder is gone."""
    reader.finish()
    assert not write_update(str(reader.path), TARGET, {"a": 1})


def test_a_channel_whose_reader_was_killed_takes_nothing(tmp_path):
    """Its folder is still there, but nobody reads."""
    (tmp_path / channel.TARGET).write_text(json.dumps(TARGET._asdict()))
    os.mkfifo(tmp_path / channel.FIFO)
    assert not write_update(str(tmp_path / channel.FIFO), TARGET, {"a": 1})


@pytest.mark.parametrize("path", ["", "/", "no/such/place", "a\0b", "/dev/null", "\udce9"])
def test_what_is_no_channel_takes_nothing(path):
    """A variable can hold anything."""
    assert not write_update(path, TARGET, {"a": 1})


@pytest.mark.parametrize("identity", ["", "[]", "null", "{", "\xff", "{}"])
def test_a_channel_that_does_not_say_whose_it_is_takes_nothing(reader, identity):
    """It might be anybody's."""
    Path(reader.path.parent / channel.TARGET).write_text(identity, "latin-1")
    assert not write_update(str(reader.path), TARGET, {"a": 1})


def test_a_full_channel_makes_a_writer_wait_for_its_reader(unread):
    """As a pipe does; nothing is lost, nothing overtakes."""
    taken = []
    writer = threading.Thread(target=lambda: taken.append(write_update(str(unread.path), TARGET, {"last": 1})))
    writer.start()
    unread.start()
    writer.join(20)
    assert taken == [True]
    unread.finish()
    assert unread.lines[-1] == b'{"last": 1}'


def test_a_full_channel_that_nobody_empties_takes_nothing(unread, monkeypatch):
    """A stopped reader must not hold an update beyond its deadline."""
    monkeypatch.setattr(channel, "WRITE_TIMEOUT", 0.01)
    assert not write_update(str(unread.path), TARGET, {"last": 1})
    unread.start()
    unread.finish()
    assert b'{"last": 1}' not in unread.lines
