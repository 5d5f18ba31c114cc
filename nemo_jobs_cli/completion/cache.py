"""Find what was seen of jobs again: files of the cache folder, read in a millisecond and never trusted.

Which host and workspace a command line means takes the reading of TOML and YAML, too much for a TAB. So each command
that remembers also notes its *situation*, all that this depends on, and what came of it; a TAB in the same situation
just looks it up.
"""

from __future__ import annotations

import os
import stat

from nemo_jobs_cli.completion import seen
from nemo_jobs_cli.core import dirs
from nemo_jobs_cli.core.identifiers import is_name, is_value

TYPE_CHECKING = False  # as in folders
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nemo_jobs_cli.completion.seen import Jobs

    # A situation, the host and workspace that it means, and the file that remembers those.
    Note = tuple[str, str, str, str]

INDEX = "index"
HEAD = "nemo-jobs index 1"
MOST_NOTES = 100

_VARIABLES = (
    "NEMO_JOBS_CONFIG", "NEMO_JOBS_PROFILE", "NEMO_JOBS_HOST", "NEMO_JOBS_WORKSPACE", "NEMO_JOB_WORKSPACE",
    "NHX_BASE_URL", "NHX_JOBS_URL", "NHX_WORKSPACE", "NHX_CURRENT_CONTEXT", "NHX_CONFIG_FILE",
    "NMP_BASE_URL", "NMP_JOBS_URL", "NMP_WORKSPACE", "NMP_CURRENT_CONTEXT", "NMP_CONFIG_FILE",
)  # fmt: skip
# Whether these are set decides whose variables count; what they hold is nobody's business.
_SECRET = (
    "NHX_ACCESS_TOKEN", "NHX_PRINCIPAL", "NHX_WORKLOAD_IDENTITY_TOKEN_FILE", "NHX_CLIENT_SSL_CERT_FILE",
    "NMP_ACCESS_TOKEN", "NMP_PRINCIPAL", "NMP_WORKLOAD_IDENTITY_TOKEN_FILE", "NMP_CLIENT_SSL_CERT_FILE",
)  # fmt: skip


def folder(environ: Mapping[str, str], system: str) -> str | None:
    """Return the folder of the cache; None without a home."""
    return dirs.app_dir(environ, "cache", system)


def situation(environ: Mapping[str, str], system: str, host: str, workspace: str, profile: str) -> str:
    """Return all that decides which host and workspace are meant, on one line.

    `host`, `workspace` and `profile` are what the options say; "" is not said.
    """
    said = [environ.get(name, "") for name in _VARIABLES]
    there = "".join("1" if environ.get(name) else "0" for name in _SECRET)
    marks = [_mark(path) for path in _files(environ, system)]
    return ascii((host.rstrip("/"), workspace, profile, *said, there, *marks))


def find(
    found: Sequence[Note], environ: Mapping[str, str], system: str, *, host: str, workspace: str, profile: str
) -> str | None:
    """Return the file that remembers what is meant; None in a situation that no command has met.

    A workspace that was never named in this way may have been met in another one, on the host that is meant without it.
    """
    now = situation(environ, system, host, workspace, profile)
    file = next((note[3] for note in found if note[0] == now), None)
    if file is None and workspace:
        plain = situation(environ, system, host, "", profile)
        meant = next((note[1] for note in found if note[0] == plain), None)
        file = next((note[3] for note in found if note[1:3] == (meant, workspace)), None)
    return file


def notes(place: str) -> list[Note]:
    """Return the notes of a cache folder, newest first."""
    head, _, rest = _text(f"{place}/{INDEX}").partition("\n")
    cells = [line.split("\t") for line in rest.split("\n")] if head == HEAD else []
    found = [(one[0], one[1], one[2], one[3]) for one in cells if len(one) == 4]  # noqa: PLR2004 - the parts of a note
    return [note for note in found if is_name(note[2]) and "/" not in note[3]][:MOST_NOTES]


def index(found: Sequence[Note]) -> str:
    """Return the text of the index: of the notes, newest first, as many as it may hold."""
    lines = [HEAD]
    room = seen.LARGEST - len(HEAD) - 1
    for line in map("\t".join, found[:MOST_NOTES]):
        size = len(line.encode()) + 1
        if size <= room:
            lines.append(line)
            room -= size
    return "\n".join([*lines, ""])


def jobs(place: str, file: str, now: float) -> Jobs:
    """Return what a file of the cache folder remembers."""
    return seen.loads(_text(f"{place}/{file}"), now)


def profiles(environ: Mapping[str, str], system: str) -> list[str]:
    """Return the names of the profiles of our configuration file, by the heads of its tables.

    Only words that mean themselves in every shell are offered. A file that has its profiles in another form than
    `[profiles.NAME]` is read as TOML, which takes longer.
    """
    path = _files(environ, system)[0]
    text = _text(path) if path else ""
    heads = [line.strip() for line in text.split("\n") if line.strip().startswith("[profiles.")]
    found = [head.removeprefix("[profiles.").partition("]")[0].partition(".")[0].strip() for head in heads]
    if not all(map(is_value, found)) or (not found and "profiles" in text):
        import tomllib

        try:
            table = tomllib.loads(text).get("profiles")
        except (ValueError, RecursionError):
            table = None
        found = list(table) if isinstance(table, dict) else []
    return [name for name in dict.fromkeys(found) if is_value(name)]


def _files(environ: Mapping[str, str], system: str) -> list[str]:
    """Return the paths of the files that settings may come from, our own first; "" for one that has no place."""
    own = dirs.app_dir(environ, "config", system)
    paths = [environ.get("NEMO_JOBS_CONFIG") or (f"{own}/config.toml" if own else "")]
    home = environ.get("HOME", "")
    for product in ("nhx", "nmp"):
        above = environ.get("XDG_CONFIG_HOME", "")
        paths.append(environ.get(f"{product.upper()}_CONFIG_FILE", ""))
        paths.append(f"{above}/{product}/config.yaml" if above else "")
        paths.append(f"{home}/.config/{product}/config.yaml" if home else "")
    return paths


def _mark(path: str) -> str:
    """Return what changes when a file does, but for its tokens: the official tool renews them all the time."""
    text = _text(path) if path else ""
    if not text:
        return ""
    import zlib

    lines = [line for line in text.split("\n") if not _is_renewed(line.partition("=")[0].partition(":")[0])]
    return f"{zlib.crc32(repr(lines).encode()):x}"


def _is_renewed(key: str) -> bool:
    return "token" in key or "expires" in key


def _text(path: str) -> str:
    """Return the text of a file of ours; "" where there is none, or where it is no plain file of a bounded size."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return ""
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_size > seen.LARGEST:
            return ""
        return os.read(handle, seen.LARGEST).decode("utf-8", "replace")
    except OSError:
        return ""
    finally:
        os.close(handle)
