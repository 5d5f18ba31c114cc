"""Files and stdin: unchanged, up to a limit, stdin once."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from nemo_jobs_cli.core.errors import UsageError
from nemo_jobs_cli.fields import files


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_text_is_unchanged(here):
    """Also line ends and a byte order mark."""
    (here / "notes.txt").write_bytes(b"\xef\xbb\xbfa\r\nb\n\n")
    assert files.InputReader().read_text("notes.txt") == "\ufeffa\r\nb\n\n"


@pytest.mark.parametrize("path", ["-", "fifo"])
def test_a_pipe_is_not_read_on_the_main_thread(monkeypatch, path):
    """A signal just before a blocking call would be handled only when the pipe ends, or never."""
    threads = []

    class Pipe(io.BytesIO):
        def read(self, size=-1):
            threads.append(threading.current_thread())
            return super().read(size)

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(Pipe(b"a")))
    monkeypatch.setattr(Path, "open", lambda *_: Pipe(b"a"))
    assert files.InputReader().read_text(path) == "a"
    assert len(threads) == 1
    assert threads[0] is not threading.main_thread()


def test_stdin_is_read_once(monkeypatch):
    """A second reader would find it empty."""
    calls = []
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"a": 1}')))
    reader = files.InputReader(on_stdin=lambda: calls.append(sys.stdin.buffer.tell()))
    assert reader.read_object("-")[0] == {"a": 1}
    assert calls == [0]
    with pytest.raises(UsageError, match="stdin twice"):
        reader.read_text("-")


@pytest.mark.parametrize(
    ("path", "message", "hint"),
    [
        ("", "the file name is empty", "name a file (is a shell variable unset?)"),
        ("progress=4", "cannot read progress=4: No such file or directory", "write a field without -f: progress=4"),
        ("missing.json", "cannot read missing.json: No such file or directory", "check the file name"),
        ("missing/m.json", "cannot read missing/m.json: No such file or directory", "check the file name"),
        (".", "cannot read .: Is a directory", "name a file in it"),
        ("a\0b", "cannot read a\\x00b: invalid path", "check the file name"),
        (
            "runs/Metrcs.json",
            "cannot read runs/Metrcs.json: No such file or directory",
            "did you mean runs/metrics.json?",
        ),
        ("run", "cannot read run: No such file or directory", "check the file name"),  # a folder is no suggestion
    ],
)
def test_an_unreadable_file_is_a_usage_error_with_the_next_step(here, path, message, hint):
    """Also if a similar name exists."""
    (here / "runs").mkdir()
    (here / "runs" / "metrics.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        files.InputReader().read_text(path)
    assert (caught.value.message, caught.value.hint) == (message, hint)


@pytest.mark.parametrize(
    ("method", "error", "reason", "hint"),
    [
        ("open", PermissionError(13, "no"), "no", "make it readable, or name another file"),
        ("open", OSError(5, "bad disk"), "bad disk", "check the file name"),
        ("iterdir", PermissionError(13, "no"), "No such file or directory", "check the file name"),
    ],
)
def test_the_hint_fits_the_reason(monkeypatch, method, error, reason, hint):
    """A forbidden file, a broken disk, a missing file in a folder that cannot be listed."""

    def fail(*_):
        raise error

    monkeypatch.setattr(files.Path, method, fail)
    with pytest.raises(UsageError) as caught:
        files.InputReader().read_text("m.json")
    assert (caught.value.message, caught.value.hint) == (f"cannot read m.json: {reason}", hint)


READ_STDIN = """
import os, sys
from nemo_jobs_cli.core import errors
from nemo_jobs_cli.fields import files
if "unset" in sys.argv:
    os.set_blocking(0, False)
try:
    files.InputReader().read_text("-")
except errors.UsageError as error:
    print(error.message)
"""


@pytest.mark.parametrize("shell", ['exec "$@" 0<&-', 'exec "$@" unset'])
def test_closed_or_non_blocking_stdin_is_a_usage_error(shell):
    """Neither a traceback nor an empty text."""
    reader, writer = os.pipe()
    words = ["sh", "-c", shell, "sh", sys.executable, "-c", READ_STDIN]
    try:
        ran = subprocess.run(words, stdin=reader, capture_output=True, encoding="utf-8", timeout=60)
    finally:
        os.close(reader)
        os.close(writer)
    assert ran.stdout == "cannot read stdin: no input\n", ran.stderr


@pytest.mark.parametrize(("path", "file"), [("notes.txt", " notes.txt"), ("-", "")])
def test_a_text_in_another_encoding_gets_its_conversion(here, monkeypatch, path, file):
    """What stdin contained has no file name."""
    (here / "notes.txt").write_bytes(b"caf\xe9")
    monkeypatch.setattr(sys, "stdin", (here / "notes.txt").open(encoding="utf-8"))
    with pytest.raises(UsageError, match=":1:4: not UTF-8 text") as caught:
        files.InputReader().read_text(path)
    sys.stdin.close()
    assert caught.value.hint == f"convert it: iconv -f latin1 -t utf-8{file}"


@pytest.mark.parametrize(
    ("data", "label", "line"),
    [
        ('{"é":\n"caf'.encode() + b'\xe9"}', "m.json:2:5", '"caf\ufffd"}'),
        (b'{\n "a": nul\n}', "m.json:2:7", ' "a": nul'),
    ],
)
def test_an_error_in_a_file_points_at_line_and_column(here, data, label, line):
    """In characters, for bad UTF-8 too."""
    (here / "m.json").write_bytes(data)
    with pytest.raises(UsageError) as caught:
        files.InputReader().read_object("m.json")
    assert (caught.value.pointer.label, caught.value.pointer.line) == (label, line)
    assert caught.value.message.startswith(f"{label}: ")


def test_a_file_is_read_up_to_a_limit(here):
    """/dev/zero must neither hang nor fill the memory; --allow-large raises the limit."""
    with pytest.raises(UsageError, match="larger than 4 MiB"):
        files.InputReader().read_text("/dev/zero")
    (here / "big.txt").write_bytes(b"x" * (files.TOO_LARGE + 1))
    with pytest.raises(UsageError, match="larger than 4 MiB"):
        files.InputReader().read_text("big.txt")
    assert len(files.InputReader(allow_large=True).read_text("big.txt")) == files.TOO_LARGE + 1


def test_a_large_file_has_a_limit_too(monkeypatch):
    """A pipe may never end; --allow-large is not suggested again."""
    monkeypatch.setattr(files, "LARGEST_FILE", 5 * 1024 * 1024)
    for allow_large, size, hint in ((False, 4, ", or use --allow-large"), (True, 5, "")):
        with pytest.raises(UsageError, match=f"larger than {size} MiB") as caught:
            files.InputReader(allow_large=allow_large).read_text("/dev/zero")
        assert caught.value.hint == f"send a path or a URL instead{hint}"


def test_a_named_pipe_can_be_read(here):
    """`-f <(jq ...)` in bash is one."""
    os.mkfifo("pipe")
    writer = subprocess.Popen(["sh", "-c", """echo '{"a": 1}' > pipe"""])
    assert files.InputReader().read_object("pipe")[0] == {"a": 1}
    assert writer.wait(60) == 0


def test_a_large_body_gets_a_warning_and_then_an_error():
    """It slows down every later update of the job."""
    assert files.check_size(b"x" * files.LARGE, allow_large=False) == ""
    assert "256 KiB" in files.check_size(b"x" * (files.LARGE + 1), allow_large=False)
    with pytest.raises(UsageError, match=r"4\.0 MiB"):
        files.check_size(b"x" * (files.TOO_LARGE + 1), allow_large=False)
    assert files.check_size(b"x" * (files.TOO_LARGE + 1), allow_large=True)
