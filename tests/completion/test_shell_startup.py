"""Start files of shells: asked, never run on a terminal, and changed only between our marks."""

from __future__ import annotations

import os
import select
import shutil
import stat
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from terminals import Terminal

from nemo_jobs_cli.completion import shell_startup
from nemo_jobs_cli.completion.shell_startup import Start
from nemo_jobs_cli.core.errors import SettingsError

LINES = ("fpath=(/x $fpath)", "autoload -Uz compinit && compinit")


@given(st.text().filter(lambda text: "nemo-jobs completion" not in text and "\r" not in text))
def test_what_was_added_can_be_taken_out_again(text):
    """The file is what it was, but for a line break at its end."""
    added = text + ("" if not text or text.endswith("\n") else "\n")
    with_block = added + "\n".join([shell_startup._BEGIN, *LINES, shell_startup._END, ""])
    assert shell_startup._without(with_block) == added
    assert shell_startup._without(text) == text


def test_a_start_file_is_changed_in_its_place(tmp_path):
    """A link stays one, the mode stays, what can't be read as text stays; twice is once."""
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
            shell_startup._BEGIN.encode(),
            *(line.encode() for line in LINES),
            shell_startup._END.encode(),
            b"",
        ]
    )
    assert shell_startup.remove(link)
    assert real.read_bytes() == b"# mine \xff\nalias a=b\n"
    assert (link.is_symlink(), stat.S_IMODE(real.stat().st_mode)) == (True, 0o640)
    assert not shell_startup.remove(link)
    assert not shell_startup.remove(tmp_path / "none")


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_a_new_start_file_is_as_private_as_any_other(tmp_path, umask, mode):
    """The user's umask says who may read it."""
    before = os.umask(umask)
    try:
        shell_startup.add(tmp_path / ".zshrc", LINES)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / ".zshrc").stat().st_mode) == mode


@pytest.mark.parametrize("broken", [f"{shell_startup._BEGIN}\nmine\n", f"mine\n{shell_startup._END}\nmine, too\n"])
def test_a_start_file_with_one_mark_alone_loses_nothing(tmp_path, broken):
    """Somebody has edited it: what stands before or behind may be his, also when new lines come and go."""
    rc = tmp_path / ".zshrc"
    rc.write_text(broken)
    assert not shell_startup.remove(rc)
    shell_startup.add(rc, LINES)
    shell_startup.add(rc, LINES)
    assert rc.read_text().count(LINES[0]) == 1
    assert shell_startup.remove(rc)
    assert rc.read_text() == broken


def test_lines_that_were_merged_twice_go_both(tmp_path):
    """As dotfiles of two machines are."""
    rc = tmp_path / ".zshrc"
    shell_startup.add(rc, LINES)
    rc.write_text(f"a\n{rc.read_text()}b\n{rc.read_text()}c\n")
    assert shell_startup.remove(rc)
    assert rc.read_text() == "a\nb\nc\n"


def test_what_can_not_be_changed_is_said(tmp_path):
    """With the lines that belong there."""
    with pytest.raises(SettingsError, match="can't be changed") as caught:
        shell_startup.add(tmp_path / "no" / "folder", LINES)
    assert LINES[1] in caught.value.hint
    with pytest.raises(SettingsError, match="can't be changed"):
        shell_startup.remove(tmp_path)


def test_what_is_no_plain_file_is_never_replaced(tmp_path):
    """A link to /dev/null keeps some start files empty; a FIFO would be waited for."""
    fifo, link = tmp_path / "fifo", tmp_path / ".bashrc"
    os.mkfifo(fifo)
    link.symlink_to(fifo)
    with pytest.raises(SettingsError, match="not a plain file"):
        shell_startup.add(link, LINES)
    assert stat.S_ISFIFO(fifo.stat().st_mode)


def test_a_start_file_that_is_read_only_stays_as_it_is(tmp_path, monkeypatch):
    """Its owner has protected it, although the folder would let us replace it."""
    rc = tmp_path / ".bashrc"
    rc.write_text("mine\n")
    monkeypatch.setattr(shell_startup.os, "access", lambda path, _: path != rc)  # root may write to anything
    with pytest.raises(SettingsError, match="Permission denied"):
        shell_startup.add(rc, LINES)
    assert rc.read_text() == "mine\n"


def test_a_start_file_keeps_its_owner(tmp_path, monkeypatch):
    """Also where root installs for somebody, as sudo does on some systems."""
    rc = tmp_path / ".bashrc"
    rc.write_text("mine\n")
    given = []
    monkeypatch.setattr(shell_startup.os, "chown", lambda *words: given.append(words))
    shell_startup.add(rc, LINES)
    assert given == [(rc, rc.stat().st_uid, rc.stat().st_gid)]


def test_what_still_names_the_script_is_found(tmp_path):
    """A line that somebody has added himself, or what is left of ours: the shell would complain at each start."""
    rc, script = tmp_path / ".bashrc", tmp_path / ".local" / "nemo-jobs"
    assert not shell_startup.names(rc, script)
    for text, named in (
        ("mine\n", False),
        (f"source {script}\n", True),
        ("source ~/.local/nemo-jobs\n", True),
        (f"{shell_startup._BEGIN}\n", True),
    ):
        rc.write_text(text)
        assert shell_startup.names(rc, script) is named


@pytest.fixture
def environ(tmp_path):
    """Return the environment of a user whose home is empty."""
    return {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}


@pytest.mark.skipif(shutil.which("zsh") is None, reason="this machine has no zsh")
def test_zsh_tells_where_it_looks(tmp_path, environ):
    """After the user's own start file, and only where completion is on."""
    rc = tmp_path / ".zshrc"
    rc.write_text("echo hello; read answer; exec 2>&1\n")
    assert shell_startup.ask("zsh", environ, 60) == Start()
    rc.write_text(f"print -n nonsense\nfpath=({tmp_path}/funcs $fpath)\nautoload -Uz compinit; compinit -u\n")
    assert shell_startup.ask("zsh", environ, 60).searched[0] == tmp_path / "funcs"


def test_bash_tells_whether_it_loads_completions_by_name(tmp_path, environ):
    """As bash-completion makes it."""
    (tmp_path / ".bashrc").write_text("complete -r\n")
    assert shell_startup.ask("bash", environ, 60) == Start()
    (tmp_path / ".bashrc").write_text("printf motd; _load() { return 124; }; complete -D -F _load\n")
    assert shell_startup.ask("bash", environ, 60) == Start(by_name=True)


def test_a_shell_that_is_not_there_or_ends_early_does_nothing(tmp_path, environ):
    """And fish need not be asked."""
    (tmp_path / ".bashrc").write_text("exit\n")
    for shell, path in (("bash", environ["PATH"]), ("bash", str(tmp_path)), ("fish", environ["PATH"])):
        assert shell_startup.ask(shell, {**environ, "PATH": path}, 60) == Start()


@pytest.fixture
def held(tmp_path):
    """Give a FIFO, open for reading: it ends when nobody has it open for writing any more."""
    os.mkfifo(tmp_path / "held")
    with open(os.open(tmp_path / "held", os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as file:
        yield file


def next_of(file):
    """Return what comes next, b"" at the end."""
    assert select.select([file], [], [], 60)[0]
    return file.read(9)


def test_an_answer_counts_although_a_background_process_holds_the_pipe(tmp_path, environ, held):
    """And that does not stay."""
    (tmp_path / ".bashrc").write_text("exec 9>~/held; sleep 600 & exec 9>&-\ncomplete -D -F x\n")
    assert shell_startup.ask("bash", environ, 60) == Start(by_name=True)
    assert next_of(held) == b""


@pytest.mark.parametrize("text", ["exec 9>~/held; echo >&9; sleep 600", "(echo >&9; exec sleep 600) 9>~/held & exit"])
def test_nothing_stays_of_a_shell_whose_answer_does_not_come(tmp_path, environ, held, monkeypatch, text):
    """A start file that waits for somebody, or that ends the shell but for a background process."""

    def too_long(limit, work):
        threading.Thread(target=work, daemon=True).start()
        assert (limit, next_of(held)) == (7, b"\n")
        raise TimeoutError

    monkeypatch.setattr(shell_startup.clock, "run_within", too_long)
    (tmp_path / ".bashrc").write_text(text)
    assert shell_startup.ask("bash", environ, 7) == Start(known=False)
    assert next_of(held) == b""


def test_a_shell_that_is_asked_sits_at_no_terminal(tmp_path, environ):
    """A start file that asks gets no answer, and can't take the keyboard from us."""
    (tmp_path / ".bashrc").write_text('read -r said; echo "$?" >$HOME/read; ps -o tty= -o sid= -p $$ >$HOME/sits\n')
    with Terminal(
        [
            sys.executable,
            "-c",
            "import os; from nemo_jobs_cli.completion import shell_startup as shellrc; shellrc.ask('bash', os.environ, 60)",
        ],
        environ,
    ) as terminal:
        terminal.type(b"yes\r")
        assert terminal.end() == 0
    assert (tmp_path / "read").read_text() == "1\n"
    assert (tmp_path / "sits").read_text().split()[0] == "?"
