"""Install completion scripts in the folders that shells search."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nemo_jobs_cli.completion import scripts, shell_startup
from nemo_jobs_cli.core import dirs
from nemo_jobs_cli.core.errors import SettingsError, UsageError
from nemo_jobs_cli.core.files import display_path, write_file
from nemo_jobs_cli.core.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nemo_jobs_cli.completion.shell_startup import ShellStartup

# Shells find a script by its file name.
FILE_NAMES = {"bash": "nemo-jobs", "zsh": "_nemo-jobs", "fish": "nemo-jobs.fish"}


@dataclass(frozen=True, slots=True)
class Target:
    """The path of a shell's script, and the lines that load it.

    The lines are only needed unless the shell `searches` the folder.
    """

    shell: str
    path: Path
    searches: bool
    startup_file: Path
    lines: tuple[str, ...] = ()


def find_target(shell: str, environ: Mapping[str, str], startup: ShellStartup) -> Target:
    """Return the place of a script; SettingsError without a home folder."""
    home = Path(environ.get("HOME", ""))
    if not home.is_absolute():
        raise SettingsError(
            "cannot install completion: no home folder", f"print it: nemo-jobs completion {shell} > FILE"
        )
    if shell == "fish":
        return Target(shell, _fish_folder(environ) / FILE_NAMES[shell], searches=True, startup_file=home)
    if shell == "bash":
        path = _bash_folder(environ) / FILE_NAMES[shell]
        line = f"source {shell_startup.quote(path)}"
        return Target(shell, path, startup.loads_by_name, home / ".bashrc", (line,))
    folder = _zsh_folders(environ, startup.searched)[0]
    lines = (f"fpath=({shell_startup.quote(folder)} $fpath)", "autoload -Uz compinit && compinit")
    startup_file = Path(environ.get("ZDOTDIR") or home) / ".zshrc"
    return Target(shell, folder / FILE_NAMES[shell], folder in startup.searched, startup_file, lines)


def install(target: Target) -> None:
    """Write the script; never overwrite a file of another program."""
    path = target.path
    try:
        if path.exists() and not _is_script(path):
            raise SettingsError(
                f"cannot install completion: {display_path(path)} was not written by nemo-jobs",
                "move it to another folder, then try again",
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, scripts.generate(target.shell).encode())
    except OSError as error:
        raise SettingsError(
            f"cannot write {display_path(path)}: {error.strerror}", "check the owner of the folder and the free space"
        ) from None


def uninstall(shell: str, environ: Mapping[str, str], startup: ShellStartup) -> list[Path]:
    """Delete the installed scripts of a shell; return their paths."""
    installed = list(find_installed(shell, environ, startup))
    for path in installed:
        try:
            path.unlink()
        except OSError as error:
            raise SettingsError(
                f"cannot remove {display_path(path)}: {error.strerror}", "check the owner of the folder"
            ) from None
    return installed


def find_installed(
    shell: str, environ: Mapping[str, str], startup: ShellStartup, shared: Sequence[Path] = ()
) -> dict[Path, bool]:
    """Return the installed scripts of a shell, and if they are current."""
    paths = [folder / FILE_NAMES[shell] for folder in [*_user_folders(shell, environ, startup), *shared]]
    return {path: _read(path) == scripts.generate(shell) for path in paths if _is_script(path)}


def choose_shell(name: str | None, environ: Mapping[str, str], command: str = "install") -> str:
    """Return the named shell, by default that of SHELL, or raise UsageError."""
    shell = name or Path(environ.get("SHELL", "")).name
    if shell not in FILE_NAMES:
        raise UsageError(
            f"unsupported shell: {one_line(shell, 60)}" if shell else "cannot detect the shell: SHELL is not set",
            f"name one of {', '.join(FILE_NAMES)}: nemo-jobs completion {command} bash",
        )
    return shell


def _user_folders(shell: str, environ: Mapping[str, str], startup: ShellStartup) -> list[Path]:
    """Return the folders that `install` uses."""
    if not environ.get("HOME", "").startswith("/"):
        return []
    if shell == "zsh":
        return _zsh_folders(environ, startup.searched)
    return [_bash_folder(environ) if shell == "bash" else _fish_folder(environ)]


def _bash_folder(environ: Mapping[str, str]) -> Path:
    """Return the user's folder of bash-completion (its README, section FAQ)."""
    folder = environ.get("BASH_COMPLETION_USER_DIR", "").partition(":")[0]
    return Path(folder or _data_folder(environ) / "bash-completion") / "completions"


def _fish_folder(environ: Mapping[str, str]) -> Path:
    """Return the user's folder of fish, the same on macOS."""
    return Path(dirs.user_dir(environ, "config", "linux") or "") / "fish" / "completions"


def _zsh_folders(environ: Mapping[str, str], searched: Sequence[Path]) -> list[Path]:
    """Return the user's folders that zsh searches, then the default.

    Only a fixed list is used: folders of frameworks and other tools may be emptied by these.
    """
    default, home = _data_folder(environ) / "zsh" / "site-functions", Path(environ["HOME"])
    roots = [home / ".zsh", Path(dirs.user_dir(environ, "config", "linux") or "") / "zsh"]
    roots += [Path(environ["ZDOTDIR"])] if environ.get("ZDOTDIR") else []
    own = [root / name for root in roots for name in ("", "functions", "completions")]
    return [*(folder for folder in (default, home / ".zfunc", *own) if folder in searched), default]


def _data_folder(environ: Mapping[str, str]) -> Path:
    return Path(dirs.user_dir(environ, "data", "linux") or "")


def _is_script(path: Path) -> bool:
    return scripts.is_generated(_read(path))


def _read(path: Path) -> str:
    """Return the text of a regular file of less than 1 MiB, else ""."""
    with suppress(OSError, UnicodeDecodeError):
        if path.is_file() and path.stat().st_size < 1 << 20:
            return path.read_text("utf-8")
    return ""
