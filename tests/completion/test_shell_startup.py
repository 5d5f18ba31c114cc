"""Inspecting the startup of shells, and editing their startup files between markers."""

from __future__ import annotations

import os
import select
import shutil
import stat
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from terminals import Terminal

from nemo_jobs_cli.completion import shell_startup
from nemo_jobs_cli.completion.shell_startup import ShellStartup
from nemo_jobs_cli.core.errors import SettingsError

BEGIN, END = "# >>> nemo-jobs completion >>>", "# <<< nemo-jobs completion <<<"
LINES = ("fpath=(/x $fpath)", "autoload -Uz compinit && compinit")


@given(st.binary())
def test_added_lines_are_removed(text):
    """The rest is unchanged, except for a line break at the end."""
    with tempfile.TemporaryDirectory() as folder:
        rc = Path(folder) / "rc"
        rc.write_bytes(text)
        assert not shell_startup.remove(rc)
        assert rc.read_bytes() == text
        shell_startup.add(rc, LINES)
        assert all(line.encode() in rc.read_bytes() for line in LINES)
        assert shell_startup.remove(rc)
        assert rc.read_bytes() == text + (b"" if not text or text.endswith(b"\n") else b"\n")


def test_a_startup_file_is_edited(tmp_path):
    """Links, the mode and undecodable bytes stay; lines are added only once."""
    real, link = tmp_path / "dotfiles-zshrc", tmp_path / ".zshrc"
    real.write_bytes(b"# mine \xff\nalias a=b")
    real.chmod(0o640)
    link.symlink_to(real)
    for _ in range(2):
        shell_startup.add(link, LINES)
    assert real.read_bytes() == b"\n".join(
        [
            b"# mine \xff",
            b"alias a=b",
            BEGIN.encode(),
            *(line.encode() for line in LINES),
            END.encode(),
            b"",
        ]
    )
    assert shell_startup.remove(link)
    assert real.read_bytes() == b"# mine \xff\nalias a=b\n"
    assert (link.is_symlink(), stat.S_IMODE(real.stat().st_mode)) == (True, 0o640)
    assert not shell_startup.remove(link)
    assert not shell_startup.remove(tmp_path / "none")


@pytest.mark.parametrize("broken", [f"{BEGIN}\nmine\n", f"mine\n{END}\nmine, too\n"])
def test_a_single_marker_removes_nothing(tmp_path, broken):
    """Lines next to it may be the user's own, also if lines are added and removed."""
    rc = tmp_path / ".zshrc"
    rc.write_text(broken, encoding="utf-8")
    assert not shell_startup.remove(rc)
    shell_startup.add(rc, LINES)
    shell_startup.add(rc, LINES)
    assert rc.read_text(encoding="utf-8").count(LINES[0]) == 1
    assert shell_startup.remove(rc)
    assert rc.read_text(encoding="utf-8") == broken


def test_all_blocks_are_removed(tmp_path):
    """The dotfiles of two machines may have been merged."""
    rc = tmp_path / ".zshrc"
    shell_startup.add(rc, LINES)
    rc.write_text(f"a\n{rc.read_text(encoding='utf-8')}b\n{rc.read_text(encoding='utf-8')}c\n", encoding="utf-8")
    assert shell_startup.remove(rc)
    assert rc.read_text(encoding="utf-8") == "a\nb\nc\n"


def test_a_startup_file_that_cannot_be_written_is_an_error(tmp_path):
    """The hint has the lines to add."""
    with pytest.raises(SettingsError, match="cannot write") as caught:
        shell_startup.add(tmp_path / "no" / "folder", LINES)
    assert LINES[1] in caught.value.hint
    with pytest.raises(SettingsError, match="not a regular file"):
        shell_startup.remove(tmp_path)


def test_only_a_regular_file_is_replaced(tmp_path):
    """A startup file may be a link to /dev/null; reading a FIFO would block."""
    fifo, link = tmp_path / "fifo", tmp_path / ".bashrc"
    os.mkfifo(fifo)
    link.symlink_to(fifo)
    with pytest.raises(SettingsError, match="not a regular file"):
        shell_startup.add(link, LINES)
    assert stat.S_ISFIFO(fifo.stat().st_mode)


def test_lines_that_mention_the_script_are_found(tmp_path):
    """Added by the user, or left of a block: the shell would print an error at each start."""
    rc, script = tmp_path / ".bashrc", tmp_path / ".local" / "nemo-jobs"
    assert not shell_startup.mentions(rc, script)
    for text, expected in (
        ("mine\n", False),
        (f"source {script}\n", True),
        ("source ~/.local/nemo-jobs\n", True),
        (f"{BEGIN}\n", True),
    ):
        rc.write_text(text, encoding="utf-8")
        assert shell_startup.mentions(rc, script) is expected


@pytest.fixture
def environ(tmp_path):
    """Return the environment of a user with an empty home folder."""
    return {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}


@pytest.mark.skipif(shutil.which("zsh") is None, reason="this machine has no zsh")
def test_zsh_reports_the_folders_that_it_searches(tmp_path, environ):
    """After the user's startup file, and only if completion is on."""
    rc = tmp_path / ".zshrc"
    rc.write_text("echo hello; read answer; exec 2>&1\n", encoding="utf-8")
    assert shell_startup.inspect("zsh", environ, 60) == ShellStartup()
    rc.write_text(
        f"print -n nonsense\nfpath=({tmp_path}/funcs $fpath)\nautoload -Uz compinit; compinit -u\n", encoding="utf-8"
    )
    assert shell_startup.inspect("zsh", environ, 60).searched[0] == tmp_path / "funcs"


def test_bash_reports_whether_it_loads_completions_by_name(tmp_path, environ):
    """With bash-completion it does."""
    (tmp_path / ".bashrc").write_text("complete -r\n", encoding="utf-8")
    assert shell_startup.inspect("bash", environ, 60) == ShellStartup()
    (tmp_path / ".bashrc").write_text("printf motd; _load() { return 124; }; complete -D -F _load\n", encoding="utf-8")
    assert shell_startup.inspect("bash", environ, 60) == ShellStartup(loads_by_name=True)


def test_a_missing_shell_or_one_that_exits_early_loads_nothing(tmp_path, environ):
    """And fish needs no inspection."""
    (tmp_path / ".bashrc").write_text("exit\n", encoding="utf-8")
    for shell, path in (("bash", environ["PATH"]), ("bash", str(tmp_path)), ("fish", environ["PATH"])):
        assert shell_startup.inspect(shell, {**environ, "PATH": path}, 60) == ShellStartup()


@pytest.fixture
def fifo(tmp_path):
    """Give a FIFO, open for reading; EOF means that no process has it open for writing."""
    os.mkfifo(tmp_path / "fifo")
    with open(os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as file:
        yield file


def read_next(file):
    """Return the next bytes, b"" at EOF."""
    assert select.select([file], [], [], 60)[0]
    return file.read(9)


def test_a_background_process_that_holds_the_pipe_does_not_delay_the_result(tmp_path, environ, fifo):
    """And it is killed."""
    (tmp_path / ".bashrc").write_text("exec 9>~/fifo; sleep 600 & exec 9>&-\ncomplete -D -F x\n", encoding="utf-8")
    assert shell_startup.inspect("bash", environ, 60) == ShellStartup(loads_by_name=True)
    assert read_next(fifo) == b""


@pytest.mark.parametrize("text", ["exec 9>~/fifo; echo >&9; sleep 600", "(echo >&9; exec sleep 600) 9>~/fifo & exit"])
def test_a_shell_that_does_not_start_in_time_is_killed(tmp_path, environ, fifo, monkeypatch, text):
    """With its background processes: a startup file may wait for input."""

    def too_long(limit, work):
        threading.Thread(target=work, daemon=True).start()
        assert (limit, read_next(fifo)) == (7, b"\n")
        raise TimeoutError

    monkeypatch.setattr(shell_startup.clock, "run_within", too_long)
    (tmp_path / ".bashrc").write_text(text, encoding="utf-8")
    assert shell_startup.inspect("bash", environ, 7) == ShellStartup(known=False)
    assert read_next(fifo) == b""


def test_an_inspected_shell_has_no_terminal(tmp_path, environ):
    """A startup file that prompts gets no input, and cannot take the keyboard."""
    (tmp_path / ".bashrc").write_text(
        'read -r input; echo "$?" >$HOME/read; ps -o tty= -o sid= -p $$ >$HOME/tty\n', encoding="utf-8"
    )
    with Terminal(
        [
            sys.executable,
            "-c",
            "import os; from nemo_jobs_cli.completion import shell_startup; shell_startup.inspect('bash', os.environ, 60)",
        ],
        environ,
    ) as terminal:
        terminal.type(b"yes\r")
        assert terminal.end() == 0
    assert (tmp_path / "read").read_text(encoding="utf-8") == "1\n"
    assert (tmp_path / "tty").read_text(encoding="utf-8").split()[0] == "?"
