"""`nemo-jobs completion`: printing, installing and removing the scripts."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from terminals import Terminal

from nemo_jobs_cli.completion import scripts, shell_startup

INSPECT = shell_startup.inspect

pytestmark = pytest.mark.usefixtures("_plain_shells")


@pytest.fixture
def _plain_shells(monkeypatch):
    """Let no shell search any folder."""
    monkeypatch.setattr(shell_startup, "inspect", lambda *_: shell_startup.ShellStartup())


@pytest.fixture
def home():
    """Return an empty home folder."""
    folder = Path(os.environ["HOME"])
    folder.mkdir()
    return folder


def test_the_required_lines_are_printed(nemo_jobs, home):
    """With the startup file, which is not changed."""
    ran = nemo_jobs("completion", "install", "zsh")
    script = home / ".local/share/zsh/site-functions/_nemo-jobs"
    assert script.read_text(encoding="utf-8") == scripts.generate("zsh")
    assert (ran.code, ran.out) == (0, "")
    assert ran.err.splitlines() == [
        "wrote ~/.local/share/zsh/site-functions/_nemo-jobs",
        "zsh does not search that folder: ~/.zshrc needs these lines:",
        f"  fpath=({script.parent} $fpath)",
        "  autoload -Uz compinit && compinit",
    ]
    assert not (home / ".zshrc").exists()


def test_a_startup_file_is_edited_and_restored(nemo_jobs, home):
    """--edit-rc needs no confirmation."""
    (home / ".bashrc").write_text("# mine\n", encoding="utf-8")
    ran = nemo_jobs("completion", "install", "bash", "--edit-rc")
    assert ran.err.splitlines()[1:] == ["added 1 line to ~/.bashrc", "try it in a new bash: nemo-jobs up<TAB>"]
    assert "source " in (home / ".bashrc").read_text(encoding="utf-8")
    ran = nemo_jobs("completion", "uninstall", "bash")
    assert ran.err.splitlines() == [
        "removed ~/.local/share/bash-completion/completions/nemo-jobs",
        "removed the lines about nemo-jobs from ~/.bashrc",
    ]
    assert (home / ".bashrc").read_text(encoding="utf-8") == "# mine\n"
    assert nemo_jobs("completion", "uninstall", "bash").err == "completion is not installed for bash\n"


def test_lines_that_the_user_added_are_reported(nemo_jobs, home):
    """With them, each new shell would print an error."""
    assert "~/.bashrc needs this line:" in nemo_jobs("completion", "install", "bash").err
    line = f"source {home}/.local/share/bash-completion/completions/nemo-jobs\n"
    (home / ".bashrc").write_text(line, encoding="utf-8")
    ran = nemo_jobs("completion", "uninstall", "bash")
    assert "~/.bashrc still mentions the script: remove that line in an editor" in ran.err.splitlines()
    assert (home / ".bashrc").read_text(encoding="utf-8") == line
    document = nemo_jobs("completion", "uninstall", "bash", "-o", "json").json
    assert document["result"] == {"shell": "bash", "removed": [], "left": str(home / ".bashrc")}


def test_startup_files_get_no_token(nemo_jobs, home, monkeypatch):
    """They may log their environment."""
    monkeypatch.setattr(shell_startup, "inspect", INSPECT)
    monkeypatch.setenv("NEMO_JOBS_TOKEN", "s3cret")
    (home / ".bashrc").write_text("env >~/seen\n", encoding="utf-8")
    for command in ("install", "uninstall"):
        nemo_jobs("completion", command, "bash")
        seen = (home / "seen").read_text(encoding="utf-8")
        assert (f"HOME={home}" in seen, "s3cret" in seen) == (True, False)
        (home / "seen").unlink()


def test_a_shell_that_searches_the_folder_needs_no_lines(nemo_jobs, home):
    """Fish always searches it."""
    ran = nemo_jobs("completion", "install", "fish")
    assert ran.err.splitlines() == [
        "wrote ~/.config/fish/completions/nemo-jobs.fish",
        "try it in a new fish: nemo-jobs up<TAB>",
    ]
    assert nemo_jobs("completion", "install", "fish", "-q").err == ""


def test_json(nemo_jobs, home):
    """Has the same facts."""
    document = nemo_jobs("completion", "install", "zsh", "-o", "json").json
    assert (document["outcome"], document["result"]["ready"], len(document["result"]["lines"])) == (
        "installed",
        False,
        2,
    )
    document = nemo_jobs("completion", "uninstall", "zsh", "-o", "json").json
    assert [Path(path).name for path in document["result"]["removed"]] == ["_nemo-jobs"]


@pytest.mark.parametrize("command", ["install", "uninstall"])
@pytest.mark.parametrize(
    ("words", "variable", "message"),
    [
        (("tcsh",), "/bin/bash", "unsupported shell: tcsh"),
        ((), "/bin/tcsh", "unsupported shell: tcsh"),
        ((), "", "cannot detect the shell: SHELL is not set"),
    ],
)
def test_a_shell_without_completion_is_a_usage_error(nemo_jobs, monkeypatch, command, words, variable, message):
    """The hint names the same command."""
    monkeypatch.setenv("SHELL", variable)
    ran = nemo_jobs("completion", command, *words)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (f"error: {message}\nnext: name one of bash, zsh, fish: nemo-jobs completion {command} bash\n")


@pytest.fixture
def terminal(home):
    """Give a terminal on which the installation for zsh has asked for confirmation."""
    env = {**{key: value for key, value in os.environ.items() if key.startswith("COVERAGE_")},
           "HOME": str(home), "PATH": os.environ["PATH"], "TERM": "dumb"}  # fmt: skip
    words = [sys.executable, "-m", "nemo_jobs_cli", "completion", "install", "zsh"]
    with Terminal(words, env) as process:
        process.until(b"[y/N]")
        assert list(home.rglob("*nemo*")) == []
        yield process


@pytest.mark.skipif(shutil.which("zsh") is None, reason="this machine has no zsh")
@pytest.mark.parametrize(("answer", "edited"), [(b"y\r", True), (b"\r", False), (b"n\r", False)])
def test_the_startup_file_is_edited_if_confirmed(home, terminal, answer, edited):
    """The default answer is no."""
    terminal.type(answer)
    assert terminal.end() == 0
    assert (home / ".zshrc").exists() is edited
    assert (home / ".local/share/zsh/site-functions/_nemo-jobs").exists()


@pytest.mark.skipif(shutil.which("zsh") is None, reason="this machine has no zsh")
@pytest.mark.parametrize(("key", "code"), [(b"\x03", 130), (b"\x04", 2)], ids=["Ctrl-C", "Ctrl-D"])
def test_leaving_the_confirmation_changes_nothing(home, terminal, key, code):
    """The error is on a new line."""
    terminal.type(key)
    assert terminal.end() == code
    assert b"\nerror: " in terminal.seen
    assert code != 2 or b"--no-edit-rc" in terminal.seen
    assert list(home.rglob("*nemo*")) == []


@pytest.mark.skipif(shutil.which("zsh") is None, reason="this machine has no zsh")
def test_a_new_zsh_completes_after_the_installation(home):
    """The lines added to the startup file suffice."""
    from shells import Shell

    env = {"HOME": str(home), "PATH": os.environ["PATH"], "TERM": "dumb"}
    words = [sys.executable, "-m", "nemo_jobs_cli", "completion", "install", "zsh", "--edit-rc", "-q"]
    with Terminal(words, env) as terminal:
        assert terminal.end() == 0
    with Shell("zsh", home, bare=True, more="source ~/.zshrc") as shell:
        assert shell.tab("nemo-jobs up") == "nemo-jobs update |"
