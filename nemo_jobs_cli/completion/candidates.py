"""Offer what a word may become: pure, from a table of the command line and from what was seen of jobs."""

from __future__ import annotations

from nemo_jobs_cli.completion import seen, table
from nemo_jobs_cli.core.identifiers import is_key, is_name

TYPE_CHECKING = False  # as in folders
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Protocol

    from nemo_jobs_cli.completion.command_line import Place
    from nemo_jobs_cli.completion.seen import Jobs

    # A word and what it is.
    Candidate = tuple[str, str]

    class Knowledge(Protocol):
        """What is known without asking anybody: each is looked up only where it is needed."""

        def jobs(self) -> Jobs:
            """Return what was seen of the jobs of the host and workspace that are meant."""
            ...

        def workspaces(self) -> list[str]:
            """Return the workspaces that were seen."""
            ...

        def profiles(self) -> list[str]:
            """Return the profiles of the configuration file."""
            ...

        def own_job(self) -> str:
            """Return the job that is meant where none is named; "" without any."""
            ...


# Directives: what the shell does with what follows.
WORDS, FILES, FOLDERS, WRAPPED = "words", "files", "folders", "wrapped"

_STAGES = ("preparing", "training", "evaluating", "saving")
_USUAL = {
    "status=": ("running", "completed", "failed", "cancelled", "paused", "queued"),
    "phase=": _STAGES,
    "stage=": _STAGES,
}


def offer(place: Place, known: Knowledge) -> tuple[str, list[Candidate]]:
    """Return what the shell shall do, and the whole words that `place` may become; they are not filtered yet."""
    directive = {"wrapped": WRAPPED, "file": FILES, "folder": FOLDERS}.get(place.kind, WORDS)
    found = _words(place, known) if directive == WORDS else ()
    return directive, [(place.prefix + word, what) for word, what in found]


def _words(place: Place, known: Knowledge) -> Iterable[Candidate]:
    makers: dict[str, Callable[[], Iterable[Candidate]]] = {
        "command": lambda: _commands(place.path),
        "option": lambda: _options(place),
        "job": lambda: _jobs(known),
        "job-or-dashes": lambda: (*(() if place.arguments else _jobs(known)), ("--", "then the command to run")),
        "job-or-field": lambda: (*_jobs(known), *(_fields(place, known) if known.own_job() else ())),
        "field": lambda: _fields(place, known),
        "value": lambda: _values(place, known),
        "key": lambda: _keys(place, known),
        "condition": lambda: _conditions(place, known),
        "condition-value": lambda: _values(place, known),
        "states": lambda: ((state, "") for state in table.STATES if state not in place.prefix.split(",")),
        "profile": lambda: ((name, "profile") for name in known.profiles()),
        "workspace": lambda: ((name, "workspace") for name in known.workspaces()),
        "setting-value": lambda: table.CHOICES.get(f"setting {place.arguments[0]}", ()),
        "nothing": lambda: () if place.typed else _options(place),
    }
    return makers[place.kind]() if place.kind in makers else table.CHOICES.get(place.kind, ())


def _commands(path: str) -> Iterator[Candidate]:
    for name in table.TREE[path][3]:
        yield name, table.TREE[f"{path} {name}".strip()][0]


def _options(place: Place) -> Iterator[Candidate]:
    """Yield the options that may still come."""
    for names, _, repeats, what in table.TREE[place.path][1]:
        if repeats or names[0] not in place.options:
            yield from ((name, what) for name in names)


def _jobs(known: Knowledge) -> Iterator[Candidate]:
    return ((name, state) for name, (_, state, _) in known.jobs().items() if is_name(name))


def _job(place: Place, known: Knowledge) -> str:
    """Return the job that the command line is about."""
    first = place.arguments[0] if place.arguments else ""
    return first if first and "=" not in first else known.own_job()


def _fields(place: Place, known: Knowledge) -> Iterator[Candidate]:
    """Yield the fields that may still be set; a marker that is begun goes on: `tags:` -> `tags:=`, `tags:@=`."""
    given = {word.partition("=")[0].rstrip(":@") for word in place.arguments if "=" in word}
    bare = place.typed.rstrip(":@")
    if place.typed != bare and is_key(bare):
        for marker, what in ((":=", "JSON"), ("@=", "the text of a file"), (":@=", "the JSON of a file")):
            if (bare + marker).startswith(place.typed):
                yield bare + marker, what
        return
    for field, what in _fields_of(place, known).items():
        if field.rstrip(":=") not in given:
            yield field, what


def _fields_of(place: Place, known: Knowledge) -> dict[str, str]:
    """Return the job's own fields, or those of all where it is not known, and the well-known ones."""
    jobs, job = known.jobs(), _job(place, known)
    own = (
        dict.fromkeys(seen.fields(jobs[job]), "of this job")
        if job in jobs
        else dict.fromkeys(seen.all_fields(jobs), "")
    )
    taken = {field.rstrip(":=") for field in own}
    return own | {f"{key}=": what for key, what in table.KEYS.items() if key not in taken}


def _keys(place: Place, known: Knowledge) -> Iterator[Candidate]:
    return ((field.rstrip(":="), what) for field, what in _fields_of(place, known).items())


def _values(place: Place, known: Knowledge) -> Iterator[Candidate]:
    """Yield the values that a field had in this job, then in others, then those that are usual."""
    field = place.prefix.rstrip("=!<>:").rpartition("=")[2] + (":=" if place.prefix.endswith(":=") else "=")
    jobs, job = known.jobs(), _job(place, known)
    own = seen.fields(jobs[job]).get(field, ()) if job in jobs else ()
    found = dict.fromkeys((*own, *seen.all_values(jobs, field), *_USUAL.get(field, ())))
    return ((value, "recent" if value in own else "") for value in found)


def _conditions(place: Place, known: Knowledge) -> Iterator[Candidate]:
    """Yield `KEY>=` for numbers and `KEY=` for all others."""
    for key, what in _keys(place, known):
        yield (f"{key}>=" if table.KEYS.get(key) == table.NUMBER else f"{key}="), what
