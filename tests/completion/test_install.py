"""Completion scripts go where shells look, and away again."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from nemo_jobs_cli.completion import install, scripts
from nemo_jobs_cli.completion.shell_startup import Start
from nemo_jobs_cli.core.errors import SettingsError, UsageError

# How shells start that look nowhere special.
PLAIN = Start(by_name=True, searched=(Path("/usr/share/zsh/functions"),))


@pytest.fixture
def environ(tmp_path):
    """Return the environment of a user."""
    return {"HOME": str(tmp_path)}


@pytest.mark.parametrize(
    ("shell", "more", "path", "finds"),
    [
        ("bash", {}, ".local/share/bash-completion/completions/nemo-jobs", True),
        ("bash", {"XDG_DATA_HOME": "/d"}, "/d/bash-completion/completions/nemo-jobs", True),
        ("bash", {"BASH_COMPLETION_USER_DIR": "/u:/v"}, "/u/completions/nemo-jobs", True),
        ("zsh", {}, ".local/share/zsh/site-functions/_nemo-jobs", False),
        ("fish", {}, ".config/fish/completions/nemo-jobs.fish", True),
        ("fish", {"XDG_CONFIG_HOME": "/c"}, "/c/fish/completions/nemo-jobs.fish", True),
    ],
)
def test_each_shell_has_its_place(environ, tmp_path, shell, more, path, finds):
    """As its manual says."""
    spot = install.spot(shell, {**environ, **more}, PLAIN)
    assert (spot.path, spot.finds) == (tmp_path / path, finds)


def zsh(environ, *searched):
    """Return where the script of a zsh goes that searches these folders, and whether it finds it there."""
    return install.spot("zsh", environ, Start(searched=searched))[1:3]


@pytest.mark.parametrize("own", [".zfunc", ".zsh", ".zsh/completions", ".config/zsh/functions", "dots/zsh"])
def test_zsh_is_given_a_folder_that_it_searches_where_the_user_has_one(environ, tmp_path, own):
    """Where people keep their own; the usual one before others."""
    environ["ZDOTDIR"] = str(tmp_path / "dots")
    foreign, own = tmp_path / ".oh-my-zsh" / "functions", tmp_path / own
    assert zsh(environ, foreign, Path("/usr/share"), own) == (own / "_nemo-jobs", True)
    usual = tmp_path / ".local/share/zsh/site-functions"
    assert zsh(environ, own, usual) == (usual / "_nemo-jobs", True)


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
@pytest.mark.parametrize("dotted", [None, "", "/"])
def test_zsh_is_given_no_folder_that_another_program_looks_after(environ, tmp_path, foreign, dotted):
    """It may take away what it does not know; ZDOTDIR makes nothing the user's own that lies around his home."""
    (tmp_path / ".zsh/zsh-completions/.git").mkdir(parents=True)
    (tmp_path / foreign).mkdir(parents=True)
    if dotted is not None:
        environ["ZDOTDIR"] = dotted or environ["HOME"]
    assert zsh(environ, tmp_path / foreign) == (tmp_path / ".local/share/zsh/site-functions/_nemo-jobs", False)


@pytest.mark.parametrize("shell", scripts.SHELLS)
def test_what_was_installed_is_found_and_goes_again(environ, shell):
    """Twice is no harm; an older script is not current."""
    spot = install.spot(shell, environ, PLAIN)
    assert install.installed(shell, environ, PLAIN) == []
    for _ in range(2):
        install.install(spot)
    assert install.installed(shell, environ, PLAIN) == [install.State(shell, spot.path, current=True)]
    spot.path.write_text(scripts.generate(shell) + "\n# older")
    assert install.installed(shell, environ, PLAIN) == [install.State(shell, spot.path, current=False)]
    assert install.uninstall(shell, environ, PLAIN) == [spot.path]
    assert not spot.path.exists()
    assert install.uninstall(shell, environ, PLAIN) == []


def test_the_systems_own_scripts_are_nobodys_to_take_away(tmp_path):
    """A package or a framework has put them where zsh looks; they are not what `install` may have put there."""
    theirs = [
        tmp_path / "usr/share/zsh/functions",
        tmp_path / ".oh-my-zsh/completions",
        Path("/usr/share/zsh/site-functions"),
    ]
    start = Start(searched=tuple(theirs))
    for folder in theirs[:2]:
        folder.mkdir(parents=True)
        (folder / "_nemo-jobs").write_text(scripts.generate("zsh"))
    environ = {"HOME": str(tmp_path / "home")}
    assert install.uninstall("zsh", environ, start) == []
    assert install.spot("zsh", environ, start).path.is_relative_to(tmp_path / "home")
    assert [state.path.parent for state in install.installed("zsh", environ, start, theirs)] == theirs[:2]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_a_script_has_the_mode_of_any_other_new_file(environ, umask, mode):
    """Others on the machine may look at it where the user lets them look at files."""
    spot = install.spot("bash", environ, PLAIN)
    before = os.umask(umask)
    try:
        install.install(spot)
    finally:
        os.umask(before)
    assert stat.S_IMODE(spot.path.stat().st_mode) == mode


def test_another_programs_file_is_neither_overwritten_nor_deleted(environ):
    """It may be the user's own work."""
    spot = install.spot("bash", environ, PLAIN)
    spot.path.parent.mkdir(parents=True)
    spot.path.write_text("mine")
    with pytest.raises(SettingsError, match="not from nemo-jobs"):
        install.install(spot)
    assert install.uninstall("bash", environ, PLAIN) == []
    assert spot.path.read_text() == "mine"


def test_a_fifo_in_the_scripts_place_is_not_waited_for(environ):
    """Nor replaced."""
    spot = install.spot("bash", environ, PLAIN)
    spot.path.parent.mkdir(parents=True)
    os.mkfifo(spot.path)
    with pytest.raises(SettingsError, match="not from nemo-jobs"):
        install.install(spot)
    assert install.uninstall("bash", environ, PLAIN) == []


def test_a_folder_that_can_not_be_looked_into_is_said(environ, monkeypatch):
    """Another user's, in XDG_DATA_HOME."""
    spot = install.spot("bash", environ, PLAIN)

    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(Path, "exists", refuse)
    with pytest.raises(SettingsError, match="Permission denied"):
        install.install(spot)


def test_a_folder_that_can_not_be_written_to_is_said(environ, tmp_path):
    """Which one."""
    (tmp_path / ".config").write_text("a file")
    with pytest.raises(SettingsError, match=r"nemo-jobs.fish can't be changed"):
        install.install(install.spot("fish", environ, PLAIN))


@pytest.mark.parametrize("home", [{}, {"HOME": "relative"}])
def test_without_a_home_there_is_no_place(home):
    """But the script can be printed."""
    with pytest.raises(SettingsError) as caught:
        install.spot("bash", home, PLAIN)
    assert "nemo-jobs completion bash >" in caught.value.hint
    assert install.installed("bash", home, PLAIN) == []


@pytest.mark.parametrize(("said", "variable", "found"), [("fish", "/bin/bash", "fish"), (None, "/usr/bin/zsh", "zsh")])
def test_the_shell_is_the_one_named_else_the_users(said, variable, found):
    """As login(1) sets it."""
    assert install.chosen(said, {"SHELL": variable}) == found


@pytest.mark.parametrize(
    ("said", "variable", "why"),
    [
        ("tcsh", "/bin/bash", "there is no completion for the shell 'tcsh'"),
        (None, "/bin/tcsh", "there is no completion for the shell 'tcsh'"),
        (None, "", "SHELL is not set, so the shell is not known"),
        ("", "", "SHELL is not set, so the shell is not known"),
    ],
)
def test_a_shell_that_we_have_nothing_for_is_an_error(said, variable, why):
    """It says why, and names those that there are."""
    with pytest.raises(UsageError) as caught:
        install.chosen(said, {"SHELL": variable}, "uninstall")
    assert caught.value.message == why
    assert caught.value.hint == "name one of bash, zsh, fish: nemo-jobs completion uninstall bash"


def test_the_wheels_data_are_the_same_scripts():
    """System packages ship them from there."""
    import tomllib

    root = Path(__file__).parents[2]
    data = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert {Path(target).name for target in data["shared-data"].values()} == set(install.NAMES.values())
    assert all((root / source).is_file() for source in data["shared-data"])
