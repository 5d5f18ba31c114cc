"""Installing, finding and removing completion scripts."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from nemo_jobs_cli.completion import script_files, scripts
from nemo_jobs_cli.completion.shell_startup import ShellStartup
from nemo_jobs_cli.core.errors import SettingsError, UsageError

# A bash with bash-completion, and a zsh that searches a system folder only.
PLAIN = ShellStartup(loads_by_name=True, searched=(Path("/usr/share/zsh/functions"),))


@pytest.fixture
def environ(tmp_path):
    """Return the environment of a user."""
    return {"HOME": str(tmp_path)}


@pytest.mark.parametrize(
    ("shell", "more", "path", "searches"),
    [
        ("bash", {}, ".local/share/bash-completion/completions/nemo-jobs", True),
        ("bash", {"XDG_DATA_HOME": "/d"}, "/d/bash-completion/completions/nemo-jobs", True),
        ("bash", {"BASH_COMPLETION_USER_DIR": "/u:/v"}, "/u/completions/nemo-jobs", True),
        ("zsh", {}, ".local/share/zsh/site-functions/_nemo-jobs", False),
        ("fish", {}, ".config/fish/completions/nemo-jobs.fish", True),
        ("fish", {"XDG_CONFIG_HOME": "/c"}, "/c/fish/completions/nemo-jobs.fish", True),
    ],
)
def test_each_shell_has_its_folder(environ, tmp_path, shell, more, path, searches):
    """As in its manual."""
    target = script_files.find_target(shell, {**environ, **more}, PLAIN)
    assert (target.path, target.searches) == (tmp_path / path, searches)


def zsh(environ, *searched):
    """Return the path of the script for a zsh that searches these folders, and whether it searches there."""
    target = script_files.find_target("zsh", environ, ShellStartup(searched=searched))
    return target.path, target.searches


@pytest.mark.parametrize("own", [".zfunc", ".zsh", ".zsh/completions", ".config/zsh/functions", "dots/zsh"])
def test_a_folder_of_the_user_that_zsh_searches_is_used(environ, tmp_path, own):
    """In the usual places for a user's own functions; the default folder comes first."""
    environ["ZDOTDIR"] = str(tmp_path / "dots")
    foreign, own = tmp_path / ".oh-my-zsh" / "functions", tmp_path / own
    assert zsh(environ, foreign, Path("/usr/share"), own) == (own / "_nemo-jobs", True)
    default = tmp_path / ".local/share/zsh/site-functions"
    assert zsh(environ, own, default) == (default / "_nemo-jobs", True)


@pytest.mark.parametrize(
    "foreign",
    [
        ".docker/completions",
        ".local/share/zinit/completions",
        ".zim/modules/git/functions",
        ".asdf/completions",
        ".nvm/x",
        ".zsh/.zim/functions",
        ".zsh/zsh-completions/src",
        "opt/share/zsh/site-functions",
    ],
)
@pytest.mark.parametrize("zdotdir", [None, "", "/"])
def test_a_folder_that_another_program_manages_is_not_used(environ, tmp_path, foreign, zdotdir):
    """It may delete unknown files; a ZDOTDIR above the home folder changes nothing."""
    (tmp_path / ".zsh/zsh-completions/.git").mkdir(parents=True)
    (tmp_path / foreign).mkdir(parents=True)
    if zdotdir is not None:
        environ["ZDOTDIR"] = zdotdir or environ["HOME"]
    assert zsh(environ, tmp_path / foreign) == (tmp_path / ".local/share/zsh/site-functions/_nemo-jobs", False)


@pytest.mark.parametrize("shell", scripts.SHELLS)
def test_an_installed_script_is_found_and_removed(environ, shell):
    """Installing twice does no harm; an older script is not current."""
    target = script_files.find_target(shell, environ, PLAIN)
    assert script_files.find_installed(shell, environ, PLAIN) == []
    for _ in range(2):
        script_files.install(target)
    assert script_files.find_installed(shell, environ, PLAIN) == [
        script_files.InstalledScript(shell, target.path, current=True)
    ]
    target.path.write_text(scripts.generate(shell) + "\n# older")
    assert script_files.find_installed(shell, environ, PLAIN) == [
        script_files.InstalledScript(shell, target.path, current=False)
    ]
    assert script_files.uninstall(shell, environ, PLAIN) == [target.path]
    assert not target.path.exists()
    assert script_files.uninstall(shell, environ, PLAIN) == []


def test_scripts_of_packages_are_found_but_not_removed(tmp_path):
    """`install` does not write to their folders, although zsh searches them."""
    shared = [
        tmp_path / "usr/share/zsh/functions",
        tmp_path / ".oh-my-zsh/completions",
        Path("/usr/share/zsh/site-functions"),
    ]
    startup = ShellStartup(searched=tuple(shared))
    for folder in shared[:2]:
        folder.mkdir(parents=True)
        (folder / "_nemo-jobs").write_text(scripts.generate("zsh"))
    environ = {"HOME": str(tmp_path / "home")}
    assert script_files.uninstall("zsh", environ, startup) == []
    assert script_files.find_target("zsh", environ, startup).path.is_relative_to(tmp_path / "home")
    assert [state.path.parent for state in script_files.find_installed("zsh", environ, startup, shared)] == shared[:2]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_the_umask_applies_to_a_script(environ, umask, mode):
    """As to any other new file."""
    target = script_files.find_target("bash", environ, PLAIN)
    before = os.umask(umask)
    try:
        script_files.install(target)
    finally:
        os.umask(before)
    assert stat.S_IMODE(target.path.stat().st_mode) == mode


def test_another_programs_file_is_neither_overwritten_nor_deleted(environ):
    """The user may have written it."""
    target = script_files.find_target("bash", environ, PLAIN)
    target.path.parent.mkdir(parents=True)
    target.path.write_text("mine")
    with pytest.raises(SettingsError, match="was not written by nemo-jobs"):
        script_files.install(target)
    assert script_files.uninstall("bash", environ, PLAIN) == []
    assert target.path.read_text() == "mine"


def test_a_fifo_does_not_block(environ):
    """Nor is it replaced."""
    target = script_files.find_target("bash", environ, PLAIN)
    target.path.parent.mkdir(parents=True)
    os.mkfifo(target.path)
    with pytest.raises(SettingsError, match="was not written by nemo-jobs"):
        script_files.install(target)
    assert script_files.uninstall("bash", environ, PLAIN) == []


def test_a_folder_that_cannot_be_read_is_an_error(environ, monkeypatch):
    """XDG_DATA_HOME may be in a folder of another user."""
    target = script_files.find_target("bash", environ, PLAIN)

    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(Path, "exists", refuse)
    with pytest.raises(SettingsError, match="Permission denied"):
        script_files.install(target)


def test_a_folder_that_cannot_be_written_is_an_error(environ, tmp_path):
    """The message has the path."""
    (tmp_path / ".config").write_text("a file")
    with pytest.raises(SettingsError, match=r"cannot write .*nemo-jobs.fish"):
        script_files.install(script_files.find_target("fish", environ, PLAIN))


@pytest.mark.parametrize("home", [{}, {"HOME": "relative"}])
def test_installing_without_a_home_folder_is_an_error(home):
    """The hint is to print the script."""
    with pytest.raises(SettingsError) as caught:
        script_files.find_target("bash", home, PLAIN)
    assert "nemo-jobs completion bash >" in caught.value.hint
    assert script_files.find_installed("bash", home, PLAIN) == []


@pytest.mark.parametrize(("name", "variable", "shell"), [("fish", "/bin/bash", "fish"), (None, "/usr/bin/zsh", "zsh")])
def test_the_shell_is_the_named_one_or_that_of_the_user(name, variable, shell):
    """SHELL is set by login(1)."""
    assert script_files.choose_shell(name, {"SHELL": variable}) == shell


@pytest.mark.parametrize(
    ("name", "variable", "message"),
    [
        ("tcsh", "/bin/bash", "unsupported shell: tcsh"),
        (None, "/bin/tcsh", "unsupported shell: tcsh"),
        (None, "", "cannot detect the shell: SHELL is not set"),
        ("", "", "cannot detect the shell: SHELL is not set"),
    ],
)
def test_a_shell_without_completion_is_an_error(name, variable, message):
    """The hint names the supported shells."""
    with pytest.raises(UsageError) as caught:
        script_files.choose_shell(name, {"SHELL": variable}, "uninstall")
    assert caught.value.message == message
    assert caught.value.hint == "name one of bash, zsh, fish: nemo-jobs completion uninstall bash"


def test_the_wheel_contains_the_scripts():
    """For system packages."""
    import tomllib

    root = Path(__file__).parents[2]
    data = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert {Path(target).name for target in data["shared-data"].values()} == set(script_files.FILE_NAMES.values())
    assert all((root / source).is_file() for source in data["shared-data"])
