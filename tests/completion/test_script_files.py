"""Installing, finding and removing completion scripts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nemo_jobs_cli.completion import script_files, scripts
from nemo_jobs_cli.completion.shell_startup import ShellStartup
from nemo_jobs_cli.core.errors import SettingsError

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


@pytest.mark.parametrize(
    ("folder", "is_used"),
    [
        *((name, True) for name in (".zfunc", ".zsh", ".zsh/completions", ".config/zsh/functions", "dots/functions")),
        *((name, False) for name in (".docker/completions", ".zim/modules/git/functions", ".zsh/plugin/src", "opt/x")),
    ],
)
def test_a_usual_folder_that_zsh_searches_is_used(environ, tmp_path, folder, is_used):
    """Folders of other programs are not: they may delete unknown files. The default folder comes first."""
    environ["ZDOTDIR"] = str(tmp_path / "dots")
    searched, default = tmp_path / folder, tmp_path / ".local/share/zsh/site-functions"
    for folders, expected in (
        ([searched], searched if is_used else default),
        ([Path("/usr/share"), searched, default], default),
    ):
        target = script_files.find_target("zsh", environ, ShellStartup(searched=tuple(folders)))
        assert (target.path.parent, target.searches) == (expected, expected in folders)


@pytest.mark.parametrize("shell", scripts.SHELLS)
def test_an_installed_script_is_found_and_removed(environ, shell):
    """Installing twice does no harm; an older script is not current."""
    target = script_files.find_target(shell, environ, PLAIN)
    assert script_files.find_installed(shell, environ, PLAIN) == {}
    for _ in range(2):
        script_files.install(target)
    assert script_files.find_installed(shell, environ, PLAIN) == {target.path: True}
    target.path.write_text(scripts.generate(shell) + "\n# older", encoding="utf-8")
    assert script_files.find_installed(shell, environ, PLAIN) == {target.path: False}
    assert script_files.uninstall(shell, environ, PLAIN) == [target.path]
    assert not target.path.exists()
    assert script_files.uninstall(shell, environ, PLAIN) == []


@pytest.mark.parametrize("create", [os.mkfifo, lambda path: path.write_text("mine", encoding="utf-8")])
def test_another_programs_file_is_neither_overwritten_nor_deleted(environ, create):
    """The user may have written it; a FIFO does not block."""
    target = script_files.find_target("bash", environ, PLAIN)
    target.path.parent.mkdir(parents=True)
    create(target.path)
    mode = target.path.stat().st_mode
    with pytest.raises(SettingsError, match="was not written by nemo-jobs"):
        script_files.install(target)
    assert script_files.uninstall("bash", environ, PLAIN) == []
    assert target.path.stat().st_mode == mode


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
        (folder / "_nemo-jobs").write_text(scripts.generate("zsh"), encoding="utf-8")
    environ = {"HOME": str(tmp_path / "home")}
    assert script_files.uninstall("zsh", environ, startup) == []
    assert script_files.find_target("zsh", environ, startup).path.is_relative_to(tmp_path / "home")
    assert [path.parent for path in script_files.find_installed("zsh", environ, startup, shared)] == shared[:2]


def test_a_folder_that_cannot_be_written_is_an_error(environ, tmp_path):
    """The message has the path."""
    (tmp_path / ".config").write_text("a file", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"cannot write .*nemo-jobs.fish"):
        script_files.install(script_files.find_target("fish", environ, PLAIN))


@pytest.mark.parametrize("home", [{}, {"HOME": "relative"}])
def test_installing_without_a_home_folder_is_an_error(home):
    """The hint is to print the script."""
    with pytest.raises(SettingsError) as caught:
        script_files.find_target("bash", home, PLAIN)
    assert "nemo-jobs completion bash >" in caught.value.hint
    assert script_files.find_installed("bash", home, PLAIN) == {}


@pytest.mark.parametrize(("name", "variable", "shell"), [("fish", "/bin/bash", "fish"), (None, "/usr/bin/zsh", "zsh")])
def test_the_shell_is_the_named_one_or_that_of_the_user(name, variable, shell):
    """SHELL is set by login(1)."""
    assert script_files.choose_shell(name, {"SHELL": variable}) == shell


def test_the_wheel_contains_the_scripts():
    """For system packages."""
    import tomllib

    root = Path(__file__).parents[2]
    data = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]["targets"][
        "wheel"
    ]
    assert {Path(target).name for target in data["shared-data"].values()} == set(script_files.FILE_NAMES.values())
    assert all((root / source).is_file() for source in data["shared-data"])
