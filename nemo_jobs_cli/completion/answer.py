"""Answer a TAB: from a table and from files, before Typer, and never from the network."""

from __future__ import annotations

import sys
import time

from nemo_jobs_cli.completion import cache, candidates, command_line, shellwords, table

TYPE_CHECKING = False  # as in folders
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nemo_jobs_cli.completion.command_line import Place
    from nemo_jobs_cli.completion.seen import Jobs

COMMAND = "__complete"
BASH = "bash"

# What the program shows when nobody's job is meant; the platform writes such names outside of jobs.
_NOT_IN_A_JOB = "unknown"


def answer(argv: Sequence[str], environ: Mapping[str, str]) -> str:
    r"""Return what a completion script asks for: SHELL BREAKS WORD..., the words as typed, the last up to the cursor.

    The first line says what to do: `words`, `files` or `folders` behind a tab and what stands before them in the word,
    `wrapped` and a tab and how many words come before the other program. Then follows a line a word, with a tab and
    what it is. BREAKS is bash's COMP_WORDBREAKS: with it, the words are what bash puts in the place of what it takes
    for the word, and a line behind `files` is what of the word's beginning belongs to that; others get whole words
    and choose those that fit.
    """
    shell, breaks, *raw = argv
    raw = raw or [""]
    place = command_line.read([shellwords.unquote(word)[0] for word in raw], table.TREE)
    if not place.prefix.isprintable():  # a line break in a quote: what follows would be another word
        return f"{candidates.WORDS}\n"
    directive, found = candidates.offer(place, _Known(place, environ))
    if directive == candidates.WRAPPED:
        return f"{directive}\t{place.at + 1}\n"
    if directive != candidates.WORDS:
        more = shellwords.for_bash(raw[-1], [place.prefix], breaks) if shell == BASH else []
        return "\n".join([f"{directive}\t{place.prefix}", *more, ""])
    if shell == BASH:
        words = [word for word, _ in found if word.startswith(place.prefix + place.typed)]
        return "\n".join([directive, *shellwords.for_bash(raw[-1], words, breaks), ""])
    return "\n".join([directive, *(f"{word}\t{what}" for word, what in found), ""])


class _Known:
    """What is known without asking anybody."""

    def __init__(self, place: Place, environ: Mapping[str, str]) -> None:
        self._place = place
        self._environ = environ
        self._folder = cache.folder(environ, sys.platform)

    def jobs(self) -> Jobs:
        """Return what was seen of the jobs of the host and workspace that are meant."""
        if self._folder is None:
            return {}
        notes = cache.notes(self._folder)
        said = {name: self._place.option(f"--{name}") for name in ("host", "workspace", "profile")}
        said["profile"] = said["profile"] or self._environ.get("NEMO_JOBS_PROFILE", "")
        file = cache.find(notes, self._environ, sys.platform, **said)
        return cache.jobs(self._folder, file, time.time()) if file else {}

    def workspaces(self) -> list[str]:
        """Return the workspaces that were seen, on any host: the name of one is no secret between them."""
        notes = [] if self._folder is None else cache.notes(self._folder)
        return list(dict.fromkeys(workspace for _, _, workspace, _ in notes))

    def profiles(self) -> list[str]:
        """Return the profiles of the configuration file."""
        return cache.profiles(self._environ, sys.platform)

    def own_job(self) -> str:
        """Return the job that is meant where none is named."""
        inside = self._environ.get("NEMO_JOB_ID", "")
        return self._environ.get("NEMO_JOBS_JOB", "") or ("" if inside.startswith(_NOT_IN_A_JOB) else inside)
