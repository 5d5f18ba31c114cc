"""Decide on the output format, colors and the width of the terminal."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, cast

from nemo_jobs_cli.settings import resolve, sources
from nemo_jobs_cli.settings.model import Flags, Output, Screen, Sourced

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TextIO

OUTPUTS = ("text", "json", "ndjson")

_SHORT_SWITCHES = frozenset("qvh")


def make_screen(flags: Flags, environ: Mapping[str, str] | None = None, *, stderr: bool = False) -> Screen:
    """Return the screen of stdout or stderr.

    Only a terminal gets escape codes, whatever CI variables are set. Raise UsageError if the output format is unknown.
    """
    environ = resolve.environment() if environ is None else environ
    flag = Sourced(flags.output, "--output") if flags.output is not None else None
    output = flag or Sourced(environ.get("NEMO_JOBS_OUTPUT") or "text", "NEMO_JOBS_OUTPUT")
    sources.check_choice(output, OUTPUTS)
    stream = sys.stderr if stderr else sys.stdout
    # A stream that was closed at the start (>&-) is None.
    terminal = output.value == "text" and stream is not None and stream.isatty()
    plain = flags.no_color or environ.get("NO_COLOR") or (environ.get("TERM") or "dumb") == "dumb"
    return Screen(
        output=cast("Output", output.value),
        quiet=flags.quiet,
        verbose=flags.verbose,
        color=terminal and not plain,
        terminal=terminal,
        annotate=environ.get("GITHUB_ACTIONS") == "true" and output.value == "text",
        width=_width(environ, stream) if terminal else 80,
    )


def guess_output(argv: Sequence[str], environ: Mapping[str, str] | None = None) -> str:
    """Return the output format of any command line, even an invalid one."""
    environ = resolve.environment() if environ is None else environ
    output = environ.get("NEMO_JOBS_OUTPUT", "")
    words = list(argv)[: argv.index("--") if "--" in argv else None]
    for word, following in zip(words, [*words, ""][1:], strict=True):
        if word == "--output":
            output = following
        elif word.startswith("--output="):
            output = word.removeprefix("--output=")
        elif word[:1] == "-" and word[1:2] != "-" and "o" in word:  # -ojson, -qo json
            switches, _, value = word[1:].partition("o")
            if set(switches) <= _SHORT_SWITCHES:
                output = value.removeprefix("=") or following
    return output if output in OUTPUTS else "text"


def _width(environ: Mapping[str, str], stream: TextIO) -> int:
    try:
        columns = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        columns = 0
    variable = environ.get("COLUMNS", "")
    return columns or int(variable if re.fullmatch("[0-9]{1,4}", variable) else 0) or 80
