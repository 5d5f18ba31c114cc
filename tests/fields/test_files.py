"""Files and stdin: exact, bounded, once."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import pytest

from nemo_jobs_cli.core.errors import UsageError
from nemo_jobs_cli.fields import files


def test_text_is_exact(tmp_path):
    """No newline is added, translated or taken away."""
    file = tmp_path / "notes.txt"
    file.write_bytes(b"\xef\xbb\xbfa\r\nb\n\n")
    assert files.InputReader().read_text(str(file)) == "\ufeffa\r\nb\n\n"


def test_an_object_may_begin_with_a_byte_order_mark(tmp_path):
    """Editors on Windows write one."""
    file = tmp_path / "m.json"
    file.write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert files.InputReader().read_object(str(file)) == ({"a": 1}, '{"a": 1}')


def test_stdin_is_read_once():
    """The second reader would find it empty, and send nothing without a word."""
    reader = files.InputReader(stdin=io.BytesIO(b'{"a": 1}'))
    assert reader.read_object("-")[0] == {"a": 1}
    with pytest.raises(UsageError, match="only once"):
        reader.read_text("-")


def test_an_empty_name_and_a_field_in_a_files_place_are_told():
    """An unset variable, and a field with -f before it."""
    with pytest.raises(UsageError, match="a file's name is empty") as caught:
        files.InputReader().read_text("")
    assert "variable unset" in caught.value.hint
    with pytest.raises(UsageError) as caught:
        files.InputReader().read_text("progress=4")
    assert caught.value.hint == "fields need no -f: progress=4"


@pytest.mark.parametrize("path", ["missing.json", ".", "a\0b", "missing/m.json"])
def test_what_cannot_be_read_is_a_usage_error(tmp_path, monkeypatch, path):
    """Missing, a folder, no name at all."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as caught:
        files.InputReader().read_text(path)
    assert "can't be read" in caught.value.message
    assert caught.value.hint


def test_a_misspelt_file_brings_the_right_name(tmp_path):
    """As with commands and jobs."""
    (tmp_path / "metrics.json").write_text("{}")
    with pytest.raises(UsageError) as caught:
        files.InputReader().read_text(str(tmp_path / "metrcs.json"))
    assert str(tmp_path / "metrics.json") in caught.value.hint


@pytest.mark.parametrize(
    ("error", "hint"),
    [(IsADirectoryError, "name a file in it"), (PermissionError, "ask for the right to read it"), (OSError, "check")],
)
def test_the_next_step_fits_the_reason(monkeypatch, error, hint):
    """A folder, a forbidden file, a broken disk."""

    def fail(*args):
        raise error(5, "no luck")

    monkeypatch.setattr(files.Path, "open", fail)
    with pytest.raises(UsageError, match=r"m\.json can't be read: no luck") as caught:
        files.InputReader().read_text("m.json")
    assert caught.value.hint.startswith(hint)


def test_a_folder_that_cannot_be_listed_gives_no_suggestion(monkeypatch, tmp_path):
    """A missing file in it is still a usage error."""

    def fail(_):
        raise PermissionError(13, "no")

    monkeypatch.setattr(files.Path, "iterdir", fail)
    with pytest.raises(UsageError) as caught:
        files.InputReader().read_text(str(tmp_path / "m.json"))
    assert caught.value.hint == "check the file's name"


def test_a_folder_is_no_suggestion_for_a_file(tmp_path):
    """It can't be read either."""
    (tmp_path / "notes").mkdir()
    with pytest.raises(UsageError) as caught:
        files.InputReader().read_text(str(tmp_path / "notess"))
    assert caught.value.hint == "check the file's name"


READ_STDIN = """
import os, sys
from nemo_jobs_cli.core import errors
from nemo_jobs_cli.fields import files as files
if "unset" in sys.argv:
    os.set_blocking(0, False)
try:
    files.InputReader().read_text("-")
except errors.UsageError as error:
    print(error.message)
"""


@pytest.mark.parametrize("shell", ['exec "$@" 0<&-', 'exec "$@" unset'])
def test_stdin_that_holds_nothing_is_a_usage_error(shell):
    """Closed by the caller, or set not to wait: no traceback, no empty text."""
    reader, writer = os.pipe()
    words = ["sh", "-c", shell, "sh", sys.executable, "-c", READ_STDIN]
    try:
        ran = subprocess.run(words, stdin=reader, capture_output=True, text=True, timeout=60)
    finally:
        os.close(reader)
        os.close(writer)
    assert ran.stdout == "stdin can't be read: nothing is there\n", ran.stderr


def test_bad_utf8_is_pointed_at(tmp_path):
    """By line and column, in characters."""
    file = tmp_path / "m.json"
    file.write_bytes('{"é":\n"caf'.encode() + b'\xe9"}')
    with pytest.raises(UsageError) as caught:
        files.InputReader().read_object(str(file))
    assert caught.value.pointer.label == f"{file}:2:5"
    assert "iconv" in caught.value.hint


def test_bad_json_names_file_line_and_column(tmp_path):
    """And shows the line."""
    file = tmp_path / "m.json"
    file.write_text('{\n "a": nul\n}')
    with pytest.raises(UsageError) as caught:
        files.InputReader().read_object(str(file))
    assert caught.value.pointer.label == f"{file}:2:7"
    assert caught.value.pointer.line == ' "a": nul'


def test_an_endless_file_is_read_to_a_limit():
    """/dev/zero must neither hang nor fill the memory."""
    with pytest.raises(UsageError, match="more than 4 MiB"):
        files.InputReader().read_text("/dev/zero")


def test_large_files_are_taken_where_asked_for(tmp_path):
    """--allow-large lifts the limit."""
    file = tmp_path / "big.txt"
    file.write_bytes(b"x" * (files.TOO_LARGE + 1))
    with pytest.raises(UsageError):
        files.InputReader().read_text(str(file))
    assert len(files.InputReader(allow_large=True).read_text(str(file))) == files.TOO_LARGE + 1


def test_a_named_pipe_is_a_file_too(tmp_path):
    """`-f <(jq ...)` in bash is one."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    if os.fork() == 0:
        with open(path, "wb") as pipe:
            pipe.write(b'{"a": 1}')
        os._exit(0)
    assert files.InputReader().read_object(str(path))[0] == {"a": 1}
    os.wait()


def test_sizes_are_warned_of_and_refused():
    """A large body makes every later update of the job slow."""
    assert files.check_size(b"x" * files.LARGE, allow_large=False) == ""
    assert "KiB" in files.check_size(b"x" * (files.LARGE + 1), allow_large=False)
    with pytest.raises(UsageError, match=r"4\.0 MiB"):
        files.check_size(b"x" * (files.TOO_LARGE + 1), allow_large=False)
    assert files.check_size(b"x" * (files.TOO_LARGE + 1), allow_large=True)
