"""Put completion scripts where shells look for them, and take them away again."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from nemo_jobs_cli.completion import scripts, shell_startup
from nemo_jobs_cli.core import dirs
from nemo_jobs_cli.core.errors import SettingsError, UsageError
from nemo_jobs_cli.core.files import write_atomic
from nemo_jobs_cli.core.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nemo_jobs_cli.completion.shell_startup import Start

# The script's name in the folder of each shell: the shells find it by that name.
NAMES = {"bash": "nemo-jobs", "zsh": "_nemo-jobs", "fish": "nemo-jobs.fish"}


class Spot(NamedTuple):
    """Where the script of a shell belongs; `finds` tells whether the shell looks there by itself.

    Where it doesn't, `lines` in the file `rc` make it.
    """

    shell: str
    path: Path
    finds: bool
    rc: Path
    lines: tuple[str, ...] = ()


class State(NamedTuple):
    """A completion script that is installed: whose, where, whether it is what this version would write."""

    shell: str
    path: Path
    current: bool


def spot(shell: str, environ: Mapping[str, str], start: Start) -> Spot:
    """Return where to put the script for a shell that starts so; raise SettingsError without a home."""
    home = Path(environ.get("HOME", ""))
    if not home.is_absolute():
        raise SettingsError(
            "there is no home folder to install completion in", f"print it: nemo-jobs completion {shell} > FILE"
        )
    if shell == "fish":
        return Spot(shell, _fish(environ) / NAMES[shell], finds=True, rc=home)
    if shell == "bash":
        path = _bash(environ) / NAMES[shell]
        return Spot(shell, path, start.by_name, home / ".bashrc", (f"source {shell_startup.quoted(path)}",))
    folder = _zsh(environ, start.searched)[0]
    lines = (f"fpath=({shell_startup.quoted(folder)} $fpath)", "autoload -Uz compinit && compinit")
    rc = Path(environ.get("ZDOTDIR") or home) / ".zshrc"
    return Spot(shell, folder / NAMES[shell], folder in start.searched, rc, lines)


def install(where: Spot) -> None:
    """Write the script; raise SettingsError where that can't be done, or where another's file would be lost."""
    path = where.path
    try:
        if path.exists() and not _is_ours(path):
            raise SettingsError(f"{_shown(path)} is there and is not from nemo-jobs", "move it away, then repeat")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, scripts.generate(where.shell).encode(), mode=0o666)
    except OSError as error:
        raise _failed(path, error) from None


def uninstall(shell: str, environ: Mapping[str, str], start: Start) -> list[Path]:
    """Delete the scripts of a shell that we have put where it looks; return their paths."""
    gone = []
    for state in installed(shell, environ, start):
        try:
            state.path.unlink()
        except OSError as error:
            raise _failed(state.path, error) from None
        gone.append(state.path)
    return gone


def installed(shell: str, environ: Mapping[str, str], start: Start, shared: Sequence[Path] = ()) -> list[State]:
    """Return the scripts of a shell that are installed for this user; `shared` are more folders to look into."""
    places = [*_own_folders(shell, environ, start), *shared]
    paths = dict.fromkeys(folder / NAMES[shell] for folder in places)
    return [State(shell, path, _text(path) == scripts.generate(shell)) for path in paths if _is_ours(path)]


def chosen(shell: str | None, environ: Mapping[str, str], command: str = "install") -> str:
    """Return the shell that is meant: the one named, else the user's own; raise UsageError for others."""
    found = shell or os.path.basename(environ.get("SHELL", ""))  # noqa: PTH119 - text in, text out
    if found not in NAMES:
        said = (
            f"there is no completion for the shell {one_line(found, 60)!r}"
            if found
            else "SHELL is not set, so the shell is not known"
        )
        raise UsageError(said, f"name one of {', '.join(NAMES)}: nemo-jobs completion {command} bash")
    return found


def _own_folders(shell: str, environ: Mapping[str, str], start: Start) -> list[Path]:
    """Return the folders in which `install` may have put a script."""
    if not environ.get("HOME", "").startswith("/"):
        return []
    if shell == "zsh":
        return _zsh(environ, start.searched)
    return [_bash(environ) if shell == "bash" else _fish(environ)]


def _bash(environ: Mapping[str, str]) -> Path:
    """Return bash-completion's folder for a user's own (its README, section FAQ)."""
    said = environ.get("BASH_COMPLETION_USER_DIR", "").partition(":")[0]
    return Path(said or _data(environ) / "bash-completion") / "completions"


def _fish(environ: Mapping[str, str]) -> Path:
    """Return fish's folder for a user's own completions, on macOS too."""
    return Path(dirs.user_dir(environ, "config", "linux") or "") / "fish" / "completions"


def _zsh(environ: Mapping[str, str], searched: Sequence[Path]) -> list[Path]:
    """Return the folders that a script may be put in, the best first: those of the user that zsh searches.

    The last resort is the one that we would make. Frameworks and other tools have folders of their own, which nobody
    can list: only where people keep their own is one taken for theirs.
    """
    usual, home = _data(environ) / "zsh" / "site-functions", Path(environ["HOME"])
    roots = [home / ".zfunc", home / ".zsh", Path(dirs.user_dir(environ, "config", "linux") or "") / "zsh"]
    dotted = Path(environ.get("ZDOTDIR") or home)
    if dotted not in {home, *home.parents}:  # else it holds everything
        roots.append(dotted)
    own = [folder for folder in searched if any(_is_kept_by_hand(folder, root) for root in roots)]
    return [*[usual][: usual in searched], *own, usual]


def _is_kept_by_hand(folder: Path, root: Path) -> bool:
    """Tell whether a folder is `root` or below it, and neither hidden there nor part of a clone, as plugins are."""
    if not folder.is_relative_to(root):
        return False
    parts = folder.relative_to(root).parts
    inner = [root.joinpath(*parts[: count + 1]) for count in range(len(parts))]
    return not any(part.startswith(".") for part in parts) and not any((one / ".git").exists() for one in inner)


def _data(environ: Mapping[str, str]) -> Path:
    return Path(dirs.user_dir(environ, "data", "linux") or "")


def _is_ours(path: Path) -> bool:
    return scripts.is_generated(_text(path))


def _text(path: Path) -> str:
    with suppress(OSError, UnicodeDecodeError):
        if path.is_file() and path.stat().st_size < 1 << 20:
            return path.read_text("utf-8")
    return ""


def _shown(path: Path) -> str:
    return one_line(str(path), 300)


def _failed(path: Path, error: OSError) -> SettingsError:
    return SettingsError(
        f"{_shown(path)} can't be changed: {error.strerror}", "is the folder yours, and the disk not full?"
    )
