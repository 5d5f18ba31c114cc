"""`nemo-jobs completion`: scripts printed, installed, taken away, and nobody's start file changed unasked."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from terminals import Terminal

from nemo_jobs_cli.completion import scripts, shell_startup

ASK = shell_startup.ask

pytestmark = pytest.mark.usefixtures("_plain_shells")


@pytest.fixture
def _plain_shells(monkeypatch):
    """Let no shell look anywhere by itself."""
    monkeypatch.setattr(shell_startup, "ask", lambda *_: shell_startup.Start())


@pytest.fixture
def home():
    """Return the home of the test."""
    folder = Path(os.environ["HOME"])
    folder.mkdir()
    return folder


def test_what_is_left_to_do_is_said(nemo_jobs, home):
    """The lines and the file; the file itself stays as it is."""
    ran = nemo_jobs("completion", "install", "zsh")
    script = home / ".local/share/zsh/site-functions/_nemo-jobs"
    assert script.read_text() == scripts.generate("zsh")
    assert (ran.code, ran.out) == (0, "")
    assert ran.err.splitlines() == [
        "wrote ~/.local/share/zsh/site-functions/_nemo-jobs",
        "zsh does not look there by itself; it needs in ~/.zshrc:",
        f"  fpath=({script.parent} $fpath)",
        "  autoload -Uz compinit && compinit",
    ]
    assert not (home / ".zshrc").exists()


def test_a_start_file_is_changed_where_that_was_asked_for_and_put_right_again(nemo_jobs, home):
    """--edit-rc says yes beforehand."""
    (home / ".bashrc").write_text("# mine\n")
    ran = nemo_jobs("completion", "install", "bash", "--edit-rc")
    assert ran.err.splitlines()[1:] == ["added 1 line to ~/.bashrc", "try it in a new bash: nemo-jobs up<TAB>"]
    assert "source " in (home / ".bashrc").read_text()
    ran = nemo_jobs("completion", "uninstall", "bash")
    assert ran.err.splitlines() == ["removed ~/.local/share/bash-completion/completions/nemo-jobs", "cleaned ~/.bashrc"]
    assert (home / ".bashrc").read_text() == "# mine\n"
    assert nemo_jobs("completion", "uninstall", "bash").err == "there was no completion for bash\n"


def test_lines_that_somebody_added_himself_are_told_of(nemo_jobs, home):
    """They would make each new shell complain."""
    nemo_jobs("completion", "install", "bash")
    line = f"source {home}/.local/share/bash-completion/completions/nemo-jobs\n"
    (home / ".bashrc").write_text(line)
    ran = nemo_jobs("completion", "uninstall", "bash")
    assert "~/.bashrc still names it: take that out in an editor" in ran.err.splitlines()
    assert (home / ".bashrc").read_text() == line
    found = nemo_jobs("completion", "uninstall", "bash", "-o", "json").json
    assert found["result"] == {"shell": "bash", "removed": [], "left": str(home / ".bashrc")}


def test_start_files_get_no_token(nemo_jobs, home, monkeypatch):
    """They may tell anybody what they were started with."""
    monkeypatch.setattr(shell_startup, "ask", ASK)
    monkeypatch.setenv("NEMO_JOBS_TOKEN", "s3cret")
    (home / ".bashrc").write_text("env >~/seen\n")
    for command in ("install", "uninstall"):
        nemo_jobs("completion", command, "bash")
        seen = (home / "seen").read_text()
        assert (f"HOME={home}" in seen, "s3cret" in seen) == (True, False)
        (home / "seen").unlink()


def test_a_shell_that_looks_there_needs_nothing_more(nemo_jobs, home):
    """Fish always does."""
    ran = nemo_jobs("completion", "install", "fish")
    assert ran.err.splitlines() == [
        "wrote ~/.config/fish/completions/nemo-jobs.fish",
        "try it in a new fish: nemo-jobs up<TAB>",
    ]
    assert nemo_jobs("completion", "install", "fish", "-q").err == ""


def test_json_says_the_same(nemo_jobs, home):
    """For scripts that set up machines."""
    found = nemo_jobs("completion", "install", "zsh", "-o", "json").json
    assert (found["outcome"], found["result"]["ready"], len(found["result"]["lines"])) == ("installed", False, 2)
    found = nemo_jobs("completion", "uninstall", "zsh", "-o", "json").json
    assert [Path(path).name for path in found["result"]["removed"]] == ["_nemo-jobs"]


@pytest.mark.parametrize("command", ["install", "uninstall"])
@pytest.mark.parametrize("words", [("tcsh",), ()])
def test_a_shell_without_completion_is_a_mistake_on_the_command_line(nemo_jobs, monkeypatch, command, words):
    """No job is missing; the advice is to repeat the same."""
    monkeypatch.setenv("SHELL", "/bin/tcsh")
    ran = nemo_jobs("completion", command, *words)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        "error: there is no completion for the shell 'tcsh'\n"
        f"next: name one of bash, zsh, fish: nemo-jobs completion {command} bash\n"
    )


@pytest.fixture
def asked(home):
    """Give a terminal on which an installation for zsh asks its question."""
    env = {**{key: value for key, value in os.environ.items() if key.startswith("COVERAGE_")},
           "HOME": str(home), "PATH": os.environ["PATH"], "TERM": "dumb"}  # fmt: skip
    words = [sys.executable, "-m", "nemo_jobs_cli", "completion", "install", "zsh"]
    with Terminal(words, env) as terminal:
        terminal.until(b"[y/N]")
        assert list(home.rglob("*nemo*")) == []
        yield terminal


@pytest.mark.skipif(shutil.which("zsh") is None, reason="this machine has no zsh")
@pytest.mark.parametrize(("answer", "edited"), [(b"y\r", True), (b"\r", False), (b"n\r", False)])
def test_a_person_is_asked(home, asked, answer, edited):
    """And the answer counts; nothing is changed by itself."""
    asked.type(answer)
    assert asked.end() == 0
    assert (home / ".zshrc").exists() is edited
    assert (home / ".local/share/zsh/site-functions/_nemo-jobs").exists()


@pytest.mark.skipif(shutil.which("zsh") is None, reason="this machine has no zsh")
@pytest.mark.parametrize(("key", "code"), [(b"\x03", 130), (b"\x04", 2)], ids=["Ctrl-C", "Ctrl-D"])
def test_who_leaves_at_the_question_finds_nothing_changed(home, asked, key, code):
    """What is said of it begins a line of its own."""
    asked.type(key)
    assert asked.end() == code
    assert b"\nerror: " in asked.seen
    assert code != 2 or b"--no-edit-rc" in asked.seen
    assert list(home.rglob("*nemo*")) == []


@pytest.mark.skipif(shutil.which("zsh") is None, reason="this machine has no zsh")
def test_a_new_zsh_completes_after_the_installation(home):
    """What was added to the start file is enough."""
    from shells import Shell

    env = {"HOME": str(home), "PATH": os.environ["PATH"], "TERM": "dumb"}
    words = [sys.executable, "-m", "nemo_jobs_cli", "completion", "install", "zsh", "--edit-rc", "-q"]
    with Terminal(words, env) as terminal:
        assert terminal.end() == 0
    with Shell("zsh", home, bare=True, more="source ~/.zshrc") as shell:
        assert shell.tab("nemo-jobs up") == "nemo-jobs update |"
