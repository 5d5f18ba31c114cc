"""Answer a TAB from local files, without Typer and the network."""

from __future__ import annotations

import os
import sys
import time

from nemo_jobs_cli.completion import _cache, _table, command_line
from nemo_jobs_cli.core import dirs, known_keys
from nemo_jobs_cli.core.identifiers import is_key, is_name

TYPE_CHECKING = False  # `typing` would take a third of the time of a TAB
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from nemo_jobs_cli.completion._cache import Jobs
    from nemo_jobs_cli.completion.command_line import Cursor

    Candidate = tuple[str, str]  # a word and its description

COMMAND = "__complete"
BASH = "bash"

# The folders of an outbox, as `delivery.listing` lists them.
_STORED = ("pending", "claimed", "rejected", "set-aside", "broken")

# Outside of jobs, the platform sets NEMO_JOB_ID to a name that begins with this.
_NO_JOB = "unknown"

# The words that an option or argument takes, by its kind, and what they mean.
_CHOICES: dict[str, tuple[tuple[str, str], ...]] = {
    "output": (("text", "for people and pipes"), ("json", "one object"), ("ndjson", "one object per line")),
    "pattern": (("tqdm", "its progress bars"), ("rich", "its progress bars")),
    "fault": (
        ("503:", "answer 503"),
        ("429:", "answer 429"),
        ("reset:", "cut the connection"),
        ("delay:", "answer late"),
        ("conflict:", "refuse with 409"),
        ("conflicts", "refuse concurrent updates"),
        ("no-attempt:", "start a job late"),
    ),
    "route": (("jobs", "as NeMo Platform 0.6"), ("attempts", "as NeMo Helix 0.9")),
    "shell": (("bash", ""), ("zsh", ""), ("fish", "")),
    "dashes": (("--", "before the command to run"),),
}
_KEYS = dict.fromkeys(sorted(known_keys.NUMBERS), "number") | dict.fromkeys(sorted(known_keys.TEXTS), "text")
_STAGES = ("preparing", "training", "evaluating", "saving")
_COMMON_VALUES = {
    "status=": ("running", "completed", "failed", "cancelled", "paused", "queued"),
    "phase=": _STAGES,
    "stage=": _STAGES,
    "state=": _table.STATES,
}


def answer(argv: Sequence[str], environ: Mapping[str, str]) -> str:
    r"""Return the answer to a completion script's SHELL BREAKS WORD...

    The first line is `words`; `files\tPREFIX` or `folders\tPREFIX` with the part of the word before the file; or
    `wrapped\tN` with the number of words before the wrapped command. The candidates follow as `WORD\tDESCRIPTION`:
    whole words that the shell filters. Bash gets filtered words without descriptions, reduced to what it replaces
    at its COMP_WORDBREAKS (BREAKS); for files, the part of the prefix that belongs to the replaced word.
    """
    shell, breaks, *raw = argv
    raw = raw or [""]
    cursor = command_line.parse([command_line.unquote(word)[0] for word in raw], _table.TREE)
    if not cursor.prefix.isprintable():  # a quoted line break would split the candidates
        return "words\n"
    if cursor.kind == "wrapped":
        return f"wrapped\t{cursor.program + 1}\n"
    if cursor.kind in {"file", "folder"}:
        insert = command_line.bash_replacements(raw[-1], [cursor.prefix], breaks) if shell == BASH else []
        return "\n".join([f"{cursor.kind}s\t{cursor.prefix}", *insert, ""])
    offered = candidates(cursor, KnownNames(cursor, environ))
    if shell == BASH:
        words = [word for word, _ in offered if word.startswith(cursor.prefix + cursor.typed)]
        return "\n".join(["words", *command_line.bash_replacements(raw[-1], words, breaks), ""])
    return "\n".join(["words", *(f"{word}\t{description}" for word, description in offered), ""])


class KnownNames:
    """The names in local files, read on demand."""

    def __init__(self, cursor: Cursor, environ: Mapping[str, str]) -> None:
        self._cursor = cursor
        self._environ = environ
        self._folder = dirs.app_dir(environ, "cache", sys.platform)

    def jobs(self) -> Jobs:
        """Return the cached jobs of the command line's host and workspace."""
        if self._folder is None:
            return {}
        options = {name: self._cursor.option(f"--{name}") for name in ("host", "workspace", "profile")}
        options["profile"] = options["profile"] or self._environ.get("NEMO_JOBS_PROFILE", "")
        file = _cache.find_file(_cache.read_index(self._folder), self._environ, sys.platform, **options)
        return _cache.read_jobs(self._folder, file, time.time()) if file else {}

    def workspaces(self) -> list[str]:
        """Return the cached workspaces of all hosts."""
        rows = [] if self._folder is None else _cache.read_index(self._folder)
        return list(dict.fromkeys(workspace for _, _, workspace, _ in rows))

    def profiles(self) -> list[str]:
        """Return the profiles of the config file."""
        return _cache.read_profiles(self._environ, sys.platform)

    def own_job(self) -> str:
        """Return the job of the environment, or ""."""
        return self._environ.get("NEMO_JOBS_JOB", "") or self._running_job()

    def entries(self) -> Iterator[Candidate]:
        """Yield the ids of the stored updates with their state."""
        environ = self._environ
        folder = self._cursor.option("--outbox-dir") or environ.get("NEMO_JOBS_OUTBOX_DIR", "")
        base = environ.get("NEMO_JOB_PERSISTENT_JOB_STORAGE_PATH", "") if self._running_job() else ""
        base = f"{base}/nemo-jobs" if base else dirs.app_dir(environ, "state", sys.platform) or ""
        for kind in _STORED:
            try:
                names = sorted(os.listdir(f"{folder or f'{base}/outbox'}/{kind}"))  # noqa: PTH208 - pathlib takes longer than the answer
            except OSError:
                continue
            for name in names:
                if not name.startswith("."):
                    from nemo_jobs_cli.delivery.entry import digest

                    yield digest(name.partition("~")[0]), kind

    def _running_job(self) -> str:
        job_id = self._environ.get("NEMO_JOB_ID", "")
        return "" if job_id.startswith(_NO_JOB) else job_id


def candidates(cursor: Cursor, names: KnownNames) -> list[Candidate]:
    """Return the words that complete the word at the cursor, unfiltered."""
    sources: dict[str, Callable[[], Iterable[Candidate]]] = {
        "command": lambda: _commands(cursor.path),
        "option": lambda: _options(cursor),
        "job": lambda: _jobs(names),
        "job-or-dashes": lambda: (*(() if cursor.arguments else _jobs(names)), ("--", "before the command to run")),
        "job-or-field": lambda: (*_jobs(names), *(_fields(cursor, names) if names.own_job() else ())),
        "field": lambda: _fields(cursor, names),
        "value": lambda: _values(cursor, names),
        "key": lambda: _keys(cursor, names),
        "condition": lambda: _conditions(cursor, names),
        "condition-value": lambda: _values(cursor, names),
        "entry": lambda: ((word, kind) for word, kind in names.entries() if word not in cursor.arguments),
        "states": lambda: ((state, "") for state in _table.STATES if state not in cursor.prefix.split(",")),
        "profile": lambda: ((name, "profile") for name in names.profiles()),
        "step": lambda: _steps(cursor, names),
        "workspace": lambda: ((name, "workspace") for name in names.workspaces()),
        "setting": lambda: ((key, "") for key in _table.SETTINGS),
        "setting-value": lambda: ((word, "") for word in _table.SETTINGS.get(cursor.arguments[0], ())),
        "nothing": lambda: () if cursor.typed else _options(cursor),
    }
    words = sources[cursor.kind]() if cursor.kind in sources else _CHOICES.get(cursor.kind, ())
    return [(cursor.prefix + word, description) for word, description in words]


def _commands(path: str) -> Iterator[Candidate]:
    for name in _table.TREE[path][3]:
        yield name, _table.TREE[f"{path} {name}".strip()][0]


def _options(cursor: Cursor) -> Iterator[Candidate]:
    """Yield the options that are not set yet or may repeat."""
    for options, _, repeats, description in _table.TREE[cursor.path][1]:
        if repeats or options[0] not in cursor.options:
            yield from ((option, description) for option in options)


def _jobs(names: KnownNames) -> Iterator[Candidate]:
    return ((name, state) for name, (_, state, _) in names.jobs().items() if is_name(name))


def _job(cursor: Cursor, names: KnownNames) -> str:
    """Return the job of the command line or the environment, or ""."""
    first = cursor.arguments[0] if cursor.arguments else ""
    return first if first and "=" not in first else names.own_job()


def _steps(cursor: Cursor, names: KnownNames) -> Iterator[Candidate]:
    jobs, job = names.jobs(), _job(cursor, names)
    return ((step, "step") for step in (_cache.job_steps(jobs[job]) if job in jobs else ()))


def _fields(cursor: Cursor, names: KnownNames) -> Iterator[Candidate]:
    """Yield the fields that are not set yet, or the markers of a key."""
    given = {word.partition("=")[0].rstrip(":@") for word in cursor.arguments if "=" in word}
    bare = cursor.typed.rstrip(":@")
    if cursor.typed != bare and is_key(bare):
        for marker, description in ((":=", "JSON"), ("@=", "text from a file"), (":@=", "JSON from a file")):
            if (bare + marker).startswith(cursor.typed):
                yield bare + marker, description
        return
    for field, description in _fields_of(cursor, names).items():
        if field.rstrip(":=") not in given:
            yield field, description


def _fields_of(cursor: Cursor, names: KnownNames) -> dict[str, str]:
    """Return the fields of the job, or of all jobs, then the known keys."""
    jobs, job = names.jobs(), _job(cursor, names)
    own = (
        dict.fromkeys(_cache.job_fields(jobs[job]), "of this job")
        if job in jobs
        else dict.fromkeys(_cache.all_fields(jobs), "")
    )
    taken = {field.rstrip(":=") for field in own}
    return own | {f"{key}=": kind for key, kind in _KEYS.items() if key not in taken}


def _keys(cursor: Cursor, names: KnownNames) -> Iterator[Candidate]:
    return ((field.rstrip(":="), description) for field, description in _fields_of(cursor, names).items())


def _values(cursor: Cursor, names: KnownNames) -> Iterator[Candidate]:
    """Yield the values of a field: of this job, other jobs, common ones."""
    field = cursor.prefix.rstrip("=!<>:").rpartition("=")[2] + (":=" if cursor.prefix.endswith(":=") else "=")
    jobs, job = names.jobs(), _job(cursor, names)
    own = _cache.job_fields(jobs[job]).get(field, ()) if job in jobs else ()
    values = dict.fromkeys((*own, *_cache.all_values(jobs, field), *_COMMON_VALUES.get(field, ())))
    return ((value, "recent" if value in own else "") for value in values)


def _conditions(cursor: Cursor, names: KnownNames) -> Iterator[Candidate]:
    """Yield `KEY>=` for numbers and `KEY=` for other keys."""
    yield from (("state=", "of the platform"), ("age>", "of the last report"))
    for key, description in _keys(cursor, names):
        yield (f"{key}>=" if key in known_keys.NUMBERS else f"{key}="), description
